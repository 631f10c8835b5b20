"""QUERY_DIRECTORY (3.3.5.18)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from notify_server.core.directory_info import LAYOUTS, pack_entries
from notify_server.core.model import Listing, Open
from notify_server.core.negotiation import io_size
from notify_server.core.outcome import Job, Outcome, Reply, Wait
from notify_server.wire.constants import AccessMask, QueryDirectoryFlags
from notify_server.wire.query import QueryDirectoryRequest, pack_buffer_response
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.request import Request

_LIST: Final = int(AccessMask.FILE_LIST_DIRECTORY)
_AFRESH: Final = int(QueryDirectoryFlags.SMB2_RESTART_SCANS | QueryDirectoryFlags.SMB2_REOPEN)
_SINGLE: Final = int(QueryDirectoryFlags.SMB2_RETURN_SINGLE_ENTRY)


def query_directory(request: Request) -> Outcome:
    """Go on with the Open's listing, or begin one: names are read once, so none comes twice."""
    body = QueryDirectoryRequest.parse(request.message)
    opened = request.open(body.file_id)
    if body.output_buffer_length > io_size(request.connection):
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    request.check_charge(body.output_buffer_length)
    if not opened.is_directory:
        raise StatusError(NtStatus.STATUS_INVALID_PARAMETER)
    if not opened.granted_access & _LIST:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    if body.information_class not in LAYOUTS:
        raise StatusError(NtStatus.STATUS_INVALID_INFO_CLASS)
    if opened.turn is not None:
        return Wait(opened.turn, lambda _: query_directory(request))
    listing = opened.listing
    if listing is None or body.flags & _AFRESH:
        # The first expression holds until the listing is begun afresh with another.
        pattern = body.pattern or (listing.pattern if listing else "*")
        return _begin(request, opened, body, pattern)
    return _go_on(request, opened, body, listing, first=False)


def _begin(request: Request, opened: Open, body: QueryDirectoryRequest, pattern: str) -> Outcome:
    """Read the names; all listings of a server may hold a certain number of them."""
    server = request.connection.server
    server.drop_listing(opened)
    limit = server.config.bounds.listed - server.listed

    def then(names: list[str]) -> Outcome:
        if opened.closed:
            raise StatusError(NtStatus.STATUS_FILE_CLOSED)
        listing = opened.listing = Listing(names, pattern)
        server.listed += len(names)
        return _go_on(request, opened, body, listing, first=True)

    request.take_turn(opened)
    return Job(lambda: opened.store.names(opened.handle, pattern, limit), then, light=False)


def _go_on(
    request: Request, opened: Open, body: QueryDirectoryRequest, listing: Listing, *, first: bool
) -> Outcome:
    """Send what comes next, as it is now."""
    if listing.position >= len(listing.names):
        return _ended(request, opened, listing, first=first)
    layout = LAYOUTS[body.information_class]
    names = islice(listing.names, listing.position, None)

    def work() -> tuple[bytes, int]:
        entries = opened.store.entries(opened.handle, names)
        room, single = body.output_buffer_length, bool(body.flags & _SINGLE)
        return pack_entries(layout, entries, room, single=single)

    def then(packed: tuple[bytes, int]) -> Outcome:
        data, done = packed
        listing.position += done
        if data:
            return Reply(pack_buffer_response(data))
        if listing.position < len(listing.names):
            raise StatusError(NtStatus.STATUS_INFO_LENGTH_MISMATCH)
        return _ended(request, opened, listing, first=first)

    if request.turn_on is None:
        request.take_turn(opened)
    else:
        request.busy = opened
    return Job(work, then, light=False)


def _ended(request: Request, opened: Open, listing: Listing, *, first: bool) -> Outcome:
    """Nothing is left; a listing that found nothing is not begun either."""
    request.connection.server.drop_listing(opened)
    if first:
        raise StatusError(NtStatus.STATUS_NO_SUCH_FILE)
    opened.listing = Listing([], listing.pattern)
    raise StatusError(NtStatus.STATUS_NO_MORE_FILES)
