"""ksmbd's debug classes: reading them, and getting from one state to another by toggling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.kernel.classes import parse, toggles, wanted

KNOWN = ["smb", "auth", "vfs", "oplock", "ipc", "conn", "rdma"]


def test_those_in_brackets_are_on() -> None:
    assert parse("[smb] auth [vfs] conn \n") == {
        "smb": True,
        "auth": False,
        "vfs": True,
        "conn": False,
    }


@given(st.sets(st.sampled_from(KNOWN)), st.sets(st.sampled_from(KNOWN)))
def test_toggling_leads_to_what_is_wanted(on: set[str], want: set[str]) -> None:
    state = {name: name in on for name in KNOWN}
    change = toggles(state, want)
    assert {name for name in KNOWN if (name in on) != (name in change)} == want


@pytest.mark.parametrize(
    ("words", "want"),
    [
        (["on"], set(KNOWN)),
        (["off"], set()),
        (["smb", "vfs"], {"smb", "vfs"}),
        (["smb,vfs"], {"smb", "vfs"}),
    ],
)
def test_words_of_the_command_line(words: list[str], want: set[str]) -> None:
    assert wanted(words, KNOWN) == want


@pytest.mark.parametrize("words", [["on", "smb"], ["smbd"]])
def test_what_cannot_be_meant_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"stand alone|no debug class 'smbd'"):
        wanted(words, KNOWN)
