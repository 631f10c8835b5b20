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

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from lab.scenarios import fields, model
from lab.scenarios.connection import Conn, Open
from lab.scenarios.model import Expectation, Scenario, Step
from lab.scenarios.replies import Collected, Notify, Reply, delivered, distinct

__all__ = [
    "Collected",
    "Conn",
    "Notify",
    "Open",
    "Reply",
    "ScenarioSource",
    "Script",
    "delivered",
    "distinct",
    "fields",
    "scenario",
]

FENCE = "fence"
SETTLE_S = 0.05


@dataclass(frozen=True)
class ScenarioSource:
    """What the decorator leaves behind: metadata, and the function that will be recorded."""

    name: str
    title: str
    cites: tuple[str, ...]
    rests_on: str
    provisional: bool
    needs: tuple[str, ...]
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
            needs=self.needs,
        )


def scenario(
    name: str,
    *,
    title: str,
    cites: Sequence[str],
    rests_on: str,
    provisional: bool = False,
    needs: Sequence[str] = (),
) -> Callable[[Callable[[Script], None]], ScenarioSource]:
    """Declare a scenario. `rests_on` names the evidence: a specification, smbtorture, a capture.

    `provisional`: no capture of a Windows server stands behind the expectation. `needs`: what not
    every server can be set up to do.
    """

    def declare(function: Callable[[Script], None]) -> ScenarioSource:
        return ScenarioSource(
            name, title, tuple(cites), rests_on, provisional, tuple(needs), function
        )

    return declare


class Script:
    """Steps and expectations in the order in which they were written."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.expectations: list[Expectation] = []
        self.on_server = ServerActions(self)
        self._counts: dict[str, int] = {}
        self._point = ""
        self._newest = ""  # request to a watch

    @contextlib.contextmanager
    def point(self, name: str) -> Iterator[None]:
        """One point of a sweep: what fails in the block is reported under its name."""
        self._point = name
        yield
        self._point = ""

    def step(self, step: Step) -> int:
        if self._point:
            step = replace(step, note=f"{step.note} [{self._point}]" if step.note else "")
            if isinstance(step, model.Wait | model.Collect):
                step = replace(step, point=self._point)
        if isinstance(step, model.Send) and step.requests[-1].command == "CHANGE_NOTIFY":
            self._newest = step.requests[-1].ref
        self.steps.append(step)
        return len(self.steps) - 1

    def expect(self, expectation: Expectation) -> None:
        if self._point:
            rule = f"{expectation.rule} [{self._point}]".strip()
            expectation = replace(expectation, rule=rule)
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
        ciphers: Sequence[str] = (),
        previous: Conn | None = None,
        user: str = "",
    ) -> Conn:
        """A connection of its own; with `ciphers`, sealed; `previous`: whose session it ends.

        `user` is one of `model.USERS`, instead of the share's own.
        """
        if user and user not in model.USERS:
            raise ValueError(f"{user!r} is none of {', '.join(model.USERS)}")
        note = f"{name} connects"
        note += f" as the {user} user" if user else ""
        note += f", sealing with {' or '.join(ciphers)}" if ciphers else ""
        note += f", PreviousSessionId that of {previous.name}" if previous else ""
        self.step(
            model.Connect(
                name,
                tuple(dialects),
                tuple(signing),
                tuple(ciphers),
                previous.name if previous else "",
                user,
                note=note,
            )
        )
        return Conn(self, name)

    def pause(self, seconds: float) -> None:
        """A step of a sweep: exactly so long, receiving nothing."""
        if seconds:
            self.step(model.Pause(seconds, note=f"{seconds * 1e6:.0f} us pass"))

    def drain(self, seconds: float) -> None:
        self.step(model.Drain(seconds, note=f"{seconds * 1000:.0f} ms pass"))

    def settle(self) -> None:
        """Let the watches armed just now take hold.

        A server may put a watch in place after its interim response (smbd asks another process to).
        G5 is about that gap; the other scenarios step over it. Where the newest request has been
        answered there is nothing to wait for.
        """
        note = "the watches settle"
        self.step(model.Drain(SETTLE_S, unless=self._newest, settle=True, note=note))

    def still(self, parked: Notify, seconds: float, rule: str) -> None:
        """`parked` is unanswered after `seconds` and an ECHO; what follows must prove it alive."""
        self.step(
            model.Drain(seconds, unless=parked.ref, note=f"{seconds * 1000:.0f} ms of silence")
        )
        parked.still_pending(rule)

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

    def run(self, *argv: str, note: str) -> None:
        """Any command; `{dir}` in a word is the scenario's directory."""
        self.script.step(model.OnServer(argv, note=f"on the server: {note}"))

    def touch(self, path: str) -> None:
        self.run("touch", f"{{dir}}/{path}", note=f"touch {path}")

    def mkdir(self, path: str) -> None:
        self.run("mkdir", f"{{dir}}/{path}", note=f"mkdir {path}")

    def rename(self, old: str, new: str) -> None:
        self.run("mv", f"{{dir}}/{old}", f"{{dir}}/{new}", note=f"mv {old} {new}")

    def chmod(self, mode: str, path: str) -> None:
        self.run("chmod", mode, f"{{dir}}/{path}", note=f"chmod {mode} {path}")

    def rm(self, path: str) -> None:
        self.run("rm", f"{{dir}}/{path}", note=f"rm {path}")

    def rmdir(self, path: str) -> None:
        self.run("rmdir", f"{{dir}}/{path}", note=f"rmdir {path}")

    def link(self, old: str, new: str) -> None:
        self.run("ln", f"{{dir}}/{old}", f"{{dir}}/{new}", note=f"ln {old} {new}")

    def write(self, path: str, size: int = 1) -> None:
        self.run(
            "dd",
            "if=/dev/zero",
            f"of={{dir}}/{path}",
            f"bs={size}",
            "count=1",
            "conv=notrunc",
            note=f"write {size} bytes to {path}",
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
