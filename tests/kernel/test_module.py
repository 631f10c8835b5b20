"""Reading a module file: what it says of itself, and files that are none."""

import struct

import pytest

from lab.errors import UsageError
from lab.kernel.module import read_module

MODINFO = (
    b"depends=nls_ucs2_utils,cifs_arc4\0name=ksmbd\0"
    b"vermagic=6.12.1-lab SMP preempt mod_unload modversions \0"
    b"alias=fs-a\0alias=fs-b\0"
)
BUILD_ID = bytes(range(20))
NOTE = struct.pack("<III", 4, 20, 3) + b"GNU\0" + BUILD_ID


def elf(sections: dict[str, bytes], kind: int = 1) -> bytes:
    """A little ELF file with these sections, laid out as ld does."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in [*sections, ".shstrtab"])
    contents = [*sections.items(), (".shstrtab", names)]
    body, headers = b"", struct.pack("<IIQQQQIIQQ", *[0] * 10)
    for name, content in contents:
        at = names.index(b"\0" + name.encode() + b"\0") + 1
        headers += struct.pack("<IIQQQQIIQQ", at, 1, 0, 0, 64 + len(body), len(content), 0, 0, 1, 0)
        body += content
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    count = len(contents) + 1
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(ident, kind, 62, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, count, count - 1),
    )
    return header + body + headers


def test_a_module_tells_its_name_its_kernel_and_its_build() -> None:
    module = read_module(elf({".modinfo": MODINFO, ".note.gnu.build-id": NOTE}))
    assert module.name == "ksmbd"
    assert module.release == "6.12.1-lab"
    assert module.depends == ("nls_ucs2_utils", "cifs_arc4")
    assert module.fields["alias"] == ("fs-a", "fs-b")
    assert module.identity == BUILD_ID.hex()


def test_a_srcversion_is_the_identity_where_there_is_no_build_id() -> None:
    module = read_module(elf({".modinfo": MODINFO + b"srcversion=ABCD\0"}))
    assert module.build_id == ""
    assert module.identity == "ABCD"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"#!/bin/sh\n", id="a script"),
        pytest.param(elf({".modinfo": MODINFO}, kind=2), id="a program"),
        pytest.param(elf({".text": b"x"}), id="an object file"),
        pytest.param(elf({".modinfo": MODINFO})[:90], id="cut short"),
        pytest.param(b"\x7fELF\x02\x01" + b"\xff" * 80, id="damaged"),
    ],
)
def test_what_is_no_module_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"mine\.ko is no kernel module"):
        read_module(data, "mine.ko")
