"""`lab report`, `diff`, `bundle` and `baseline save`: what to do with runs that are done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.cli.output import console, print_json
from lab.cli.registry import command
from lab.cli.words import Positional


def runs_folder() -> Path:
    """Where runs are: in the lab; embedded in an installed package, where one stands."""
    from lab.errors import UsageError
    from lab.paths import find_root

    try:
        return find_root(Path.cwd(), os.environ).runs
    except UsageError:
        return Path.cwd() / ".lab" / "runs"


def _find(word: str) -> Path:
    from lab import runs

    return runs.find(runs_folder(), word or runs.LATEST)


@command(
    "report",
    positional=Positional("run", variadic=True, most=1),
    flags={"json": "print it as JSON"},
    examples=(
        ("lab report", "the latest run's report"),
        ("xdg-open $(lab report previous)", "open the one before it"),
    ),
)
def report(context: Any, run: Sequence[str], json: bool = False) -> int:
    """Write a run's report.html and summary.md anew, and print where it is.

    A run is named by its folder in .lab/runs, by a path, or as `latest` and `previous`.
    """
    from lab import runs
    from lab.evidence import run_folder

    path = _find("".join(run))
    page = runs.finish(path, run_folder.read(path).versions)
    if json:
        print_json({"report": str(page), "summary": str(path / runs.SUMMARY)})
    else:
        print(page)
    return 0


@command(
    "diff",
    positional=Positional("what", variadic=True),
    flags={"run": "the run whose ladders to compare, instead of the latest", "json": "as JSON"},
    examples=(
        ("lab diff H1 py ksmbd", "one scenario, two servers: the first PDU that differs"),
        ("lab diff C2 samba py --run 20260102-120000", "in an earlier run"),
        ("lab diff previous latest", "two runs: verdicts and packets that changed"),
    ),
)
def diff(context: Any, what: Sequence[str], run: str = "", json: bool = False) -> int:
    """Compare the packets of two servers in one run, or of two runs.

    `lab diff SCENARIO SERVER SERVER` shows both ladders side by side, marks the first PDU that
    differs and names the rule that it touches; times, ids and GUIDs are folded. `lab diff RUN
    RUN` lists what changed between two runs.
    """
    from lab.errors import UsageError

    usage = "lab diff SCENARIO SERVER SERVER, or lab diff RUN RUN"
    if len(what) == 3:
        return _diff_servers(_find(run), what[0], what[1], what[2], json)
    if len(what) != 2:
        raise UsageError("lab diff takes a scenario and two servers, or two runs", usage)
    if run:
        raise UsageError("--run goes with a scenario and two servers", usage)
    return _diff_runs(_find(what[0]), _find(what[1]), json)


def _diff_servers(run: Path, scenario: str, left: str, right: str, as_json: bool) -> int:
    from lab.evidence import compare
    from lab.evidence import diff as differ

    found = compare.between_servers(run, scenario, left, right)
    if as_json:
        print_json({**found.to_json(), "says": differ.verdict(found)})
    else:
        print(differ.render(found, min(console().width, 160)), end="")
    return 0


def _diff_runs(before: Path, after: Path, as_json: bool) -> int:
    from lab.evidence import compare
    from lab.evidence import diff as differ

    changes = compare.between_runs(before, after)
    if not as_json:
        print(compare.render(changes), end="")
        return 0
    print_json(
        [
            {
                "server": change.server,
                "scenario": change.scenario,
                "before": change.before,
                "after": change.after,
                "packets": differ.verdict(change.difference) if change.difference else None,
            }
            for change in changes
        ]
    )
    return 0


@command(
    "bundle",
    positional=Positional("scenario"),
    flags={
        "server": "only these servers: samba, ksmbd, py, or several as a,b",
        "run": "the run to take it from, instead of the latest",
        "output": "where to write it (default: the working directory)",
        "json": "print what is in it as JSON",
    },
    metavars={"output": "FILE"},
    repeated=("server",),
    examples=(
        ("lab bundle H1", "everything about one scenario, on all servers"),
        ("lab bundle C2 --server ksmbd --output c2.tar.gz", "on one server, to that file"),
    ),
)
def bundle(
    context: Any,
    scenario: str,
    server: Sequence[str] | None = None,
    run: str = "",
    output: str = "",
    json: bool = False,
) -> int:
    """Pack one scenario's evidence for a mailing list.

    A tar.gz with the ladders under 75 columns, the difference from the reference, captures, the
    ends of the logs and of the guest's console, versions, and how to reproduce it. No password
    and no key is in it; a sealed session's capture can then only be read with the keys that stay
    in .lab/runs.
    """
    from lab.errors import LabFailed
    from lab.evidence import bundle as bundles
    from lab.evidence import run_folder

    found = run_folder.read(_find(run))
    servers = [word for value in server or () for word in value.split(",") if word]
    data = bundles.build(found, scenario, servers, _secrets())
    path = Path(output or f"{bundles.name(found, bundles.scenario_name(found, scenario))}.tar.gz")
    try:
        path.write_bytes(data)
    except OSError as error:
        raise LabFailed(f"{path} cannot be written: {error.strerror}", "--output FILE") from None
    if json:
        print_json({"bundle": str(path.resolve()), "files": bundles.listing(data)})
    else:
        for entry in bundles.listing(data):
            print(f"{entry['size']:9}  {entry['path']}")
        print(path.resolve())
    return 0


def _secrets() -> list[Any]:
    """This lab's secrets, as far as it has made them."""
    from lab.evidence.bundle import Secret, key_secrets
    from lab.secrets import Secrets

    secrets = Secrets(runs_folder().parent / "secrets")
    found = []
    for file, what in (
        (secrets.password_file, "the password"),
        (secrets.second_password_file, "the second user's password"),
    ):
        if file.exists():
            found.append(Secret(what, file.read_bytes().strip()))
    if secrets.identity.exists():
        found += key_secrets(secrets.identity.read_text())
    return found


@command(
    "baseline.save",
    positional=Positional("file", variadic=True, most=1),
    flags={"run": "the run to keep, instead of the latest"},
    examples=(
        ("lab baseline save", "the latest run, in baseline.json"),
        ("lab baseline save before.json --run 20260102-120000", "an earlier one"),
        ("lab run-scenarios --all --baseline baseline.json", "then: what newly fails?"),
    ),
)
def save_baseline(context: Any, file: Sequence[str], run: str = "") -> int:
    """Keep a run's verdicts as a baseline for `lab run-scenarios --baseline FILE`."""
    import json

    from lab.errors import LabFailed
    from lab.evidence import run_folder
    from lab.verdicts import baseline

    path = Path("".join(file) or "baseline.json")
    found = run_folder.read(_find(run))
    try:
        plain = baseline.of(found.matrix)
    except KeyError as error:
        raise LabFailed(
            f"{found.path} was made by an earlier lab: it has no {error}", "lab run-scenarios --all"
        ) from None
    try:
        path.write_text(json.dumps(plain, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise LabFailed(f"{path} cannot be written: {error.strerror}") from None
    print(f"{path.resolve()}: {len(plain['cells'])} cells of {found.path.name}")
    return 0
