"""Observations as the interpreter would write them, for a server that behaves; to be bent."""

from __future__ import annotations

import copy
from typing import Any

from lab.scenarios import model, script
from lab.scenarios.model import HeaderFlags, NtStatus, Scenario

ASYNC = int(HeaderFlags.SMB2_FLAGS_ASYNC_COMMAND)
RESPONSE = int(HeaderFlags.SMB2_FLAGS_SERVER_TO_REDIR | HeaderFlags.SMB2_FLAGS_SIGNED)


def record(offset: int, following: int, action: str, name: str) -> dict[str, Any]:
    raw = name.encode("utf-16-le")
    return {
        "offset": offset,
        "next_entry_offset": following,
        "action": action,
        "file_name_length": len(raw),
        "name": name,
        "name_raw": raw.hex(),
    }


def records(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []
    offset = 0
    for number, (action, name) in enumerate(pairs):
        size = 12 + 2 * len(name)
        padded = size + -size % 4
        listed.append(record(offset, padded if number < len(pairs) - 1 else 0, action, name))
        offset += padded
    return listed


class Tape:
    """A growing list of observations."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = [{"kind": "begin", "t": 0.0, "directory": "x-1"}]
        self._message_id = 3
        self._requests: dict[str, tuple[str, int]] = {}
        self._async: dict[str, int] = {}

    def add(self, kind: str, **values: Any) -> Tape:
        self.lines.append({"kind": kind, "t": len(self.lines) / 1000, **values})
        return self

    def request(self, ref: str, command: str = "CHANGE_NOTIFY", conn: str = "watcher") -> Tape:
        self._message_id += 1
        self._requests[ref] = (command, self._message_id)
        header = {"flags": 8, "message_id": self._message_id, "credits": 1}
        return self.add(
            "pdu",
            dir="out",
            conn=conn,
            ref=ref,
            stage="request",
            command=command,
            header=header,
            raw="",
        )

    def _response(self, ref: str, stage: str, status: str, body: dict[str, Any]) -> Tape:
        command, message_id = self._requests[ref]
        header: dict[str, Any] = {
            "structure_size": 64,
            "status": int(NtStatus[status]),
            "credits": 0 if ref in self._async and stage == "final" else 1,
            "flags": RESPONSE,
            "next_command": 0,
            "message_id": message_id,
            "session_id": 77,
        }
        if ref in self._async:
            header["flags"] |= ASYNC
            header["async_id"] = self._async[ref]
        return self.add(
            "pdu",
            dir="in",
            conn="watcher",
            ref=ref,
            stage=stage,
            command=command,
            status=status,
            header=header,
            body=body,
            compound=[0, 1],
            signing="AES-CMAC",
            signature_ok=None if stage == "interim" else True,
            raw="",
        )

    def interim(self, ref: str) -> Tape:
        self._async[ref] = 1000 + len(self._async)
        body = {"structure_size": 9, "error": True, "byte_count": 0, "error_context_count": 0}
        return self._response(ref, "interim", "STATUS_PENDING", body)

    def error(self, ref: str, status: str) -> Tape:
        body = {"structure_size": 9, "error": True, "byte_count": 0, "error_context_count": 0}
        return self._response(ref, "final", status, body)

    def notified(self, ref: str, *pairs: tuple[str, str]) -> Tape:
        listed = records(*pairs)
        length = listed[-1]["offset"] + 12 + listed[-1]["file_name_length"] if listed else 0
        body = {
            "structure_size": 9,
            "output_buffer_offset": 72,
            "output_buffer_length": length,
            "records": listed,
        }
        return self._response(ref, "final", "STATUS_SUCCESS", body)

    def done(self, ref: str, structure_size: int) -> Tape:
        return self._response(ref, "final", "STATUS_SUCCESS", {"structure_size": structure_size})

    def step(self, index: int) -> Tape:
        return self.add("step", index=index)

    def end(self) -> list[dict[str, Any]]:
        return self.add("end").lines


def one_change(s: script.Script) -> None:
    """The smallest scenario with an interim response, silence and records."""
    watcher = s.connect("watcher")
    opened = script.Open(watcher, "open1")
    parked = opened.notify(model.FILE_NAME)
    parked.interim()
    parked.still_pending("MS-SMB2 3.3.4.2")
    s.on_server.touch("a")
    parked.final().records([("ADDED", "a")], rule="MS-FSCC 2.7.1")


ONE_CHANGE: Scenario = script.scenario(
    "C1", title="One change", cites=["MS-FSCC 2.7.1"], rests_on="a test"
)(one_change).record()


def one_change_observed() -> list[dict[str, Any]]:
    """What a good server makes of `ONE_CHANGE`."""
    tape = Tape().step(0)
    tape.request("notify1").step(1)
    tape.interim("notify1").step(2)
    tape.request("echo1", "ECHO").done("echo1", 4).step(3)
    tape.add("server", index=4, argv=["touch"], returncode=0, stdout="", stderr="").step(4)
    tape.notified("notify1", ("ADDED", "a")).step(5)
    return copy.deepcopy(tape.end())


def find(lines: list[dict[str, Any]], ref: str, stage: str) -> dict[str, Any]:
    return next(line for line in lines if line.get("ref") == ref and line.get("stage") == stage)
