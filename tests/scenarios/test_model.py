"""A scenario is a value: immutable, the same after a journey through JSON, readable."""

from __future__ import annotations

import dataclasses
import json

import pytest

from lab.scenarios import script
from lab.scenarios.catalogue import load
from lab.scenarios.describe import describe
from lab.scenarios.model import FILE_NAME, Scenario, Send, status_name

CATALOGUE = load()


@pytest.mark.parametrize("scenario", CATALOGUE.scenarios, ids=lambda scenario: scenario.name)
def test_json_and_back_is_the_same_value(scenario: Scenario) -> None:
    assert Scenario.from_json(json.loads(json.dumps(scenario.to_json()))) == scenario
    hash(scenario)  # immutable all the way down


@pytest.mark.parametrize("scenario", CATALOGUE.scenarios, ids=lambda scenario: scenario.name)
def test_every_expectation_has_a_step_and_every_wait_a_deadline(scenario: Scenario) -> None:
    assert scenario.expectations
    assert scenario.cites
    assert scenario.about
    for wanted in scenario.expectations:
        assert 0 <= wanted.step < len(scenario.steps)
    for step in scenario.steps:
        assert getattr(step, "deadline", 1.0) > 0


@pytest.mark.parametrize("scenario", CATALOGUE.scenarios, ids=lambda scenario: scenario.name)
def test_it_prints_as_documentation(scenario: Scenario) -> None:
    text = describe(scenario)
    assert text.startswith(f"{scenario.name}  {scenario.title}")
    assert text.count("\n      = ") == len(scenario.expectations)
    for step in scenario.steps:
        assert step.note in text


def test_recording_twice_gives_the_same_value() -> None:
    assert list(load()) == list(CATALOGUE)


def test_a_recorded_scenario_cannot_be_changed() -> None:
    scenario = next(iter(CATALOGUE))
    with pytest.raises(dataclasses.FrozenInstanceError):
        scenario.title = "other"  # type: ignore[misc]


def test_latitude_needs_a_reason() -> None:
    reply = script.Reply(script.Script(), "notify1", "final")
    with pytest.raises(ValueError, match="because"):
        reply.records([("ADDED", "a")], [("ADDED", "b")])
    with pytest.raises(ValueError, match="because"):
        reply.status("STATUS_SUCCESS", "STATUS_PENDING")


def test_a_misspelt_action_or_status_is_found_while_recording() -> None:
    reply = script.Reply(script.Script(), "notify1", "final")
    with pytest.raises(KeyError):
        reply.records([("CREATED", "a")])
    with pytest.raises(KeyError):
        reply.status("STATUS_PENDNIG")


def test_explorers_compound_has_the_captured_fields() -> None:
    (explorer,) = CATALOGUE.select(["H1"])
    compound = next(s for s in explorer.steps if isinstance(s, Send) and len(s.requests) == 2)
    create, notify = compound.requests
    assert dict(create.body) == {
        "path": "",
        "desired_access": 0x00100081,
        "share_access": 7,
        "create_disposition": 1,
        "create_options": 0,
        "maximal_access": True,
    }
    assert dict(notify.body) == {
        "completion_filter": 0x15,
        "watch_tree": False,
        "output_buffer_length": 2048,
    }
    assert (notify.file, notify.related) == ("all-ff", True)


def test_statuses_have_names() -> None:
    assert status_name(0x10C) == "STATUS_NOTIFY_ENUM_DIR"
    assert status_name(0xC0DEC0DE) == "0xC0DEC0DE"
    assert int(FILE_NAME) == 1
