"""The `lab` command. `main` is the console script; one module per command in `commands/`."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code (see `lab --help`)."""
    from lab.cli.program import LabProgram

    return LabProgram().main(sys.argv if argv is None else argv)
