"""Finding a kernel's reports in the text of its console.

The console carries everything: the kernel's lines, those of programs in the guest, and the lab's
own. A report is a run of the kernel's lines: it starts with one that a table below knows, and ends
with the kernel's own mark of an end or, where it has none, with the first line that can belong to
no report. A panic that only carries out what an earlier report decided belongs to that report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from lab.crashes.model import Crash, Frame, Kind

_STAMP = re.compile(r"^\[\s*\d+\.\d{6}\](?:\[\s*[TC]\d+\])? ?")
_ENDED = re.compile(r"^LAB guest ended: (?!CLEAN)")

_LOCKDEP = (
    r"possible (?:circular|recursive) locking|possible irq lock inversion|inconsistent lock state"
    r"|\w+IRQ-safe -> \w+IRQ-unsafe lock order|suspicious RCU usage|bad unlock balance"
    r"|held lock freed|lock held when returning|nested lock was not taken|bad contention|"
    r"can't find any lock"
)
# The first that matches names the report; a group of the expression is its title's matter.
_STARTS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (Kind.KASAN, re.compile(r"BUG: (?P<what>K(?:ASAN|FENCE|CSAN|MSAN): [\w -]+?) in ")),
    (Kind.UBSAN, re.compile(r"(?P<what>UBSAN: [\w -]+ in \S+?)(?::\d+)?$")),
    (Kind.LOCKDEP, re.compile(rf"WARNING: (?P<what>.*(?:{_LOCKDEP}).*)")),
    (Kind.LOCKDEP, re.compile(r"\[ BUG: (?P<what>.*) \]")),
    (Kind.LOCKDEP, re.compile(r"BUG: (?P<what>MAX_LOCK\w+ too low|invalid wait context)", re.I)),
    (
        Kind.ATOMIC,
        re.compile(r"BUG: (?P<what>scheduling while atomic|sleeping function called .*)"),
    ),
    (Kind.SOFT_LOCKUP, re.compile(r"BUG: (?P<what>(?:soft|workqueue) lockup)")),
    (Kind.SOFT_LOCKUP, re.compile(r"(?P<what>Watchdog detected hard LOCKUP)")),
    (Kind.HUNG_TASK, re.compile(r"INFO: task (?P<what>\S+):\d+ blocked (?:for|in)")),
    (
        Kind.RCU_STALL,
        re.compile(r"INFO: (?P<what>rcu_\w+ (?:self-)?detected(?: expedited)? stall)"),
    ),
    (Kind.BUG, re.compile(r"(?P<what>kernel BUG at \S+?)!$")),
    (Kind.WARNING, re.compile(r"WARNING: CPU: \d+ PID: \d+ at (?P<what>\S+)(?: \S+)?")),
    # since Linux 6.19; without a file it is told by the function alone
    (Kind.WARNING, re.compile(r"WARNING: (?P<what>\S+:\d+) at \S+")),
    (Kind.WARNING, re.compile(r"WARNING: at (?P<what>[\w.]+)")),
    (Kind.OOPS, re.compile(r"BUG: (?P<what>kernel NULL pointer dereference)")),
    (Kind.OOPS, re.compile(r"BUG: (?P<what>unable to handle (?:page fault|kernel))")),
    (Kind.OOPS, re.compile(r"(?:Oops: )?(?P<what>general protection fault)")),
    (Kind.OOPS, re.compile(r"Oops: (?P<what>[\w ]+?)(?:: |$)")),
    (Kind.OOPS, re.compile(r"(?P<what>stack segment|divide error|double fault|int3): \d{4} \[#")),
    (Kind.MEMORY, re.compile(r"BUG:? (?P<what>Bad \w+ \w+|[\w-]+ \(.*\): .*)")),
    (Kind.OUT_OF_MEMORY, re.compile(r"(?P<what>\S+) invoked oom-killer: ")),
    (Kind.PANIC, re.compile(r"Kernel panic - not syncing: (?P<what>.*)")),
)
# Panics that carry out what another report decided.
_CONSEQUENCE = re.compile(
    r"Fatal exception|softlockup: hung tasks|hung_task: blocked tasks|RCU Stall|panic_on_\w+ set"
    r"|KASAN: panic_on_warn|UBSAN: panic_on_warn|Hard LOCKUP|System is deadlocked on memory"
    r"|panic_on_oom is enabled"
)
_CUT_HERE = "------------[ cut here ]------------"
_BANNER = re.compile(r"={20,}$")
_END = re.compile(r"---\[ end (?:trace|Kernel panic)")
_KILLED = re.compile(r"Out of memory: Killed process \d+ \((?P<program>.*?)\)")
_STACK_END = re.compile(r"^ ?</(?:TASK|IRQ|NMI|SOFTIRQ)>$")
_FRAME = re.compile(
    r"^\s*(?P<maybe>\? )?(?:RIP: 0010:)?(?P<function>[A-Za-z_][\w.]*)\+(?P<offset>0x[0-9a-f]+)"
    r"/0x[0-9a-f]+(?: \[(?P<module>\w+)[^\]]*\])?$"
)
_TAINT = re.compile(r"Tainted: (?P<letters>[A-Z ]+?)\s+\d")
# Lines of a report after its stack: without one of these, it is over.
_BELONGS = re.compile(
    r"""
    ^\s | ^$ | ^rcu: | ^task: | ^CPU: | ^Tainted: | ^Hardware | ^RIP: | ^RSP: | ^R[A-D189]\S*:
  | ^RBP | ^FS: | ^CS: | ^[CD]R\d: | ^PKRU | ^Code: | ^Call\ Trace
  | ^Modules\ linked | ^Kernel\ Offset
  | ^Sending\ NMI | ^NMI\ backtrace | ^Showing | ^\#\d+: | ^INFO:\ lockdep | ^stack\ backtrace
  | ^Workqueue: | ^irq\ event | ^hardirqs | ^softirqs | ^\d\ locks?\ held | ^Preemption\ disabled
  | ^Dumping\ ftrace | ^Rebooting | ^\#PF: | ^PGD | ^Oops: | ^Comm:
    """,
    re.VERBOSE,
)


def find_crashes(console: str) -> list[Crash]:
    """The reports in a console's text, in their order."""
    return [report.crash() for report in _reports(console.splitlines())]


def is_open(console: str) -> bool:
    """Whether the text ends within a report: more of it is on its way."""
    found = find_crashes(console)
    return bool(found) and not found[-1].complete


@dataclass
class _Report:
    """A report while its lines come."""

    kind: Kind
    what: str
    lines: list[str]
    message: str = ""
    closed: bool = False  # by the kernel's own mark
    loose: bool = False  # its stack has been seen: what follows has to belong
    fatal: bool = False
    stacks: list[_Stack] = field(default_factory=list)

    def crash(self) -> Crash:
        frames = self._frames()
        crash = Crash(
            self.kind,
            "",
            frames,
            fatal=self.fatal,
            taints=_taints(self.lines),
            text="\n".join(self.lines),
            complete=self.closed or (self.loose and self.kind not in _MARKED),
        )
        return replace(crash, title=self._title(crash))

    def _frames(self) -> tuple[Frame, ...]:
        """Those of the stack in which it happened: the first with an address of the fault."""
        if self.kind is Kind.OUT_OF_MEMORY:
            return ()  # who asked last is not who took it
        stacks = [stack for stack in self.stacks if stack.frames]
        faulted = [stack for stack in stacks if stack.faulted]
        return tuple((faulted or stacks or [_Stack()])[0].frames)

    def _title(self, crash: Crash) -> str:
        where = crash.culprits[0].name if crash.culprits else ""
        words = _TITLES.get(self.kind, "{}").format(folded(self.what))
        place = f" in {where}" if where else ""
        message = self.message
        if self.kind is Kind.OUT_OF_MEMORY and not message:
            message = f"{self.what} asked for more"
        return f"{words}{place}" + (f": {folded(message)}" if message else "")


# Reports that the kernel itself marks the end of.
_MARKED = {Kind.OOPS, Kind.BUG, Kind.WARNING, Kind.KASAN, Kind.UBSAN, Kind.OUT_OF_MEMORY}
_TITLES = {
    Kind.WARNING: "WARNING at {}",
    Kind.HUNG_TASK: "hung task {}",
    Kind.PANIC: "panic: {}",
    Kind.OUT_OF_MEMORY: "out of memory",
}


@dataclass
class _Stack:
    """One call trace. `faulted`: it began with the address of the fault."""

    frames: list[Frame] = field(default_factory=list)
    faulted: bool = False


def _reports(raw: Sequence[str]) -> Iterator[_Report]:
    """Group the lines into reports."""
    current: _Report | None = None
    before: list[str] = []  # what may turn out to be a report's head: its banner and its message
    for line in raw:
        stamp = _STAMP.match(line)
        if stamp is None:
            if current and _ENDED.match(line):
                current.closed = True
                yield current
                current = None
            continue
        text = line[stamp.end() :].rstrip()
        start = _start(text)
        if start and current and _continues(current, *start):
            if start[0] is Kind.PANIC:
                current.fatal, current.loose, current.closed = True, True, False
                current.stacks.append(_Stack())  # the panic's own stack is not the fault's
            current.lines.append(text)
        elif start:
            if current:
                yield current
            current = _Report(*start, lines=[*_head(before), text], message=_message(before))
            current.fatal = start[0] is Kind.PANIC
        elif current and _takes(current, text):
            _add(current, text)
        elif current:
            yield current
            current = None
        before = [*before[-3:], text]
    if current:
        yield current


def _start(text: str) -> tuple[Kind, str] | None:
    for kind, pattern in _STARTS:
        if found := pattern.search(text):
            return kind, found["what"]
    return None


def _continues(current: _Report, kind: Kind, what: str) -> bool:
    """Whether a line that could start a report is part of the current one."""
    if kind is Kind.PANIC:
        return _CONSEQUENCE.search(what) is not None
    # `kernel BUG at`, or the page fault's words, are followed by `Oops:`
    return kind is Kind.OOPS and current.kind in (Kind.BUG, Kind.OOPS) and not current.stacks


def _takes(current: _Report, text: str) -> bool:
    """Whether a line without a start belongs to the current report."""
    if current.closed or current.loose:
        return _BELONGS.match(text) is not None or _END.match(text) is not None
    return True


def _add(current: _Report, text: str) -> None:
    current.lines.append(text)
    if _END.match(text) or (current.kind is Kind.KASAN and _BANNER.match(text)):
        current.closed = True
    elif killed := _KILLED.match(text):
        current.message, current.closed = f"{killed['program']} was killed", True
    elif text.startswith("RIP: 0010:"):
        _take_fault(current, text)
    elif text.startswith("Call Trace:"):
        if not (current.stacks and current.stacks[-1].faulted and len(_last(current)) == 1):
            current.stacks.append(_Stack())
    elif _STACK_END.match(text):
        current.loose = current.loose or current.kind not in _MARKED
    elif current.stacks and (frame := _frame(text)):
        current.stacks[-1].frames.append(frame)


def _last(current: _Report) -> list[Frame]:
    return current.stacks[-1].frames


def _take_fault(current: _Report, text: str) -> None:
    """The address of the fault: a stack of its own, or where an interrupt found the processor."""
    frame = _frame(text)
    if frame is None or current.closed:
        return
    if current.stacks and _last(current) and not current.stacks[-1].faulted:
        current.stacks[-1].frames[:] = [frame]
        current.stacks[-1].faulted = True
    elif not (current.stacks and current.stacks[-1].faulted):
        current.stacks.append(_Stack([frame], faulted=True))


def _frame(text: str) -> Frame | None:
    """A frame, unless the unwinder doubts it."""
    found = _FRAME.match(text)
    if found is None or found["maybe"]:
        return None
    return Frame(found["function"], int(found["offset"], 16), found["module"] or "")


def _head(before: Sequence[str]) -> list[str]:
    """The lines above a report's first that are part of it."""
    for index, text in enumerate(before):
        if text == _CUT_HERE or _BANNER.match(text) or text.startswith(("list_add", "list_del")):
            return list(before[index:])
    return []


def _message(before: Sequence[str]) -> str:
    """The words of a WARN(), or of a check of a list, which stand above it."""
    if _CUT_HERE in before:
        above = list(before[before.index(_CUT_HERE) + 1 :])
        if above:
            return above[0]
        before = before[: before.index(_CUT_HERE)]
    listed = [text for text in before if text.startswith(("list_add ", "list_del "))]
    return listed[-1] if listed else ""


def _taints(lines: Sequence[str]) -> str:
    for line in lines:
        if found := _TAINT.search(line):
            return found["letters"].replace(" ", "")
    return ""


_FOLDS = (
    (re.compile(r"\s*\((?:\w+=)?[0-9a-f]{12,16}\)"), ""),
    (re.compile(r"\b(?:0x)?[0-9a-f]{12,16}\b"), "<address>"),
    (re.compile(r"\b0x[0-9a-f]+\b"), "<number>"),
)


def folded(words: str) -> str:
    """Words without addresses, processes, processors and times."""
    for pattern, instead in _FOLDS:
        words = pattern.sub(instead, words)
    return " ".join(words.split()).rstrip(".")
