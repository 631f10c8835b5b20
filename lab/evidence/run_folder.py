"""What a run left on disk, read back: matrix.json, and each cell's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import LabFailed
from lab.evidence import server_log
from lab.evidence.column import CAPTURE, LADDER_JSON
from lab.evidence.ladder import Ladder
from lab.evidence.server_log import LogLine

MATRIX, OBSERVATIONS, VERSIONS = "matrix.json", "observations.jsonl", "versions.json"
TRACE, TRACED_LADDER = "trace.json", "ladder-with-trace.txt"
MATRIX_VERSION = 1
REFERENCE = "py"  # the server that the others are compared with, where it ran
LOG_SUFFIXES = (".log", ".txt")

Json = Mapping[str, Any]


@dataclass(frozen=True)
class CellFolder:
    """One cell's evidence; what is not there is empty. Logs by file name."""

    path: Path
    ladder: Ladder | None = None
    ladder_trouble: str = ""
    observations: Sequence[Json] = ()
    logs: Mapping[str, str] = field(default_factory=dict)
    capture: bytes = b""
    log_lines: Sequence[LogLine] = ()


@dataclass(frozen=True)
class Run:
    """A run: its matrix, the versions of what ran, and its cells by (server, scenario)."""

    path: Path
    matrix: Json
    versions: Mapping[str, Mapping[str, str]]
    cells: Mapping[tuple[str, str], CellFolder]

    @property
    def servers(self) -> list[str]:
        return list(self.matrix["servers"])

    @property
    def reference(self) -> str:
        """py; without it the first server."""
        return REFERENCE if REFERENCE in self.servers else self.servers[0]


def read(path: Path) -> Run:
    """Raises `LabFailed` if there is no run, or one of another version."""
    matrix = read_matrix(path)
    pairs = [(cell["server"], cell["scenario"]) for cell in matrix["cells"]]
    cells = {(server, name): read_cell(path / server / name) for server, name in pairs}
    versions = path / VERSIONS
    told = json.loads(versions.read_text("utf-8")) if versions.exists() else {}
    return Run(path, matrix, told, cells)


def read_matrix(path: Path) -> dict[str, Any]:
    try:
        matrix: dict[str, Any] = json.loads((path / MATRIX).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise LabFailed(f"{path} holds no run: {error}", "lab run-scenarios") from error
    if matrix.get("version") != MATRIX_VERSION:
        raise LabFailed(f"{path / MATRIX} is of version {matrix.get('version')}, this lab reads 1")
    return matrix


def read_cell(path: Path) -> CellFolder:
    """Never raises: what cannot be read is missing, and the ladder says why."""
    ladder, trouble = read_ladder(path)
    logs = {
        entry.name: entry.read_text("utf-8", errors="backslashreplace")
        for entry in sorted(path.glob("*"))
        if entry.suffix in LOG_SUFFIXES and not entry.name.startswith("ladder")
    }
    times = path / server_log.CONSOLE_TIMES
    return CellFolder(
        path,
        ladder,
        trouble,
        _observations(path / OBSERVATIONS),
        logs,
        (path / CAPTURE).read_bytes() if (path / CAPTURE).exists() else b"",
        server_log.lines(logs, times.read_text("utf-8") if times.exists() else ""),
    )


def read_ladder(path: Path) -> tuple[Ladder | None, str]:
    """A cell's ladder, or why there is none."""
    file = path / LADDER_JSON
    if not file.exists():
        return None, "no capture was taken"
    try:
        return Ladder.from_json(json.loads(file.read_text("utf-8"))), ""
    except (ValueError, KeyError, TypeError) as error:
        return None, f"the ladder cannot be read: {error}"


def _observations(path: Path) -> list[Json]:
    """The lines that are JSON objects: a client that died left half a line."""
    found: list[Json] = []
    if not path.exists():
        return found
    for line in path.read_text("utf-8", errors="backslashreplace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
