"""The acceptor of one authentication exchange: SPNEGO outside, NTLMv2 inside, no I/O.

    START ──NegTokenInit without NTLM token──► START         (MIC then required)
    START ──NEGOTIATE_MESSAGE──► CHALLENGED ──AUTHENTICATE_MESSAGE──► accepted or LogonError

Tokens may also come as bare NTLMSSP, without SPNEGO; the answers then are bare as well.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from notify_server.auth import ntlm, spnego
from notify_server.auth.der import DerError
from notify_server.auth.spnego import NTLMSSP_OID, NegState


class LogonError(Exception):
    """The logon fails; the reason is for the log, never for the client."""


class TokenError(LogonError):
    """It fails because the token is not what an exchange like this consists of."""


@dataclass(slots=True, frozen=True)
class Identity:
    """Somebody who logged on; `anonymous` only where the configuration allows it."""

    user: str
    domain: str = ""
    anonymous: bool = False


@dataclass(slots=True)
class Step:
    """What to answer: a token, and once the logon is complete who it is and the session key."""

    token: bytes
    identity: Identity | None = None
    session_key: bytes = field(default=b"", repr=False)


# Stands in for the verifier of a user that does not exist, so that both cost the same.
_NOBODY: Final = b"\xa5" * 16


class Acceptor:
    """One exchange. Feed it tokens until a Step has an identity, or LogonError is raised.

    `verifiers` maps lower-cased user names to NT hashes; `challenge` is 8 random bytes and
    `filetime` the present, both given by the caller.
    """

    __slots__ = (
        "_allow_anonymous",
        "_challenge",
        "_challenge_message",
        "_filetime",
        "_mech_types",
        "_mic_required",
        "_negotiate_message",
        "_server_name",
        "_verifiers",
    )

    def __init__(
        self,
        verifiers: Mapping[str, bytes],
        server_name: str,
        challenge: bytes,
        filetime: int,
        *,
        allow_anonymous: bool = False,
    ) -> None:
        self._verifiers = verifiers
        self._server_name = server_name
        self._challenge = challenge
        self._filetime = filetime
        self._allow_anonymous = allow_anonymous
        self._mech_types: bytes | None = None
        self._mic_required = False
        self._negotiate_message = b""
        self._challenge_message = b""

    def step(self, token: bytes) -> Step:
        """Take the client's next token; raises LogonError."""
        try:
            if token.startswith(ntlm.SIGNATURE):
                return self._bare(token)
            return self._wrapped(spnego.parse(token))
        except (DerError, ntlm.NtlmError) as error:
            raise TokenError(str(error)) from error

    def _bare(self, token: bytes) -> Step:
        if ntlm.message_type(token) == 1:
            return Step(self._challenge_for(token))
        identity, key, _message = self._authenticate(token)
        return Step(b"", identity, key)

    def _wrapped(self, token: spnego.NegTokenInit | spnego.NegTokenResp) -> Step:
        if isinstance(token, spnego.NegTokenInit):
            return self._first(token)
        if not token.response_token:
            raise LogonError("SPNEGO token without an NTLM message")
        if ntlm.message_type(token.response_token) == 1:
            answer = self._challenge_for(token.response_token)
            return Step(spnego.neg_token_resp(NegState.ACCEPT_INCOMPLETE, response_token=answer))
        identity, key, message = self._authenticate(token.response_token)
        mic = self._mech_list_mic(token.mech_list_mic, key, message)
        return Step(
            spnego.neg_token_resp(NegState.ACCEPT_COMPLETED, mech_list_mic=mic), identity, key
        )

    def _first(self, token: spnego.NegTokenInit) -> Step:
        if NTLMSSP_OID not in token.mechanisms:
            raise LogonError("the client offers no NTLMSSP")
        self._mech_types = token.mech_types
        if token.mechanisms[0] != NTLMSSP_OID or not token.mech_token:
            # The optimistic token, if there is one, is for another mechanism (RFC 4178 5).
            self._mic_required = token.mechanisms[0] != NTLMSSP_OID
            state = NegState.REQUEST_MIC if self._mic_required else NegState.ACCEPT_INCOMPLETE
            return Step(spnego.neg_token_resp(state, supported_mech=NTLMSSP_OID))
        if ntlm.message_type(token.mech_token) != 1:
            raise LogonError("the first NTLM message is no NEGOTIATE_MESSAGE")
        return Step(
            spnego.neg_token_resp(
                NegState.ACCEPT_INCOMPLETE,
                supported_mech=NTLMSSP_OID,
                response_token=self._challenge_for(token.mech_token),
            )
        )

    def _challenge_for(self, message: bytes) -> bytes:
        self._negotiate_message = message
        self._challenge_message = ntlm.build_challenge(
            ntlm.negotiate_flags(message), self._challenge, self._server_name, self._filetime
        )
        return self._challenge_message

    def _authenticate(self, token: bytes) -> tuple[Identity, bytes, ntlm.Authenticate]:
        if not self._challenge_message:
            raise LogonError("AUTHENTICATE_MESSAGE before a challenge")
        message = ntlm.Authenticate.parse(token)
        if message.anonymous:
            if not self._allow_anonymous:
                raise LogonError("anonymous logon is not allowed")
            return Identity("", anonymous=True), b"\0" * 16, message
        verifier = self._verifiers.get(message.user.lower())
        base = ntlm.session_base_key(message, verifier or _NOBODY, self._challenge)
        if base is None or verifier is None:
            raise LogonError(f"unknown user or wrong password for {message.user[:64]!r}")
        key = ntlm.exported_session_key(message, base)
        if message.mic_present and not ntlm.mic_is_right(
            message, key, self._negotiate_message, self._challenge_message
        ):
            raise LogonError("the MIC over the NTLM messages is wrong")
        # A second AUTHENTICATE_MESSAGE may not reuse this challenge.
        self._challenge_message = b""
        return Identity(message.user, message.domain), key, message

    def _mech_list_mic(
        self, received: bytes | None, key: bytes, message: ntlm.Authenticate
    ) -> bytes | None:
        """Check the client's mechListMIC and make ours, both over the encoded mechanism list."""
        if received is None:
            if self._mic_required:
                raise LogonError("mechListMIC is missing")
            return None
        listed = self._mech_types or b""
        expected = ntlm.get_mic(key, message.flags, listed, from_client=True)
        if not hmac.compare_digest(expected, received):
            raise LogonError("mechListMIC is wrong")
        return ntlm.get_mic(key, message.flags, listed, from_client=False)
