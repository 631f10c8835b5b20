"""smbd's calls become trees, each with its request; entries alone tell how deep they are."""

import struct

import pytest

from lab.samba.inside.talk import line
from lab.samba.inside.trace_smbd import PREFIX, Stack, Tracer
from lab.scenarios.model import Command
from lab.tracing.model import FINAL, INTERIM, REQUEST
from lab.tracing.smbd_calls import parse

NAMES = [
    "smbd_smb2_request_dispatch",
    "smbd_smb2_request_process_notify",
    "smbd_smb2_notify_send",
    "smbd_smb2_request_pending_timer",
    "messaging_dispatch_classic",
    "change_notify_reply",
    "smbd_server_connection_handler",
]
READY = line("ready", functions=[[name, f"source3/smbd/x.c:{n}"] for n, name in enumerate(NAMES)])


def header(command: Command, message_id: int) -> str:
    fields = struct.pack("<4sHHIHHIIQ", b"\xfeSMB", 64, 1, 0, command, 1, 0, 0, message_id)
    return fields.ljust(64, b"\0").hex()


def said(*calls: tuple[str, int, str]) -> str:
    """What the tracer says of one thread: (function, depth, what it read)."""
    lines = [READY, line("process", pid=7, port=50001)]
    for number, (name, depth, about) in enumerate(calls):
        lines.append(f"7 {100 + number}.000000 {NAMES.index(name)} {depth} {about}".rstrip() + "\n")
    return "".join(lines)


def test_a_request_is_a_tree_from_the_dispatch_on() -> None:
    (tree,) = parse(
        said(
            ("smbd_server_connection_handler", 0, ""),
            ("smbd_smb2_request_dispatch", 1, header(Command.CHANGE_NOTIFY, 9)),
            ("smbd_smb2_request_process_notify", 2, ""),
            ("smbd_smb2_notify_send", 3, ""),
            ("smbd_server_connection_handler", 0, ""),
        )
    )
    assert (tree.stage, tree.command, tree.message_id) == (REQUEST, "CHANGE_NOTIFY", 9)
    assert (tree.time, tree.client_port, tree.thread) == (101.0, 50001, "smbd[7]")
    assert [(call.depth, call.function, call.where) for call in tree.calls] == [
        (0, "smbd_smb2_request_dispatch", "x.c:0"),
        (1, "smbd_smb2_request_process_notify", "x.c:1"),
        (2, "smbd_smb2_notify_send", "x.c:2"),
    ]


def test_the_timer_belongs_to_the_interim_response() -> None:
    (tree,) = parse(said(("smbd_smb2_request_pending_timer", 0, header(Command.CHANGE_NOTIFY, 9))))
    assert (tree.stage, tree.message_id) == (INTERIM, 9)


def test_a_message_belongs_to_each_response_that_it_causes_and_else_nowhere() -> None:
    trees = parse(
        said(
            ("messaging_dispatch_classic", 0, ""),
            ("change_notify_reply", 1, "mid=9 status=00000000"),
            ("change_notify_reply", 1, "mid=11 status=0000010c"),
            ("messaging_dispatch_classic", 0, ""),
        )
    )
    assert [(tree.stage, tree.message_id, tree.command) for tree in trees] == [
        (FINAL, 9, "CHANGE_NOTIFY"),
        (FINAL, 11, "CHANGE_NOTIFY"),
    ]
    assert [call.note for call in trees[0].calls] == [
        "",
        "→ STATUS_SUCCESS",
        "→ STATUS_NOTIFY_ENUM_DIR",
    ]


def test_where_no_request_can_be_read_the_function_tells_the_command() -> None:
    (tree,) = parse(
        said(("smbd_smb2_request_dispatch", 0, ""), ("smbd_smb2_request_process_notify", 1, ""))
    )
    assert (tree.message_id, tree.command) == (None, "CHANGE_NOTIFY")


class Memory:
    """A stack of 8-byte words; those never written are zero."""

    def __init__(self) -> None:
        self.words: dict[int, bytes] = {}

    def read(self, address: int, size: int) -> bytes:
        assert size == 8
        return self.words.get(address, bytes(8))

    def call(self, stack: Stack, at: int, back: int, frame: int = 0) -> int:
        self.words[at] = back.to_bytes(8, "little")
        return stack.enter(at, frame, self.read)


@pytest.mark.parametrize("frame_pointers", [True, False])
def test_what_is_entered_lower_is_deeper_and_what_is_entered_above_ends_it(
    frame_pointers: bool,
) -> None:
    memory, stack = Memory(), Stack(frame_pointers=frame_pointers)
    assert memory.call(stack, 0x1000, 1) == 0
    assert memory.call(stack, 0x0F00, 2) == 1
    assert memory.call(stack, 0x0F00, 3) == 1
    assert memory.call(stack, 0x1000, 4) == 0


def test_a_function_that_another_call_has_overwritten_has_returned() -> None:
    memory, stack = Memory(), Stack(frame_pointers=False)
    memory.call(stack, 0x1000, 1)
    memory.call(stack, 0x0F00, 2)
    memory.words[0x0F00] = bytes([3] * 8)  # a function that is not traced was called from there
    assert memory.call(stack, 0x0E00, 4) == 1


def test_the_callers_frame_tells_what_the_stack_alone_does_not() -> None:
    memory, stack = Memory(), Stack(frame_pointers=True)
    memory.call(stack, 0x1000, 1)
    memory.call(stack, 0x0F00, 2, frame=0x0FF8)
    # The caller has made room on its stack since (an array of variable length) and calls anew.
    assert memory.call(stack, 0x0D00, 3, frame=0x0FF8) == 1
    # A library without frame pointers left something else there: it is not believed.
    assert memory.call(stack, 0x0C00, 4, frame=0xDEAD00000000) == 2


def test_after_the_return_of_a_root_nothing_below_it_is_left() -> None:
    memory, stack = Memory(), Stack(frame_pointers=False)
    memory.call(stack, 0x1000, 1)
    memory.call(stack, 0x0F00, 2)
    assert stack.back == 2
    stack.leave(0x0F08)
    assert memory.call(stack, 0x0E00, 3) == 1


def test_what_smbd_does_not_have_in_memory_is_told_before_it_is_touched() -> None:
    table = {"libraries": {"bin/shared/libsmbd.so": {"functions": [[0x10, "close_cnum", "x.c:1"]]}}}
    tracer = Tracer(table, print, frame_pointers=True)
    assert not tracer.find({"/usr/lib/libsmbd.so": 0x7000, "/usr/sbin/smbd": 0x1000})
    assert tracer.find({f"{PREFIX}bin/shared/libsmbd.so": 0x7000})
    assert (tracer.numbers, tracer.names) == ({0x7010: 0}, ["close_cnum"])
