"""The points of a sweep: recorded in every step and expectation, named when one fails."""

from __future__ import annotations

import pytest

from lab.scenarios.catalogue import load
from lab.scenarios.describe import describe
from lab.scenarios.model import Collect, Cork, Drain, ExpectField, Pause, Send, Wait
from lab.scenarios.script import Script

CATALOGUE = load()


def swept() -> Script:
    s = Script()
    watcher = s.connect("watcher")
    watched = watcher.open_directory()
    with s.point("right behind"):
        parked = watched.notify(1)
        s.pause(0.0003)
        parked.cancel(by_async_id=False, by_message_id=True)
        parked.final().status("STATUS_CANCELLED", rule="MS-SMB2 3.3.5.16")
        watched.collect(1, until="fence")
    watched.notify(1).final().status("STATUS_CANCELLED")
    return s


def test_a_point_is_in_each_wait_and_each_rule_of_its_block_alone() -> None:
    s = swept()
    points = [step.point for step in s.steps if isinstance(step, Wait | Collect)]
    assert points == ["right behind", "right behind", ""]
    rules = [wanted.rule for wanted in s.expectations if isinstance(wanted, ExpectField)]
    assert rules == ["MS-SMB2 3.3.5.16 [right behind]", ""]


def test_a_pause_is_exact_and_is_left_out_where_it_is_none() -> None:
    s = swept()
    assert [step.seconds for step in s.steps if isinstance(step, Pause)] == [0.0003]
    before = len(s.steps)
    s.pause(0.0)
    assert len(s.steps) == before


def test_settling_ends_with_the_newest_request() -> None:
    s = swept()
    s.settle()
    newest = next(step for step in reversed(s.steps) if isinstance(step, Send))
    drain = s.steps[-1]
    assert isinstance(drain, Drain)
    assert drain.unless == newest.requests[-1].ref == "notify2"


def test_nothing_waits_inside_a_cork() -> None:
    """It could never end: what it waits for has not left."""
    for scenario in CATALOGUE:
        corked = False
        for step in scenario.steps:
            if isinstance(step, Cork):
                corked = step.on
            elif corked:
                assert not isinstance(step, Wait | Collect | Drain), scenario.name
                if isinstance(step, Send):
                    assert not any(request.wait for request in step.requests), scenario.name
        assert not corked, scenario.name


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("G2", "second request on its handle, CANCEL 300 us behind the request"),
        ("G4", "CANCEL 500 us before the change"),
        ("G5", "request 100 us behind the change"),
        ("F8", "LOGOFF in one piece with the request"),
        ("A6b", "AES-256-CCM, dialect 0x0311"),
        ("C8", "unlink under FILE_NOTIFY_CHANGE_DIR_NAME"),
    ],
)
def test_the_documentation_names_the_points(name: str, point: str) -> None:
    (scenario,) = CATALOGUE.select([name])
    assert f"[{point}]" in describe(scenario)
