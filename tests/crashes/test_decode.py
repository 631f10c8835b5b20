"""Files and lines beside frames, from what binutils printed for the recordings' own module."""

from __future__ import annotations

from collections.abc import Sequence

from lab.crashes import decode
from lab.crashes.model import Frame
from lab.crashes.parse import find_crashes
from tests.crashes.test_parse import RECORDED, recorded

SYMBOLS = (RECORDED / "lab_crash.symbols").read_text()
HEADERS = "/usr/src/linux-headers-6.12.117+deb13-common/include/linux"
ANSWERS = {  # as binutils 2.44 answers
    ".text": f"""0x00000000000004cb
__list_add_valid
{HEADERS}/list.h:88
__list_add
{HEADERS}/list.h:153
list_add
{HEADERS}/list.h:176
lab_list
/k/mod/lab_crash.c:67
""",
    ".init.text": """0x0000000000000051
??
??:0
""",
}


def answer(argv: Sequence[str]) -> str:
    if argv[0] == "objdump":
        return SYMBOLS
    (section,) = [word.partition("=")[2] for word in argv if word.startswith("--section=")]
    assert [word for word in argv if word.startswith("0x")] == {
        ".text": ["0x4cb"],
        ".init.text": ["0x51"],
    }[section]
    return ANSWERS[section]


def test_a_symbol_has_a_section_and_an_address() -> None:
    table = decode.symbols(SYMBOLS)
    assert table["lab_list"] == decode.Place(".text", 0x440)
    assert table["lab_crash_init"] == decode.Place(".init.text", 0x10)


def test_the_call_is_asked_for_and_what_was_inlined_is_told() -> None:
    frames = [Frame("lab_list", 0x8C, "lab_crash"), Frame("lab_crash_init", 0x42, "lab_crash")]
    unknown = Frame("nowhere", 1, "lab_crash")
    lines = decode.lines_of("lab_crash.ko", [*frames, unknown], answer)
    assert lines == {
        frames[0]: "lab_crash.c:67, inlined list_add include/linux/list.h:176"
        ", inlined __list_add include/linux/list.h:153"
        ", inlined __list_add_valid include/linux/list.h:88"
    }


def test_a_kernels_addresses_are_whole_and_are_not_counted_from_a_section() -> None:
    """As binutils 2.44 answers for the debug flavour's vmlinux; with --section it knows nothing."""
    listing = "ffffffff8180ff20 l     F .text\t0000000000000084 write_sysrq_trigger"
    known = "0xffffffff8180ff8c\nwrite_sysrq_trigger\n/linux/drivers/tty/sysrq.c:1182\n"
    unknown = "0xffffffff8180ff8c\n??\n??:0\n"

    def run(argv: Sequence[str]) -> str:
        if argv[0] == "objdump":
            return listing
        assert argv[-1] == "0xffffffff8180ff8c"
        return unknown if any(word.startswith("--section") for word in argv) else known

    frame = Frame("write_sysrq_trigger", 0x6D, "")
    assert decode.lines_of("vmlinux", [frame], run) == {frame: "drivers/tty/sysrq.c:1182"}


def test_lines_stand_beside_their_frames() -> None:
    (crash,) = find_crashes(recorded("list"))
    frame = Frame("lab_list", 0x8C, "lab_crash")
    assert frame in decode.frames_in(crash.text)
    text = decode.annotated(crash.text, {frame: "lab_crash.c:70"})
    assert " lab_list+0x8c/0xc0 [lab_crash]  (lab_crash.c:70)\n" in text
    assert text.replace("  (lab_crash.c:70)", "") == crash.text


def test_a_source_is_named_from_the_trees_top() -> None:
    assert decode.source("/home/u/linux/fs/smb/server/smb2pdu.c:3583") == (
        "fs/smb/server/smb2pdu.c:3583"
    )
    assert decode.source("/tmp/ksmbd/smb2pdu.c:1 (discriminator 2)") == "smb2pdu.c:1"
