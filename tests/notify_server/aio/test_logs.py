"""Log levels: one for all, others for parts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from notify_server.aio import logs
from notify_server.aio.settings import CommandError


def test_parts_have_levels_of_their_own() -> None:
    assert logs.levels("here", "info") == {"": "info"}
    assert logs.levels("here", "warning fs:debug notify:info") == {
        "": "warning",
        "fs": "debug",
        "notify": "info",
    }


@pytest.mark.parametrize("text", ["", "loud", "info fs", "info fs:loud", "fs:debug"])
def test_what_is_no_level_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match=r"^here: one of debug, info"):
        logs.levels("here", text)


def test_a_part_logs_more_than_the_rest_and_says_where() -> None:
    """In a process of its own: logging belongs to the whole process."""
    code = (
        "import logging; from notify_server.aio import logs; logs.set_up('warning fs:debug')\n"
        "def look(name): logging.getLogger(name).debug('seen')\n"
        "look('notify_server.fs'); look('notify_server.jobs')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (line,) = done.stderr.splitlines()
    assert line.endswith(" DEBUG notify_server.fs.look: seen")
