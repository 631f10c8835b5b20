"""What a ladder says of real captures, and of PDUs that no server would send."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from lab.evidence import ladder, ladder_svg, ladder_text
from lab.evidence.ladder import Ladder, Rung
from lab.evidence.pdu import ALL_FF, Notify, Pdu, Record, TcpEvent
from tests.evidence.material import NAMES, built, pdu

EXPLORER = r"""explorer on samba
{dir} = h1-149be086; times in milliseconds

     0.0  -- connect: SMB 3.1.1, signed, \\127.0.0.1\TEST, 8 PDUs
    12.5 .-> CREATE          #4   {dir}, OPEN
    12.5 '-> CHANGE_NOTIFY   #5   n1 FileId all FF = {dir}, FILE_NAME |
                                    ATTRIBUTES | LAST_WRITE (0x15),
                                    BUF 2048
    12.8  <- CREATE          #4   SUCCESS
    14.1  <- CHANGE_NOTIFY   #5   n1 interim PENDING, credits 1, AsyncId 5
   314.2 .-> CREATE          #6   {dir}\dir, OPEN
   314.2 '-> CHANGE_NOTIFY   #7   n2 FileId all FF = {dir}\dir,
                                    FILE_NAME | ATTRIBUTES |
                                    LAST_WRITE (0x15), BUF 2048
   314.9  <- CREATE          #6   SUCCESS
   316.0  <- CHANGE_NOTIFY   #7   n2 interim PENDING, credits 1, AsyncId 7
   616.1  -> CANCEL          #5   n1 cancel by AsyncId 5
   616.4  <- CHANGE_NOTIFY   #5   n1 final CANCELLED, AsyncId 5
   617.4  <- CHANGE_NOTIFY   #7   n2 final SUCCESS, AsyncId 7
                                    ADDED file1
   917.8  -> CANCEL          #7   n2 cancel by AsyncId 7
  1218.4  -> TREE_DISCONNECT #8
  1218.8  <- TREE_DISCONNECT #8   SUCCESS
  1220.6  -> LOGOFF          #9
  1221.1  <- LOGOFF          #9   SUCCESS
"""


def test_explorers_flow_reads_as_it_happened() -> None:
    assert ladder_text.render(built("samba-explorer"), ladder_text.MAIL) == EXPLORER


@pytest.mark.parametrize("name", NAMES)
def test_for_a_mailing_list_no_line_is_longer_than_74_columns(name: str) -> None:
    text = ladder_text.render(built(name), ladder_text.MAIL)
    assert max(len(line) for line in text.splitlines()) <= 74


@pytest.mark.parametrize("name", NAMES)
def test_a_ladder_survives_its_file(name: str) -> None:
    whole = built(name)
    rungs = tuple(replace(rung, time=round(rung.time, 6)) for rung in whole.rungs)
    rounded = replace(whole, rungs=rungs, began=round(whole.began, 6))
    assert Ladder.from_json(json.loads(json.dumps(whole.to_json()))) == rounded


def test_lines_may_stand_under_a_rung_and_above_the_first() -> None:
    under = {-1: ["before"], 1: ["a tree", "| " + "x" * 100]}
    lines = ladder_text.render(built("samba-explorer"), ladder_text.MAIL, under).splitlines()
    assert lines[3].strip() == "before"
    at = next(at for at, line in enumerate(lines) if "CREATE          #4   {dir}" in line)
    assert lines[at + 1].strip() == "a tree"
    assert [len(line) for line in lines[at + 2 : at + 4]] == [74, 56]
    assert lines[at + 3].strip().startswith("|   x"), "it goes on behind the same bar"


def test_a_ladder_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 99"):
        Ladder.from_json({"version": 99})


def test_sealed_and_signed_ladders_say_the_same() -> None:
    sealed, signed = built("samba-changes-sealed"), built("samba-changes")
    assert "sealed" in sealed.rungs[0].details
    assert [r.command for r in sealed.rungs] == [r.command for r in signed.rungs]
    assert [r.records for r in sealed.rungs] == [r.records for r in signed.rungs]


def test_a_closed_file_id_says_so() -> None:
    (late,) = (
        rung
        for rung in built("samba-errors").rungs
        if rung.stage == "request" and rung.file.endswith("(closed)")
    )
    assert (late.file, late.command) == (r"{dir}\file (closed)", "CHANGE_NOTIFY")


def _rungs(*events: Pdu | TcpEvent) -> tuple[Rung, ...]:
    return ladder.build(events, directory="d").rungs


WATCH = Notify(1, watch_tree=False, output_buffer_length=64)


def test_a_cancel_finds_its_target_by_message_id_without_the_async_flag() -> None:
    request, cancel = _rungs(pdu(message_id=4, notify=WATCH), pdu(command=12, message_id=4))
    assert cancel.label == request.label == "n1"


def test_a_cancel_of_nothing_is_said_to_be_unknown() -> None:
    (cancel,) = _rungs(pdu(command=12, flags=2, async_id=77))
    assert cancel.details == ("by AsyncId 77, which is unknown",)
    assert cancel.label == ""


def test_an_answer_to_nothing_is_marked() -> None:
    (answer,) = _rungs(pdu(command=5, message_id=9, status=0))
    assert "answers no request" in answer.details


def test_a_failed_logon_is_shown_pdu_by_pdu() -> None:
    rungs = _rungs(
        pdu(command=1, message_id=1),
        pdu(command=1, message_id=1, status=0xC000006D, status_name="STATUS_LOGON_FAILURE"),
    )
    assert [rung.status for rung in rungs] == ["", "LOGON_FAILURE"]


def test_a_connection_that_the_server_resets_has_a_rung() -> None:
    _, reset, *more = _rungs(
        pdu(message_id=1, notify=WATCH), TcpEvent(2, 1.0, 0, 50000, "RST", from_client=False)
    )
    assert not more
    assert (reset.command, reset.from_client) == ("connection reset", False)


def test_the_clients_fin_after_logoff_has_none() -> None:
    rungs = _rungs(
        pdu(command=2, message_id=1),
        pdu(command=2, message_id=1, status=0),
        TcpEvent(3, 1.0, 0, 50000, "FIN", from_client=True),
    )
    assert [rung.command for rung in rungs] == ["LOGOFF", "LOGOFF"]


def test_an_unsigned_answer_of_a_signed_session_is_marked() -> None:
    rungs = _rungs(
        pdu(command=1, message_id=1),
        pdu(command=1, message_id=1, status=0, flags=8),
        pdu(command=6, message_id=2, file_id="00" * 16, flags=8),
        pdu(command=6, message_id=2, status=0),
        pdu(command=13, message_id=3),
        pdu(command=13, message_id=3, status=0),
    )
    assert rungs[-3].details == ("unsigned",)
    assert rungs[-1].details == (), "neither was the request"


def test_connections_have_the_names_that_the_scenario_gave_them() -> None:
    events = [pdu(message_id=1, client_port=50001), pdu(message_id=1, client_port=50002, stream=1)]
    named = ladder.build(events, conns={50001: "watcher", 50002: "other"})
    assert named.conns == ["watcher", "other"]
    assert "watcher  -> CHANGE_NOTIFY" in ladder_text.render(named, ladder_text.MAIL)


def test_a_connections_setup_stands_where_it_began() -> None:
    """Its rung is made when the setup is over, and another connection may be busy meanwhile."""
    rungs = _rungs(
        pdu(command=0, frame=1, time=1.0),
        pdu(command=0, frame=2, time=2.0, stream=1, client_port=50001),
        pdu(command=5, frame=3, time=3.0, stream=1, client_port=50001),
        pdu(command=5, frame=4, time=4.0),
    )
    assert [(rung.time, rung.conn, rung.command) for rung in rungs] == [
        (0.0, "A", "connect"),
        (1.0, "B", "connect"),
        (2.0, "B", "CREATE"),
        (3.0, "A", "CREATE"),
    ]


def test_two_connections_may_use_the_same_message_ids() -> None:
    rungs = _rungs(
        pdu(message_id=1, notify=WATCH),
        pdu(message_id=1, stream=1, notify=WATCH),
        pdu(message_id=1, stream=1, status=0x103, async_id=5, flags=2),
    )
    assert [rung.label for rung in rungs] == ["n1", "n2", "n2"]


HOSTILE = "</script><b>\x1b[31m\u202eevil"


def _hostile() -> Ladder:
    return ladder.build(
        [
            pdu(message_id=1, file_id=ALL_FF, notify=WATCH),
            pdu(message_id=1, status=0, records=(Record(1, HOSTILE), Record(99, "a\nb"))),
        ],
        server="samba",
    )


def test_control_and_direction_characters_are_shown_not_obeyed() -> None:
    text = ladder_text.render(_hostile())
    assert r"ADDED </script><b>\u001b[31m\u202eevil" in text
    assert r"action 99 a\u000ab" in text


@pytest.mark.parametrize("whole", [_hostile(), *(built(name) for name in NAMES)])
def test_the_picture_is_well_formed_and_needs_nothing_from_elsewhere(whole: Ladder) -> None:
    svg = ladder_svg.render(whole)
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "href" not in svg
    assert "url(" not in svg
    texts = "".join(root.itertext())
    assert all(rung.command in texts for rung in whole.rungs)


def test_the_picture_ties_each_exchange_together() -> None:
    root = ElementTree.fromstring(ladder_svg.render(built("samba-explorer")))
    ties = [e for e in root.iter("{http://www.w3.org/2000/svg}path") if e.get("class") == "tie"]
    knots = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert (len(ties), len(knots)) == (2, 8)  # request, interim, CANCEL, final: twice
