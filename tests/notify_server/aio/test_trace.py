"""`--trace` draws, for each request, the calls that handled it."""

from __future__ import annotations

import io
import re
import time
from datetime import datetime
from pathlib import Path

from notify_server.aio.server import NotifyServer, Options
from tests.notify_server.aio.test_server import USERS, directory, running, smb, watch, within


def test_create_notify_pending_cancel_and_final_are_drawn_in_order(tmp_path: Path) -> None:
    out = io.StringIO()
    options = Options(trace=out)
    with (
        running(NotifyServer({"TEST": tmp_path}, USERS, options=options)) as server,
        smb(server) as tree,
    ):
        opened = directory(tree)
        watcher = watch(opened)
        (tmp_path / "new").touch()
        within(5, watcher.response_event.is_set)
        second = watch(opened)
        second.cancel()
        within(5, second.response_event.is_set)
        time.sleep(0.05)
    text = out.getvalue()
    position = 0
    for heading in (
        "SMB2_CREATE request",
        "    core.opening.create",
        "SMB2_CHANGE_NOTIFY request",
        "    core.notifying.change_notify",
        "SMB2_CHANGE_NOTIFY interim response",
        "SMB2_CHANGE_NOTIFY final response",
        "SMB2_CANCEL request",
        "status=STATUS_CANCELLED",
    ):
        found = text.find(heading, position)
        assert found >= 0, f"{heading} is not behind position {position} of:\n{text}"
        position = found
    assert "secret" not in text


def test_calls_are_indented_by_depth() -> None:
    from notify_server.aio.trace import Tracer
    from tests.notify_server.core.talk import ECHO, EMPTY, World

    out = io.StringIO()
    talk = World().ready()
    with Tracer(out).record():
        talk.send(ECHO, EMPTY)
    time, *lines = out.getvalue().splitlines()
    assert datetime.fromisoformat(time).tzinfo is not None
    assert re.fullmatch(r"  core.connection.Connection.receive \(connection.py:\d+\)", lines[0])
    depth = {line.split()[0]: len(line) - len(line.lstrip()) for line in lines}
    assert depth["core.chain.Chain._execute"] < depth["core.control.echo"]
    assert depth["core.control.echo"] < depth["wire.session.check_empty"]
