"""The folders of runs: made, found again by name, and finished with a report and a summary."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path

from lab.declaring import suggestion
from lab.errors import LabFailed, UsageError
from lab.evidence import markdown, run_folder

SUMMARY = "summary.md"
REPRODUCE = "lab run-scenarios {scenario} --server {server}"
REPRODUCE_FILE = "reproduce.txt"  # where it is another command
LATEST, PREVIOUS = "latest", "previous"

Versions = Mapping[str, Mapping[str, str]]


def new(folder: Path) -> Path:
    """A new folder, named after the time; a second one in the same second gets a suffix."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for name in (stamp, *(f"{stamp}-{number}" for number in range(2, 100))):
        try:
            (folder / name).mkdir(parents=True)
        except FileExistsError:
            continue
        return folder / name
    raise FileExistsError(folder / stamp)


def names(folder: Path) -> list[str]:
    """The runs in `folder` that came to an end, oldest first."""
    if not folder.is_dir():
        return []
    found = [path.parent for path in folder.glob(f"*/{run_folder.MATRIX}")]
    return [path.name for path in sorted(found, key=_age)]


def _age(path: Path) -> tuple[str, int]:
    """By name, where the suffix of a second run in the same second counts as a number."""
    day, clock, number = [*path.name.split("-"), "", ""][:3]
    return f"{day}-{clock}", int(number) if number.isdigit() else 1


def find(folder: Path, word: str = LATEST) -> Path:
    """A run: `latest`, `previous`, the name of its folder, or a path.

    Raises `UsageError` with the nearest names, `LabFailed` where there is no run at all.
    """
    if (Path(word) / run_folder.MATRIX).is_file():
        return Path(word)
    known = names(folder)
    if not known:
        raise LabFailed(f"there is no run in {folder}", "lab run-scenarios")
    if word == PREVIOUS and len(known) < 2:
        raise LabFailed(f"{known[0]} is the only run in {folder}", "lab run-scenarios")
    word = {LATEST: known[-1], PREVIOUS: known[-2] if len(known) > 1 else ""}.get(word, word)
    if word not in known:
        shown = [*known[-5:], LATEST, PREVIOUS]
        raise UsageError(f"there is no run {word!r}", suggestion(word, shown, "runs"))
    return folder / word


def host_versions() -> dict[str, str]:
    """What this machine is."""
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def finish(folder: Path, versions: Versions, reproduce: str = "") -> Path:
    """Write a run's versions, its report and its summary; return the report.

    `reproduce` is the command for one cell; it is kept, for a report that is made anew.
    """
    from lab.evidence import report  # with jinja2, which takes its time

    kept = folder / REPRODUCE_FILE
    if reproduce:
        kept.write_text(reproduce + "\n", "utf-8")
    elif kept.exists():
        reproduce = kept.read_text("utf-8").strip()
    reproduce = reproduce or REPRODUCE
    text = json.dumps(versions, indent=2, ensure_ascii=False)
    (folder / run_folder.VERSIONS).write_text(text + "\n", "utf-8")
    run = run_folder.read(folder)
    page = folder / report.NAME
    page.write_text(report.render(run, reproduce), "utf-8")
    (folder / SUMMARY).write_text(markdown.summary(run, reproduce), "utf-8")
    return page
