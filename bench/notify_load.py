"""Loads on one server's CHANGE_NOTIFY; runs beside the servers, prints one JSON line a load.

`bench.notify_figures` starts it in a container on the lab's network, with the servers' shares
mounted below /shares, so that "a change on the server's disk" is a system call of this process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import secrets
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.smb_load import CREATE_FILE_ACCESS, FILE_CREATE, STATUS, Client, LoadError
from lab.client import wire
from lab.scenarios.model import Command, NtStatus

OK = NtStatus.STATUS_SUCCESS
ENUM_DIR = NtStatus.STATUS_NOTIFY_ENUM_DIR
FILE_NAME = 1
SETTLE_SECONDS = 60


class Place:
    """A server, its share as SMB sees it, and the same directory as this process sees it."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.name = f"load-{secrets.token_hex(4)}"
        self.folder = Path(given.disk) / self.name
        self.folder.mkdir()
        self.folder.chmod(0o777)

    def client(self) -> Client:
        given = self.given
        return Client(given.host, given.port, given.user, os.environ["LOAD_PASSWORD"], given.share)

    def clear(self) -> None:
        subprocess.run(["rm", "-rf", str(self.folder)], check=True)


@contextmanager
def place(given: argparse.Namespace) -> Iterator[Place]:
    made = Place(given)
    try:
        yield made
    finally:
        made.clear()


def say(**result: object) -> None:
    print(json.dumps(result), flush=True)


def settle(here: Place, clients: list[Client], handles: list[list[bytes]]) -> None:
    """Changes until every watch has told of one; nothing is measured before.

    smbd sends the interim response before its notifyd has the first watch of a handle armed, so a
    change right behind it may go unseen. Afterwards all is armed; what was buffered meanwhile is
    taken by the next `park`.
    """
    waiting = {}
    for number, (client, watched) in enumerate(zip(clients, handles, strict=True)):
        for handle in watched:
            client.park(handle, FILE_NAME)
        waiting[number] = (client, len(watched))
    deadline = time.monotonic() + SETTLE_SECONDS
    for attempt in itertools.count():
        (here.folder / f"settle{attempt}").touch()
        time.sleep(0.2)
        poll = select.poll()
        for client, _ in waiting.values():
            poll.register(client.socket, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(0)}
        for number, (client, silent) in list(waiting.items()):
            if client.socket.fileno() in ready:
                silent -= client.expect_what_is_there(OK)
                waiting[number] = (client, silent)
                if not silent:
                    del waiting[number]
        if not waiting:
            break
        if time.monotonic() > deadline:
            silent = sum(silent for _, silent in waiting.values())
            raise LoadError(f"{silent} watches tell of no change in {SETTLE_SECONDS} s")
    for each_file in here.folder.glob("settle*"):
        each_file.unlink()
    time.sleep(0.2)


# -- latency --------------------------------------------------------------------------------------


def disk_latency(given: argparse.Namespace) -> None:
    """Microseconds from before open(O_CREAT) or unlink to the final response in hand."""
    with place(given) as here:
        client = here.client()
        handle = client.open_directory(here.name)
        settle(here, [client], [[handle]])
        path = str(here.folder / "file")
        samples = []
        for turn in range(given.n):
            client.park(handle, FILE_NAME)
            start = time.perf_counter_ns()
            if turn % 2:
                os.unlink(path)
            else:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
            client.expect(OK)
            samples.append((time.perf_counter_ns() - start) / 1000)
        say(samples=samples)


def smb_latency(given: argparse.Namespace) -> None:
    """Microseconds from before another client's CREATE to the watcher's final response in hand."""
    with place(given) as here:
        watcher, other = here.client(), here.client()
        handle = watcher.open_directory(here.name)
        settle(here, [watcher], [[handle]])
        samples = []
        for turn in range(given.n):
            watcher.park(handle, FILE_NAME)
            name = f"{here.name}\\f{turn}"
            frame = other.frame(
                Command.CREATE, other.create_fields(name, CREATE_FILE_ACCESS, FILE_CREATE, 0)
            )
            start = time.perf_counter_ns()
            other.socket.sendall(frame)
            if not select.select([watcher.socket], [], [], 10)[0]:
                other.expect(OK)
                raise LoadError("the file was created, and the watch says nothing")
            watcher.expect(OK)
            samples.append((time.perf_counter_ns() - start) / 1000)
            reply = other.expect(OK)
            other.close_file(reply[128:144])
        say(samples=samples)


def floor(given: argparse.Namespace) -> None:
    """What no server can beat: another process reads inotify and writes to `watchers` sockets."""
    with place(given) as here:
        listener = socket.create_server(("127.0.0.1", 0), backlog=given.watchers)
        listener.settimeout(30)
        address = listener.getsockname()
        child = subprocess.Popen(
            [
                sys.executable, "-m", "bench.inotify_floor",
                str(here.folder), str(address[1]), str(given.watchers),
            ]
        )  # fmt: skip
        try:
            peers = [listener.accept()[0] for _ in range(given.watchers)]
            poll = select.epoll()
            receive = {}
            for peer in peers:
                peer.settimeout(30)
                peer.recv(1)
                poll.register(peer.fileno(), select.EPOLLIN)
                receive[peer.fileno()] = peer.recv
            path = str(here.folder / "file")
            samples = []
            for turn in range(given.n):
                waiting = len(peers)
                start = time.perf_counter_ns()
                if turn % 2:
                    os.unlink(path)
                else:
                    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
                if waiting == 1:
                    peers[0].recv(4096)
                else:
                    while waiting:
                        ready = poll.poll(30)
                        if not ready:
                            raise LoadError("the floor says nothing for 30 s")
                        for fd, _ in ready:
                            receive[fd](4096)
                        waiting -= len(ready)
                samples.append((time.perf_counter_ns() - start) / 1000)
        finally:
            child.terminate()
            child.wait(10)
        say(samples=samples)


# -- many watchers --------------------------------------------------------------------------------


def fan_out(given: argparse.Namespace) -> None:
    """Milliseconds from one change to the last of `watchers` final responses, `n` times.

    `per_connection` of the watches share a connection each, as those of one machine do.
    """
    with place(given) as here:
        each = given.per_connection
        clients = [here.client() for _ in range(given.watchers // each)]
        handles = [[client.open_directory(here.name) for _ in range(each)] for client in clients]
        poll = select.epoll()
        by_fd = {client.socket.fileno(): client for client in clients}
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        settle(here, clients, handles)
        samples = []
        for turn in range(given.n):
            for client, watched in zip(clients, handles, strict=True):
                for handle in watched:
                    client.park(handle, FILE_NAME)
            waiting = given.watchers
            start = time.perf_counter_ns()
            (here.folder / f"file{turn}").touch()
            while waiting:
                ready = poll.poll(30)
                if not ready:
                    raise LoadError(f"{waiting} of {given.watchers} watches say nothing for 30 s")
                for fd, _ in ready:
                    waiting -= by_fd[fd].expect_what_is_there(OK)
            samples.append((time.perf_counter_ns() - start) / 1e6)
        say(samples=samples)


def parked(given: argparse.Namespace) -> None:
    """Park `watchers` watches, `per_connection` on each; says so; holds until a line comes in."""
    with place(given) as here:
        clients = []
        for _ in range(given.watchers // given.per_connection):
            client = here.client()
            clients.append(client)
            for _ in range(given.per_connection):
                client.park(client.open_directory(here.name), FILE_NAME)
        say(parked=given.watchers)
        sys.stdin.readline()


# -- trees and rates ------------------------------------------------------------------------------


def tree(given: argparse.Namespace) -> None:
    """Arm WATCH_TREE on `n` directories; then touch a file in 1,000 of them and count records."""
    with place(given) as here:
        folders = []
        for outer in range(given.n // 100):
            (here.folder / f"d{outer}").mkdir()
            for inner in range(99):
                folder = here.folder / f"d{outer}" / f"e{inner}"
                folder.mkdir()
                folders.append(folder)
        client = here.client()
        handle = client.open_directory(here.name)
        start = time.perf_counter()
        client.park(handle, FILE_NAME, tree=True)
        armed = time.perf_counter() - start
        say(armed_seconds=armed, directories=given.n)
        sys.stdin.readline()
        chosen = folders[:: max(1, len(folders) // 1000)][:1000]
        names: list[str] = []
        for folder in chosen:
            (folder / "new").touch()
            _collect(client.expect(OK), names)
            client.send(Command.CHANGE_NOTIFY, client.notify_fields(handle, FILE_NAME, True))
            client.expect(NtStatus.STATUS_PENDING)
        say(changes=len(chosen), records=len(names), distinct=len(set(names)))


def _collect(reply: bytes, names: list[str]) -> None:
    body = wire.parse_body(wire.parse_header(reply), reply)
    names.extend(record["name"] for record in body["records"])


def sustained(given: argparse.Namespace) -> None:
    """`rate` creations a second for `seconds`, spread over `watchers` directories and watches.

    Each watcher must see each name of its directory exactly once, or an ENUM_DIR in its place.
    """
    with place(given) as here:
        folders = [here.folder / f"w{index}" for index in range(given.watchers)]
        for folder in folders:
            folder.mkdir(mode=0o777)
        clients = [here.client() for _ in folders]
        handles = [
            client.open_directory(f"{here.name}\\{folder.name}")
            for client, folder in zip(clients, folders, strict=True)
        ]
        counts = [0] * len(clients)
        seen: list[set[str]] = [set() for _ in clients]
        overflows = [0] * len(clients)
        indices = {client.socket.fileno(): index for index, client in enumerate(clients)}
        poll = select.epoll()
        for fd in indices:
            poll.register(fd, select.EPOLLIN)
        for client, handle in zip(clients, handles, strict=True):
            client.send(Command.CHANGE_NOTIFY, client.notify_fields(handle, FILE_NAME, False))
        child = subprocess.Popen(
            [
                sys.executable, "-m", "bench.file_rate", str(here.folder),
                str(given.watchers), str(given.rate), str(given.seconds),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        probe = subprocess.Popen(
            [
                sys.executable, "-m", "bench.echo_probe", "--host", given.host,
                "--port", str(given.port), "--user", given.user, "--share", given.share,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        quiet_since = time.monotonic()
        while child.poll() is None or time.monotonic() - quiet_since < 3:
            for fd, _ in poll.poll(0.5):
                index = indices[fd]
                reply = clients[index].receive()
                (status,) = STATUS.unpack_from(reply, 8)
                if status == NtStatus.STATUS_PENDING:
                    continue
                quiet_since = time.monotonic()
                if status == ENUM_DIR:
                    overflows[index] += 1
                else:
                    names: list[str] = []
                    _collect(reply, names)
                    counts[index] += len(names)
                    seen[index].update(names)
                clients[index].send(
                    Command.CHANGE_NOTIFY,
                    clients[index].notify_fields(handles[index], FILE_NAME, False),
                )
        assert child.stdout is not None
        made = json.loads(child.stdout.read())
        echo, _ = probe.communicate("\n", timeout=30)
        say(
            echo=json.loads(echo),
            made=made["made"],
            seconds=made["seconds"],
            records=sum(counts),
            distinct=sum(len(names) for names in seen),
            duplicates=sum(counts) - sum(len(names) for names in seen),
            overflows=sum(overflows),
            watchers_short_without_overflow=sum(
                len(names) < made["per_watcher"] and not overflowed
                for names, overflowed in zip(seen, overflows, strict=True)
            ),
        )


LOADS = {
    "disk-latency": disk_latency,
    "smb-latency": smb_latency,
    "floor": floor,
    "fan-out": fan_out,
    "parked": parked,
    "tree": tree,
    "sustained": sustained,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("load", choices=LOADS)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=445)
    parser.add_argument("--share", default="TEST")
    parser.add_argument("--user", default="tester")
    parser.add_argument("--disk", required=True, help="the share's folder as this process sees it")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--watchers", type=int, default=1)
    parser.add_argument("--per-connection", type=int, default=1)
    parser.add_argument("--rate", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    LOADS[given.load](given)


if __name__ == "__main__":
    main()
