"""Coverage-guided fuzzing of the connection core with atheris; see README.md."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import atheris

with atheris.instrument_imports(include=["notify_server"]):
    from fuzz.machine import run_input


def one_input(data: bytes) -> None:
    run_input(data)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
