"""Reports found in consoles that were recorded for real (tests/crashes/module)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lab import verdicts
from lab.crashes.model import Crash, Frame, Kind, is_machinery
from lab.crashes.parse import find_crashes, folded, is_open

RECORDED = Path(__file__).parent / "recorded"
BELOW = "lab_crash_init+0x42 < do_one_initcall+0x58"


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.txt").read_text()


def only(console: str) -> Crash:
    (crash,) = find_crashes(console)
    return crash


@pytest.mark.parametrize(
    ("name", "kind", "title", "fingerprint", "fatal"),
    [
        (
            "sysrq-c",
            Kind.PANIC,
            "panic: sysrq triggered crash in sysrq_handle_crash",
            "panic: sysrq_handle_crash+0x1a < __handle_sysrq+0x9c < write_sysrq_trigger+0x59",
            True,
        ),
        (
            "bug",
            Kind.BUG,
            "kernel BUG at /k/mod/lab_crash.c:43 in lab_bug",
            f"bug: lab_bug+0x9 < {BELOW}",
            True,
        ),
        (
            "list",
            Kind.BUG,
            "kernel BUG at lib/list_debug.c:29 in lab_list:"
            " list_add corruption. next->prev should be prev, but was <address>",
            f"bug: lab_list+0x8c < {BELOW}",
            True,
        ),
        (
            "smb2-open",
            Kind.BUG,
            "kernel BUG at lib/list_debug.c:29 in smb2_open:"
            " list_add corruption. next->prev should be prev, but was <address>",
            "bug: smb2_open+0x1100 < handle_ksmbd_work+0x169 < process_one_work+0x174",
            True,
        ),
        (
            "null",
            Kind.OOPS,
            "kernel NULL pointer dereference in lab_null",
            f"oops: lab_null+0x19 < {BELOW}",
            True,
        ),
        (
            "protection",
            Kind.OOPS,
            "general protection fault in lab_protection",
            f"oops: lab_protection+0x1f < {BELOW}",
            True,
        ),
        (
            "hung",
            Kind.HUNG_TASK,
            "hung task lab_sleeper in lab_sleeper",
            "hung task: lab_sleeper+0x15 < kthread+0xcf < ret_from_fork+0x31",
            True,
        ),
        (
            "warn",
            Kind.WARNING,
            "WARNING at /k/mod/lab_crash.c:33 in lab_warn:"
            " lab_crash: a warning with words, 5 of them",
            f"warning: lab_warn+0x1a < {BELOW}",
            False,
        ),
        (
            "warn-plain",
            Kind.WARNING,
            "WARNING at /k/mod/lab_crash.c:38 in lab_warn_plain",
            f"warning: lab_warn_plain+0x1a < {BELOW}",
            False,
        ),
    ],
)
def test_a_report_is_named(
    name: str, kind: Kind, title: str, fingerprint: str, fatal: bool
) -> None:
    crash = only(recorded(name))
    assert (crash.kind, crash.title, crash.fingerprint) == (kind, title, fingerprint)
    assert crash.fatal is fatal
    assert crash.complete


def test_a_panic_that_carries_out_a_report_is_no_report_of_its_own() -> None:
    stall, lockup = find_crashes(recorded("spin"))
    assert (stall.kind, stall.fatal) == (Kind.RCU_STALL, False)
    assert (lockup.kind, lockup.fatal) == (Kind.SOFT_LOCKUP, True)
    assert stall.culprits[0] == lockup.culprits[0] == Frame("lab_spin", 0x12, "lab_crash")
    assert "softlockup: hung tasks" in lockup.text


def test_reports_in_a_row_are_told_apart() -> None:
    asleep, imbalance = find_crashes(recorded("atomic"))
    assert (asleep.kind, asleep.title) == (Kind.ATOMIC, "scheduling while atomic in lab_atomic")
    assert imbalance.kind is Kind.WARNING
    assert "preemption imbalance" in imbalance.title
    assert "preemption imbalance" not in asleep.text


def test_a_console_without_reports_has_none() -> None:
    quiet = [line for line in recorded("warn").splitlines() if "LAB" in line or "taint" in line]
    assert quiet
    assert find_crashes("\n".join(quiet)) == []


def test_taints_are_the_kernels_letters() -> None:
    assert only(recorded("bug")).taints == "GOE"
    assert only(recorded("null").replace("Tainted: G           OE ", "Not tainted")).taints == ""


def test_other_addresses_processes_and_times_are_the_same_report() -> None:
    console = recorded("list")
    again = re.sub(r"ffff8880062", "ffff8881199", console)
    again = re.sub(r"PID: \d+", "PID: 4711", again)
    again = re.sub(r"^\[ +\d+\.", "[ 4711.", again, flags=re.M)
    assert again != console
    assert only(again).fingerprint == only(console).fingerprint
    assert only(again).title == only(console).title


def test_another_place_in_a_function_is_another_fingerprint_in_the_same_functions() -> None:
    console = recorded("list")
    moved = console.replace("lab_list+0x8c/", "lab_list+0x99/")
    assert only(moved).fingerprint != only(console).fingerprint
    assert only(moved).functions == only(console).functions == (
        "bug: lab_list < lab_crash_init < do_one_initcall"
    )  # fmt: skip


def test_lines_of_programs_between_the_kernels_do_not_matter() -> None:
    console = recorded("list")
    lines = console.splitlines()
    noisy = [part for line in lines for part in (line, "[1] Nov 22 18:00:00 a program says so")]
    assert only("\n".join(noisy)) == only(console)
    assert only(console.replace("\n", "\r\n")) == only(console)
    threads = re.sub(r"^(\[ +\d+\.\d+\])", r"\1[  T223]", console, flags=re.M)
    assert only(threads) == only(console)


@pytest.mark.parametrize("name", ["list", "warn", "null"])
def test_a_report_that_is_still_being_printed_is_open(name: str) -> None:
    lines = recorded(name).splitlines()
    start = next(i for i, line in enumerate(lines) if re.search("BUG|WARNING:", line))
    end = next(i for i, line in enumerate(lines) if "end trace" in line)
    for cut in range(start + 1, end + 1):
        assert is_open("\n".join(lines[:cut])), lines[cut - 1]
    assert not is_open("\n".join(lines[: end + 1]))


def test_frames_that_the_unwinder_doubts_are_left_out() -> None:
    names = {frame.function for frame in only(recorded("warn")).frames}
    assert "lab_crash_init" in names
    assert "__pfx_lab_crash_init" not in names
    assert "handle_mm_fault" not in names


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("__list_add_valid_or_report.cold", True),
        ("kasan_report", True),
        ("__mutex_lock.constprop.0", True),
        ("asm_sysvec_apic_timer_interrupt", True),
        ("smb2_open", False),
        ("ksmbd_vfs_rename", False),
        ("ksmbd_conn_lock", False),
        ("__list_lru_walk_one", False),
    ],
)
def test_what_reports_is_not_what_failed(function: str, expected: bool) -> None:
    assert is_machinery(Frame(function)) is expected


def test_words_are_folded() -> None:
    assert folded("was ffff888006247de0. (next=ffff8880062477e0).") == "was <address>"
    assert folded("returned 0x1f of 0x20") == "returned <number> of <number>"
    assert folded("kernel BUG at lib/list_debug.c:29") == "kernel BUG at lib/list_debug.c:29"


def test_kasan_and_ubsan_of_the_debug_kernel() -> None:
    found = [(crash.kind, crash.title) for crash in find_crashes(recorded("debug-memory"))]
    at = "UBSAN: array-index-out-of-bounds in /k/mod-debug/lab_crash.c"
    assert found == [
        (Kind.KASAN, "KASAN: slab-use-after-free in lab_use_after_free"),
        (Kind.KASAN, "KASAN: slab-out-of-bounds in lab_out_of_bounds"),
        (Kind.UBSAN, f"{at}:153 in lab_index"),
        (Kind.KASAN, "KASAN: global-out-of-bounds in lab_index"),
        (Kind.UBSAN, f"{at}:154 in lab_index"),
        (Kind.KASAN, "KASAN: global-out-of-bounds in lab_index"),
        (Kind.UBSAN, "UBSAN: shift-out-of-bounds in /k/mod-debug/lab_crash.c:145 in lab_shift"),
    ]


def test_whom_the_kernel_kills_for_memory_is_named_and_no_function_is_blamed() -> None:
    """dd filled a tmpfs; the manager of ksmbd-tools went first, its worker next."""
    manager, worker = find_crashes(recorded("oom"))
    assert (manager.kind, manager.fatal) == (Kind.OUT_OF_MEMORY, False)
    assert manager.title == "out of memory: ksmbd.mountd was killed"
    assert manager.fingerprint == worker.fingerprint == f"out of memory: {manager.title}"
    assert "Tasks state (memory values in pages)" in manager.text
    assert manager.complete
    assert not is_open(recorded("oom"))


def test_a_report_of_lacking_memory_is_open_until_somebody_was_killed() -> None:
    console = recorded("oom")
    assert is_open(console[: console.index("Out of memory: Killed")])


def test_nobody_left_to_kill_is_the_end() -> None:
    console = recorded("oom")
    console = console[: console.index("[ 1380.886571] Out of memory: Killed")]
    console += (
        "[ 1380.886571] Out of memory and no killable processes...\n"
        "[ 1380.886572] Kernel panic - not syncing: System is deadlocked on memory\n"
        "LAB guest ended: PANIC after 3.0 s\n"
    )
    crash = only(console)
    assert (crash.kind, crash.fatal) == (Kind.OUT_OF_MEMORY, True)
    assert crash.title == "out of memory: dd asked for more"


def test_the_schema_has_every_kind() -> None:
    schema = (Path(verdicts.__file__).parent / "matrix.schema.json").read_text()
    lists = re.findall(r'"enum": (\[[^]]*"oops"[^]]*\])', schema)
    assert lists
    for each in lists:
        assert set(json.loads(each)) == set(Kind)


def test_warnings_of_linux_7_2_have_another_first_line() -> None:
    words, plain = find_crashes(recorded("warn-7.2"))
    assert words.title == (
        "WARNING at lab_crash.c:33 in lab_warn: lab_crash: a warning with words, 5 of them"
    )
    assert plain.title == "WARNING at lab_crash.c:38 in lab_warn_plain"
    assert [each.functions for each in (words, plain)] == [
        f"warning: {first} < lab_crash_init < do_one_initcall"
        for first in ("lab_warn", "lab_warn_plain")
    ]
    assert words.complete
    assert plain.complete


def test_a_warning_of_linux_7_2_without_a_file_is_named_by_its_function() -> None:
    console = recorded("warn-7.2").replace("lab_crash.c:38 at", "at")
    assert find_crashes(console)[1].title == "WARNING at lab_warn_plain in lab_warn_plain"
