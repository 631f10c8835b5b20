"""From smbd's calls as they were traced to trees, each with the request that it is about. Pure.

The tracer (`lab.samba.inside.trace_smbd`) tells the entry of each function of its table, and how
many others it was called within. A tree begins at one of ROOTS; what led to it is cut off.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.samba.inside.talk import MARK
from lab.scenarios.model import Command, status_name
from lab.tracing.model import FINAL, INTERIM, REQUEST, Call, Growing, Tree

# Where trees begin, and the packet under which each belongs.
ROOTS: Mapping[str, str] = {
    "smbd_smb2_request_dispatch": REQUEST,
    "smbd_smb2_request_pending_timer": INTERIM,
    "messaging_dispatch_classic": FINAL,
    "notify_callback": FINAL,  # where the one above is not to be seen
}
REPLY = "change_notify_reply"
# For an smbd whose requests cannot be read: these functions tell the command.
PROCESSORS: Mapping[str, str] = {
    f"smbd_smb2_request_process_{word}": command
    for word, command in {
        "negprot": "NEGOTIATE",
        "sesssetup": "SESSION_SETUP",
        "logoff": "LOGOFF",
        "tcon": "TREE_CONNECT",
        "tdis": "TREE_DISCONNECT",
        "create": "CREATE",
        "close": "CLOSE",
        "flush": "FLUSH",
        "read": "READ",
        "write": "WRITE",
        "lock": "LOCK",
        "ioctl": "IOCTL",
        "keepalive": "ECHO",
        "query_directory": "QUERY_DIRECTORY",
        "notify": "CHANGE_NOTIFY",
        "getinfo": "QUERY_INFO",
        "setinfo": "SET_INFO",
        "break": "OPLOCK_BREAK",
    }.items()
} | {"smbd_notify_cancel_by_smbreq": "CANCEL"}
_COMMAND_AT, _MESSAGE_ID_AT = 12, 24  # MS-SMB2 2.2.1
# Hidden where trees are shown: what each request does alike.
NOISE = (
    r"smb_vfs_call_\w+|smbXsrv_\w+_lookup\w*|smbd_smb2_request_verify_\w+|.*_talloc\w*"
    r"|smbd_(un)?become_root|(push|pop|set_root)_sec_ctx|smbd_change_to_root_user"
    r"|smbXsrv_version_global_current|smb2srv_session_lookup_\w+|set_sec_ctx"
)


@dataclass(frozen=True)
class Entry:
    """One function entered. `about` is what the tracer read of its arguments."""

    thread: int
    time: float
    number: int
    depth: int
    about: str = ""


@dataclass
class Traced:
    """What the tracer said, read."""

    functions: list[tuple[str, str]] = field(default_factory=list)  # (name, file:line)
    ports: dict[int, int] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    failure: str = ""
    done: bool = False

    def hear(self, line: str) -> None:
        """Take one line; what is neither a call nor a mark is left out."""
        if line.startswith(MARK + "{"):
            self._understand(json.loads(line.removeprefix(MARK)))
            return
        thread, _, rest = line.partition(" ")
        if thread.isdigit():
            time, number, depth, *about = rest.split(" ", 3)
            entry = Entry(
                int(thread), float(time), int(number), int(depth), about[0] if about else ""
            )
            self.entries.append(entry)

    def _understand(self, told: Mapping[str, Any]) -> None:
        if told["kind"] == "ready":
            self.functions = [(name, where) for name, where in told["functions"]]
        elif told["kind"] == "process":
            self.ports[told["pid"]] = told["port"]
        elif told["kind"] == "failed":
            self.failure = told["text"]
        elif told["kind"] == "done":
            self.done = True


def parse(text: str) -> list[Tree]:
    """The trees in what a tracer wrote."""
    traced = Traced()
    for line in text.splitlines():
        traced.hear(line)
    return trees(traced)


@dataclass
class _Open:
    """A tree that still grows. `depth` is the root's, as the tracer counts."""

    tree: Growing
    depth: int
    # MessageIds that its calls answered, None for one that could not be read
    replies: list[int | None] = field(default_factory=list)


def trees(traced: Traced) -> list[Tree]:
    """Every tree, in the order of their beginning."""
    threads: dict[int, _Open] = {}
    found: list[Tree] = []
    for entry in traced.entries:
        now = threads.get(entry.thread)
        if now is not None and entry.depth <= now.depth:
            found += _finished(threads.pop(entry.thread))
            now = None
        name, where = traced.functions[entry.number]
        if now is None and name in ROOTS:
            now = threads[entry.thread] = _Open(_begun(name, entry, traced), entry.depth)
        if now is not None:
            _grow(now, entry, name, where)
    for last in threads.values():
        found += _finished(last)
    return sorted(found, key=lambda tree: tree.time)


def _grow(now: _Open, entry: Entry, name: str, where: str) -> None:
    note = ""
    if name == REPLY:
        about = dict(word.split("=", 1) for word in entry.about.split())
        note = "→ " + status_name(int(about["status"], 16)) if "status" in about else ""
        now.replies.append(int(about["mid"]) if "mid" in about else None)
    if not now.tree.command and name in PROCESSORS:
        now.tree.command = PROCESSORS[name]
    # source3/smbd/ is where all of them lie.
    now.tree.calls.append(Call(entry.depth - now.depth, name, where.rpartition("/")[2], note))


def _begun(name: str, entry: Entry, traced: Traced) -> Growing:
    tree = Growing(entry.time, f"smbd[{entry.thread}]", stage=ROOTS[name])
    tree.client_port = traced.ports.get(entry.thread, 0)
    header = bytes.fromhex(entry.about) if entry.about and "=" not in entry.about else b""
    if header:
        (command,) = struct.unpack_from("<H", header, _COMMAND_AT)
        (tree.message_id,) = struct.unpack_from("<Q", header, _MESSAGE_ID_AT)
        tree.command = Command(command).name if command in set(Command) else ""
    return tree


def _finished(now: _Open) -> list[Tree]:
    """A tree, closed: for a message that answers several requests, one for each."""
    tree = now.tree
    if tree.stage != FINAL:
        return [tree.grown()]
    # A message that answers nobody (buffered, or not about changes) belongs under no packet.
    answers = []
    for message_id in dict.fromkeys(now.replies):
        tree.message_id, tree.command = message_id, "CHANGE_NOTIFY"
        answers.append(tree.grown())
    return answers
