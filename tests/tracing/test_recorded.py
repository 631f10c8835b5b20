"""Recorded traces of H1, from the tracer's text to the packets."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lab.evidence import ladder_text
from lab.evidence.column import Span
from lab.tracing import attribution, function_graph, ksmbd, notify_server, recording, text
from lab.tracing.model import FINAL, INTERIM, REQUEST, UNPLACED, Trace, Tree
from tests.tracing import recorded


@functools.cache
def traced(server: str, raw: str = "") -> Trace:
    """As the tracer hands it over."""
    raw = raw or recorded.text(server)
    if server == "py":
        return Trace(server, "", tuple(notify_server.parse(raw)))
    clock = ksmbd.clock_of(raw, recorded.MARKS)
    return Trace(server, "", tuple(function_graph.parse(raw, clock.epoch)), clock.error)


@functools.cache
def placed(server: str, raw: str = "") -> Trace:
    """As it lies in the cell's folder."""
    ladder, ports = recorded.ladder(server), recorded.PORTS[server]
    times = ladder.began - 1, ladder.began + ladder.rungs[-1].time + 1
    part = Span("H1", "", *times, ports)
    return attribution.place(recording.belonging(traced(server, raw), part), ladder, ports)


def under(server: str, command: str, stage: str = REQUEST, raw: str = "") -> list[Tree]:
    """The trees under the rungs of that command and stage, one for each such rung."""
    rungs = recorded.ladder(server).rungs
    wanted = [at for at, r in enumerate(rungs) if (r.command, r.stage) == (command, stage)]
    trees = {tree.rung: tree for tree in placed(server, raw).trees if tree.rung in wanted}
    assert sorted(trees) == wanted, f"not under every {command}"
    return [trees[at] for at in wanted]


def in_order(functions: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the names come in that order, whatever else is between them."""
    rest = iter(functions)
    return all(name in rest for name in wanted)


def test_ksmbds_functions_hang_under_h1s_notifies_in_order() -> None:
    """Two of them are the second PDU of a compound, which is one call of the worker."""
    trees = under("ksmbd", "CHANGE_NOTIFY")
    assert len(trees) == 4
    names = ["handle_ksmbd_work", "ksmbd_verify_smb_message", "smb2_notify", "smb2_set_err_rsp"]
    for tree in trees:
        assert in_order(tree.functions, [*names, "smb3_set_sign_rsp", "ksmbd_conn_write"])
        assert "smb2_open" not in tree.functions
    first = [call for call in trees[0].calls if call.function == "ksmbd_conn_write"]
    assert first[0].note == "→ CREATE #4 STATUS_SUCCESS", "the compound is answered at its end"


def test_ksmbds_other_requests_have_their_handlers() -> None:
    for command, handler in (
        ("CREATE", "smb2_open"),
        ("CLOSE", "smb2_close"),
        ("ECHO", "smb2_echo"),
    ):
        for tree in under("ksmbd", command):
            assert handler in tree.functions
            assert "smb2_notify" not in tree.functions


def test_setup_is_one_rung_with_four_trees() -> None:
    ladder = recorded.ladder("ksmbd")
    (setup,) = (at for at, rung in enumerate(ladder.rungs) if rung.stage == "setup")
    commands = [tree.command for tree in placed("ksmbd").trees if tree.rung == setup]
    assert commands == ["NEGOTIATE", "SESSION_SETUP", "SESSION_SETUP", "TREE_CONNECT"]


def test_another_connections_requests_are_left_out() -> None:
    """The lab looks whether the server lives; that is no part of the scenario."""
    assert len([t for t in traced("ksmbd").trees if t.command == "NEGOTIATE"]) > 2
    assert len([t for t in placed("ksmbd").trees if t.command == "NEGOTIATE"]) == 1


def test_a_guests_clock_is_set_by_its_packets() -> None:
    ladder, found = recorded.ladder("ksmbd"), placed("ksmbd")
    for tree in found.trees:
        if tree.rung != UNPLACED and ladder.rungs[tree.rung].stage != "setup":
            sent = ladder.began + ladder.rungs[tree.rung].time
            assert tree.time == pytest.approx(sent, abs=0.1)


def test_a_clock_that_runs_too_fast_is_measured() -> None:
    clock = ksmbd.clock_of(recorded.text("ksmbd"), recorded.MARKS)
    assert clock.rate == pytest.approx(0.104, abs=0.003)
    assert clock.error < 1
    assert ksmbd.clock_of("", recorded.MARKS).error == float("inf")


def test_without_message_ids_commands_and_time_tell() -> None:
    """Another kernel, whose functions the probes do not fit: only names and times are left."""
    raw = recorded.text("ksmbd")
    blind = "\n".join(
        line for line in raw.splitlines() if not re.search(r"/\* (req|rsp|port):", line)
    )
    trees = placed("ksmbd", blind).trees
    assert all(tree.message_id is None and tree.client_port == 0 for tree in trees)
    ladder = recorded.ladder("ksmbd")
    under_notify = [
        tree.functions
        for tree in trees
        if tree.rung != UNPLACED and ladder.rungs[tree.rung].command == "CHANGE_NOTIFY"
    ]
    assert under_notify
    assert all("smb2_notify" in functions for functions in under_notify)


def test_pys_functions_hang_under_requests_interims_and_finals() -> None:
    requests = under("py", "CHANGE_NOTIFY")
    assert all("core.notifying.change_notify" in tree.functions for tree in requests)
    for tree in under("py", "CHANGE_NOTIFY", INTERIM):
        assert tree.functions[-1].startswith(("core.", "wire."))
        assert "core.chain.Chain._interim" in tree.functions
    finals = [tree for tree in placed("py").trees if tree.stage == FINAL]
    assert len(finals) == 4, "the fifth request is answered at once, inside its own tree"
    changed = [tree for tree in finals if "notify.table.WatchTable.publish" in tree.functions]
    assert changed, "a change completes a request: from the feed to the response"
    assert in_order(
        changed[0].functions,
        ["core.server.Server.drain", "fs.feed.ChangeFeed.drain", "notify.table.WatchTable.publish"],
    )
    assert "core.connection.Connection.finish_parked" in changed[0].functions
    tops = [[call.function for call in tree.calls if call.depth == 0] for tree in requests]
    assert all("core.chain.Chain.advance" in top for top in tops)
    cancels = [
        tree
        for tree in placed("py").trees
        if tree.rung != UNPLACED and recorded.ladder("py").rungs[tree.rung].stage == "cancel"
    ]
    assert cancels
    assert all("core.cancelling.cancel" in tree.functions for tree in cancels)
    noted = [call.note for call in cancels[0].calls if call.note]
    assert noted == [f"→ CHANGE_NOTIFY #{cancels[0].message_id} STATUS_CANCELLED"]


def test_calls_of_py_have_their_place() -> None:
    call = next(
        call
        for call in under("py", "CHANGE_NOTIFY")[0].calls
        if call.function == "core.notifying.change_notify"
    )
    assert re.fullmatch(r"notifying\.py:\d+", call.where)


def test_a_response_to_another_request_gets_the_way_to_it() -> None:
    """A kernel that completes a notify while it handles somebody's CREATE."""
    raw = recorded.text("ksmbd")
    rsp = next(line for line in raw.splitlines() if "rsp:" in line and "cmd=5" in line)
    other = re.sub(r"mid=\d+ cmd=\d+ status=\S+", "mid=77 cmd=15 status=0x10c", rsp)
    trees = traced("ksmbd", raw.replace(rsp, f"{other}\n{rsp}")).trees
    (extra,) = (tree for tree in trees if tree.message_id == 77)
    assert (extra.command, extra.stage) == ("CHANGE_NOTIFY", FINAL)
    assert extra.functions == ["handle_ksmbd_work", "ksmbd_conn_write"]


def test_what_the_module_logs_shows_in_the_function_that_logs() -> None:
    raw = recorded.text("ksmbd").splitlines()
    at = next(at for at, line in enumerate(raw) if "smb2_notify [ksmbd]() {" in line)
    before = raw[at].partition("smb2_notify")[0]
    log = '/* log: (_printk+0x4/0x87) fmt="\x016ksmbd: smb2pdu: no %s today'
    raw[at + 1 : at + 1] = [f"{before}  {log}", '" */']
    trees = under("ksmbd", "CHANGE_NOTIFY", raw="\n".join(raw))
    noted = [call for call in trees[0].calls if call.function == "smb2_notify"]
    assert "no %s today" in noted[0].note


def test_the_ladder_shows_the_trees_under_their_packets() -> None:
    ladder = recorded.ladder("ksmbd")
    shown = ladder_text.render(ladder, under=text.under(placed("ksmbd"), ladder, depth=4))
    lines = shown.splitlines()
    at = next(at for at, line in enumerate(lines) if "CHANGE_NOTIFY   #10" in line)
    assert lines[at + 1].strip() == "│ handle_ksmbd_work"
    inside = lines[at : next(i for i in range(at + 1, len(lines)) if "│" not in lines[i])]
    assert "            │   smb2_notify" in inside
    assert "            │     smb2_set_err_rsp" in inside
    assert not any("get_smb2_cmd_val" in line for line in inside), "noise is left out"
    whole = text.under(placed("ksmbd"), ladder, whole=True)
    assert any("get_smb2_cmd_val" in line for lines in whole.values() for line in lines)


def test_a_tree_without_a_packet_stands_where_it_happened() -> None:
    ladder, found = recorded.ladder("ksmbd"), placed("ksmbd")
    lost = replace(found.trees[-1], rung=UNPLACED, command="", time=ladder.began + 1e6)
    lines = text.under(replace(found, trees=(lost,)), ladder)
    assert list(lines) == [len(ladder.rungs) - 1]
    assert lines[len(ladder.rungs) - 1][0].startswith("meanwhile")
