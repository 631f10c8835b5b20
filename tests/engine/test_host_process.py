"""Programs on the host: deadlines, and nothing left running when we are interrupted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.engine.process import run
from lab.errors import LabFailed


def test_output_is_both_streams_as_they_came() -> None:
    ran = run(["sh", "-c", "echo out; echo err >&2; exit 3"], deadline=5)
    assert (ran.returncode, ran.output) == (3, "out\nerr\n")


def test_a_missing_program_is_named() -> None:
    with pytest.raises(LabFailed, match=r"no-such-program.*No such file"):
        run(["no-such-program"], deadline=5)


@pytest.mark.slow
def test_a_program_that_hangs_is_ended_at_its_deadline(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(LabFailed, match=r"did not end within 0\.5 s"):
        run(["sh", "-c", f"echo $$ >{pid_file}; exec sleep 60"], deadline=0.5)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@pytest.mark.slow
def test_an_interrupt_waits_for_the_program_to_clean_up(tmp_path: Path) -> None:
    cleaned = tmp_path / "cleaned"
    # No shell: one that is about to wait when the signal comes may sleep through it.
    child = (
        "import pathlib, time\n"
        f"try:\n    pathlib.Path({str(tmp_path / 'up')!r}).touch()\n    time.sleep(20)\n"
        "except KeyboardInterrupt:\n    time.sleep(0.3)\n"
        f"    pathlib.Path({str(cleaned)!r}).touch()\n"
    )
    script = (
        "import sys\nfrom lab.engine.process import run\n"
        f"try:\n    run([sys.executable, '-c', {child!r}], deadline=30)\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    lab = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 10
    while not (tmp_path / "up").exists() and time.monotonic() < end:
        time.sleep(0.02)
    lab.send_signal(signal.SIGINT)
    assert lab.communicate(timeout=10)[0] == "interrupted\n"
    assert cleaned.exists()
