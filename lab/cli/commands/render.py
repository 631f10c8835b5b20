"""`lab render`."""

from __future__ import annotations

from typing import Any

from lab.cli.output import print_json
from lab.cli.registry import command


@command(
    "render",
    flags={
        "check": "write nothing; exit 1 if something would change",
        "diff": "show the changed lines",
        "json": "print it as JSON",
    },
    examples=(
        ("lab render --diff", "write the servers' files and show what changed"),
        ("lab render --check --diff", "only show what would change"),
    ),
)
def render(context: Any, check: bool = False, diff: bool = False, json: bool = False) -> int:
    """Write the files of the servers from templates/ and lab.toml, and say what changed.

    They go to .lab/rendered/NODE/. `lab up` does the same and then rebuilds or restarts the
    nodes that changed.
    """
    from lab.render import render as render_files
    from lab.session import Lab

    lab = Lab.open()
    with lab.locked("lab render"):
        results = render_files(lab.paths, lab.settings, lab.environ, dry_run=check)
    changes = [result for result in results if result.status != "unchanged"]
    if json:
        print_json([{"path": r.path, "status": r.status, "diff": r.diff} for r in results])
    else:
        for result in changes:
            print(f"{result.status:<8} {result.path}")
            if diff and result.diff:
                print(result.diff, end="")
        print(f"{len(changes)} of {len(results)} files {'would change' if check else 'changed'}")
    return 1 if check and changes else 0
