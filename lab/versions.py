"""Which versions run on the nodes: asked of the nodes themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.backends import kind
from lab.nodes.model import Completed, Node, NodeError

DEADLINE_S = 8.0


@dataclass(frozen=True)
class Question:
    """One command on a node, and where in its output each version stands."""

    argv: tuple[str, ...]
    patterns: Mapping[str, str]

    def read(self, completed: Completed) -> dict[str, str]:
        """The versions found in the output; what is not there is left out."""
        text = completed.text + completed.error_text
        matches = {
            what: re.search(pattern, text, re.MULTILINE) for what, pattern in self.patterns.items()
        }
        return {what: match.group(1) for what, match in matches.items() if match}


def _python_package(name: str) -> str:
    return f"import importlib.metadata as m; print({name!r}, m.version({name!r}))"


# Its sources change more often than its version: their digest tells one state from another.
_NOTIFY_SERVER = """
import hashlib, pathlib, platform, notify_server
root = pathlib.Path(notify_server.__file__).parent
digest = hashlib.sha256()
for file in sorted(root.rglob("*.py")):
    digest.update(str(file.relative_to(root)).encode() + b"\\0" + file.read_bytes() + b"\\0")
print("Python", platform.python_version())
print("notify_server", notify_server.__version__)
print("sources", digest.hexdigest()[:12])
"""

# In the guest everything is asked at once: each SSH command costs an emulated CPU its time.
QUESTIONS: Mapping[str, Question] = {
    "front": Question(("haproxy", "-v"), {"haproxy": r"version (\S+)"}),
    "samba": Question(("smbd", "--version"), {"smbd": r"^Version (\S+)"}),
    "ksmbd": Question(
        ("lab-versions",),
        {
            "kernel": r"^kernel (\S+)",
            "ksmbd_srcversion": r"^srcversion (\S+)",
            "ksmbd_build_id": r"^build-id ([0-9a-f]{12})",
            "ksmbd_tools": r"^ksmbd-tools (\S+)",
        },
    ),
    "py": Question(
        ("python3", "-c", _NOTIFY_SERVER),
        {
            "python": r"^Python (\S+)",
            "notify_server": r"^notify_server (\S+)",
            "notify_server_sources": r"^sources ([0-9a-f]{12})",
        },
    ),
    "client": Question(
        (
            "sh",
            "-c",
            'python3 -c "$1"; smbtorture --version; tshark --version',
            "sh",
            _python_package("impacket"),
        ),
        {
            "impacket": r"^impacket (\S+)",
            "smbtorture": r"^smbtorture (\d\S*)",
            "tshark": r"^TShark \(Wireshark\) (\d+(?:\.\d+)+)",
        },
    ),
}


def ask(name: str, node: Callable[[], Node]) -> dict[str, str]:
    """The versions on a node; {} if it cannot be asked now."""
    question = QUESTIONS[kind(name)]
    try:
        return question.read(node().run(question.argv, deadline=DEADLINE_S))
    except NodeError:
        return {}
