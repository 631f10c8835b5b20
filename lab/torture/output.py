"""What smbtorture printed, and what that means for a cell. Pure: text in, a verdict out.

    test: dir
    time: 2026-11-22 17:03:51.886720
    TESTING CHANGE NOTIFY ON DIRECTORIES
    failure: dir [
    ../source4/torture/smb2/notify.c:163: wrong value for n.out.num_changes  0x4 should be 0x3
    ]

Comments come from stderr, in between. A line of `time:` stands before each result, so a comment
without a newline never spoils one.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from lab.verdicts.verdict import Outcome, Verdict

# What `timeout` makes of a process that did not end: by itself (124), or by SIGKILL (128 + 9).
TIMED_OUT = frozenset({124, 137})
REASON_LENGTH = 400

_RESULT = re.compile(r"^(success|failure|error|skip): (.+?)( \[)?$")
_NOISE = re.compile(r"^(time: |test: |progress: |Using seed |smbtorture [0-9]|\]?$)")
# "(../../source4/torture/smb2/notify.c:163) " and "source4/torture/smb2/credits.c:1281: "
_PLACE = re.compile(r"\(?(?:[\w.-]+/)+([\w-]+\.c:\d+)(?:\)|:) *")
# The status that came, not one that was expected: a server that does not do this at all.
_UNSUPPORTED = re.compile(
    r"(?:status was|[Ii]ncorrect status|status) "
    r"(NT_STATUS_(?:NOT_IMPLEMENTED|NOT_SUPPORTED|INVALID_DEVICE_REQUEST))\b"
)


@dataclass(frozen=True)
class Result:
    """One `success:`, `failure:`, `error:` or `skip:` and what is said in its brackets."""

    kind: str
    test: str
    message: str = ""


@dataclass(frozen=True)
class Output:
    """All results, in order; and the last comment, for when there is none."""

    results: tuple[Result, ...]
    last_words: str = ""


def parse(text: str) -> Output:
    """Read the whole of an output, which may end anywhere."""
    results: list[Result] = []
    last_words = ""
    lines = iter(text.splitlines())
    for line in lines:
        if found := _RESULT.match(line):
            kind, test, opened = found.groups()
            message = []
            if opened:
                for inner in lines:
                    if inner == "]":
                        break
                    message.append(inner)
            results.append(Result(kind, test, "\n".join(message).strip()))
        elif not _NOISE.match(line):
            last_words = line.strip() or last_words
    return Output(tuple(results), last_words)


def judge(text: str, code: int | None, deadline: float) -> Verdict:
    """The verdict on one subtest's output and exit code (None: it did not end in time).

    A skip is smbtorture's word for a server that lacks what the test needs.
    """
    output = parse(text)
    worst = _worst(output.results)
    if worst is None:
        return _without_result(output, code, deadline)
    reason = _one_line(worst.message)
    if worst.kind == "success":
        if code == 0:
            return Verdict(Outcome.PASS)
        return Verdict(Outcome.CLIENT_CRASH, f"smbtorture succeeded, then {_end(code)}")
    if worst.kind == "skip":
        return Verdict(Outcome.UNSUPPORTED, f"skipped: {reason or 'without a word'}")
    if _UNSUPPORTED.search(reason):
        return Verdict(Outcome.UNSUPPORTED, reason)
    if worst.kind == "error":
        reason = f"error: {reason}"
    return Verdict(Outcome.FAIL, reason or f"it fails without a word; before: {output.last_words}")


def _worst(results: tuple[Result, ...]) -> Result | None:
    order = ("error", "failure", "skip", "success")
    return min(results, key=lambda result: order.index(result.kind), default=None)


def _without_result(output: Output, code: int | None, deadline: float) -> Verdict:
    said = f"; last words: {output.last_words}" if output.last_words else ""
    if code is None or code in TIMED_OUT:
        return Verdict(Outcome.TIMEOUT, f"no end within {deadline:g} s{said}")
    return Verdict(Outcome.CLIENT_CRASH, f"smbtorture {_end(code)} without a result{said}")


def _end(code: int | None) -> str:
    if code is None:
        return "did not end"
    if code > 128:
        try:
            return f"died of {signal.Signals(code - 128).name}"
        except ValueError:
            pass
    return f"ended with exit code {code}"


def _one_line(message: str) -> str:
    """The message in one line, the places in the source shortened to `notify.c:163: `."""
    text = _PLACE.sub(r"\1: ", " ".join(message.split())).rstrip(": ")
    return text if len(text) <= REASON_LENGTH else text[:REASON_LENGTH] + "\N{HORIZONTAL ELLIPSIS}"
