"""SPNEGO tokens as an acceptor of NTLMSSP needs them (RFC 4178, [MS-SPNG])."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from notify_server.auth.der import (
    ENUMERATED,
    GENERAL_STRING,
    OCTET_STRING,
    OID,
    SEQUENCE,
    DerError,
    context,
    decode,
    encode,
    expect,
    fields,
    items,
)

_APPLICATION_0: Final = 0x60
_SPNEGO_OID: Final = bytes.fromhex("2b0601050502")  # 1.3.6.1.5.5.2
NTLMSSP_OID: Final = bytes.fromhex("2b06010401823702020a")  # 1.3.6.1.4.1.311.2.2.10
_MAX_MECH_TYPES: Final = 1024  # bytes that are kept until the exchange is over
# RFC 4178 Appendix A: the hint that tells initiators that no principal name is announced.
_HINT: Final = b"not_defined_in_RFC4178@please_ignore"


class NegState(IntEnum):
    """negState of NegTokenResp (RFC 4178 4.2.2)."""

    ACCEPT_COMPLETED = 0
    ACCEPT_INCOMPLETE = 1
    REJECT = 2
    REQUEST_MIC = 3


@dataclass(slots=True)
class NegTokenInit:
    """The initiator's first token; `mech_types` is the encoded list that mechListMIC covers."""

    mechanisms: list[bytes]
    mech_types: bytes
    mech_token: bytes | None
    mech_list_mic: bytes | None


@dataclass(slots=True)
class NegTokenResp:
    """Any later token of the initiator."""

    response_token: bytes | None
    mech_list_mic: bytes | None


def neg_token_init2() -> bytes:
    """What the server sends first, in NEGOTIATE: NTLMSSP only ([MS-SPNG] 2.2.1)."""
    mechanisms = encode(SEQUENCE, encode(OID, NTLMSSP_OID))
    hints = encode(SEQUENCE, encode(context(0), encode(GENERAL_STRING, _HINT)))
    token = encode(SEQUENCE, encode(context(0), mechanisms), encode(context(3), hints))
    return encode(_APPLICATION_0, encode(OID, _SPNEGO_OID), encode(context(0), token))


def parse(token: bytes) -> NegTokenInit | NegTokenResp:
    """Parse an initiator's token; raises DerError."""
    tag, contents, _rest = decode(token)
    if tag == _APPLICATION_0:
        oid_tag, oid, inner = decode(contents)
        if oid_tag != OID or oid != _SPNEGO_OID:
            raise DerError("not a SPNEGO token")
        found = fields(expect(expect(inner, context(0)), SEQUENCE))
        mech_types = found.get(context(0), b"")
        if len(mech_types) > _MAX_MECH_TYPES:
            raise DerError(f"list of mechanisms of {len(mech_types)} bytes")
        return NegTokenInit(
            items(expect(mech_types, SEQUENCE), OID),
            mech_types,
            _octets(found.get(context(2))),
            _octets(found.get(context(3))),
        )
    if tag == context(1):
        found = fields(expect(contents, SEQUENCE))
        return NegTokenResp(_octets(found.get(context(2))), _octets(found.get(context(3))))
    raise DerError(f"tag {tag:#x} begins no SPNEGO token")


def _octets(field: bytes | None) -> bytes | None:
    return None if field is None else expect(field, OCTET_STRING)


def neg_token_resp(
    state: NegState,
    *,
    supported_mech: bytes | None = None,
    response_token: bytes | None = None,
    mech_list_mic: bytes | None = None,
) -> bytes:
    """The acceptor's answer (RFC 4178 4.2.2)."""
    parts = [encode(context(0), encode(ENUMERATED, bytes((state,))))]
    if supported_mech is not None:
        parts.append(encode(context(1), encode(OID, supported_mech)))
    if response_token is not None:
        parts.append(encode(context(2), encode(OCTET_STRING, response_token)))
    if mech_list_mic is not None:
        parts.append(encode(context(3), encode(OCTET_STRING, mech_list_mic)))
    return encode(context(1), encode(SEQUENCE, *parts))
