"""How long the interpreter lets a watch take hold."""

from __future__ import annotations

import pytest

from lab.client.interpreter import LONGEST_SETTLE_S, Interpreter, Job
from lab.client.pump import Pump
from lab.scenarios import model

JOB = Job("server", 445, "TEST", "tester", "secret", "d", 3.0)


class NotedPump(Pump):
    """Notes for how long it was to wait, and waits not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []

    def until(self, done: object, seconds: float | None) -> bool:  # type: ignore[override]
        self.waited.append(seconds or 0.0)
        return False


@pytest.mark.parametrize(
    ("settle", "latency", "seconds"),
    [
        (False, 9.0, 0.3),
        (True, 0.001, 0.3),  # what the scenario says, scaled
        (True, 0.05, 1.0),
        (True, 9.0, LONGEST_SETTLE_S),
    ],
)
def test_settling_takes_longer_on_a_server_that_is_slow(
    settle: bool, latency: float, seconds: float
) -> None:
    pump = NotedPump()
    steps = (model.Drain(0.1, settle=settle),)
    Interpreter(JOB, pump, lambda *_, **__: None, lambda *_: {}, latency).run(steps)
    assert pump.waited == [pytest.approx(seconds)]
