"""docs/notify-server.md shows every key of the file, and the defaults that there are."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from notify_server.aio.command import parse
from notify_server.aio.server import Options
from notify_server.aio.settings import BOUND_TYPES, BOUNDS
from notify_server.aio.shares import ShareOptions
from notify_server.fs.access import Credentials

DOCUMENT = Path(__file__).parents[3] / "docs" / "notify-server.md"


def shown() -> str:
    text = DOCUMENT.read_text(encoding="utf-8")
    return text.partition("```toml\n")[2].partition("```")[0]


def test_what_is_shown_can_be_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("p")
    secret.chmod(0o600)
    file = tmp_path / "server.toml"
    text = shown().replace('"/srv/share"', f'"{tmp_path}"')
    file.write_text(text.replace("/run/secrets/guest", str(secret)))
    file.chmod(0o600)
    command, _ready = parse(["--config", str(file)], {})
    assert command.users.keys() == {"me", "guest"}
    options = Options(**command.options)
    assert options == dataclasses.replace(
        Options(),
        credentials={"guest": Credentials(1001, 1001, frozenset({100}))},
        session_seconds_of={"guest": 3600.0},
    )
    assert command.shares == {"TEST": ShareOptions(str(tmp_path), may_hang=False)}


def test_every_bound_is_shown_with_its_default() -> None:
    bounds: dict[str, Any] = tomllib.loads(shown())["bounds"]
    for table, (_option, kind) in BOUNDS.items():
        values = bounds[table] if table else {k: bounds[k] for k in bounds if k not in BOUND_TYPES}
        assert values == dataclasses.asdict(kind())
