"""NEGOTIATE: dialect, signing, sealing, pre-authentication integrity (3.3.5.3, 3.3.5.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from notify_server.auth import spnego
from notify_server.auth.keys import EMPTY_PREAUTH, extend_preauth
from notify_server.core.config import Config, Encryption
from notify_server.core.outcome import Disconnect, Outcome, Reply
from notify_server.core.times import filetime
from notify_server.wire.constants import (
    Cipher,
    Dialect,
    GlobalCap,
    HashAlgorithm,
    NegotiateContextType,
    SecurityMode,
    SigningAlgorithm,
)
from notify_server.wire.negotiate import (
    NegotiateContext,
    NegotiateRequest,
    NegotiateResponse,
    cipher_context,
    parse_algorithms,
    parse_preauth_capabilities,
    parse_smb1_negotiate,
    preauth_context,
    signing_context,
)
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.connection import Connection
    from notify_server.core.request import Request

_SALT_SIZE: Final = 32
_SMALL_IO: Final = 65536
_SMB1_WILDCARD: Final = "SMB 2.???"
_SMB1_2_0_2: Final = "SMB 2.002"


def negotiate(request: Request) -> Outcome:
    """SMB2 NEGOTIATE (3.3.5.4)."""
    connection = request.connection
    if connection.negotiate_answered:
        raise Disconnect("a second NEGOTIATE")
    config = connection.server.config
    body = NegotiateRequest.parse(request.message)
    dialect = _choose(config.dialects, body.dialects)
    if dialect is None:
        raise StatusError(NtStatus.STATUS_NOT_SUPPORTED)
    contexts: list[NegotiateContext] = []
    sent = None
    if dialect == Dialect.SMB_3_1_1:
        contexts = _negotiate_contexts(connection, body)
        connection.preauth_hash = extend_preauth(EMPTY_PREAUTH, request.message)

        def sent(message: bytes) -> None:
            connection.preauth_hash = extend_preauth(connection.preauth_hash, message)

    elif dialect >= Dialect.SMB_3_0:
        connection.signing_algorithm = SigningAlgorithm.AES_CMAC
        if _seals(config, body) and Cipher.AES_128_CCM in config.ciphers:
            connection.cipher = Cipher.AES_128_CCM
    connection.client_negotiate = body
    connection.dialect = dialect
    connection.negotiate_answered = True
    connection.supports_large_mtu = dialect > Dialect.SMB_2_0_2
    return Reply(_response(connection, dialect, contexts, request.now), sent=sent)


def answer_smb1(connection: Connection, payload: bytes, now: float) -> bytes:
    """The body of the SMB2 answer to an SMB1 NEGOTIATE (3.3.5.3.1, 3.3.5.3.2)."""
    offered = parse_smb1_negotiate(payload)
    dialects = connection.server.config.dialects
    if _SMB1_WILDCARD in offered and max(dialects) > Dialect.SMB_2_0_2:
        # The client negotiates again, in SMB2; until then this is nobody's dialect.
        return _response(connection, Dialect.SMB_2_WILDCARD, (), now)
    if _SMB1_2_0_2 in offered and Dialect.SMB_2_0_2 in dialects:
        connection.dialect = Dialect.SMB_2_0_2
        connection.negotiate_answered = True
        return _response(connection, Dialect.SMB_2_0_2, (), now)
    raise Disconnect("a client that speaks SMB1 only")


def _choose(ours: Iterable[int], theirs: Sequence[int]) -> int | None:
    common = set(ours) & set(theirs)
    return max(common) if common else None


def _seals(config: Config, body: NegotiateRequest) -> bool:
    return config.encryption is not Encryption.OFF and bool(
        body.capabilities & GlobalCap.SMB2_GLOBAL_CAP_ENCRYPTION
    )


def _negotiate_contexts(connection: Connection, body: NegotiateRequest) -> list[NegotiateContext]:
    """Settle hash, cipher and signing of 3.1.1, and say so (3.3.5.4, 3.3.5.4.1)."""
    config = connection.server.config
    by_type: dict[int, bytes] = {}
    for context in body.contexts:
        if context.context_type in by_type:
            raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
        by_type[context.context_type] = context.data
    preauth = by_type.get(NegotiateContextType.SMB2_PREAUTH_INTEGRITY_CAPABILITIES)
    if preauth is None:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if HashAlgorithm.SHA_512 not in parse_preauth_capabilities(preauth):
        raise StatusError(NtStatus.STATUS_SMB_NO_PREAUTH_INTEGRITY_HASH_OVERLAP)
    answers = [preauth_context(HashAlgorithm.SHA_512, connection.server.random(_SALT_SIZE))]
    # Settled only when every context was understood: a NEGOTIATE that fails leaves nothing behind
    # for the one that the client may send next, in another dialect perhaps.
    cipher: int | None = None
    ciphers = by_type.get(NegotiateContextType.SMB2_ENCRYPTION_CAPABILITIES)
    if ciphers is not None and config.encryption is not Encryption.OFF:
        cipher = _first_common(config.ciphers, parse_algorithms(ciphers))
        answers.append(cipher_context(cipher or 0))
    algorithm: int = SigningAlgorithm.AES_CMAC
    signing = by_type.get(NegotiateContextType.SMB2_SIGNING_CAPABILITIES)
    if signing is not None:
        # The client's order decides (3.3.5.4); with nothing in common AES-CMAC stays.
        chosen = _first_common(parse_algorithms(signing), config.signing_algorithms)
        if chosen is not None:
            algorithm = chosen
            answers.append(signing_context(chosen))
    connection.cipher = cipher
    connection.signing_algorithm = algorithm
    return answers


def _first_common(preferred: Iterable[int], others: Iterable[int]) -> int | None:
    pool = set(others)
    return next((int(item) for item in preferred if item in pool), None)


def security_mode(config: Config) -> int:
    """SecurityMode that this server announces."""
    mode = SecurityMode.SMB2_NEGOTIATE_SIGNING_ENABLED
    if config.require_signing:
        mode |= SecurityMode.SMB2_NEGOTIATE_SIGNING_REQUIRED
    return int(mode)


def capabilities(connection: Connection, dialect: int) -> int:
    """Capabilities that this server announces: 3.1.1 speaks of ciphers in its contexts."""
    value = 0
    if dialect > Dialect.SMB_2_0_2:
        value |= GlobalCap.SMB2_GLOBAL_CAP_LARGE_MTU
    if dialect in (Dialect.SMB_3_0, Dialect.SMB_3_0_2) and connection.cipher is not None:
        value |= GlobalCap.SMB2_GLOBAL_CAP_ENCRYPTION
    return int(value)


def io_size(connection: Connection) -> int:
    """MaxTransactSize, MaxReadSize and MaxWriteSize of the connection."""
    size = connection.server.config.bounds.io_size
    return size if connection.supports_large_mtu else min(size, _SMALL_IO)


def _response(
    connection: Connection, dialect: int, contexts: Sequence[NegotiateContext], now: float
) -> bytes:
    config = connection.server.config
    size = io_size(connection)
    if dialect == Dialect.SMB_2_WILDCARD:
        size = config.bounds.io_size
    return NegotiateResponse(
        security_mode=security_mode(config),
        dialect=dialect,
        server_guid=config.server_guid,
        capabilities=capabilities(connection, dialect),
        max_transact_size=size,
        max_read_size=size,
        max_write_size=size,
        system_time=filetime(now),
        security_buffer=spnego.neg_token_init2(),
        contexts=contexts,
    ).pack()
