"""Recording a scenario: connections, handles, and the requests on them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lab.scenarios import model
from lab.scenarios.changes import Changes
from lab.scenarios.fields import (
    ALL_FF,
    FILE_CREATE,
    FILE_DIRECTORY_FILE,
    FILE_LIST_DIRECTORY,
    FILE_NON_DIRECTORY_FILE,
    FILE_OPEN,
    FILE_READ_ATTRIBUTES,
    GENERIC_READ,
    SHARE_ALL,
)
from lab.scenarios.model import Request, Scalar
from lab.scenarios.replies import Collected, Notify, Reply

if TYPE_CHECKING:
    from lab.scenarios.script import Script

SUCCESS = ("STATUS_SUCCESS",)


@dataclass(frozen=True)
class Conn(Changes):
    """A connection with one session; `tree` names another tree connect than its first."""

    script: Script
    name: str
    tree: str = ""

    # -- single requests ------------------------------------------------------------------------

    def send(self, *requests: Request, note: str = "") -> None:
        """One request, or a compound of several, as one transport message."""
        addressed = tuple(replace(request, tree=self.tree) for request in requests)
        self.script.step(model.Send(self.name, addressed, note=note))

    def attempt(self, request: Request, *statuses: str, note: str, because: str = "") -> None:
        """A request whose answer is judged, not presupposed."""
        self.send(replace(request, must=()), note=f"{self.name}: {note}")
        Reply(self.script, request.ref, "final").status(*statuses, because=because)

    def echo(self, *, override: Mapping[str, Scalar] | None = None) -> None:
        request = Request(
            "ECHO", self.script.fresh("echo"), must=SUCCESS, override=_fields(override)
        )
        self.send(request, note=f"{self.name}: ECHO")

    def create_request(
        self,
        path: str,
        opens: str,
        *,
        access: int,
        share: int = SHARE_ALL,
        disposition: int = FILE_OPEN,
        options: int = 0,
        maximal_access: bool = False,
        must: Sequence[str] = SUCCESS,
        override: Mapping[str, Scalar] | None = None,
    ) -> Request:
        return Request(
            "CREATE",
            self.script.fresh("create"),
            body=(
                ("path", path),
                ("desired_access", access),
                ("share_access", share),
                ("create_disposition", disposition),
                ("create_options", options),
                ("maximal_access", maximal_access),
            ),
            opens=opens,
            must=tuple(must),
            override=_fields(override),
        )

    def open(self, path: str, **create: Any) -> Open:
        """Open what exists; `create` as in `create_request`."""
        return self.opened(f"open {path or 'the directory'}", path, **create)

    def open_directory(
        self, path: str = "", *, access: int = FILE_LIST_DIRECTORY | FILE_READ_ATTRIBUTES
    ) -> Open:
        return self.open(path, access=access, options=FILE_DIRECTORY_FILE)

    def open_and_notify(
        self, path: str, *, create: Mapping[str, Any], notify: Mapping[str, Any]
    ) -> tuple[Open, Notify]:
        """CREATE and, related to it, CHANGE_NOTIFY with an all-FF FileId, in one compound."""
        opened = Open(self, self.script.fresh("open"))
        request = opened.notify_request(**notify)
        request = replace(request, file=ALL_FF, related=True)
        self.send(
            self.create_request(path, opened.name, **create),
            request,
            note=f"{self.name}: compound CREATE {path or 'the directory'} + CHANGE_NOTIFY",
        )
        return opened, Notify(self, request.ref)

    # -- session and tree -----------------------------------------------------------------------

    def tree_connect(self, share: str = "") -> Conn:
        """The same session, through another tree connect to the share, or to another share."""
        name = self.script.fresh("tree")
        request = Request(
            "TREE_CONNECT", self.script.fresh("tcon"), opens=name, must=SUCCESS, share=share
        )
        self.send(request, note=f"{self.name}: TREE_CONNECT {share} as {name}")
        return replace(self, tree=name)

    def reauthenticate(self, *statuses: str, valid: bool) -> None:
        """A logon within this session, which has to end with one of `statuses`."""
        password = "the right" if valid else "a wrong"
        note = f"{self.name}: logs on again in its session with {password} password"
        self.script.step(model.Reauthenticate(self.name, valid, statuses, note=note))

    @contextlib.contextmanager
    def corked(self) -> Iterator[None]:
        """What is sent in the block leaves in one piece at its end: nothing may wait in it."""
        self.script.step(model.Cork(self.name, True))
        yield
        self.script.step(
            model.Cork(self.name, False, note=f"{self.name}: all of that in one piece")
        )

    def tree_disconnect(self) -> None:
        request = Request("TREE_DISCONNECT", self.script.fresh("tdis"))
        self.attempt(
            request, "STATUS_SUCCESS", note=f"TREE_DISCONNECT of {self.tree or 'its tree'}"
        )

    def begin_tree_disconnect(self) -> Request:
        """Send TREE_DISCONNECT and do not wait for it."""
        request = Request("TREE_DISCONNECT", self.script.fresh("tdis"), wait=False)
        self.send(request, note=f"{self.name}: begin TREE_DISCONNECT of {self.tree or 'its tree'}")
        return request

    def begin_log_off(self) -> Request:
        """Send LOGOFF and do not wait for it."""
        request = Request("LOGOFF", self.script.fresh("logoff"), wait=False)
        self.send(request, note=f"{self.name}: begin LOGOFF")
        return request

    def log_off(self) -> None:
        request = Request("LOGOFF", self.script.fresh("logoff"))
        self.attempt(request, "STATUS_SUCCESS", note="LOGOFF")

    def drop(self) -> None:
        """Close the TCP connection without a word."""
        self.script.step(model.Drop(self.name, note=f"{self.name}: the connection is lost"))

    def cancel_unknown(self, *, async_id: int = 0, message_id: int = 0) -> None:
        """CANCEL that names nothing that waits."""
        what = f"AsyncId {async_id}" if async_id else f"MessageId {message_id}"
        self.script.step(
            model.Cancel(
                self.name,
                "",
                async_id=async_id,
                message_id=message_id,
                note=f"{self.name}: CANCEL of {what}, which nothing has",
            )
        )

    def begin_create_file(self, path: str) -> Begun:
        """Send the CREATE of a new file and do not wait for it."""
        name = self.script.fresh("open")
        request = self.create_request(
            path,
            name,
            access=GENERIC_READ,
            disposition=FILE_CREATE,
            options=FILE_NON_DIRECTORY_FILE,
        )
        self.send(replace(request, wait=False), note=f"{self.name}: begin to create {path}")
        return Begun(request.ref, Open(self, name))

    def finish(self, begun: Begun) -> None:
        """Wait for what was begun, which must succeed, and close the file."""
        self.script.step(model.Wait(self.name, begun.ref, must=SUCCESS))
        begun.opened.close()

    def wait_for(self, request: Request) -> Reply:
        """Wait for the final response to a request of a compound."""
        self.script.step(model.Wait(self.name, request.ref))
        return Reply(self.script, request.ref, "final")

    def opened(self, note: str, path: str, **create: Any) -> Open:
        name = self.script.fresh("open")
        request = self.create_request(path, name, **create)
        self.send(request, note=f"{self.name}: {note}")
        return Open(self, name)


@dataclass(frozen=True)
class Begun:
    """A CREATE on its way."""

    ref: str
    opened: Open


@dataclass(frozen=True)
class Open:
    """An open file or directory, by its name in the scenario."""

    conn: Conn
    name: str

    def close(self) -> None:
        request = Request("CLOSE", self.conn.script.fresh("close"), file=self.name, must=SUCCESS)
        self.conn.send(request)

    def begin_close(self) -> Request:
        """Send CLOSE and do not wait for it."""
        request = Request("CLOSE", self.conn.script.fresh("close"), file=self.name, wait=False)
        self.conn.send(request, note=f"{self.conn.name}: begin to close {self.name}")
        return request

    def close_expecting(self, *statuses: str) -> Reply:
        """CLOSE whose answer is judged, not presupposed."""
        request = Request("CLOSE", self.conn.script.fresh("close"), file=self.name)
        self.conn.send(request, note=f"{self.conn.name}: close {self.name}")
        reply = Reply(self.conn.script, request.ref, "final")
        reply.status(*statuses)
        return reply

    def set_info(self, info_class: int, **body: Scalar) -> None:
        request = Request(
            "SET_INFO",
            self.conn.script.fresh("setinfo"),
            body=(("file_info_class", info_class), *body.items()),
            file=self.name,
            must=SUCCESS,
        )
        self.conn.send(request)

    def write(self, length: int, offset: int = 0) -> None:
        request = Request(
            "WRITE",
            self.conn.script.fresh("write"),
            body=(("length", length), ("offset", offset)),
            file=self.name,
            must=SUCCESS,
        )
        self.conn.send(request)

    def notify_request(
        self,
        completion_filter: int,
        *,
        tree: bool = False,
        length: int = 4096,
        override: Mapping[str, Scalar] | None = None,
    ) -> Request:
        return Request(
            "CHANGE_NOTIFY",
            self.conn.script.fresh("notify"),
            body=_notify_body(completion_filter, tree, length),
            file=self.name,
            wait=False,
            override=_fields(override),
        )

    def notify(
        self,
        completion_filter: int,
        *,
        tree: bool = False,
        length: int = 4096,
        override: Mapping[str, Scalar] | None = None,
    ) -> Notify:
        request = self.notify_request(
            completion_filter, tree=tree, length=length, override=override
        )
        watch = "tree of " if tree else ""
        self.conn.send(
            request,
            note=f"{self.conn.name}: CHANGE_NOTIFY {request.ref} on {watch}{self.name}, "
            f"filter 0x{completion_filter:x}, {length} bytes",
        )
        return Notify(self.conn, request.ref)

    def collect(
        self,
        completion_filter: int,
        *,
        tree: bool = False,
        length: int = 4096,
        until: str = "",
        first: Notify | None = None,
    ) -> Collected:
        """Re-arm until a record named `until` came, or (if empty) until a request stays parked."""
        script = self.conn.script
        ref = script.fresh("collect")
        script.step(
            model.Collect(
                self.conn.name,
                ref,
                self.name,
                _notify_body(completion_filter, tree, length),
                first=first.ref if first else "",
                until=until,
                note=f"{self.conn.name}: CHANGE_NOTIFY on {self.name} "
                + (f"until {until} is reported" if until else "until one stays parked"),
            )
        )
        return Collected(self.conn, ref)


def _notify_body(completion_filter: int, tree: bool, length: int) -> model.Fields:
    return (
        ("completion_filter", int(completion_filter)),
        ("watch_tree", tree),
        ("output_buffer_length", length),
    )


def _fields(mapping: Mapping[str, Scalar] | None) -> model.Fields:
    return tuple((mapping or {}).items())
