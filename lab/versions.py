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
        ("python3", "-c", "import platform; print('Python', platform.python_version())"),
        {"python": r"^Python (\S+)"},
    ),
    "client": Question(
        ("python3", "-c", _python_package("impacket")), {"impacket": r"^impacket (\S+)"}
    ),
}


def ask(name: str, node: Callable[[], Node]) -> dict[str, str]:
    """The versions on a node; {} if it cannot be asked now."""
    question = QUESTIONS[kind(name)]
    try:
        return question.read(node().run(question.argv, deadline=DEADLINE_S))
    except NodeError:
        return {}
