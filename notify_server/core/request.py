"""A request while it is worked on: what handlers are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from notify_server.core.model import Open, Session, Tree, file_number
from notify_server.wire.constants import RELATED_FILE_ID, HeaderFlags
from notify_server.wire.header import Header
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.chain import Chain
    from notify_server.core.connection import Connection

_RELATED: Final = int(HeaderFlags.SMB2_FLAGS_RELATED_OPERATIONS)
_SIGNED: Final = int(HeaderFlags.SMB2_FLAGS_SIGNED)
_CREDIT_UNIT: Final = 65536


@dataclass(slots=True, eq=False)
class Request:
    """One request while it is worked on."""

    chain: Chain
    header: Header
    message: bytes
    charge: int
    now: float
    session: Session | None = None
    tree: Tree | None = None
    cancelled: bool = False
    sign_response: bool = False  # whatever the policies say (3.3.5.5.3)
    busy: Open | None = None  # the Open whose job this request waits for
    turn_on: Open | None = None  # the Open on which other requests wait for this one
    async_id: int = 0  # of the interim response, if one was sent and the chain goes on after it
    stop: Callable[[float], None] | None = None  # ends its long wait, if it is in one

    @property
    def connection(self) -> Connection:
        """Where it came from."""
        return self.chain.connection

    @property
    def is_last(self) -> bool:
        """Only the last of a compound may become asynchronous (3.3.5.2.7.2)."""
        return self.chain.index == len(self.chain.messages) - 1

    @property
    def valid_session(self) -> Session:
        """The session, of a command whose table entry asks for one."""
        assert self.session is not None
        return self.session

    @property
    def valid_tree(self) -> Tree:
        """The tree, of a command whose table entry asks for one."""
        assert self.tree is not None
        return self.tree

    def open(self, file_id: bytes) -> Open:
        """The Open that a FileId names; all ones is the chain's (3.3.5.2.7.2)."""
        chain = self.chain
        if file_id == RELATED_FILE_ID and self.header.flags & _RELATED:
            if chain.failed_create is not None:
                raise StatusError(chain.failed_create)
            file_id = chain.file_id
        chain.file_id = file_id
        opened = self.valid_session.opens.get(file_number(file_id))
        if opened is None or opened.tree is not self.tree:
            raise StatusError(NtStatus.STATUS_FILE_CLOSED)
        return opened

    def check_charge(self, size: int) -> None:
        """Is CreditCharge enough for `size` bytes, sent or expected? (3.3.5.2.5)"""
        if (
            self.connection.supports_large_mtu
            and size > _CREDIT_UNIT
            and (size - 1) // _CREDIT_UNIT + 1 > self.header.credit_charge
        ):
            raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)

    def cancel(self, now: float) -> None:
        """CANCEL, or the end of its session or tree: no long wait goes on, and none begins."""
        self.cancelled = True
        if self.stop is not None:
            self.stop(now)

    def take_turn(self, opened: Open) -> None:
        """Have `opened` for this request; what comes behind waits in its `turn`."""
        opened.turn = []
        self.turn_on = self.busy = opened

    @property
    def to_sign(self) -> bool:
        """Is the response to be signed (3.3.4.1.1)?"""
        return (
            self.session is not None
            and self.session.keys is not None
            and self.chain.sealed_by is None
            and (
                self.session.signing_required
                or self.sign_response
                or bool(self.header.flags & _SIGNED)
            )
        )
