"""The fuzzer's corpus, each input once, without the fuzzer: what was found stays found."""

from __future__ import annotations

from pathlib import Path

import pytest

import fuzz
from fuzz.machine import run_input
from notify_server.core.connection import Connection
from notify_server.core.locks import LockTable
from notify_server.core.oplocks import OplockTable
from notify_server.core.server import Server
from notify_server.notify.table import WatchTable

CORPUS = [path.read_bytes() for path in sorted((Path(fuzz.__file__).parent / "corpus").iterdir())]


def test_the_corpus_is_small_and_reaches_deep() -> None:
    """Inputs that do nothing would also pass."""
    assert len(CORPUS) > 100
    assert sum(map(len, CORPUS)) < 200_000
    sent = [run_input(data).sent for data in CORPUS]
    assert sum(size > 200 for size in sent) > len(sent) // 3


def run_all() -> None:
    for data in CORPUS:
        run_input(data)


@pytest.mark.parametrize(
    ("owner", "method", "instead"),
    [
        (LockTable, "release", lambda *_: []),
        (OplockTable, "remove", lambda *_: None),
        (WatchTable, "close", lambda *_: []),
        (Server, "close_open", lambda *_: None),
        (Connection, "end_session", lambda *_: None),
    ],
)
def test_the_corpus_notices_a_server_that_forgets_to_clean_up(
    monkeypatch: pytest.MonkeyPatch, owner: type, method: str, instead: object
) -> None:
    monkeypatch.setattr(owner, method, instead)
    with pytest.raises(AssertionError):
        run_all()
