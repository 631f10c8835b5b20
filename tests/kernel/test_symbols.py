"""The kernel's symbols as an ELF file, and the addresses of a module's sections."""

import shutil
import subprocess
from pathlib import Path

import pytest

from lab.kernel.symbols import Symbol, add_symbol_file, elf, functions, sections_of

KALLSYMS = """\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _text
ffffffff81001230 t init_once
ffffffff81020000 T vfs_create
ffffffff82000000 D jiffies
ffffffffc0401000 t smb2_notify\t[ksmbd]
"""


def test_functions_of_the_kernel_itself_are_taken() -> None:
    assert functions(KALLSYMS) == [
        Symbol(0xFFFFFFFF81000000, "_text", True),
        Symbol(0xFFFFFFFF81001230, "init_once", False),
        Symbol(0xFFFFFFFF81020000, "vfs_create", True),
    ]


def test_a_kernel_that_hides_its_addresses_has_no_functions() -> None:
    assert functions("0000000000000000 T vfs_create\n") == []


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs binutils' nm")
def test_the_file_is_one_that_binutils_reads(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(elf(functions(KALLSYMS)))
    shown = subprocess.run(["nm", "-n", path], capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    assert shown.stdout.splitlines() == [
        "ffffffff81000000 T _text",
        "ffffffff81001230 t init_once",
        "ffffffff81020000 T vfs_create",
    ]


def test_a_modules_sections_are_given_to_gdb_by_name() -> None:
    listing = (
        "build-id aa\nbb  -\n"
        ".text 0xffffffffc0401000\n.rodata.str1.1 0xffffffffc0410000\n__bug_table 0x1\n"
    )
    assert add_symbol_file("/x/ksmbd.ko", sections_of(listing)) == (
        "add-symbol-file /x/ksmbd.ko"
        " -s .text 0xffffffffc0401000 -s .rodata.str1.1 0xffffffffc0410000"
    )
