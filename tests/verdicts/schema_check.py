"""As much of JSON Schema as `matrix.schema.json` uses; an unknown keyword is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}
SAY_NOTHING = {"$schema", "$defs", "title", "description", "format"}


def errors(
    value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], at: str = ""
) -> Iterator[str]:
    """What is wrong with `value`, and where."""
    for keyword, wanted in schema.items():
        if keyword in SAY_NOTHING:
            continue
        if keyword == "$ref":
            name = wanted.removeprefix("#/$defs/")
            yield from errors(value, root["$defs"][name], root, at)
        elif keyword == "type":
            right = isinstance(value, TYPES[wanted])
            if not right or (isinstance(value, bool) and wanted in ("integer", "number")):
                yield f"{at}: {value!r} is no {wanted}"
                return
        elif keyword in CHECKS:
            if not CHECKS[keyword](value, wanted):
                yield f"{at}: {value!r} is not {keyword} {wanted!r}"
        elif keyword == "items":
            for number, item in enumerate(value):
                yield from errors(item, wanted, root, f"{at}[{number}]")
        elif keyword == "properties":
            for name in wanted.keys() & value.keys():
                yield from errors(value[name], wanted[name], root, f"{at}.{name}")
        elif keyword == "propertyNames":
            for name in value:
                yield from errors(name, wanted, root, f"{at}.{name}")
        elif keyword == "additionalProperties":
            for name in value.keys() - schema.get("properties", {}).keys():
                if wanted is False:
                    yield f"{at}.{name} is not in the schema"
                else:
                    yield from errors(value[name], wanted, root, f"{at}.{name}")
        else:
            yield f"the schema's keyword {keyword} is not known here"


CHECKS: Mapping[str, Any] = {
    "const": lambda value, wanted: value == wanted,
    "enum": lambda value, wanted: value in wanted,
    "minimum": lambda value, wanted: value >= wanted,
    "pattern": lambda value, wanted: re.search(wanted, value),
    "minItems": lambda value, wanted: len(value) >= wanted,
    "uniqueItems": lambda value, wanted: len(value) == len({str(item) for item in value}),
    "required": lambda value, wanted: all(name in value for name in wanted),
}
