"""Refusals name the cause and what to do."""

from __future__ import annotations

import string

import pytest

from lab.watch.address import Address
from lab.watch.refusals import REFUSALS, TRANSIENT, refused, status_of

ADDRESS = Address("fileserver", 445, "public", "dir")


@pytest.mark.parametrize(("command", "status"), [*REFUSALS, ("NEGOTIATE", "STATUS_NOT_SUPPORTED")])
def test_every_refusal_can_be_said(command: str, status: str) -> None:
    error = refused(command, status, ADDRESS, "jo")
    assert error.exit_code == 3
    assert not {"{", "}"} & set(str(error))
    asked = {name for _, name, _, _ in string.Formatter().parse(str(error)) if name}
    assert not asked


@pytest.mark.parametrize("status", ["STATUS_NOT_IMPLEMENTED", "STATUS_NOT_SUPPORTED"])
def test_a_server_that_cannot_notify_is_named_with_its_status(status: str) -> None:
    error = refused("CHANGE_NOTIFY", status, ADDRESS, "jo", server="ksmbd")
    assert error.message == f"ksmbd cannot notify: CHANGE_NOTIFY was answered {status}"
    assert refused("CHANGE_NOTIFY", status, ADDRESS, "jo").message.startswith("fileserver cannot")


def test_no_status_is_both_final_and_transient() -> None:
    assert not {status for _, status in REFUSALS} & TRANSIENT


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("TREE_CONNECT: STATUS_BAD_NETWORK_NAME", ("TREE_CONNECT", "STATUS_BAD_NETWORK_NAME")),
        ("SESSION_SETUP: 0xC0000193", ("SESSION_SETUP", "0xC0000193")),
        ("NEGOTIATE: connection closed", None),
        ("TCP to h:445: [Errno 111] Connection refused", None),
        ("CREATE: truncated: unpack_from requires", None),
    ],
)
def test_a_status_is_found_in_what_the_client_says(
    text: str, named: tuple[str, str] | None
) -> None:
    assert status_of(text) == named
