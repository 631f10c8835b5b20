"""Closing, and what it deletes ([MS-FSA] 2.1.5.5)."""

from __future__ import annotations

import contextlib
import os
import stat

from notify_server.fs import xattrs
from notify_server.fs.api import Handle
from notify_server.fs.feed import Kind
from notify_server.fs.handle import LocalHandle
from notify_server.fs.local.base import (
    StoreBase,
    as_local,
    check_deletable,
    expect_attrib,
    statuses,
)
from notify_server.fs.names import to_wire
from notify_server.notify.change import DirectoryDoomed
from notify_server.notify.classes import Operation as Done
from notify_server.notify.classes import done, removed
from notify_server.wire.status import NtStatus, StatusError


class Closing(StoreBase):
    """Store.close and Store.set_delete_pending."""

    def close(self, handle: Handle) -> None:
        local = as_local(handle)
        if local.fd < 0:
            return
        with contextlib.suppress(StatusError, OSError), self.files.lock:
            try:
                if local.delete_on_close:
                    # Whatever comes of it, the file is one open less: else none would be its last.
                    with contextlib.suppress(StatusError, OSError):
                        self._delete_on_close(local)
                self.files.remove(local.file, local)
                if local.link.delete_pending and not local.link.opens:
                    self._delete(local)
                elif local.file.take_doomed(local.stream):
                    self._delete_stream(local)
            finally:
                if local.watched is not None:
                    self.feed.unwatch(local.watched)
                    local.watched = None
                local.close_descriptor()

    def _delete_on_close(self, handle: LocalHandle) -> None:
        """[MS-FSA] 2.1.5.5 phase 1: a directory only if it is empty by now."""
        if handle.stream:
            handle.file.doomed_streams.add(handle.stream)
        elif not handle.is_directory or not os.listdir(handle.proc):
            self._doom(handle)

    def _doom(self, handle: LocalHandle) -> None:
        if not handle.link.delete_pending:
            handle.link.delete_pending = True
            self._tell_doomed(handle, undone=False)

    def _tell_doomed(self, handle: LocalHandle, *, undone: bool) -> None:
        """Of a directory; one that was removed beside us has no path, and its watches ended."""
        if handle.is_directory and not handle.is_removed:
            path = os.readlink(handle.proc)
            self.feed.tell(DirectoryDoomed(to_wire(path), undone=undone))

    def _delete(self, handle: LocalHandle) -> None:
        directory, name = handle.where()
        parent = self.parent_of(handle, directory, name)
        is_directory = stat.S_ISDIR(os.fstat(handle.fd).st_mode)  # also where a stream is open
        try:
            with self.feed.operation() as operation:
                remove = os.rmdir if is_directory else os.unlink
                with (
                    self.resolver.changing(parent, drop=name),
                    operation.call((directory, name, Kind.DELETE)),
                ):
                    remove(os.fsencode(name), dir_fd=parent)
                operation.happened(
                    removed(to_wire(directory), to_wire(name), is_directory=is_directory)
                )
        finally:
            os.close(parent)

    def _delete_stream(self, handle: LocalHandle) -> None:
        directory, name = handle.where()
        with self.feed.operation() as operation:
            expect_attrib(operation, directory, name)
            xattrs.remove_stream(handle.proc, handle.stream)
            operation.happened(
                done(Done.STREAM_REMOVED, to_wire(directory), f"{to_wire(name)}:{handle.stream}")
            )

    def set_delete_pending(self, handle: Handle, pending: bool) -> None:
        local = as_local(handle)
        with statuses(), self.files.lock:
            if local.stream:
                change = set.add if pending else set.discard
                change(local.file.doomed_streams, local.stream)
                return
            if not pending:
                if local.link.delete_pending:
                    local.link.delete_pending = False
                    self._tell_doomed(local, undone=True)
                return
            dos = xattrs.get_dos(local.proc)
            check_deletable(self, os.fstat(local.fd), dos[0] if dos else 0)
            if local.is_directory and os.listdir(local.proc):
                raise StatusError(NtStatus.STATUS_DIRECTORY_NOT_EMPTY)
            self._doom(local)
