"""ksmbd's trees from the text of ftrace's function_graph tracer, as `lab.tracing.ksmbd` sets it up.

One line is one call of one task; a call that calls nothing ends on its line, any other has a line
for its end. Two kprobes stand between them, as comments: `req` in `init_smb2_rsp_hdr`, once for
each message, with the request's first MessageId; `rsp` in `ksmbd_conn_write`, with the header of
what is sent. A compound is one call of `handle_ksmbd_work`, which is cut into its PDUs here.
Without the probes (another kernel) a request's command is known from its handler.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from lab.evidence.pdu import STATUS_PENDING, command_name
from lab.tracing.model import FINAL, INTERIM, REQUEST, Call, Growing, Tree

SMB2_MAGIC = 0x424D53FE
WORKER = re.compile(r"_*handle_ksmbd_work$")
# The first thing that the worker does for each PDU of a message.
EACH_PDU = "smb2_check_user_session"
# The connection's own thread: its loop never returns while the connection lasts, so that each of
# its calls is a piece of work.
LOOP = "ksmbd_conn_handler_loop"
# What ksmbd does besides answering: reading from sockets, queueing, netlink, its own bookkeeping.
IDLE = re.compile(
    r"ksmbd_conn_alloc|ksmbd_conn_alive|ksmbd_tcp_.*|ksmbd_smb_request|ksmbd_server_process_request"
    r"|handle_generic_event|__ksmbd_conn_release_work|ksmbd_conn_free|ipc_.*|handle_response"
    r"|ksmbd_conn_r_count_\w+|ksmbd_conn_put"
)
HANDLERS: Mapping[str, str] = {
    "smb2_negotiate_request": "NEGOTIATE",
    "smb2_sess_setup": "SESSION_SETUP",
    "smb2_session_logoff": "LOGOFF",
    "smb2_tree_connect": "TREE_CONNECT",
    "smb2_tree_disconnect": "TREE_DISCONNECT",
    "smb2_open": "CREATE",
    "smb2_close": "CLOSE",
    "smb2_flush": "FLUSH",
    "smb2_read": "READ",
    "smb2_write": "WRITE",
    "smb2_lock": "LOCK",
    "smb2_ioctl": "IOCTL",
    "smb2_cancel": "CANCEL",
    "smb2_echo": "ECHO",
    "smb2_query_dir": "QUERY_DIRECTORY",
    "smb2_notify": "CHANGE_NOTIFY",
    "smb2_query_info": "QUERY_INFO",
    "smb2_set_info": "SET_INFO",
    "smb2_oplock_break": "OPLOCK_BREAK",
}
# For reading: what runs in every request and tells nothing about this one.
NOISE = (
    r"ksmbd_crypto_ctx_find_\w+|ksmbd_release_crypto_ctx|____crypto_\w+|ksmbd_find_crypto_ctx"
    r"|__ksmbd_iov_pin_rsp|smb3_is_transform_hdr|smb2_allocate_rsp_buf|init_smb2_rsp_hdr"
    r"|get_smb2_cmd_val|smb2_is_sign_req|ksmbd_tree_connect_put|ksmbd_user_session_put"
    r"|ksmbd_conn_(try_dequeue_request|r_count_dec|r_count_inc|put|lock|unlock|alive)"
    r"|ksmbd_(alloc|free)_work_struct|smb3_preauth_hash_rsp|is_chained_smb2_message"
    r"|ksmbd_smb2_check_message|ksmbd_sign_smb3_pdu|ksmbd_conn_wait_idle|cifs_mapchar"
    r"|smb2_find_context_vals|opinfo_(get|put)|ksmbd_iov_pin_rsp|ksmbd_tcp_writev"
)


@dataclass(frozen=True)
class Sent:
    """The header of a response that was sent in the call with index `call`."""

    call: int
    message_id: int
    command: int
    status: int

    @property
    def stage(self) -> str:
        return INTERIM if self.status == STATUS_PENDING else FINAL

    @property
    def words(self) -> str:
        status = {0: "STATUS_SUCCESS", STATUS_PENDING: "STATUS_PENDING"}.get(
            self.status, f"{self.status:#x}"
        )
        return f"→ {command_name(self.command)} #{self.message_id} {status}"


@dataclass
class _Root(Growing):
    """A root call of one task, with what the probes said inside it."""

    sent: list[Sent] = field(default_factory=list)
    asked: bool = False  # a probe told the MessageId


_LINE = re.compile(
    r"^\s*(?P<time>\d+\.\d+) \|\s+\d+\)\s+(?P<task>.+?-\d+)\s+\|[^|]*\|  (?P<rest>.*)$"
)
_CALL = re.compile(r"^(?P<indent> *)(?P<function>[\w.]+)(?: \[\w+\])?\(\)(?P<open> \{|;)$")
_EVENT = re.compile(r"^(?P<indent> *)\/\* (?P<name>\w+): \([^)]*\) (?P<fields>.*?)(?: \*\/)?$")
_FIELD = re.compile(r"(\w+)=(\S+)")
# A format ends in a newline, and so does its line in the trace; it begins with its level.
_FORMAT = re.compile(r'fmt="\x01?\d?(?P<text>[^"]*)')


def parse(text: str, epoch: Callable[[float], float] = float) -> list[Tree]:
    """The trees of a trace, in the order of their beginning.

    `epoch` makes the trace's time seconds of the epoch.
    """
    trees = [tree for root in _roots(text.splitlines()) for tree in _trees(root)]
    return [replace(tree, time=epoch(tree.time)) for tree in sorted(trees, key=_age)]


def _age(tree: Tree) -> float:
    return tree.time


def _roots(lines: Iterable[str]) -> Iterator[_Root]:
    """Every task's root calls; the loop of a connection's thread is none, but its calls are."""
    current: dict[str, _Root] = {}
    base: dict[str, int] = {}
    for line in lines:
        found = _LINE.match(line)
        if not found:
            continue
        task, rest = found["task"].strip(), found["rest"]
        call = _CALL.match(rest)
        if call:
            depth = len(call["indent"]) // 2
            function = call["function"]
            if function == LOOP:
                base[task] = depth + 1
                continue
            depth -= base.get(task, 0)
            if depth < 0:
                base.pop(task)
                depth = len(call["indent"]) // 2
            if depth == 0 or task not in current:
                if task in current:
                    yield current[task]
                current[task] = _Root(float(found["time"]), task)
            current[task].calls.append(Call(depth, _plain(function)))
        elif task in current:
            event = _EVENT.match(rest)
            if event:
                inside = len(event["indent"]) // 2 - base.get(task, 0)
                _hear(current[task], event["name"], event["fields"], inside)
    yield from current.values()


def _plain(function: str) -> str:
    """Without what the compiler appended to a copy of a function: `.isra.0`, `.constprop.0`."""
    return function.partition(".")[0]


def _hear(root: _Root, name: str, said: str, depth: int) -> None:
    """Take what a probe said inside a call of depth - 1, if it looked at an SMB2 header at all."""
    fields = dict(_FIELD.findall(said))
    if name == "log":
        text = _FORMAT.search(said)
        caller = [at for at, call in enumerate(root.calls) if call.depth < depth][-1:]
        if text and caller:
            said = text["text"].strip().removeprefix("ksmbd: ")
            root.note(caller[0], f"“{said}”")
        return
    if name == "port":
        root.client_port = int.from_bytes(int(fields.get("port", "0"), 0).to_bytes(2), "little")
        return
    if int(fields.get("magic", "0"), 0) != SMB2_MAGIC:
        return
    message_id, command = int(fields["mid"], 0), int(fields["cmd"], 0)
    if name == "req":
        root.asked = True
        root.message_id, root.command = message_id, command_name(command)
    elif name == "rsp":
        at = len(root.calls) - 1
        root.sent.append(Sent(at, message_id, command, int(fields["status"], 0)))


def _trees(root: _Root) -> Iterator[Tree]:
    """A root call as trees: a compound's PDUs apart, and what answers another request again."""
    if not root.sent and IDLE.fullmatch(root.calls[0].function):
        return
    for sent in root.sent:
        root.note(sent.call, sent.words)
    yield from _pdus(root) if WORKER.match(root.calls[0].function) else [_other(root)]
    for sent in root.sent:
        if root.asked and sent.message_id != root.message_id:
            yield _leading_to(root, sent)


def _other(root: _Root) -> Tree:
    """No request is handled: it hangs under the response that it sends, if it sends one."""
    if not root.sent:
        return root.grown()
    sent = root.sent[0]
    return replace(
        root.grown(),
        message_id=sent.message_id,
        command=command_name(sent.command),
        stage=sent.stage,
    )


def _leading_to(root: _Root, sent: Sent) -> Tree:
    """The calls on the way to a response that belongs to another request than the one at hand."""
    path: list[Call] = []
    for call in root.calls[: sent.call + 1]:
        del path[call.depth :]
        path.append(call)
    return Tree(
        root.time,
        tuple(path),
        sent.message_id,
        command=command_name(sent.command),
        stage=sent.stage,
        client_port=0,  # it may be another connection's
        thread=root.thread,
    )


def _pdus(root: _Root) -> Iterator[Tree]:
    """One tree for each PDU of the message; the root is repeated on top of each."""
    calls = enumerate(root.calls)
    cuts = [at for at, call in calls if (call.depth, call.function) == (1, EACH_PDU)]
    starts = [1, *cuts[1:]]
    for position, (start, end) in enumerate(zip(starts, [*cuts[1:], None], strict=True)):
        mine = (root.calls[0], *root.calls[start:end])
        handler = next((HANDLERS[c.function] for c in mine if c.function in HANDLERS), "")
        first = root.command if position == 0 else ""
        yield Tree(
            root.time,
            mine,
            root.message_id,
            position,
            handler or first,
            REQUEST,
            root.client_port,
            root.thread,
        )
