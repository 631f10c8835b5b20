"""Attempts come soon, then seldom; a server that answers with nothing is not stormed."""

from __future__ import annotations

import itertools

from lab.watch.backoff import BOUND_S, FIRST_S, SETTLED_S, Backoff, Pace


def test_waits_grow_to_the_bound_and_stay_there() -> None:
    backoff = Backoff()
    waits = [backoff.failed() for _ in range(12)]
    assert waits[:4] == [FIRST_S, 0.2, 0.4, 0.8]
    assert waits[-3:] == [BOUND_S] * 3
    assert all(a <= b for a, b in itertools.pairwise(waits))


def test_a_connection_that_held_starts_it_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.failed()
    backoff.held(SETTLED_S)
    assert backoff.failed() == FIRST_S


def test_a_connection_that_ended_at_once_does_not() -> None:
    backoff = Backoff()
    for _ in range(12):
        backoff.failed()
        backoff.held(0.5)
    assert backoff.failed() == BOUND_S


def test_answers_worth_having_are_never_slowed_down() -> None:
    pace = Pace()
    assert {pace.answered(parked=False, records=1) for _ in range(100)} == {0.0}
    assert {pace.answered(parked=True, records=0) for _ in range(100)} == {0.0}


def test_empty_answers_at_once_are_slowed_down_to_a_bound() -> None:
    pace = Pace()
    waits = [pace.answered(parked=False, records=0) for _ in range(50)]
    assert waits[:3] == [0.0, 0.0, 0.0]
    assert waits[3] > 0
    assert waits[-1] == pace.bound
    pace.answered(parked=True, records=0)
    assert pace.answered(parked=False, records=0) == 0
