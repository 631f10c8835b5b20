"""The `lab` command. `main` is the console script; one module per command in `commands/`."""

from __future__ import annotations

import sys

EXIT_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code (see `lab --help`)."""
    try:
        from lab.cli.program import LabProgram

        return LabProgram().main(sys.argv if argv is None else argv)
    except KeyboardInterrupt:  # here, so that one while we still import is met as well
        print("lab: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
