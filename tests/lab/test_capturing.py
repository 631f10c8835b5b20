"""A capture through the front: whose connections are in it, and what stays behind."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import capturing
from lab.cli import main
from lab.engine.process import Ran
from lab.errors import LabFailed
from lab.evidence import pcap
from lab.evidence.pdu import CHANGE_NOTIFY, CREATE, NEGOTIATE
from lab.verdicts.export import matrix_json
from tests.evidence.material import PORT, decoded, pcap_of
from tests.verdicts.test_schema import complaints

NAME, LATER = "samba-explorer", "samba-changes"


@pytest.fixture(autouse=True)
def port(monkeypatch: pytest.MonkeyPatch) -> None:
    """The captures at hand were taken at another port."""
    monkeypatch.setattr(capturing, "SMB_PORT", PORT)


def ports(data: bytes) -> set[int]:
    return {stream.client[1] for stream in pcap.streams(pcap.read(data), PORT)}


def addresses(name: str) -> dict[bytes, str]:
    return {stream.server[0]: "samba" for stream in pcap.streams(pcap.read(pcap_of(name)), PORT)}


def of_one(events: Sequence[Any], commands: Collection[int] = ()) -> tuple[bytes, list[Any]]:
    """The part of the one server in a capture; an empty one if nobody spoke to it."""
    found = capturing.by_server(pcap_of(NAME), events, addresses(NAME), commands)
    nothing = pcap.cut(pcap.read(pcap_of(NAME)), [], 0, 0).to_bytes()
    return found.get("samba", (nothing, []))


def test_whoever_did_something_is_in_it() -> None:
    data, events = of_one(decoded(NAME))
    assert ports(data) == ports(pcap_of(NAME))
    assert events == list(decoded(NAME))


def test_who_only_asks_whether_the_server_lives_is_not() -> None:
    """The health checks: a NEGOTIATE every few seconds."""
    asking = [event for event in decoded(NAME) if getattr(event, "command", 0) == NEGOTIATE]
    data, events = of_one(asking)
    assert pcap.read(data).packets == ()
    assert events == []


def test_of_what_the_lab_plays_only_the_connections_with_a_watch_count() -> None:
    deaf = [e for e in decoded(NAME) if getattr(e, "command", CREATE) != CHANGE_NOTIFY]
    assert of_one(deaf, (CHANGE_NOTIFY,))[1] == []
    assert of_one(decoded(NAME), (CHANGE_NOTIFY,))[1]


def test_a_switch_gives_each_server_its_part() -> None:
    """Two captures as one, the later with another address."""
    first, later = (pcap.read(pcap_of(name)) for name in (NAME, LATER))
    (mine,) = addresses(NAME)
    other = b"\x0a" + mine[1:]
    moved = [replace(packet, data=packet.data.replace(mine, other)) for packet in later.packets]
    data = pcap.Pcap(first.header, first.linktype, (*first.packets, *moved)).to_bytes()
    events = [*decoded(NAME), *decoded(LATER)]
    found = capturing.by_server(data, events, {mine: "py", other: "samba"})
    assert list(found) == ["py", "samba"]
    assert ports(found["py"][0]) == ports(pcap_of(NAME))
    assert ports(found["samba"][0]) == ports(pcap_of(LATER))
    assert found["samba"][1] == list(decoded(LATER))
    assert list(capturing.by_server(data, events, {other: "samba"})) == ["samba"]


def test_what_was_done_by_hand_is_not_judged_and_keeps_to_the_schema(tmp_path: Path) -> None:
    plain = matrix_json(capturing.by_hand(["samba"], tmp_path, 1700000000.0))
    assert complaints(json.loads(json.dumps(plain))) == []
    (cell,) = plain["cells"]
    assert (cell["verdict"], cell["reason"]) == ("not run", "captured by hand: nothing was judged")


class Docker:
    """Notes what the `docker` command is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail: str = "") -> None:
        self.said: list[list[str]] = []
        self.fail = fail
        monkeypatch.setattr(capturing.process, "run", self.run)

    def run(self, argv: list[str], *, deadline: float) -> Ran:
        self.said.append(argv[1:])
        failed = argv[1] == self.fail
        return Ran(1 if failed else 0, "no space left on device\n" if failed else "c0ffee\n")


def lab() -> Any:
    raw: dict[str, Any] = {
        "Id": "f00d",
        "Name": "/x",
        "Image": "sha256:1",
        "RestartCount": 0,
        "Config": {"Labels": {}},
        "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00Z", "ExitCode": 0},
    }

    def inspect(node: str) -> dict[str, Any]:
        if node == capturing.NODE:
            raise LabFailed("no such container")
        return raw

    engine = SimpleNamespace(inspect=inspect)
    return SimpleNamespace(engine=engine, settings=SimpleNamespace(name="l"))


def test_the_container_has_the_one_capability_that_it_needs_and_goes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    docker = Docker(monkeypatch)
    with pytest.raises(KeyboardInterrupt), capturing.beside_front(lab()):
        raise KeyboardInterrupt
    made, removed = docker.said
    assert made[:2] == ["run", "--detach"]
    assert made[made.index("--network") + 1] == "container:f00d"
    assert made[made.index("--cap-drop") + 1] == "ALL"
    assert [made[n + 1] for n, word in enumerate(made) if word == "--cap-add"] == ["NET_RAW"]
    assert "org.notify-lab.name=l" in made
    assert "--privileged" not in made
    assert made[-1] == "sha256:1"
    assert removed == ["rm", "--force", "c0ffee"]


def test_a_container_that_cannot_be_made_is_the_labs_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Docker(monkeypatch, fail="run")
    with pytest.raises(LabFailed, match="no space left on device"), capturing.beside_front(lab()):
        raise AssertionError("the block must not run")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--play",), "--play goes with --seed"),
        (("--seconds", "soon"), "is no number of seconds"),
    ],
)
def test_options_that_make_no_sense(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert main(["lab", "capture", *words]) == 2
    assert said in capsys.readouterr().err
