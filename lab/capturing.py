"""A capture of what goes through the front while somebody works by hand.

tcpdump runs in a container of its own that shares the front's network, so the front itself needs
neither a tool nor a capability. It listens on the legs between HAProxy and the servers, whichever
is active: what is there is what the client said, and it is told from the leg before, and one server
from another, by addresses.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lab import backends, runs
from lab import matrix as running
from lab.engine import labels, process
from lab.engine.sdk import container_info
from lab.errors import LabError, LabFailed
from lab.evidence import capture, ladder, pcap, tshark
from lab.evidence import column as files
from lab.evidence.capture import Recorder, Trust
from lab.evidence.ladder import Ladder
from lab.evidence.pdu import CHANGE_NOTIFY, NEGOTIATE, Pdu, TcpEvent
from lab.nodes.registry import container
from lab.scenarios.model import Scenario
from lab.targets import SMB_PORT
from lab.verdicts.matrix import Cell, Matrix
from lab.verdicts.run import run_matrix, save
from lab.verdicts.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from lab.session import Lab

NODE = "capture"
PATH = "/tmp/capture.pcap"  # noqa: S108 - the container's own
START_DEADLINE_S = 20.0
DECODE_DEADLINE_S = 120.0
BY_HAND = Scenario(
    name="by-hand",
    title="By hand, through the front",
    about="Whatever the client did.",
    cites=(),
    rests_on="whoever was at the client",
    provisional=False,
    steps=(),
    expectations=(),
)
REPRODUCE = "lab capture"
REPRODUCE_PLAY = "lab capture --seed --play"
NOT_JUDGED = Verdict(Outcome.NOT_RUN, "captured by hand: nothing was judged")


@dataclass(frozen=True)
class Captured:
    """What came of it: the folder, the ladder of each server that was spoken to, in the order in
    which they were active, the report, and whether to believe the capture."""

    folder: Path
    ladders: Mapping[str, Ladder]
    report: Path
    trust: Trust


@contextmanager
def beside_front(lab: Lab) -> Iterator[None]:
    """A container of the client's image in the front's network, for the block.

    It carries the lab's label: should we be killed, `lab down` removes it as well.
    """
    front = container_info(lab.engine.inspect("front"))
    image = container_info(lab.engine.inspect("client")).image
    with suppress(LabError):
        _docker("rm", "--force", lab.engine.inspect(NODE)["Id"])
    made = _docker(
        *("run", "--detach", "--rm", "--network", f"container:{front.id}"),
        *("--cap-drop", "ALL", "--cap-add", "NET_RAW", "--security-opt", "no-new-privileges:true"),
        *("--read-only", "--tmpfs", "/tmp"),  # noqa: S108 - the container's own
        *("--name", f"{lab.settings.name}-{NODE}"),
        *("--label", f"{labels.NAME}={lab.settings.name}", "--label", f"{labels.NODE}={NODE}"),
        image,
    )
    try:
        yield
    finally:
        _docker("rm", "--force", made)


def _docker(*words: str) -> str:
    done = process.run(["docker", *words], deadline=START_DEADLINE_S)
    if done.returncode != 0:
        raise LabFailed(f"`docker {words[0]}` failed: {done.output.strip()}", "lab doctor")
    return done.output.strip()


def record(lab: Lab, work: Callable[[str, Path], Matrix | None]) -> Captured:
    """Capture while `work(server, folder)` goes on, which may be ended by Ctrl-C.

    `server` is the active one; a `lab switch` meanwhile is followed. `work` returns the matrix of
    what it ran, or None if it was somebody's hands. Raises `LabFailed` if nothing at all was
    captured.
    """
    server = running.active(lab)
    lab.require_running("front", "client")
    addresses = _addresses(lab)
    with beside_front(lab):
        node = container(lab.engine, NODE)
        recorder = Recorder(
            node,
            lambda argv: lab.engine.exec_pipe(NODE, list(argv)),
            host=f"({' or '.join(backends.service(name) for name in addresses.values())})",
            port=SMB_PORT,
            path=PATH,
        )
        recorder.start()
        began = time.time()
        folder = runs.new(lab.paths.captures)
        try:
            matrix = work(server, folder)
        except KeyboardInterrupt:
            matrix = None
        except BaseException:
            recorder.abandon()
            raise
        told = recorder.stop()
        data = recorder.fetch()
        decoded = tshark.decode(tshark.on_node(node, DECODE_DEADLINE_S), PATH, SMB_PORT)
    found = by_server(data, decoded, addresses, (CHANGE_NOTIFY,) if matrix else ())
    if not found:
        shutil.rmtree(folder)
        raise LabFailed(
            f"nobody spoke to {server} through the front",
            f"connect to port {lab.settings.front.port} while it runs (lab status)",
        )
    reproduce = REPRODUCE_PLAY if matrix else REPRODUCE
    if matrix is None:
        matrix = by_hand(list(found), folder, began)
        save(matrix)
    believed = capture.judge_counters(told)
    ladders: dict[str, Ladder] = {}
    for name, (mine, events) in found.items():
        cell = folder / name / matrix.scenarios[0].name
        ladders[name] = _write(cell, name, mine, events)
        believed = capture.judge(mine, SMB_PORT) if believed.ok else believed
    report = runs.finish(folder, running.versions_of(lab, list(found)), reproduce)
    return Captured(folder, ladders, report, believed)


def _addresses(lab: Lab) -> dict[bytes, str]:
    """The servers that run, by their addresses in the lab's network."""
    found = {}
    for name, info in lab.engine.containers().items():
        if name not in lab.settings.backends or info.state != "running":
            continue
        networks = lab.engine.inspect(name)["NetworkSettings"]["Networks"]
        for network in networks.values():
            if network["IPAddress"]:
                found[ipaddress.ip_address(network["IPAddress"]).packed] = name
    return found


def _write(cell: Path, server: str, data: bytes, events: Sequence[Pdu | TcpEvent]) -> Ladder:
    """One server's capture and ladder."""
    cell.mkdir(parents=True, exist_ok=True)
    directory = _directory(cell / "observations.jsonl")
    built = ladder.build(events, server=server, scenario=cell.name, directory=directory)
    (cell / files.CAPTURE).write_bytes(data)
    files.write_ladder(cell, built)
    return built


def by_hand(servers: Sequence[str], folder: Path, began: float) -> Matrix:
    """A matrix of cells that nobody judged, so that a report can be made of them."""
    cell = Cell(NOT_JUDGED, NOT_JUDGED, round(time.time() - began, 3))
    return Matrix(
        scenarios=(BY_HAND,),
        servers=tuple(servers),
        cells={(BY_HAND.name, server): cell for server in servers},
        run_dir=folder,
        started=datetime.fromtimestamp(began).astimezone().isoformat(timespec="seconds"),
        seconds=round(time.time() - began, 3),
    )


def by_server(
    data: bytes,
    decoded: Sequence[Pdu | TcpEvent],
    addresses: Mapping[bytes, str],
    with_commands: Collection[int] = (),
) -> dict[str, tuple[bytes, list[Pdu | TcpEvent]]]:
    """Each server's part of a capture and of its events, in the order of their first connection.

    Without the connections that are nobody's work: those that only ask whether the server lives,
    and, if commands are given, those that have none of them: the client's own housekeeping.
    """
    whole = pcap.read(data)
    ports = {
        event.client_port
        for event in decoded
        if isinstance(event, Pdu)
        and (event.command in with_commands if with_commands else event.command != NEGOTIATE)
    }
    mine: dict[str, list[pcap.Stream]] = {}
    for stream in pcap.streams(whole, SMB_PORT):
        server = addresses.get(stream.server[0])
        if server is not None and stream.client[1] in ports:
            mine.setdefault(server, []).append(stream)
    found = {}
    for server, connections in mine.items():
        theirs = {stream.client[1] for stream in connections}
        part = pcap.cut(whole, connections, 0.0, float("inf"), theirs).to_bytes()
        found[server] = part, [event for event in decoded if event.client_port in theirs]
    return found


def _directory(observations: Path) -> str:
    """The directory that a scenario was given; "" where there was none."""
    if not observations.exists():
        return ""
    with observations.open() as lines:
        return str(json.loads(next(lines, "{}")).get("directory", ""))


def play(lab: Lab, scenario: Scenario, server: str, folder: Path) -> Matrix:
    """Have the interpreter carry out a scenario through the front."""
    column = running.column(lab, server, through_front=True, recorded_in=None)
    return run_matrix([column], [scenario], folder)
