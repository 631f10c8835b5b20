"""What is sealed has to stay sealed, and is not signed as well."""

from __future__ import annotations

from typing import Any

import pytest

from lab.scenarios.model import HeaderFlags
from lab.verdicts.wire import RULES


def broken(rule: str, **values: Any) -> str:
    pdu = {
        "stage": "final",
        "signing": "AES-CMAC",
        "signature_ok": None,
        "sealing": "AES-128-GCM",
        "sealed": True,
        "header": {"flags": int(HeaderFlags.SMB2_FLAGS_SERVER_TO_REDIR)},
    }
    return RULES[rule][1]({**pdu, **values})


def test_a_sealed_response_needs_no_signature() -> None:
    assert broken("seal") == broken("signature") == ""


@pytest.mark.parametrize("stage", ["interim", "final"])
def test_a_response_in_clear_breaks_a_sealed_session(stage: str) -> None:
    said = broken("seal", sealed=False, stage=stage)
    assert said == "not sealed, in a session sealed with AES-128-GCM"


def test_a_session_that_does_not_seal_is_judged_by_its_signatures() -> None:
    assert broken("seal", sealed=False, sealing="") == ""
    assert "not signed" in broken("signature", sealed=False, sealing="")
