"""A share on a directory of this machine."""

from __future__ import annotations

import os

from notify_server.fs.api import Handle
from notify_server.fs.local.base import as_local, statuses
from notify_server.fs.local.closing import Closing
from notify_server.fs.local.data import Data
from notify_server.fs.local.information import Information
from notify_server.fs.local.listing import Listing
from notify_server.fs.local.naming import Naming
from notify_server.fs.local.opening import Opening
from notify_server.fs.names import to_wire
from notify_server.wire.status import NtStatus, StatusError

__all__ = ["LocalStore"]


class LocalStore(Opening, Closing, Data, Information, Naming, Listing):
    """Implements `api.Store`; each part is a module of its own."""

    def watch(self, handle: Handle, tree: bool) -> str:
        local = as_local(handle)
        with statuses():
            if local.delete_pending:
                raise StatusError(NtStatus.STATUS_DELETE_PENDING)
            path = os.readlink(local.proc)
            self.relative(path)  # else it would be watched wherever it was moved to
            if local.watched is None and not local.is_removed:
                local.watched = self.feed.watch(path, local.fd, tree, self.root)
            if local.is_removed:  # before it was watched: no event will say so
                raise StatusError(NtStatus.STATUS_DELETE_PENDING)
            return to_wire(path)
