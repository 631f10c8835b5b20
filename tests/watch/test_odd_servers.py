"""The loop over a scripted connection: servers that refuse, lie, fall silent or answer nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import pytest

from lab.client.conn import ConnectFailed, Exchange, Outgoing
from lab.client.pump import Pump
from lab.errors import LabFailed
from lab.scenarios.model import Command
from lab.watch import watcher
from lab.watch.address import Address
from lab.watch.events import Changed, Event, Lost, Oddity, Overflowed, Watching
from lab.watch.interrupts import Stop
from lab.watch.watcher import Wanted, Watcher

ADDED = {"action": "ADDED", "name": "a"}


def answer(status: str = "STATUS_SUCCESS", **more: Any) -> dict[str, Any]:
    """A final response as `lab.client` observes it."""
    return {"status": status, "signature_ok": True, "sealed": False, "body": {}, **more}


def change(**more: Any) -> dict[str, Any]:
    return answer(body={"records": [ADDED]}, **more)


# The answers to a connection's requests; None: it is parked.
Script: TypeAlias = "Sequence[dict[str, Any] | None]"


class Scripted:
    """Stands in for `lab.client.conn.Connection`; a connection's script runs out by closing it."""

    scripts: ClassVar[deque[Script]] = deque()
    notifies = 0
    flags: tuple[int, int] = (0, 0)  # of SESSION_SETUP, of TREE_CONNECT
    logon: str = ""
    echoes = True

    def __init__(self, name: str, pump: Pump, observe: Callable[..., None], scale: float) -> None:
        self._observe = observe
        self._script: deque[dict[str, Any] | None] = deque()
        self.exchanges: dict[int, Exchange] = {}
        self.closed = False
        self.sealing = False
        self.cipher = ""
        self.dialect = 0x0311
        self.max_transact_size = 1 << 20

    def open(self, host: str, port: int, deadline: float) -> None:
        if not self.scripts:
            raise ConnectFailed(f"TCP to {host}:{port}: refused")
        self._script.extend(self.scripts.popleft())

    def negotiate(self, *offers: Sequence[Any]) -> None:
        pass

    def _came(self, command: str, body: dict[str, Any]) -> None:
        self._observe("pdu", dir="in", command=command, body=body, signing="AES-GMAC")

    def log_on(self, *words: str) -> None:
        if self.logon:
            raise ConnectFailed(f"SESSION_SETUP: {self.logon}")
        self._came("SESSION_SETUP", {"session_flags": self.flags[0]})

    def tree_connect(self, host: str, share: str) -> None:
        self._came("TREE_CONNECT", {"share_flags": self.flags[1]})
        if self.flags[1]:
            raise ConnectFailed("the server chose no cipher")

    def charge(self, payload: int) -> int:
        return 1

    def send(self, requests: Sequence[Outgoing]) -> list[Exchange]:
        (request,) = requests
        exchange = Exchange(request.ref, request.command, len(self.exchanges))
        self.exchanges[exchange.message_id] = exchange
        if request.command is Command.CREATE:
            exchange.final = answer(body={"file_id": "00" * 16})
        elif request.command is Command.CHANGE_NOTIFY:
            Scripted.notifies += 1
            if self._script:
                exchange.final = self._script.popleft()
            else:
                self.close()
        elif request.command is not Command.ECHO or self.echoes:
            exchange.final = answer()
        return [exchange]

    def cancel(self, ref: str, message_id: int, async_id: int) -> None:
        self.exchanges[message_id].final = answer("STATUS_CANCELLED")

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "Connection", Scripted)
    monkeypatch.setattr(Scripted, "scripts", deque())
    monkeypatch.setattr(Scripted, "notifies", 0)


def run(*scripts: Script, count: int = 1, timeout: float = 5.0) -> list[Event]:
    """What is told of a watch whose connections answer so, one after another."""
    Scripted.scripts.extend(scripts)
    told: list[Event] = []
    wanted = Wanted(Address("h", 445, "s"), "jo", "secret", count=count, timeout=timeout)
    stop = Stop()
    try:
        Watcher(wanted, Pump(), told.append, stop).run()
    finally:
        stop.close()
    return told


def kinds(told: Sequence[Event]) -> list[type[Any]]:
    return [type(event) for event in told]


@pytest.mark.parametrize("status", ["STATUS_NOT_SUPPORTED", "STATUS_NOT_IMPLEMENTED"])
def test_a_server_that_cannot_notify_is_asked_once(status: str) -> None:
    with pytest.raises(LabFailed, match=f"h cannot notify.*{status}"):
        run([answer(status)], [change()])
    assert Scripted.notifies == 1


def test_a_watch_that_the_server_closed_is_opened_again() -> None:
    told = run([answer("STATUS_NOTIFY_ENUM_DIR"), answer("STATUS_NOTIFY_CLEANUP")], [change()])
    assert kinds(told) == [Watching, Overflowed, Lost, Watching, Changed]
    assert isinstance(told[3], Watching)
    assert told[3].again


@pytest.mark.parametrize("lie", [{"signature_ok": False}, {"signature_ok": None}])
def test_what_is_not_signed_is_not_shown(lie: dict[str, Any]) -> None:
    told = run([change(), change(**lie)], [change()], count=2)
    assert kinds(told) == [Watching, Changed, Lost, Watching, Changed]
    assert isinstance(told[2], Lost)
    assert "neither sealed nor signed" in told[2].why


def test_an_answer_that_breaks_its_layout_is_said_to_and_passed_over() -> None:
    told = run([answer(body={"malformed": "truncated"}), change()])
    assert kinds(told) == [Watching, Oddity, Changed]


@pytest.mark.slow
def test_a_server_that_answers_nothing_at_once_is_not_stormed() -> None:
    run([answer() for _ in range(10_000)], timeout=1.0)
    assert 3 < Scripted.notifies < 20


@pytest.mark.slow
def test_connections_that_end_at_once_are_spaced() -> None:
    told = run([change()], [], [], [], count=9, timeout=1.0)
    delays = [event.delay for event in told if isinstance(event, Lost)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]


def test_a_refusal_after_a_reconnection_is_final() -> None:
    with pytest.raises(LabFailed, match="STATUS_DELETE_PENDING"):
        run([change()], [answer("STATUS_DELETE_PENDING")], [change()], count=5)


def test_nobody_there_at_first_is_an_error_at_once() -> None:
    with pytest.raises(LabFailed, match="cannot watch //h/s: TCP to h:445") as caught:
        run()
    assert "is this its port" in caught.value.remedy


@pytest.mark.slow
@pytest.mark.parametrize("echoes", [True, False])
def test_silence_is_asked_whether_anybody_is_there(
    monkeypatch: pytest.MonkeyPatch, echoes: bool
) -> None:
    monkeypatch.setattr(watcher, "ARMED_S", 0.0)
    monkeypatch.setattr(watcher, "IDLE_S", 0.05)
    monkeypatch.setattr(watcher, "ECHO_S", 0.05)
    monkeypatch.setattr(Scripted, "echoes", echoes)
    told = run([None], [change()], timeout=0.5)
    assert kinds(told) == ([Watching] if echoes else [Watching, Lost, Watching, Changed])


@pytest.mark.parametrize(
    ("flags", "logon", "said"),
    [
        ((1, 0), "", "as a guest"),
        ((0, 0x8000), "", "insists on encryption"),
        ((0, 0), "STATUS_LOGON_FAILURE", "does not accept the user 'jo'"),
    ],
)
def test_logons_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, flags: tuple[int, int], logon: str, said: str
) -> None:
    monkeypatch.setattr(Scripted, "flags", flags)
    monkeypatch.setattr(Scripted, "logon", logon)
    with pytest.raises(LabFailed, match=said) as caught:
        run([change()])
    assert "secret" not in str(caught.value)


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    stop = Stop()
    try:
        stop.polite = True
        stop.ask()
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            stop.ask()
    finally:
        stop.close()
