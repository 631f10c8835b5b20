"""Switching: what is said to HAProxy, what its answers mean, and when the proof holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

import pytest

from lab import switching
from lab.backends import BACKENDS
from lab.errors import LabFailed
from lab.nodes.model import Completed, NodeError
from lab.probe import Negotiated, ProbeError
from lab.switching import Server

# As HAProxy 3.0 answers (columns shortened on the right, as more are added with each version).
STATE = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
3 active 1 samba 172.18.0.3 2 0 1
3 active 2 ksmbd 172.18.0.4 0 1 1
3 active 3 py - 0 33 1

# pxname,svname,qcur,qmax,scur,smax,slim,stot,status,weight
smb,FRONTEND,,,3,4,2000,9,OPEN,
active,samba,0,0,3,4,,7,no check,1
active,ksmbd,0,0,0,1,,2,MAINT,1
active,py,0,0,0,0,,0,MAINT (resolution),1
active,BACKEND,0,0,3,4,200,9,UP,1

"""


def answer(guid: int = 1, dialect: int = 0x311) -> Negotiated:
    return Negotiated(UUID(int=guid), dialect, 1, 7, 8 << 20, 1.0)


def test_the_state_tells_the_active_backend_and_its_sessions() -> None:
    states = switching.parse_state(STATE)
    assert states == {"samba": Server(True, 3), "ksmbd": Server(False, 0), "py": Server(False, 0)}
    assert switching.active_of(states) == "samba"


def test_a_backend_without_an_address_is_still_the_active_one() -> None:
    text = STATE.replace("samba 172.18.0.3 2 0", "samba - 0 32").replace("no check", "MAINT (res)")
    assert switching.active_of(switching.parse_state(text)) == "samba"


@pytest.mark.parametrize("text", ["", "\n", "Permission denied\n"])
def test_an_answer_that_is_no_table_names_no_backend(text: str) -> None:
    assert switching.active_of(switching.parse_state(text)) == ""


def test_two_ready_backends_are_no_answer() -> None:
    states = {"samba": Server(True, 0), "py": Server(True, 0)}
    assert switching.active_of(states) == ""


def test_the_others_go_before_the_target_comes_and_lose_their_sessions() -> None:
    assert switching.switch_commands("py", BACKENDS) == [
        "set server active/samba state maint",
        "set server active/ksmbd state maint",
        "set server active/py state ready",
        "shutdown sessions server active/samba",
        "shutdown sessions server active/ksmbd",
    ]


def test_a_flavour_is_told_to_haproxy_by_its_service_and_read_back_by_its_name() -> None:
    words = switching.switch_commands("ksmbd@sid", ("samba", "ksmbd@sid"))
    assert words[:2] == [
        "set server active/samba state maint",
        "set server active/ksmbd-sid state ready",
    ]
    text = STATE.replace("ksmbd", "ksmbd-sid")
    assert switching.parse_state(text)["ksmbd@sid"] == Server(False, 0)


def test_a_flavour_that_the_front_was_not_started_with_is_refused() -> None:
    with pytest.raises(LabFailed, match=r"the front does not know ksmbd@sid yet\n  lab up"):
        switching.activate(Front(Completed(0, b"", b"")), "ksmbd@sid", BACKENDS)


class Front:
    """A node whose runtime API answers as told."""

    name = "front"

    def __init__(self, completed: Completed) -> None:
        self.completed = completed
        self.said: list[Sequence[str]] = []

    def run(self, argv: Sequence[str], *, input: bytes = b"", deadline: float = 10.0) -> Completed:
        self.said.append(argv)
        return self.completed

    def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        raise NotImplementedError

    def logs(self, since: float | None = None) -> str:
        raise NotImplementedError


def test_silence_is_consent() -> None:
    front = Front(Completed(0, b"\n\n\n\n\n", b""))
    switching.activate(front, "py", BACKENDS)
    assert front.said == [["runtime-api", *switching.switch_commands("py", BACKENDS)]]


def test_a_refusal_of_the_runtime_api_is_shown() -> None:
    front = Front(Completed(0, b"\nNo such server.\n\n", b""))
    with pytest.raises(LabFailed, match=r"refused the switch to py: No such server\."):
        switching.activate(front, "py", BACKENDS)


def test_a_runtime_api_that_cannot_be_reached_is_an_error() -> None:
    front = Front(Completed(1, b"", b"No such file or directory"))
    with pytest.raises(NodeError, match="No such file"):
        switching.servers(front)


@pytest.mark.parametrize(
    ("front", "holds"),
    [(answer(1), True), (answer(2), False), (answer(1, 0x210), False)],
)
def test_the_proof_holds_only_for_the_same_server(front: Negotiated, holds: bool) -> None:
    assert switching.Proof("py", front, answer(1)).holds is holds


def test_the_time_an_answer_took_is_no_part_of_who_answered() -> None:
    slow = answer()._replace(milliseconds=900.0)
    assert switching.Proof("py", slow, answer()).holds


def scripted(*results: Negotiated | Exception) -> Callable[[], Negotiated]:
    """Answers in turn; the last one for ever."""
    script: Iterator[Negotiated | Exception] = iter(results)
    last: list[Negotiated | Exception] = []

    def ask() -> Negotiated:
        last[:] = [next(script, last[0] if last else results[-1])]
        if isinstance(last[0], Exception):
            raise last[0]
        return last[0]

    return ask


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def prove(ask: Callable[[], Negotiated]) -> switching.Proof:
    clock = Clock()
    return switching.prove("py", ask, answer(1), deadline_s=1, clock=clock, sleep=clock.sleep)


def test_the_proof_waits_for_the_new_backend() -> None:
    proof = prove(scripted(ProbeError("reset"), answer(2), answer(1)))
    assert proof.holds


def test_at_the_deadline_the_proof_says_who_answers_instead() -> None:
    proof = prove(scripted(answer(2)))
    assert not proof.holds
    assert proof.front.server_guid == UUID(int=2)


def test_a_front_that_never_answers_is_an_error() -> None:
    with pytest.raises(LabFailed, match="the front does not answer: refused"):
        prove(scripted(ProbeError("refused")))


def test_the_zero_guid_is_explained() -> None:
    assert "this server sends none" in switching.guid_words(answer(0))
    assert switching.guid_words(answer(1)) == str(UUID(int=1))


def test_what_a_windows_client_types() -> None:
    assert switching.net_use_lines("10.0.0.7", "TEST") == [
        r"net use \\10.0.0.7\IPC$ /delete",
        r"net use \\10.0.0.7\TEST /delete",
    ]
