"""QUERY_DIRECTORY (3.3.5.18)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from notify_server.core.directory_info import LAYOUTS, pack_entries
from notify_server.core.model import Listing, Open
from notify_server.core.negotiation import io_size
from notify_server.core.outcome import Job, Outcome, Reply
from notify_server.fs.api import Entry
from notify_server.wire.constants import AccessMask, QueryDirectoryFlags
from notify_server.wire.query import QueryDirectoryRequest, pack_buffer_response
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.chain import Request

_LIST: Final = int(AccessMask.FILE_LIST_DIRECTORY)
_AFRESH: Final = int(QueryDirectoryFlags.SMB2_RESTART_SCANS | QueryDirectoryFlags.SMB2_REOPEN)
_SINGLE: Final = int(QueryDirectoryFlags.SMB2_RETURN_SINGLE_ENTRY)


def query_directory(request: Request) -> Outcome:
    """Go on with the Open's listing, or begin one: a snapshot, so that nothing comes twice."""
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
    listing = opened.listing
    if listing is not None and not body.flags & _AFRESH:
        return _next(listing, body)
    # The expression of the first request holds until the listing is begun afresh with another.
    if listing is None or body.pattern:
        opened.listing_pattern = body.pattern or "*"
    pattern = opened.listing_pattern

    def then(entries: list[Entry]) -> Outcome:
        opened.listing = Listing(entries)
        return _first(opened, opened.listing, body)

    request.busy = opened
    return Job(lambda: opened.store.entries(opened.handle, pattern), then, light=False)


def _first(opened: Open, listing: Listing, body: QueryDirectoryRequest) -> Outcome:
    if not listing.entries:
        opened.listing = None
        raise StatusError(NtStatus.STATUS_NO_SUCH_FILE)
    return _next(listing, body)


def _next(listing: Listing, body: QueryDirectoryRequest) -> Outcome:
    if listing.position >= len(listing.entries):
        listing.entries = []
        raise StatusError(NtStatus.STATUS_NO_MORE_FILES)
    data, position = pack_entries(
        LAYOUTS[body.information_class],
        listing.entries,
        listing.position,
        body.output_buffer_length,
        single=bool(body.flags & _SINGLE),
    )
    if not data:
        raise StatusError(NtStatus.STATUS_INFO_LENGTH_MISMATCH)
    listing.position = position
    return Reply(pack_buffer_response(data))
