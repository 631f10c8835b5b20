"""The lock: one holder, who is named to the second comer, and nothing stale."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import lock


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / ".lab" / "lock"
    with lock.held(path, "lab up"), pytest.raises(lock.Locked) as caught, lock.held(path, "x"):
        pass
    assert f"`lab up` (pid {os.getpid()}, since " in caught.value.message
    assert f"kill -INT {os.getpid()}" in caught.value.remedy
    assert caught.value.exit_code == 3


def test_it_is_free_after_the_block_even_if_that_raised(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(ZeroDivisionError), lock.held(path, "a"):
        raise ZeroDivisionError
    with lock.held(path, "b"):
        pass


def test_a_killed_holder_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = (
        "import sys, time; from pathlib import Path; from lab import lock\n"
        "with lock.held(Path(sys.argv[1]), 'lab up'):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(lock.Locked, match=f"pid {holder.pid}"), lock.held(path, "b"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait(10)
    holder.stdout.close()
    with lock.held(path, "lab down"):
        pass


def test_unreadable_content_still_says_that_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock.held(path, "a"):
        path.write_text("{")
        with pytest.raises(lock.Locked, match="another lab command"), lock.held(path, "b"):
            pass


def test_the_holder_is_described_in_words() -> None:
    words = lock.Holder(7, "lab switch py", 1000.0).describe(now=1012.4)
    assert words.startswith("`lab switch py` (pid 7, since ")
    assert words.endswith(", 12 s)")
