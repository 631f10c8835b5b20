"""A fingerprint changes with what is done and judged, and with nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.scenarios.catalogue import load
from lab.scenarios.model import Connect, ExpectField, Scenario, Wait, equals
from lab.verdicts.fingerprint import fingerprint

SCENARIO = Scenario(
    "X1", "A title", "About it.", ("MS-SMB2 1.1",), "a capture", False,
    (Connect("watcher", note="watcher connects"), Wait("watcher", "notify1")),
    (ExpectField(1, "notify1", "final", "status", equals("STATUS_SUCCESS"), "a rule"),),
)  # fmt: skip
CONNECT, WAIT = SCENARIO.steps
(STATUS,) = SCENARIO.expectations


@pytest.mark.parametrize(
    "other",
    [
        replace(SCENARIO, title="Another", about="", cites=(), rests_on="x", provisional=True),
        replace(SCENARIO, steps=(replace(CONNECT, note="other words"), WAIT)),
        replace(SCENARIO, expectations=(replace(STATUS, rule="another rule"),)),
    ],
)
def test_words_do_not_count(other: Scenario) -> None:
    assert fingerprint(other) == fingerprint(SCENARIO)


@pytest.mark.parametrize(
    "other",
    [
        replace(SCENARIO, name="X2"),
        replace(SCENARIO, steps=(WAIT,)),
        replace(SCENARIO, steps=(Connect("watcher", user="second"), WAIT)),
        replace(SCENARIO, steps=(CONNECT, Wait("watcher", "notify1", deadline=3.0))),
        replace(SCENARIO, expectations=(replace(STATUS, match=equals("STATUS_PENDING")),)),
        replace(SCENARIO, expectations=()),
    ],
)
def test_what_is_done_and_judged_counts(other: Scenario) -> None:
    assert fingerprint(other) != fingerprint(SCENARIO)


def test_a_field_that_has_its_default_does_not_count() -> None:
    """This word stays: a field that comes new to the model has its default here."""
    assert fingerprint(SCENARIO) == "85a6d25a5b2c2988"


@pytest.mark.slow
def test_no_two_scenarios_share_one() -> None:
    catalogue = load()
    assert len({fingerprint(item) for item in catalogue}) == len(catalogue)
