"""NTLMv2 messages and computations of an acceptor ([MS-NLMP] 2.2, 3.3.2, 3.4).

LM, NTLMv1 and NTLM2 session responses are not computed anywhere here, so they cannot be accepted.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from struct import Struct, pack
from typing import Final

from notify_server.auth.legacy import md4, rc4

SIGNATURE: Final = b"NTLMSSP\0"
_FIELD: Final = Struct("<HHI")
_AUTHENTICATE_FIXED: Final = 64
_MIC_AT: Final = 72
_MIC_SIZE: Final = 16
_PROOF_SIZE: Final = 16
_CLIENT_CHALLENGE_FIXED: Final = 28
_MAX_NEGOTIATE: Final = 4096  # bytes that are kept for the MIC, of anybody who connects
_VERSION: Final = bytes((6, 1, 0, 0, 0, 0, 0, 15))


class NtlmError(Exception):
    """Bytes that are not the NTLM message that was expected."""


class NegotiateFlags(IntFlag):
    """NegotiateFlags ([MS-NLMP] 2.2.2.5), the ones an acceptor looks at."""

    NTLMSSP_NEGOTIATE_UNICODE = 0x00000001
    NTLMSSP_REQUEST_TARGET = 0x00000004
    NTLMSSP_NEGOTIATE_SIGN = 0x00000010
    NTLMSSP_NEGOTIATE_SEAL = 0x00000020
    NTLMSSP_NEGOTIATE_NTLM = 0x00000200
    NTLMSSP_NEGOTIATE_ALWAYS_SIGN = 0x00008000
    NTLMSSP_TARGET_TYPE_SERVER = 0x00020000
    NTLMSSP_NEGOTIATE_EXTENDED_SESSIONSECURITY = 0x00080000
    NTLMSSP_NEGOTIATE_TARGET_INFO = 0x00800000
    NTLMSSP_NEGOTIATE_VERSION = 0x02000000
    NTLMSSP_NEGOTIATE_128 = 0x20000000
    NTLMSSP_NEGOTIATE_KEY_EXCH = 0x40000000
    NTLMSSP_NEGOTIATE_56 = 0x80000000


_REQUIRED: Final = (
    NegotiateFlags.NTLMSSP_NEGOTIATE_UNICODE
    | NegotiateFlags.NTLMSSP_NEGOTIATE_EXTENDED_SESSIONSECURITY
)
_ALWAYS: Final = (
    _REQUIRED
    | NegotiateFlags.NTLMSSP_REQUEST_TARGET
    | NegotiateFlags.NTLMSSP_NEGOTIATE_NTLM
    | NegotiateFlags.NTLMSSP_TARGET_TYPE_SERVER
    | NegotiateFlags.NTLMSSP_NEGOTIATE_TARGET_INFO
    | NegotiateFlags.NTLMSSP_NEGOTIATE_VERSION
)
_IF_ASKED: Final = (
    NegotiateFlags.NTLMSSP_NEGOTIATE_SIGN
    | NegotiateFlags.NTLMSSP_NEGOTIATE_SEAL
    | NegotiateFlags.NTLMSSP_NEGOTIATE_ALWAYS_SIGN
    | NegotiateFlags.NTLMSSP_NEGOTIATE_128
    | NegotiateFlags.NTLMSSP_NEGOTIATE_56
    | NegotiateFlags.NTLMSSP_NEGOTIATE_KEY_EXCH
)


class AvId(IntEnum):
    """AvId of an AV_PAIR ([MS-NLMP] 2.2.2.1)."""

    MsvAvEOL = 0
    MsvAvNbComputerName = 1
    MsvAvNbDomainName = 2
    MsvAvDnsComputerName = 3
    MsvAvDnsDomainName = 4
    MsvAvFlags = 6
    MsvAvTimestamp = 7


_MIC_PRESENT: Final = 0x00000002


def nt_hash(password: str) -> bytes:
    """NTOWFv1: the verifier that is stored for a password ([MS-NLMP] 3.3.1)."""
    return md4(password.encode("utf-16-le", "surrogatepass"))


def ntowf_v2(verifier: bytes, user: str, domain: str) -> bytes:
    """NTOWFv2 ([MS-NLMP] 3.3.2); `domain` is what the client sent, whatever it says."""
    identity = (user.upper() + domain).encode("utf-16-le", "surrogatepass")
    return hmac.digest(verifier, identity, "md5")


def message_type(message: bytes) -> int:
    """MessageType of an NTLM message: 1 NEGOTIATE, 2 CHALLENGE, 3 AUTHENTICATE."""
    if len(message) < 12 or message[:8] != SIGNATURE:
        raise NtlmError("no NTLMSSP message")
    return int.from_bytes(message[8:12], "little")


def negotiate_flags(message: bytes) -> int:
    """NegotiateFlags of a NEGOTIATE_MESSAGE ([MS-NLMP] 2.2.1.1)."""
    if not 16 <= len(message) <= _MAX_NEGOTIATE:
        raise NtlmError(f"NEGOTIATE_MESSAGE of {len(message)} bytes")
    return int.from_bytes(message[12:16], "little")


def build_challenge(client_flags: int, challenge: bytes, server_name: str, filetime: int) -> bytes:
    """CHALLENGE_MESSAGE ([MS-NLMP] 2.2.1.2); a time stamp in it makes clients send a MIC."""
    if client_flags & _REQUIRED != _REQUIRED:
        raise NtlmError("client without Unicode or extended session security: NTLMv1 is refused")
    name = server_name.encode("utf-16-le")
    info = b"".join(
        pack("<HH", av, len(value)) + value
        for av, value in (
            (AvId.MsvAvNbDomainName, name),
            (AvId.MsvAvNbComputerName, name),
            (AvId.MsvAvDnsDomainName, b""),
            (AvId.MsvAvDnsComputerName, server_name.lower().encode("utf-16-le")),
            (AvId.MsvAvTimestamp, pack("<Q", filetime)),
            (AvId.MsvAvEOL, b""),
        )
    )
    flags = _ALWAYS | (client_flags & _IF_ASKED)
    name_at = 56
    return (
        SIGNATURE
        + pack("<I", 2)
        + _FIELD.pack(len(name), len(name), name_at)
        + pack("<I8s8x", flags, challenge)
        + _FIELD.pack(len(info), len(info), name_at + len(name))
        + _VERSION
        + name
        + info
    )


@dataclass(slots=True)
class Authenticate:
    """AUTHENTICATE_MESSAGE ([MS-NLMP] 2.2.1.3), the bytes of it that matter kept as received."""

    nt_response: bytes
    domain: str
    user: str
    encrypted_random_session_key: bytes
    flags: int
    raw: bytes

    @classmethod
    def parse(cls, message: bytes) -> Authenticate:
        """Parse; raises NtlmError."""
        if len(message) < _AUTHENTICATE_FIXED or message_type(message) != 3:
            raise NtlmError("no AUTHENTICATE_MESSAGE")

        def part(at: int) -> bytes:
            length, _maximum, offset = _FIELD.unpack_from(message, at)
            if length and (offset < _AUTHENTICATE_FIXED or offset + length > len(message)):
                raise NtlmError("field outside AUTHENTICATE_MESSAGE")
            return message[offset : offset + length] if length else b""

        def text(at: int) -> str:
            try:
                return part(at).decode("utf-16-le", "surrogatepass")
            except UnicodeDecodeError:
                raise NtlmError("name that is not UTF-16") from None

        flags = int.from_bytes(message[60:64], "little")
        return cls(part(20), text(28), text(36), part(52), flags, message)

    @property
    def anonymous(self) -> bool:
        """[MS-NLMP] 3.2.5.1.2: no user name and no NT response."""
        return not self.user and not self.nt_response

    @property
    def mic_present(self) -> bool:
        """Does MsvAvFlags, which the proof covers, promise a MIC?"""
        info = self.nt_response[_PROOF_SIZE + _CLIENT_CHALLENGE_FIXED :]
        flags = _av_pairs(info).get(AvId.MsvAvFlags, b"")
        return bool(int.from_bytes(flags, "little") & _MIC_PRESENT)


def _av_pairs(info: bytes) -> dict[int, bytes]:
    """AV_PAIRs up to MsvAvEOL."""
    pairs: dict[int, bytes] = {}
    position = 0
    while position + 4 <= len(info):
        av = int.from_bytes(info[position : position + 2], "little")
        length = int.from_bytes(info[position + 2 : position + 4], "little")
        position += 4
        if av == AvId.MsvAvEOL:
            break
        if position + length > len(info):
            raise NtlmError("AV_PAIR longer than its list")
        pairs[av] = info[position : position + length]
        position += length
    return pairs


def session_base_key(
    message: Authenticate, verifier: bytes, server_challenge: bytes
) -> bytes | None:
    """SessionBaseKey if the proof is right, else None ([MS-NLMP] 3.3.2).

    NTProofStr is computed over the client's blob exactly as received: re-encoding it would reject
    clients whose encoding differs in a byte that means nothing.
    """
    response = message.nt_response
    if len(response) < _PROOF_SIZE + _CLIENT_CHALLENGE_FIXED:
        return None
    key = ntowf_v2(verifier, message.user, message.domain)
    proof = hmac.digest(key, server_challenge + response[_PROOF_SIZE:], "md5")
    if not hmac.compare_digest(proof, response[:_PROOF_SIZE]):
        return None
    return hmac.digest(key, proof, "md5")


def exported_session_key(message: Authenticate, base_key: bytes) -> bytes:
    """ExportedSessionKey ([MS-NLMP] 3.1.5.1.2): the base key, or what it decrypts."""
    if not message.flags & NegotiateFlags.NTLMSSP_NEGOTIATE_KEY_EXCH:
        return base_key
    if len(message.encrypted_random_session_key) != 16:
        raise NtlmError("EncryptedRandomSessionKey that is not 16 bytes")
    return rc4(base_key, message.encrypted_random_session_key)


def mic_is_right(message: Authenticate, key: bytes, negotiate: bytes, challenge: bytes) -> bool:
    """Check the MIC over the three messages ([MS-NLMP] 3.2.5.1.2)."""
    raw = message.raw
    if len(raw) < _MIC_AT + _MIC_SIZE:
        return False
    zeroed = raw[:_MIC_AT] + b"\0" * _MIC_SIZE + raw[_MIC_AT + _MIC_SIZE :]
    mic = hmac.digest(key, negotiate + challenge + zeroed, "md5")
    return hmac.compare_digest(mic, raw[_MIC_AT : _MIC_AT + _MIC_SIZE])


# --- GSS_GetMIC, for SPNEGO's mechListMIC ([MS-NLMP] 3.4.4.2) --------------------------------

_CLIENT_SIGN: Final = b"session key to client-to-server signing key magic constant\0"
_SERVER_SIGN: Final = b"session key to server-to-client signing key magic constant\0"
_CLIENT_SEAL: Final = b"session key to client-to-server sealing key magic constant\0"
_SERVER_SEAL: Final = b"session key to server-to-client sealing key magic constant\0"


def get_mic(key: bytes, flags: int, data: bytes, *, from_client: bool) -> bytes:
    """Signature with sequence number 0 of either side, extended session security."""
    sign_magic, seal_magic = (
        (_CLIENT_SIGN, _CLIENT_SEAL) if from_client else (_SERVER_SIGN, _SERVER_SEAL)
    )
    sign_key = hashlib.md5(key + sign_magic, usedforsecurity=False).digest()
    checksum = hmac.digest(sign_key, pack("<I", 0) + data, "md5")[:8]
    if flags & NegotiateFlags.NTLMSSP_NEGOTIATE_KEY_EXCH:
        seal_key = hashlib.md5(_weakened(key, flags) + seal_magic, usedforsecurity=False).digest()
        checksum = rc4(seal_key, checksum)
    return pack("<I", 1) + checksum + pack("<I", 0)


def _weakened(key: bytes, flags: int) -> bytes:
    """SEALKEY's key material for 128, 56 or 40 bits ([MS-NLMP] 3.4.5.3)."""
    if flags & NegotiateFlags.NTLMSSP_NEGOTIATE_128:
        return key
    return key[:7] if flags & NegotiateFlags.NTLMSSP_NEGOTIATE_56 else key[:5]
