"""`lab doctor`."""

from __future__ import annotations

from typing import Any

from lab.cli.output import GRADE_STYLES, console, print_json
from lab.cli.registry import command


@command(
    "doctor",
    flags={"json": "print it as JSON"},
    examples=(("lab doctor", "what this machine has and lacks, with remedies"),),
)
def doctor(context: Any, json: bool = False) -> int:
    """Check what the lab needs of this machine. Exits 3 if something fails.

    Engine and Compose, the daemon and the right to use it, the front's port, disk space,
    /dev/kvm, the mirror, certificates, and the lab's own files. Nothing is changed.
    """
    from lab.doctor import examine, summary
    from lab.session import Lab

    findings = examine(Lab.open())
    said = summary(findings)
    if json:
        print_json(said)
    else:
        out = console()
        for finding in findings:
            out.print(f"{finding.grade:<4}", style=GRADE_STYLES[finding.grade], end="  ")
            out.print(f"{finding.check}: {finding.detail}", markup=False)
            if finding.remedy:
                out.print(f"      {finding.remedy}", markup=False)
    return 3 if said["grade"] == "fail" else 0
