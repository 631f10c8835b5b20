"""What a scenario does and expects, as one short word: a baseline holds while it stays the same.

Only what is executed and judged counts: no prose (titles, notes, rules, reasons, sources), and no
field that has its default, so that a field new to the model changes no fingerprint but those of
the scenarios that use it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from lab.scenarios.model import Scenario

PROSE = frozenset({"note", "point", "rule", "because"})


def fingerprint(scenario: Scenario) -> str:
    """16 hexadecimal digits."""
    essence = [scenario.name, _essence(scenario.steps), _essence(scenario.expectations)]
    plain = json.dumps(essence, sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def _essence(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        said = {
            item.name: _essence(getattr(value, item.name))
            for item in dataclasses.fields(value)
            if item.name not in PROSE and getattr(value, item.name) != item.default
        }
        return {type(value).__name__: said}
    if isinstance(value, tuple):
        return [_essence(item) for item in value]
    return value
