"""One scenario's evidence as an archive for a mailing list: readable as text, and without secrets.

Text is wrapped under 75 columns. What must not be in it is looked for in every file before the
archive is made: a secret in a log is struck out, one in a capture refuses the bundle. The keys of
the sessions stay behind, so a sealed session's capture cannot be read by others; its ladder can.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.errors import LabFailed
from lab.evidence import column, compare, diff, ladder_text
from lab.evidence.run_folder import CellFolder, Run
from lab.tracing import recording
from lab.tracing import text as trace_text

WIDTH = ladder_text.MAIL.width
LOG_LINES = 200
CRASH = "crash.txt"  # what the kernel reported, see lab.verdicts.crashes
STRUCK = "[left out]"


@dataclass(frozen=True)
class Secret:
    """What must not leave the lab; `what` says what it is."""

    what: str
    value: bytes

    def forms(self) -> set[bytes]:
        """The ways in which it may be written."""
        written = {self.value, self.value.hex().encode(), self.value.hex().upper().encode()}
        written.add(base64.b64encode(self.value))
        try:
            text = self.value.decode("ascii")
        except UnicodeDecodeError:
            return written
        return written | {text.encode("utf-16-le"), json.dumps(text)[1:-1].encode()}


def session_secrets(folder: CellFolder) -> Iterator[Secret]:
    """The session keys that lie beside a cell's capture."""
    for key in column.read_keys(folder.path / column.KEYS):
        yield Secret("a session key", key.session_key)


def key_secrets(private_key: str) -> Iterator[Secret]:
    """A private key in PEM, line by line: any one of them gives part of it away."""
    for line in private_key.splitlines():
        if line and "-----" not in line:
            yield Secret("the SSH key", line.encode())


def scenario_name(run: Run, typed: str) -> str:
    """As the run spells it; `UsageError` with the nearest one."""
    return compare.known(typed, [str(e["name"]) for e in run.matrix["scenarios"]], "scenario")


def name(run: Run, scenario: str) -> str:
    """The bundle's name, without its suffix."""
    return f"notify-lab-{scenario}-{run.path.name}"


def build(run: Run, scenario: str, servers: Sequence[str], secrets: Iterable[Secret]) -> bytes:
    """The archive (tar.gz). Raises `UsageError` for unknown names, `LabFailed` on a secret."""
    scenario = scenario_name(run, scenario)
    chosen = [compare.known(server, run.servers, "server") for server in servers or run.servers]
    forbidden = list(secrets)
    for server in chosen:
        forbidden += session_secrets(run.cells[server, scenario])
    files = dict(contents(run, scenario, chosen))
    clean = {path: cleaned(path, data, forbidden) for path, data in files.items()}
    return archive(name(run, scenario), clean)


def cleaned(path: str, data: bytes, secrets: Iterable[Secret]) -> bytes:
    """The file without the secrets; `LabFailed` if one cannot be taken out."""
    for secret in secrets:
        for form in secret.forms():
            if form not in data:
                continue
            if path.endswith(".pcap"):
                raise LabFailed(f"{secret.what} is in {path}: it is not bundled")
            data = data.replace(form, STRUCK.encode())
    return data


def archive(folder: str, files: Mapping[str, bytes]) -> bytes:
    """A tar.gz that tells nothing of who made it where."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(f"{folder}/{path}")
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), 9, mtime=0)


# -- what is in it ------------------------------------------------------------------------------


def contents(run: Run, scenario: str, servers: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The files, by path."""
    yield "README.txt", readme(run, scenario, servers).encode()
    yield "versions.json", (json.dumps(run.versions, indent=2) + "\n").encode()
    reference = run.cells[run.reference, scenario]
    for server in servers:
        folder = run.cells[server, scenario]
        if folder.ladder is not None:
            text = ladder_text.render(folder.ladder, ladder_text.MAIL)
            yield f"{server}/ladder.txt", text.encode()
            trace = recording.read(folder.path)
            if trace is not None:
                shown = trace_text.under(trace, folder.ladder, bar="| ")
                text = ladder_text.render(folder.ladder, ladder_text.MAIL, shown)
                yield f"{server}/ladder-with-trace.txt", text.encode()
                plain = json.dumps(trace.to_json(), indent=1, ensure_ascii=False)
                yield f"{server}/trace.json", (plain + "\n").encode()
        if folder.ladder and reference.ladder and server != run.reference:
            difference = diff.compare(reference.ladder, folder.ladder)
            lines = diff.render(difference, WIDTH).splitlines()
            narrow = [part for line in lines for part in _narrow(line)]
            yield f"{server}/against-{run.reference}.txt", ("\n".join(narrow) + "\n").encode()
        if folder.capture:
            yield f"{server}/capture.pcap", folder.capture
        for log, text in folder.logs.items():
            if text.strip():
                # Of a report of the kernel the title and the fingerprint come first.
                part = beginning if log == CRASH else excerpt
                yield f"{server}/{log}", part(text).encode()


def beginning(text: str) -> str:
    """The first lines of a file."""
    lines = _lines(text)
    cut = len(lines) - LOG_LINES
    tail = [f"({cut} lines after this are left out)"] if cut > 0 else []
    return "\n".join([*lines[:LOG_LINES], *tail]) + "\n"


def excerpt(text: str) -> str:
    """The end of a log, whole lines."""
    lines = _lines(text)
    cut = len(lines) - LOG_LINES
    head = [f"({cut} lines before this are left out)"] if cut > 0 else []
    return "\n".join([*head, *lines[-LOG_LINES:]]) + "\n"


def _lines(text: str) -> list[str]:
    return [ladder_text.visible(line.replace("\t", "    ")) for line in text.splitlines()]


def readme(run: Run, scenario: str, servers: Sequence[str]) -> str:
    """What was asked, what was answered, by which versions, and how to do it again."""
    entry = next(entry for entry in run.matrix["scenarios"] if entry["name"] == scenario)
    cells = {c["server"]: c for c in run.matrix["cells"] if c["scenario"] == scenario}
    title = ladder_text.visible(f"{scenario} {entry['title']}")
    lines = [title, "=" * min(len(title), WIDTH), ""]
    lines += _fold(f"A CHANGE_NOTIFY scenario, run {run.matrix['started']}. It rests on: ")
    lines += _fold(f"{entry['rests_on']} ({', '.join(entry['cites'])})", "  ")
    lines += ["", "Verdicts"]
    for server in servers:
        cell = cells[server]
        reason = f": {ladder_text.visible(cell['reason'])}" if cell["reason"] else ""
        lines += _fold(f"{server}: {cell['verdict']}{reason}", "  ")
        for line in _first_difference(run, scenario, server):
            lines += _fold(line, "    ")
    lines += ["", "Versions"]
    for node, told in run.versions.items():
        listed = ", ".join(f"{what} {version}" for what, version in told.items())
        lines += _fold(f"{node}: {ladder_text.visible(listed)}", "  ")
    lines += ["", "To reproduce"]
    lines += ["  make lab-up"]
    lines += [f"  lab run-scenarios {scenario} --server {server}" for server in servers]
    return "\n".join([*lines, "", *CAPTURES]) + "\n"


CAPTURES = (
    "Captures",
    "  Wireshark and tshark open capture.pcap; ladder.txt is what it shows.",
    "  Passwords and keys are left out. So where a session was sealed, its",
    "  capture cannot be decrypted by others; the ladder was made with the",
    "  keys, and shows it in clear.",
)


def _first_difference(run: Run, scenario: str, server: str) -> list[str]:
    """What sets the server apart from the reference."""
    mine, reference = (run.cells[each, scenario].ladder for each in (server, run.reference))
    if server == run.reference or mine is None or reference is None:
        return []
    return diff.verdict(diff.compare(reference, mine))


def _narrow(line: str) -> list[str]:
    return [line] if len(line) <= WIDTH else _fold(line)


def _fold(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )


def listing(data: bytes) -> list[dict[str, Any]]:
    """What is in an archive: paths and sizes."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [{"path": entry.name, "size": entry.size} for entry in tar.getmembers()]
