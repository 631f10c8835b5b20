"""What a build says: progress, marks, and what becomes of a failure."""

import json
from pathlib import Path

from lab.samba.builder import Listener, explain_failure
from lab.samba.inside.talk import line
from lab.samba.progress_lines import percent, step

COMPILER = """\
[ 12/260] Compiling source3/smbd/notify.c
../../source3/smbd/notify.c: In function 'change_notify_reply':
../../source3/smbd/notify.c:230:9: error: 'stauts' undeclared (first use in this function)
  230 |     if (stauts)
      |         ^~~~~~

Build failed
Waf: Leaving directory `/src/samba/bin/default'
"""


def test_a_line_of_waf_is_progress() -> None:
    said = "[ 938/2594] Compiling lib/util/fsusage.c"
    assert (step(said), percent(said)) == ("938 of 2594: Compiling lib/util/fsusage.c", 36)
    assert (step("Checking for header x.h : yes"), percent("gcc -c x.c")) == ("", None)


def test_marks_are_understood_and_the_rest_is_logged(tmp_path: Path) -> None:
    said: list[str] = []
    now = [0.0]
    listener = Listener(tmp_path / "log", said.append, clock=lambda: now[0])
    for number in range(40):
        if number == 0:
            listener.hear(line("phase", name="make").rstrip())
        listener.hear(f"[{number}/40] Compiling a.c")
        now[0] += 1
    listener.hear(line("result", version="4.22").rstrip())
    listener.close()
    assert said[0] == "compiling"
    assert said[1:] == [
        f"compiling: {n * 100 // 40} % ({n} of 40: Compiling a.c)" for n in (15, 30)
    ]
    assert listener.result["version"] == "4.22"
    assert (tmp_path / "log").read_text().count("\n") == 40


def test_the_compilers_words_are_shown_with_the_paths_of_the_users_tree(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(COMPILER)
    error = explain_failure(
        "x was not built", {"phase": "make", "text": "y"}, log, "/home/me/samba"
    )
    assert "/home/me/samba/source3/smbd/notify.c:230:9: error: 'stauts'" in error.message
    assert "In function 'change_notify_reply'" in error.message
    assert "Compiling" not in error.message
    assert "Build failed" not in error.message
    assert str(log) in error.remedy


def test_a_failed_configure_shows_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {n}\n" for n in range(50)) + "waf: error: no such option: --x\n")
    error = explain_failure("x", {"phase": "configure", "text": "./configure failed"}, log, "/t")
    assert "./configure failed" in error.message
    assert "no such option: --x" in error.message
    assert "line 3\n" not in error.message


def test_a_full_disk_is_called_that(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("/usr/bin/ld: final link failed: No space left on device\n")
    error = explain_failure("x", {"phase": "make", "text": "make failed"}, log, "/t")
    assert error.message == "x: the disk is full"


def test_a_patch_that_fails_needs_no_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    failure = json.loads(line("failed", phase="copy", text="patch p does not apply")[4:])
    assert explain_failure("x was not built", failure, log, "/t").message == (
        "x was not built: patch p does not apply"
    )
