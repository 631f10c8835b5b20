"""The state file: kept, shared, and harmless when damaged."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.state import State, write_atomically


def test_what_was_set_is_there_for_the_next_command(tmp_path: Path) -> None:
    State(tmp_path / ".lab" / "state.json").set("active", "py")
    assert State(tmp_path / ".lab" / "state.json").get("active") == "py"


def test_forgetting(tmp_path: Path) -> None:
    state = State(tmp_path / "state.json")
    state.set("a", 1)
    state.forget("a")
    state.forget("a")
    assert state.get("a", "none") == "none"


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": '])
def test_a_damaged_file_counts_as_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    state = State(path)
    assert state.get("a") is None
    state.set("a", 1)
    assert state.get("a") == 1


def test_writers_of_different_keys_do_not_lose_each_others(tmp_path: Path) -> None:
    state = State(tmp_path / "state.json")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: State(state.path).set(f"k{n}", n), range(32)))
    assert [state.get(f"k{n}") for n in range(32)] == list(range(32))


def test_atomic_writing_sets_the_mode_and_leaves_nothing_beside(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    write_atomically(target, b"one", 0o755)
    write_atomically(target, b"two", 0o600)
    assert target.read_bytes() == b"two"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")
    with pytest.raises(TypeError):
        write_atomically(target, "not bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
