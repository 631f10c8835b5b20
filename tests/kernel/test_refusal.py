"""Why a module does not load, in words, from what insmod and the kernel said."""

import pytest

from lab.kernel.refusal import explain


@pytest.mark.parametrize(
    ("said", "words", "line"),
    [
        (
            [
                "insmod: insmod: can't insert '/run/x.ko': invalid module format",
                "kernel: [   71.1] ksmbd: version magic '6.1.0 SMP ' should be '6.12.1 SMP '",
            ],
            "built for the kernel '6.1.0 SMP ', but the guest runs '6.12.1 SMP '",
            "ksmbd: version magic '6.1.0 SMP ' should be '6.12.1 SMP '",
        ),
        (
            [
                "insmod: insmod: can't insert 'x.ko': unknown symbol in module, or unknown …",
                "kernel: ksmbd: Unknown symbol vfs_watch (err -2)",
                "kernel: ksmbd: Unknown symbol vfs_tell (err -2)",
            ],
            "it needs vfs_watch, vfs_tell, which",
            "ksmbd: Unknown symbol vfs_watch (err -2)",
        ),
        (
            [
                "kernel: ksmbd: disagrees about version of symbol vfs_open",
                "kernel: ksmbd: Unknown symbol vfs_open (err -22)",
                "kernel: ksmbd: disagrees about version of symbol vfs_read",
            ],
            "vfs_open, vfs_read: the kernel has other versions than the headers",
            "ksmbd: disagrees about version of symbol vfs_open",
        ),
        (
            ["insmod: insmod: can't insert 'x.ko': Cannot allocate memory"],
            "no memory left",
            "insmod: can't insert 'x.ko': Cannot allocate memory",
        ),
        (
            ["insmod: insmod: can't insert 'x.ko': invalid module format"],
            "its format is not this kernel's",
            "insmod: can't insert 'x.ko': invalid module format",
        ),
        (
            [
                "insmod: insmod: can't insert 'x.ko': No such device",
                # said of every module that nobody signed, also when it is taken
                "kernel: ksmbd: module verification failed: signature and/or required key missing",
                "kernel: ksmbd: no such thing as a server here",
            ],
            "its own start ended",
            "ksmbd: no such thing as a server here",
        ),
        ([], "its own start ended", "not a word"),
    ],
)
def test_the_kernels_words_are_told_and_quoted(said: list[str], words: str, line: str) -> None:
    refusal = explain(said)
    assert words in refusal.words
    assert refusal.line == line
    assert refusal.remedy
