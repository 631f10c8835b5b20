"""Choose from many inputs few that reach the same: `python fuzz/minimise.py FROM TO`.

An input counts for the steps from line to line of notify_server that it makes. Greedy: whatever
adds most comes first, of equals the shortest.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fuzz.machine import run_input

Step = tuple[str, int, int]  # file, line, next line


def steps_of(data: bytes) -> set[Step]:
    """The steps that one input makes."""
    seen: set[Step] = set()
    last: dict[int, int] = {}

    def line(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            at = last.get(id(frame), 0)
            seen.add((frame.f_code.co_filename, at, frame.f_lineno))
            last[id(frame)] = frame.f_lineno
        return line

    def call(frame: FrameType, _event: str, _argument: Any) -> Any:
        if "/notify_server/" not in frame.f_code.co_filename:
            return None
        last[id(frame)] = 0
        return line

    sys.settrace(call)
    try:
        run_input(data)
    finally:
        sys.settrace(None)
    return seen


def choose(inputs: list[bytes]) -> list[bytes]:
    """Few that make all the steps of all."""
    inputs = sorted(inputs, key=len)
    made = [(data, steps_of(data)) for data in inputs]
    missing = set().union(*(steps for _, steps in made))
    chosen = []
    while missing:
        data, steps = max(made, key=lambda each: len(each[1] & missing))
        chosen.append(data)
        missing -= steps
    return chosen


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    target.mkdir(exist_ok=True)
    chosen = choose([path.read_bytes() for path in source.iterdir() if path.is_file()])
    for data in chosen:
        (target / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    print(f"{len(chosen)} inputs, {sum(map(len, chosen))} bytes")
