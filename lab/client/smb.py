"""Everything that impacket does for us: NTLMv2 in SPNEGO, key derivation, ciphers.

impacket's own SMB client is not used. Its receive loop swallows STATUS_PENDING and never checks a
signature; its send path overwrites Flags, and with them the ASYNC bit of a CANCEL, and wants a
TreeID that async packets lack; its CANCEL carries no AsyncId. A scenario needs all of these.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import Any

from Cryptodome.Cipher import AES
from Cryptodome.Hash import CMAC
from impacket import ntlm
from impacket.crypto import KDF_CounterMode
from impacket.spnego import SPNEGO_NegTokenInit, SPNEGO_NegTokenResp, TypesMech

from lab.scenarios.model import Command, HeaderFlags

SIGNING_ALGORITHMS = {"HMAC-SHA256": 0, "AES-CMAC": 1, "AES-GMAC": 2}  # MS-SMB2 2.2.3.1.7
FLAGS_OFFSET = 16
MESSAGE_ID_OFFSET = 24
SIGNATURE_OFFSET = 48


class Logon:
    """One NTLMv2 logon: two tokens out, one in, and a session key at the end."""

    def __init__(self, user: str, password: str, domain: str = "") -> None:
        self.user = user
        self.password = password
        self.domain = domain
        self.session_key = b""
        self._type1: Any = None

    def first_token(self) -> bytes:
        self._type1 = ntlm.getNTLMSSPType1("", "", True)
        token = SPNEGO_NegTokenInit()
        token["MechTypes"] = [TypesMech["NTLMSSP - Microsoft NTLM Security Support Provider"]]
        token["MechToken"] = self._type1.getData()
        return bytes(token.getData())

    def second_token(self, challenge: bytes) -> bytes:
        received = SPNEGO_NegTokenResp(challenge)
        type3, self.session_key = ntlm.getNTLMSSPType3(
            self._type1, received["ResponseToken"], self.user, self.password, self.domain
        )
        token = SPNEGO_NegTokenResp()
        token["ResponseToken"] = type3.getData()
        return bytes(token.getData())


def preauth_hash(previous: bytes, message: bytes) -> bytes:
    """The next PreauthIntegrityHashValue, SHA-512 (MS-SMB2 3.1.4.4.1)."""
    return hashlib.sha512(previous + message).digest()


def signing_key(dialect: int, session_key: bytes, preauth: bytes) -> bytes:
    """Session.SigningKey (MS-SMB2 3.1.4.2)."""
    if dialect < 0x0300:
        return session_key
    label, context = (
        (b"SMBSigningKey\0", preauth) if dialect == 0x0311 else (b"SMB2AESCMAC\0", b"SmbSign\0")
    )
    return bytes(KDF_CounterMode(session_key, label, context, 128))


@dataclass(frozen=True)
class Signer:
    """Signs and checks whole PDUs, padding included (MS-SMB2 3.1.4.1)."""

    algorithm: str
    key: bytes

    def signature(self, pdu: bytes) -> bytes:
        blank = pdu[:SIGNATURE_OFFSET] + bytes(16) + pdu[SIGNATURE_OFFSET + 16 :]
        if self.algorithm == "HMAC-SHA256":
            return hmac.new(self.key, blank, hashlib.sha256).digest()[:16]
        if self.algorithm == "AES-CMAC":
            return CMAC.new(self.key, blank, AES).digest()
        return AES.new(self.key, AES.MODE_GCM, nonce=_gmac_nonce(pdu)).update(blank).digest()

    def sign(self, pdu: bytes) -> bytes:
        flags = int.from_bytes(pdu[FLAGS_OFFSET : FLAGS_OFFSET + 4], "little")
        signed = (flags | HeaderFlags.SMB2_FLAGS_SIGNED).to_bytes(4, "little")
        pdu = pdu[:FLAGS_OFFSET] + signed + pdu[FLAGS_OFFSET + 4 :]
        return pdu[:SIGNATURE_OFFSET] + self.signature(pdu) + pdu[SIGNATURE_OFFSET + 16 :]

    def verify(self, pdu: bytes) -> bool:
        claimed = pdu[SIGNATURE_OFFSET : SIGNATURE_OFFSET + 16]
        return hmac.compare_digest(self.signature(pdu), claimed)


TRANSFORM = struct.Struct("<4s16s16sIHHQ")  # MS-SMB2 2.2.41
TRANSFORM_ID = b"\xfdSMB"
AAD_OFFSET = 20  # from the nonce on, the header is authenticated
ENCRYPTED = 1
CIPHERS = {  # name: (id of MS-SMB2 2.2.3.1.2, bytes of the key, bytes of the nonce)
    "AES-128-CCM": (1, 16, 11),
    "AES-128-GCM": (2, 16, 12),
    "AES-256-CCM": (3, 32, 11),
    "AES-256-GCM": (4, 32, 12),
}


class BadSeal(Exception):
    """A sealed message cannot be opened; the text says why."""


@dataclass(frozen=True)
class Sealer:
    """Seals what the client sends and opens what the server sealed (MS-SMB2 3.1.4.3, 3.1.5.1)."""

    cipher: str
    session_id: int
    outgoing: bytes
    incoming: bytes

    def _aes(self, key: bytes, nonce: bytes) -> Any:
        mode = AES.MODE_CCM if self.cipher.endswith("CCM") else AES.MODE_GCM
        return AES.new(key, mode, nonce=nonce[: CIPHERS[self.cipher][2]], mac_len=16)

    def seal(self, message: bytes, nonce: bytes) -> bytes:
        """`nonce` is as long as the cipher's and never used twice with one key."""
        padded = nonce.ljust(16, b"\0")
        size = len(message)
        head = TRANSFORM.pack(TRANSFORM_ID, bytes(16), padded, size, 0, ENCRYPTED, self.session_id)
        aes = self._aes(self.outgoing, padded)
        aes.update(head[AAD_OFFSET:])
        sealed, tag = aes.encrypt_and_digest(message)
        return head[:4] + bytes(tag) + head[AAD_OFFSET:] + bytes(sealed)

    def unseal(self, message: bytes) -> bytes:
        """The message inside; raises `BadSeal` for a header or a signature that is wrong."""
        if len(message) < TRANSFORM.size:
            raise BadSeal(f"{len(message)} bytes are too few for a TRANSFORM_HEADER")
        _, tag, nonce, size, _, flags, session_id = TRANSFORM.unpack_from(message)
        sealed = message[TRANSFORM.size :]
        if flags != ENCRYPTED:
            raise BadSeal(f"TRANSFORM_HEADER: Flags 0x{flags:x}")
        if session_id != self.session_id:
            raise BadSeal(f"TRANSFORM_HEADER: SessionId 0x{session_id:x}")
        if size != len(sealed):
            raise BadSeal(f"TRANSFORM_HEADER: OriginalMessageSize {size} of {len(sealed)} bytes")
        aes = self._aes(self.incoming, nonce)
        aes.update(message[AAD_OFFSET : TRANSFORM.size])
        try:
            return bytes(aes.decrypt_and_verify(sealed, tag))
        except ValueError as error:
            raise BadSeal(f"the {self.cipher} signature is wrong") from error


def sealer(
    cipher: str, dialect: int, session_id: int, session_key: bytes, preauth: bytes
) -> Sealer:
    """Session.EncryptionKey and DecryptionKey, as the client names them (MS-SMB2 3.1.4.2)."""
    newest = dialect == 0x0311
    labels = (
        ((b"SMBC2SCipherKey\0", preauth), (b"SMBS2CCipherKey\0", preauth))
        if newest
        else ((b"SMB2AESCCM\0", b"ServerIn \0"), (b"SMB2AESCCM\0", b"ServerOut\0"))
    )
    bits = CIPHERS[cipher][1] * 8
    outgoing, incoming = (
        bytes(KDF_CounterMode(session_key, label, context, bits)) for label, context in labels
    )
    return Sealer(cipher, session_id, outgoing, incoming)


def _gmac_nonce(pdu: bytes) -> bytes:
    """MessageId, then bit 0 for a sender that is the server, bit 1 for CANCEL (MS-SMB2 3.1.4.1)."""
    command = int.from_bytes(pdu[12:14], "little")
    role = pdu[FLAGS_OFFSET] & HeaderFlags.SMB2_FLAGS_SERVER_TO_REDIR
    cancel = 2 if command == Command.CANCEL else 0
    message_id = pdu[MESSAGE_ID_OFFSET : MESSAGE_ID_OFFSET + 8]
    return message_id + (role | cancel).to_bytes(4, "little")
