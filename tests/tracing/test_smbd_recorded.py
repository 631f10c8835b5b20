"""A real trace of H1 on smbd 4.22 from Debian's source: the five trees that were drawn by hand."""

import gzip
from pathlib import Path

import pytest

from lab.tracing.model import FINAL, INTERIM, REQUEST, Tree
from lab.tracing.smbd_calls import parse
from tests.e2e import samba_seed as seed

RECORDED = Path(__file__).with_name("smbd-4.22-h1.txt.gz")


@pytest.fixture(scope="module")
def trees() -> list[Tree]:
    return parse(gzip.decompress(RECORDED.read_bytes()).decode())


@pytest.mark.parametrize(
    ("drawing", "command", "stage"),
    [
        (seed.CREATE, "CREATE", REQUEST),
        (seed.NOTIFY, "CHANGE_NOTIFY", REQUEST),
        (seed.PENDING_TIMER, "CHANGE_NOTIFY", INTERIM),
        (seed.CANCEL, "CANCEL", REQUEST),
        (seed.RESPONSE, "CHANGE_NOTIFY", FINAL),
    ],
    ids=["Create", "Notify", "pending timer", "Cancel", "Notify response"],
)
def test_a_drawn_tree_is_there(trees: list[Tree], drawing: str, command: str, stage: str) -> None:
    found = [tree for tree in trees if (tree.command, tree.stage) == (command, stage)]
    drawn = [
        tree
        for tree in found
        if not seed.missing(drawing, [(call.depth, call.function) for call in tree.calls])
    ]
    assert drawn, found[:1]
    assert all(tree.message_id is not None and tree.client_port == 35884 for tree in found)


def test_interim_and_final_belong_to_requests_that_were_made(trees: list[Tree]) -> None:
    asked = {tree.message_id for tree in trees if (tree.command, tree.stage) == NOTIFY_REQUEST}
    answered = {tree.message_id for tree in trees if tree.stage != REQUEST}
    assert answered
    assert answered <= asked


NOTIFY_REQUEST = ("CHANGE_NOTIFY", REQUEST)


def test_the_reply_tells_its_status_and_every_function_its_line(trees: list[Tree]) -> None:
    (final,) = [tree for tree in trees if tree.stage == FINAL]
    reply = next(call for call in final.calls if call.function == "change_notify_reply")
    assert reply.note == "→ STATUS_SUCCESS"
    assert reply.where.startswith("notify.c:")
    assert all(":" in call.where for tree in trees for call in tree.calls)


@pytest.mark.parametrize(
    ("calls", "lacking"),
    [
        ([(0, "a"), (1, "x"), (2, "b"), (1, "c")], ""),
        ([(0, "a"), (1, "c"), (1, "b")], "c"),
        ([(0, "a"), (0, "b"), (1, "c")], "b (not within its caller)"),
        ([(0, "b")], "a"),
    ],
)
def test_a_drawing_is_compared_by_order_and_by_caller(
    calls: list[tuple[int, str]], lacking: str
) -> None:
    assert seed.missing("a\n  b\n  c\n", calls) == lacking
