"""What a build says, and how a failure is put into words."""

from __future__ import annotations

import json

import pytest
from symbol_versions import dumped, mismatches

from lab.kbuild import messages

SOURCE = "/home/me/linux"
PATHS = {"/work/tree": SOURCE, "/work": "/lab/build", "/source": SOURCE}
RELEASE = "6.12.117+deb13-cloud-amd64"


def output(*lines: str) -> messages.Output:
    out = messages.Output(PATHS)
    for line in lines:
        out.take(line)
    return out


def failed(what: str, detail: str) -> str:
    return "LAB " + json.dumps({"kind": "failed", "what": what, "detail": detail})


COMPILER = (
    "  CC [M]  /work/tree/fs/smb/server/smb2pdu.o",
    "/work/tree/fs/smb/server/smb2pdu.c: In function 'smb2_notify':",
    "/work/tree/fs/smb/server/smb2pdu.c:8923:9: error: 'foo' undeclared (first use)",
    " 8923 |         foo();",
    "make[3]: *** [scripts/Makefile.build:243: /work/tree/fs/smb/server/smb2pdu.o] Error 1",
)


def test_the_compilers_words_come_with_the_users_paths() -> None:
    said, _ = messages.explained(
        output(*COMPILER, failed("compile", "make failed")), SOURCE, RELEASE
    )
    assert f"{SOURCE}/fs/smb/server/smb2pdu.c:8923:9: error: 'foo' undeclared" in said
    assert " 8923 |         foo();" in said
    assert "/work" not in said
    assert "CC [M]" not in said


def test_the_users_own_path_may_contain_the_containers() -> None:
    home = "/home/me/source/linux"
    paths = {"/work/tree": home, "/source": home, "/linux": "/home/me/linux"}
    out = messages.Output(paths)
    assert out.take("/work/tree/fs/x.c:1:2: error: no") == f"{home}/fs/x.c:1:2: error: no"
    assert out.take("In file included from /source/a.h") == f"In file included from {home}/a.h"
    said = out.take("/linux/include/linux/module.h:3:4: error: no")
    assert said == "/home/me/linux/include/linux/module.h:3:4: error: no"


def test_warnings_are_kept_for_a_build_that_succeeds() -> None:
    out = output(
        "/work/tree/a.c:1:2: warning: unused variable 'x'", "  LD [M]  /work/tree/ksmbd.ko"
    )
    assert out.warnings == (f"{SOURCE}/a.c:1:2: warning: unused variable 'x'",)


def test_what_is_for_the_lab_is_not_shown() -> None:
    out = messages.Output(PATHS)
    assert out.take('LAB {"kind": "note", "text": "left out x"}') == ""
    assert (out.notes, out.lines) == (["left out x"], [])


@pytest.mark.parametrize(
    ("what", "detail", "words"),
    [
        ("not-ksmbd", "it has neither", f"{SOURCE} is no source of ksmbd: it has neither"),
        ("patch", "0001-x.patch: smb2pdu.c: hunk 3", "a patch does not apply: 0001-x.patch"),
        ("unreadable", "/source/fs/smb/a.c: Permission denied", f"{SOURCE}/fs/smb/a.c: Permission"),
        ("versions", "kfree: built", f"does not fit {RELEASE}: symbols differ in their versions"),
    ],
)
def test_each_failure_has_words(what: str, detail: str, words: str) -> None:
    said, remedy = messages.explained(output(failed(what, detail)), SOURCE, RELEASE)
    assert words in said
    assert remedy


def test_symbols_that_the_kernel_lacks_are_named_once() -> None:
    line = 'ERROR: modpost: "{}" [/work/tree/fs/smb/server/ksmbd.ko] undefined!'
    said, _ = messages.explained(
        output(line.format("new_api"), line.format("new_api"), line.format("other")),
        SOURCE,
        RELEASE,
    )
    assert said == f"the kernel {RELEASE} has no new_api, other, which this source uses"


def test_vermagic_is_compared_by_its_release() -> None:
    fits = f"{RELEASE} SMP preempt mod_unload modversions "
    assert messages.vermagic_difference(fits, RELEASE) == ""
    words = messages.vermagic_difference("6.1.0-13-amd64 SMP", RELEASE)
    assert words == f"the module was built for 6.1.0-13-amd64, the flavour's kernel is {RELEASE}"


SYMVERS = "0x11111111\tkfree\tvmlinux\tEXPORT_SYMBOL\t\n0x22222222\tcifs_arc4_setkey\tx\tEXPORT\t\n"


def test_symbol_versions_are_compared_and_both_are_named() -> None:
    assert mismatches(dumped("0x11111111\tkfree\n"), SYMVERS) == []
    wrong = mismatches(dumped("0x11111111\tkfree\n0x9\tcifs_arc4_setkey\n0x3\tgone\n"), SYMVERS)
    assert wrong == [
        "cifs_arc4_setkey: the module was built with version 0x00000009, the kernel has 0x22222222",
        "gone: the module was built with version 0x00000003, the kernel has none",
    ]
