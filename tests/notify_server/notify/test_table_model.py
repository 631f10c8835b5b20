"""The watch table against a naive model that remembers everything and looks at every watch."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from notify_server.notify.change import Change, Report
from notify_server.notify.records import decode_records
from notify_server.notify.table import OVERHEAD, Completion, WatchTable
from notify_server.wire.fscc import NotifyAction
from notify_server.wire.status import NtStatus

DIRECTORIES = st.sampled_from(["/s", "/s/a", "/s/a/b", "/s/ab", "/"])
OPENS = st.integers(0, 5)
BITS = st.integers(1, 7)
ROOM = st.sampled_from([0, 14, 30, 64, 4096])

Record = tuple[int, str]


@dataclass
class Model:
    """One Open: all records that were due and not yet given, or that some were lost."""

    directory: str
    bits: int
    tree: bool
    capacity: int
    parked: list[tuple[int, int]] = field(default_factory=list)
    due: list[Record] = field(default_factory=list)
    lost: bool = False

    def sees(self, report: Report) -> str | None:
        if not self.bits & report.filter_match or self.bits & report.unless:
            return None
        path = f"{report.directory.rstrip('/')}/{report.name}"
        base = self.directory.rstrip("/") + "/"
        if not path.startswith(base):
            return None
        relative = path[len(base) :].replace("/", "\\")
        return relative if self.tree or "\\" not in relative else None

    def size(self, *, padded: bool) -> int:
        sizes = [12 + 2 * len(name) for _, name in self.due]
        whole = sum(-(-size // 4) * 4 for size in sizes)
        return whole if padded or not sizes else whole - -(-sizes[-1] // 4) * 4 + sizes[-1]

    def note(self, record: Record) -> None:
        if self.lost or (self.due and self.due[-1] == record and record[0] in (3, 8)):
            return
        if self.size(padded=True) + 12 + 2 * len(record[1]) > self.capacity:
            self.due, self.lost = [], True
        else:
            self.due.append(record)

    def give(self, room: int) -> object:
        due, lost = self.due, self.lost
        fits = self.size(padded=False) <= room
        self.due, self.lost = [], False
        return due if due and fits and not lost else NtStatus.STATUS_NOTIFY_ENUM_DIR


class TableMachine(RuleBasedStateMachine):
    """Each step is done to both; what completes must be the same, in the same order."""

    def __init__(self) -> None:
        super().__init__()
        self.table = WatchTable()
        self.model: dict[int, Model] = {}
        self.requests = 0

    @rule(on=OPENS, of=DIRECTORIES, bits=BITS, tree=st.booleans(), room=ROOM)
    def request(self, on: int, of: str, bits: int, tree: bool, room: int) -> None:
        self.requests += 1
        completion = self.table.arm(
            on,
            self.requests,
            directory=of,
            completion_filter=bits,
            watch_tree=tree,
            output_buffer_length=room,
        )
        model = self.model.setdefault(on, Model(of, bits, tree, room))
        if model.due or model.lost:
            assert outcome(completion) == (self.requests, model.give(room))
        else:
            assert completion is None
            model.parked.append((self.requests, room))

    @rule(
        reports=st.lists(
            st.builds(
                Report,
                DIRECTORIES,
                st.sampled_from(["x", "yy", "zzz"]),
                st.sampled_from(NotifyAction),
                BITS,
                st.integers(0, 7),
            ),
            min_size=1,
            max_size=3,
        )
    )
    def change(self, reports: list[Report]) -> None:
        expected: list[object] = []
        for model in self.model.values():
            touched = False
            for report in reports:
                name = model.sees(report)
                if name is not None:
                    touched = touched or not model.lost
                    model.note((report.action, name))
            if touched and model.parked:
                request, room = model.parked.pop(0)
                expected.append((request, model.give(room)))
        completions = self.table.publish(Change(tuple(reports)))
        got = [outcome(completion) for completion in completions]
        assert sorted(got, key=str) == sorted(expected, key=str)

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        request = data.draw(st.integers(1, self.requests))
        completion = self.table.cancel(request)
        for model in self.model.values():
            for entry in model.parked:
                if entry[0] == request:
                    model.parked.remove(entry)
                    assert outcome(completion) == (request, NtStatus.STATUS_CANCELLED)
                    return
        assert completion is None

    @rule(on=OPENS)
    def close(self, on: int) -> None:
        model = self.model.pop(on, None)
        parked = model.parked if model else []
        assert [outcome(c) for c in self.table.close(on)] == [
            (request, NtStatus.STATUS_NOTIFY_CLEANUP) for request, _ in parked
        ]

    @invariant()
    def nothing_is_kept_beyond_what_is_due(self) -> None:
        assert len(self.table) == len(self.model)
        assert self.table.parked == sum(len(m.parked) for m in self.model.values())
        assert self.table.buffered == sum(
            m.size(padded=True) + OVERHEAD * len(m.due) for m in self.model.values()
        )


def outcome(completion: Completion | None) -> tuple[object, object]:
    assert completion is not None
    if completion.status == NtStatus.STATUS_SUCCESS:
        records = [(action.value, name) for action, name in decode_records(completion.buffer)]
        return completion.request, records
    return completion.request, completion.status


TestTableMachine = pytest.mark.slow(TableMachine.TestCase)
TestTableMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
