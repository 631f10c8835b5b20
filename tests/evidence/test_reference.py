"""Packets, named as the report shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.evidence import reference, run_folder
from tests.evidence import run_on_disk


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_on_disk.make(tmp_path_factory.mktemp("run"))


def test_a_packet_is_found_by_its_frame_and_by_its_message_id(run_dir: Path) -> None:
    ladder, _ = run_folder.read_ladder(run_dir / "py" / "H1")
    assert ladder is not None
    rung = ladder.rungs[run_on_disk.first_notify(ladder)]
    asked: list[str] = []

    def find_run(word: str) -> Path:
        asked.append(word)
        return run_dir

    for text in (f"H1:{rung.frame}", f"py/H1:{rung.frame}", f"latest/py/h1:#{rung.message_id}"):
        packet = reference.find(text, "py", find_run)
        assert (packet.server, packet.scenario, packet.frame) == ("py", "H1", rung.frame)
        assert packet.time == pytest.approx(ladder.began + rung.time)
    assert asked == ["", "", "latest"]
    assert reference.find("samba/H1:#4", "py", find_run).server == "samba"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("H1", "names no packet"),
        ("H1:n1", "names no packet"),
        ("H9:1", "H9"),
        ("smbd/H1:1", "smbd"),
        ("H1:99999", "has no packet 99999"),
        ("ksmbd/C2:1", "has no packets: no capture was taken"),
    ],
)
def test_what_is_no_packet_is_explained(run_dir: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        reference.find(text, "py", lambda _: run_dir)
