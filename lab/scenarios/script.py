"""Recording a scenario: the vocabulary in which the catalogue is written.

    @scenario("G1", title="...", cites=["MS-SMB2 3.3.5.16"], rests_on="MS-SMB2")
    def cancel_by_async_id(s: Script) -> None:
        watcher = s.connect("watcher")
        parked = watcher.open_directory().notify(FILE_NAME)
        parked.interim()
        parked.cancel()
        parked.final().status("STATUS_CANCELLED")

Calling a method does nothing but write a step, or an expectation, into the script. Paths are
relative to the scenario's own directory, with backslashes; server-side actions take slashes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab.scenarios import model
from lab.scenarios.model import Expectation, Match, Record, Request, Scalar, Scenario, Step

ALL_FF = "all-ff"  # FileId of a related operation: "the open made earlier in this compound"

FILE_LIST_DIRECTORY = 0x1
FILE_READ_ATTRIBUTES = 0x80
DELETE = 0x10000
SYNCHRONIZE = 0x100000
GENERIC_ALL = 0x10000000
GENERIC_READ = 0x80000000

SHARE_ALL = 0x7  # FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE

FILE_OPEN = 1
FILE_CREATE = 2
FILE_OPEN_IF = 3

FILE_DIRECTORY_FILE = 0x1
FILE_NON_DIRECTORY_FILE = 0x40
FILE_DELETE_ON_CLOSE = 0x1000

FILE_BASIC_INFORMATION = 4
FILE_RENAME_INFORMATION = 10
FILE_LINK_INFORMATION = 11
FILE_DISPOSITION_INFORMATION = 13
FILE_END_OF_FILE_INFORMATION = 20

FENCE = "fence"
SETTLE_S = 0.1

Records = Sequence[Record]
SUCCESS = ("STATUS_SUCCESS",)


@dataclass(frozen=True)
class ScenarioSource:
    """What the decorator leaves behind: metadata, and the function that will be recorded."""

    name: str
    title: str
    cites: tuple[str, ...]
    rests_on: str
    provisional: bool
    function: Callable[[Script], None]

    def record(self) -> Scenario:
        """Call the function once, with an empty script, and freeze what it wrote."""
        script = Script()
        self.function(script)
        return Scenario(
            name=self.name,
            title=self.title,
            about=" ".join((self.function.__doc__ or "").split()),
            cites=self.cites,
            rests_on=self.rests_on,
            provisional=self.provisional,
            steps=tuple(script.steps),
            expectations=tuple(script.expectations),
        )


def scenario(
    name: str, *, title: str, cites: Sequence[str], rests_on: str, provisional: bool = False
) -> Callable[[Callable[[Script], None]], ScenarioSource]:
    """Declare a scenario. `rests_on` names the evidence: a specification, smbtorture, a capture.

    `provisional`: no capture of a Windows server stands behind the expectation.
    """

    def declare(function: Callable[[Script], None]) -> ScenarioSource:
        return ScenarioSource(name, title, tuple(cites), rests_on, provisional, function)

    return declare


class Script:
    """Steps and expectations in the order in which they were written."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.expectations: list[Expectation] = []
        self.on_server = ServerActions(self)
        self._counts: dict[str, int] = {}

    def step(self, step: Step) -> int:
        self.steps.append(step)
        return len(self.steps) - 1

    def expect(self, expectation: Expectation) -> None:
        self.expectations.append(expectation)

    @property
    def last(self) -> int:
        """The index of the newest step: where an expectation's evidence ends."""
        return len(self.steps) - 1

    def fresh(self, prefix: str) -> str:
        self._counts[prefix] = self._counts.get(prefix, 0) + 1
        return f"{prefix}{self._counts[prefix]}"

    def connect(
        self,
        name: str,
        *,
        dialects: Sequence[int] = (0x0311,),
        signing: Sequence[str] = ("AES-CMAC",),
    ) -> Conn:
        self.step(model.Connect(name, tuple(dialects), tuple(signing), note=f"{name} connects"))
        return Conn(self, name)

    def settle(self) -> None:
        """Let the watches armed just now take hold.

        A server may put a watch in place after its interim response (smbd asks another process to).
        G5 is about that gap; the other scenarios step over it.
        """
        self.step(model.Drain(SETTLE_S, note="the watches settle"))

    def fence(self, conn: Conn) -> Fence:
        """Make a way to wait until every change made so far has reached the watches of `conn`."""
        conn.mkdir(FENCE)
        parked = conn.open_directory(FENCE).notify(model.FILE_NAME)
        parked.interim()
        return Fence(parked)

    def silence(
        self, parked: Notify, *, by: Conn, sentinel: str = "sentinel", seconds: float = 0.3
    ) -> None:
        """`parked` stays unanswered until `by` creates `sentinel`, which is then all it reports.

        The ECHO shows that the connection was being served meanwhile; the sentinel, that the watch
        was working and that nothing was waiting in its buffer. The filter must hold FILE_NAME.
        """
        self.step(
            model.Drain(seconds, unless=parked.ref, note=f"{seconds * 1000:.0f} ms of silence")
        )
        parked.conn.echo()
        self.expect(model.ExpectPending(self.last, parked.ref, rule="silence"))
        by.create_file(sentinel)
        parked.final().records([("ADDED", sentinel)], rule="nothing but the sentinel")


@dataclass(frozen=True)
class ServerActions:
    """Changes made beside the SMB server, in its own file system."""

    script: Script

    def _run(self, *argv: str, note: str) -> None:
        self.script.step(model.OnServer(argv, note=f"on the server: {note}"))

    def touch(self, path: str) -> None:
        self._run("touch", f"{{dir}}/{path}", note=f"touch {path}")

    def mkdir(self, path: str) -> None:
        self._run("mkdir", f"{{dir}}/{path}", note=f"mkdir {path}")

    def rename(self, old: str, new: str) -> None:
        self._run("mv", f"{{dir}}/{old}", f"{{dir}}/{new}", note=f"mv {old} {new}")

    def rm(self, path: str) -> None:
        self._run("rm", f"{{dir}}/{path}", note=f"rm {path}")

    def rmdir(self, path: str) -> None:
        self._run("rmdir", f"{{dir}}/{path}", note=f"rmdir {path}")

    def link(self, old: str, new: str) -> None:
        self._run("ln", f"{{dir}}/{old}", f"{{dir}}/{new}", note=f"ln {old} {new}")

    def write(self, path: str, size: int = 1) -> None:
        self._run(
            "dd",
            "if=/dev/zero",
            f"of={{dir}}/{path}",
            f"bs={size}",
            "count=1",
            "conv=notrunc",
            note=f"write {size} bytes to {path}",
        )


@dataclass(frozen=True)
class Conn:
    """A connection with one session and one tree."""

    script: Script
    name: str

    # -- single requests ------------------------------------------------------------------------

    def send(self, *requests: Request, note: str = "") -> None:
        """One request, or a compound of several, as one transport message."""
        self.script.step(model.Send(self.name, requests, note=note))

    def echo(self) -> None:
        request = Request("ECHO", self.script.fresh("echo"), must=SUCCESS)
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
        name = self.script.fresh("open")
        self.send(
            self.create_request(path, name, **create),
            note=f"{self.name}: open {path or 'the directory'} as {name}",
        )
        return Open(self, name)

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

    # -- changes, each a few requests -----------------------------------------------------------

    def _opened(self, note: str, path: str, **create: Any) -> Open:
        name = self.script.fresh("open")
        self.send(
            self.create_request(path, name, **create),
            note=f"{self.name}: {note}",
        )
        return Open(self, name)

    def create_file(self, path: str) -> None:
        self._opened(
            f"create {path}",
            path,
            access=GENERIC_READ,
            disposition=FILE_CREATE,
            options=FILE_NON_DIRECTORY_FILE,
        ).close()

    def mkdir(self, path: str) -> None:
        self._opened(
            f"mkdir {path}",
            path,
            access=GENERIC_READ,
            disposition=FILE_CREATE,
            options=FILE_DIRECTORY_FILE,
        ).close()

    def delete(self, path: str) -> None:
        """Remove a file or an empty directory, by FILE_DELETE_ON_CLOSE."""
        self._opened(
            f"delete {path}",
            path,
            access=DELETE,
            options=FILE_DELETE_ON_CLOSE,
        ).close()

    def rename(self, old: str, new: str) -> None:
        opened = self._opened(
            f"rename {old} to {new}", old, access=DELETE | FILE_READ_ATTRIBUTES | SYNCHRONIZE
        )
        opened.set_info(FILE_RENAME_INFORMATION, target=new)
        opened.close()

    def link(self, old: str, new: str) -> None:
        opened = self._opened(
            f"hard-link {old} as {new}", old, access=GENERIC_READ | FILE_READ_ATTRIBUTES
        )
        opened.set_info(FILE_LINK_INFORMATION, target=new)
        opened.close()


@dataclass(frozen=True)
class Open:
    """An open file or directory, by its name in the scenario."""

    conn: Conn
    name: str

    def close(self) -> None:
        request = Request("CLOSE", self.conn.script.fresh("close"), file=self.name, must=SUCCESS)
        self.conn.send(request)

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


@dataclass(frozen=True)
class Notify:
    """A CHANGE_NOTIFY request that was sent."""

    conn: Conn
    ref: str

    def interim(self) -> Reply:
        """Wait for the interim response, which must be STATUS_PENDING with an AsyncId."""
        self._wait("interim")
        reply = Reply(self.conn.script, self.ref, "interim")
        reply.status("STATUS_PENDING", rule="MS-SMB2 3.3.4.2")
        return reply

    def final(self, *, deadline: float = 2.0) -> Reply:
        """Wait for the final response."""
        self._wait("final", deadline)
        return Reply(self.conn.script, self.ref, "final")

    def _wait(self, stage: str, deadline: float = 2.0) -> None:
        self.conn.script.step(
            model.Wait(
                self.conn.name,
                self.ref,
                stage,
                deadline,
                note=f"{self.conn.name}: wait for the {stage} response to {self.ref}",
            )
        )

    def cancel(self, *, by_async_id: bool = True, by_message_id: bool = False) -> None:
        ids = " and ".join(
            name
            for name, chosen in (("AsyncId", by_async_id), ("MessageId", by_message_id))
            if chosen
        )
        self.conn.script.step(
            model.Cancel(
                self.conn.name,
                self.ref,
                by_async_id,
                by_message_id,
                note=f"{self.conn.name}: CANCEL {self.ref} by {ids}",
            )
        )

    def still_pending(self, rule: str) -> None:
        """An ECHO comes back and no final response came before it."""
        self.conn.echo()
        self.conn.script.expect(model.ExpectPending(self.conn.script.last, self.ref, rule))

    def at_once(self, rule: str) -> None:
        self.conn.script.expect(model.ExpectNoInterim(self.conn.script.last, self.ref, rule))


@dataclass(frozen=True)
class Collected(Notify):
    """What a `collect` gathered; as a `Notify` it is the last request, which may be parked."""

    def records(self, *alternatives: Records, because: str = "", rule: str = "") -> None:
        self.conn.script.expect(
            model.ExpectCollected(
                self.conn.script.last, self.ref, _alternatives(alternatives, because), because, rule
            )
        )


@dataclass(frozen=True)
class Fence:
    """A watch on a directory of its own: when it reports, all changes before have been reported.

    A second watch on the watched directory itself would be simpler, and would also disturb what is
    measured: servers differ in how watches on one directory affect each other.
    """

    parked: Notify

    def passed(self, *, by: Conn) -> None:
        by.create_file(f"{FENCE}\\passed")
        self.parked.final().records([("ADDED", "passed")], rule="the fence")
        self.parked.conn.echo()


@dataclass(frozen=True)
class Reply:
    """The interim or final response to a request."""

    script: Script
    ref: str
    stage: str

    def field(self, name: str, match: Match, rule: str = "") -> Reply:
        self.script.expect(
            model.ExpectField(self.script.last, self.ref, self.stage, name, match, rule)
        )
        return self

    def status(self, *names: str, because: str = "", rule: str = "") -> Reply:
        for name in names:
            model.NtStatus[name]  # a misspelt status would never match
        if len(names) > 1 and not because:
            raise ValueError("latitude needs a reason: because=...")
        if len(names) > 1:
            return self.field("status", model.one_of(*names, because=because), rule)
        return self.field("status", model.equals(names[0]), rule)

    def records(self, *alternatives: Records, because: str = "", rule: str = "") -> Reply:
        """STATUS_SUCCESS with exactly these records, in this order."""
        self.script.expect(
            model.ExpectRecords(
                self.script.last, self.ref, _alternatives(alternatives, because), because, rule
            )
        )
        return self


def distinct(notifies: Sequence[Notify], stage: str, field: str, rule: str) -> None:
    script = notifies[0].conn.script
    refs = tuple(notify.ref for notify in notifies)
    script.expect(model.ExpectDistinct(script.last, refs, stage, field, rule))


def _notify_body(completion_filter: int, tree: bool, length: int) -> model.Fields:
    return (
        ("completion_filter", int(completion_filter)),
        ("watch_tree", tree),
        ("output_buffer_length", length),
    )


def _fields(mapping: Mapping[str, Scalar] | None) -> model.Fields:
    return tuple((mapping or {}).items())


def _alternatives(alternatives: Sequence[Records], because: str) -> tuple[tuple[Record, ...], ...]:
    if len(alternatives) > 1 and not because:
        raise ValueError("latitude needs a reason: because=...")
    for records in alternatives:
        for action, _ in records:
            model.Action[action]  # a misspelt action would never match
    return tuple(tuple(records) for records in alternatives)
