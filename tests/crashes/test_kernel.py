"""A guest's kernel as a run sees it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.crashes import leaks
from lab.crashes.console import Console
from lab.crashes.decode import Run
from lab.crashes.kernel import Watched, that_run
from lab.crashes.known import Known
from lab.crashes.leaks import Leaks
from lab.crashes.parse import find_crashes
from lab.errors import LabFailed
from tests.crashes.test_decode import answer
from tests.crashes.test_parse import recorded
from tests.kernel.test_module import BUILD_ID, MODINFO, NOTE, elf


def watched(tmp_path: Path, text: list[str], run: Run = answer) -> Watched:
    def shell(line: str) -> str:
        return "" if line == leaks.SCAN else "boot\n40\t0\t1\n"

    binary = tmp_path / "lab_crash.ko"
    binary.touch()
    return Watched(
        Console(lambda since: "".join(text)),
        Leaks(shell, lambda _: None),
        (Known("a reason", "a link", pattern="in lab_list"),),
        lambda found: run,
        lambda: {"lab_crash": binary, "": tmp_path / "vmlinux"},
    )


def test_reports_are_compared_with_what_is_known(tmp_path: Path) -> None:
    text: list[str] = []
    kernel = watched(tmp_path, text)
    kernel.start()
    text += [recorded("warn"), recorded("list")]
    warning, corruption = kernel.reports(ended=True)
    assert (warning.known, corruption.known) == (None, kernel.known[0])
    assert kernel.finish() == ()


def test_a_report_has_the_lines_of_its_module(tmp_path: Path) -> None:
    """The kernel itself has no symbols here, so nothing is asked about its frames."""

    def run(argv: Sequence[str]) -> str:
        asked = [word for word in argv if word.startswith("0x")]
        known = [word for word in asked if word in ("0x4cb", "0x51")]
        return answer([word for word in argv if word not in asked] + known)

    (crash,) = find_crashes(recorded("list"))
    kernel = watched(tmp_path, [], run)
    kernel.start()
    text = kernel.decoded(crash)
    assert " lab_list+0x8c/0xc0 [lab_crash]  (lab_crash.c:67, inlined list_add " in text
    assert " do_one_initcall+0x58/0x310\n" in text


def test_a_report_without_a_tool_to_read_symbols_is_told_as_it_is(tmp_path: Path) -> None:
    def run(argv: Sequence[str]) -> str:
        raise LabFailed("there is no objdump")

    (crash,) = find_crashes(recorded("list"))
    kernel = watched(tmp_path, [], run)
    kernel.start()
    text = kernel.decoded(crash)
    assert text.startswith(crash.text)
    assert "there is no objdump" in text


BANNER = "Linux version 6.19.0 (me@here) (gcc 14.2) #2 SMP Sat Nov 21 20:00:00 UTC 2026"


def test_only_what_the_guest_runs_is_asked_for_lines(tmp_path: Path) -> None:
    older, runs, vmlinux = (tmp_path / name for name in ("older.ko", "ksmbd.ko", "vmlinux"))
    older.write_bytes(elf({".modinfo": MODINFO + b"srcversion=OLD\0"}))
    runs.write_bytes(elf({".modinfo": MODINFO, ".note.gnu.build-id": NOTE}))
    vmlinux.write_bytes(b"\x7fELF..." + BANNER.encode() + b"\n\0...")
    missing = tmp_path / "missing"
    told = f"srcversion NEW\nbuild-id {BUILD_ID.hex()}\n{BANNER}\n"
    found = that_run(told, [missing, older, runs], [missing, vmlinux])
    assert found == {"ksmbd": runs, "": vmlinux}
    assert that_run(told.replace("#2", "#1"), [older], [vmlinux]) == {}
    assert that_run("", [older, runs], [vmlinux]) == {}
