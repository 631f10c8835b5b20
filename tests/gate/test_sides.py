"""What --base and --candidate may be."""

import pytest

from lab.errors import UsageError
from lab.gate.sides import plan

FLAVOURS = ("sid", "mine")


def test_flavours_that_run() -> None:
    sides = plan("ksmbd", "ksmbd@mine", FLAVOURS, in_tree=False, each=False)
    assert (sides.base.backend, sides.candidate.backend) == ("ksmbd", "ksmbd@mine")
    assert plan("sid", "mine", FLAVOURS, in_tree=False, each=False).base.backend == "ksmbd@sid"


def test_revisions_of_a_tree_beside_a_flavour() -> None:
    sides = plan("sid", "HEAD~2", FLAVOURS, in_tree=True, each=False)
    assert not sides.base.is_revision
    assert sides.candidate.revision == "HEAD~2"


def test_a_range_brings_its_own_base() -> None:
    sides = plan("", "v6.12..", FLAVOURS, in_tree=True, each=True)
    assert (sides.base.revision, sides.candidate.revision) == ("v6.12", "HEAD")
    assert sides.range == "v6.12..HEAD"
    tags = plan("", "v6.12..v6.13-rc1", FLAVOURS, in_tree=True, each=True)
    assert (tags.base.revision, tags.candidate.revision) == ("v6.12", "v6.13-rc1")
    assert tags.range == "v6.12..v6.13-rc1"
    assert plan("ksmbd", "a..b", FLAVOURS, in_tree=True, each=True).base.backend == "ksmbd"


@pytest.mark.parametrize(
    ("base", "candidate", "in_tree", "each", "words"),
    [
        ("", "mine", False, False, "--base is missing"),
        ("ksmbd", "HEAD", False, False, "no such flavour"),
        ("ksmbd", "ksmbd@mni", True, False, "did you mean 'mine'"),
        ("ksmbd", "ksmbd", False, False, "both ksmbd"),
        ("mine", "ksmbd@mine", False, False, "both mine"),
        ("ksmbd", "a..b", True, False, "is a range"),
        ("ksmbd", "v6.12..v6.13", True, False, "is a range"),
        ("ksmbd", "HEAD", True, True, "--each wants a range"),
        ("ksmbd", "v6.12...v6.13", True, True, "--each wants a range"),
        ("ksmbd", "a..b", False, True, "--each wants a range"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    base: str, candidate: str, in_tree: bool, each: bool, words: str
) -> None:
    with pytest.raises(UsageError) as error:
        plan(base, candidate, FLAVOURS, in_tree=in_tree, each=each)
    assert words in str(error.value)
