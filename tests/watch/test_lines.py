"""What is printed for each event, for people and for machines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from lab.client import wire
from lab.scenarios.model import Command
from lab.watch import ladder
from lab.watch.events import Changed, Event, Lost, Oddity, Overflowed, Pdu, Watching
from lab.watch.lines import NAMES, TEXTS, Text, as_json

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
WATCHING = Watching("//h/s", "py", 0x0311, "AES-GMAC", "", 0xFFF, True, False)


def shown(event: Event) -> str:
    """The line without its time and colours."""
    return Text(colour=False)(event, NOW)[len("12:00:00.123 ") :]


def pdu(command: Command, fields: dict[str, Any]) -> Pdu:
    """A request as `lab.client` observes it."""
    header = wire.Header(64, 1, 0, command, 1, 0, 0, 7, 0, 5, 9, bytes(16))
    raw = header.pack() + wire.build_body(command, fields)
    observed = {
        "dir": "out",
        "command": command.name,
        "stage": "request",
        "header": {"message_id": 7, "tree_id": 5, "credits": 1},
        "raw": raw.hex(),
    }
    return Pdu(observed)


def answer(**values: Any) -> Pdu:
    observed = {
        "dir": "in",
        "command": "CHANGE_NOTIFY",
        "stage": "final",
        "status": "STATUS_SUCCESS",
        "header": {"message_id": 7, "async_id": 3, "credits": 0},
        "body": {"records": [{}]},
        "signature_ok": True,
        "raw": "",
    }
    return Pdu({**observed, **values})


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            Changed("ADDED", "dir\\a", ("file-name", "dir-name")),
            "added           dir/a                            name",
        ),
        (
            Changed("MODIFIED", "a", ("size",)),
            "modified        a                                size",
        ),
        (
            Changed("MODIFIED", "a", ("attributes", "size", "last-write", "ea")),
            "modified        a                                data or metadata",
        ),
        (Changed("RENAMED_OLD_NAME", "b", ()), "renamed from    b"),
        (Changed("77", "b", ()), "action 77       b"),
        (Overflowed("STATUS_NOTIFY_ENUM_DIR"),
         "too many changes: list again (STATUS_NOTIFY_ENUM_DIR)"),
        (Lost("the connection ended", 0.4),
         "not watching: the connection ended; trying again in 0.4 s"),
        (Oddity("odd"), "odd"),
        (
            WATCHING,
            "watching //h/s (py) for everything, with all below it; SMB 3.1.1, "
            "signed with AES-GMAC",
        ),
        (
            Watching("//h/s", "", 0x0210, "HMAC-SHA256", "", 0x9, False, True),
            "watching again //h/s for file-name, size, not below it; SMB 2.1, signed with "
            "HMAC-SHA256; changes in between are unknown: list again",
        ),
    ],
)  # fmt: skip
def test_lines_for_people(event: Event, line: str) -> None:
    assert shown(event) == line


def test_every_event_has_a_line_and_a_name() -> None:
    assert TEXTS.keys() == NAMES.keys()


def test_names_cannot_move_the_terminals_cursor() -> None:
    event = Changed("ADDED", "\x1b[2Ja\n\u202eb", ())
    assert shown(event) == "added           \\u001b[2Ja\\u000a\\u202eb"
    assert "\x1b" not in Text(colour=False)(event, NOW)


def test_colour_is_only_where_it_is_wanted() -> None:
    event = Changed("REMOVED", "a", ("file-name",))
    assert "\x1b[31mremoved" in Text(colour=True)(event, NOW)
    assert "\x1b" not in Text(colour=False)(event, NOW)


def test_json_lines() -> None:
    line = as_json(Changed("ADDED", "dir\\a\n", ("file-name",)), NOW)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-03-01T12:00:00.123456Z",
        "event": "change",
        "action": "ADDED",
        "name": "dir\\a\n",
        "classes": ["file-name"],
    }
    watching = json.loads(as_json(WATCHING, NOW))
    assert watching["dialect"] == "3.1.1"
    assert watching["filter"][:2] == ["file-name", "dir-name"]


@pytest.mark.parametrize(
    ("event", "rung"),
    [
        (
            pdu(Command.CHANGE_NOTIFY, {"file_id": bytes(16), "completion_filter": 0x15,
                                        "output_buffer_length": 2048, "watch_tree": True}),
            "─▶ CHANGE_NOTIFY   #7 filter 0x15 file-name|attributes|last-write, WATCH_TREE, "
            "length 2048",
        ),
        (
            pdu(Command.CREATE, {"path": "dir", "desired_access": 0x100081, "share_access": 7,
                                 "create_disposition": 1, "create_options": 1}),
            '─▶ CREATE          #7 "dir", access 0x00100081',
        ),
        (pdu(Command.TREE_CONNECT, {"path": r"\\h\s"}), r"─▶ TREE_CONNECT    #7 \\h\s"),
        (pdu(Command.LOGOFF, {}), "─▶ LOGOFF          #7"),
        (answer(), "◀─ CHANGE_NOTIFY   #7 SUCCESS, AsyncId 3, 1 record"),
        (
            answer(stage="interim", status="STATUS_PENDING", body={}, signature_ok=None,
                   header={"message_id": 7, "async_id": 3, "credits": 2}),
            "◀─ CHANGE_NOTIFY   #7 interim PENDING, AsyncId 3, credits 2",
        ),
        (
            answer(body={"malformed": "truncated"}, signature_ok=False),
            "◀─ CHANGE_NOTIFY   #7 SUCCESS, AsyncId 3, malformed: truncated, WRONG SIGNATURE",
        ),
    ],
)  # fmt: skip
def test_the_ladder_has_one_line_a_pdu(event: Pdu, rung: str) -> None:
    assert ladder.rung(event.observed) == rung


def test_the_logon_is_not_in_the_json_ladder() -> None:
    event = answer(command="SESSION_SETUP", body={"session_flags": 0, "security_buffer": "abcd"})
    assert json.loads(as_json(event, NOW))["body"] == {"session_flags": 0}
    assert "raw" not in json.loads(as_json(event, NOW))
