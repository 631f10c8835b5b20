"""Trees: to disk and back, from backtraces, and folded for reading."""

from __future__ import annotations

import json

import pytest

from lab.tracing.folding import fold
from lab.tracing.model import FINAL, Call, Trace, Tree, from_stacks


def tree(text: str) -> Tree:
    """A tree drawn by indentation; what follows two spaces after a name is its note."""
    calls = []
    for line in text.strip("\n").splitlines():
        body = line.lstrip(" ")
        function, _, note = body.partition("  ")
        calls.append(Call((len(line) - len(body)) // 2, function, "", note))
    return Tree(0.0, tuple(calls))


def drawn(folded: Tree) -> str:
    return "\n".join(
        f"{'  ' * call.depth}{call.function}{f'  {call.note}' if call.note else ''}"
        for call in folded.calls
    )


def test_a_trace_survives_its_file() -> None:
    calls = (Call(0, "smb2_notify", "smb2pdu.c:8512"), Call(1, "smb2_set_err_rsp", "", "again"))
    trees = (
        Tree(1795374114.25, calls, 4, 1, "CHANGE_NOTIFY", client_port=35144, rung=2),
        Tree(1795374115.5, calls[:1], stage=FINAL, thread="kworker-9"),
    )
    trace = Trace("ksmbd@sid", "function_graph", trees, 0.002, lost=3)
    assert Trace.from_json(json.loads(json.dumps(trace.to_json()))) == trace


def test_a_trace_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 99"):
        Trace.from_json({"version": 99})


def test_only_what_happened_meanwhile_belongs_to_a_span() -> None:
    trees = tuple(Tree(time, (Call(0, f"at{time}"),)) for time in (1.0, 2.0, 3.0))
    assert [t.time for t in Trace("py", trees=trees).between(1.5, 3.0).trees] == [2.0, 3.0]


def test_backtraces_become_one_tree() -> None:
    stacks = [
        ["dispatch", "notify_send", "change_notify_create"],
        ["dispatch", "notify_send", "change_notify_add_request"],
        ["dispatch", "notify_send"],
        ["dispatch", "pending_queue"],
    ]
    merged = Tree(0.0, from_stacks(stacks))
    assert drawn(merged) == (
        "dispatch\n  notify_send\n    change_notify_create\n    change_notify_add_request\n"
        "  pending_queue"
    )


def test_repeats_are_counted_with_all_that_they_do() -> None:
    folded = fold(
        tree("""
open
  find_context
    compare
  find_context
    compare
  find_context
  find_context
    compare
""")
    )
    assert drawn(folded) == (
        "open\n  find_context  2 times\n    compare\n  find_context\n  find_context\n    compare"
    )


def test_noise_goes_unless_it_leads_to_something_else() -> None:
    folded = fold(
        tree("""
work
  get_cmd
    inside
  put
    write  sent
  get_cmd
    cancel
"""),
        noise="get_cmd|inside|put|write",
    )
    assert drawn(folded) == "work\n  put\n    write  sent\n  get_cmd\n    cancel"


def test_what_is_too_deep_is_counted() -> None:
    folded = fold(
        tree("""
a
  b
    c
      d
    e
  f
"""),
        depth=2,
    )
    assert drawn(folded) == "a\n  b  +3 calls\n  f"
