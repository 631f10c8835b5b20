"""What one input does to the connection core, and what must hold afterwards. No fuzzer in here.

An input is a program. Its first two bytes choose the world: where the connection stands (nothing
said yet, negotiated, logged on), its dialect, its policies, and whether jobs run at once or stay
away until the program lets them come back. Then one step follows the other:

    00-BF  a request: command, how it is protected, where its FileId comes from, patches, a tail
    C0-CF  a job that is away comes back (which one)
    D0-DF  something changed beside the server, is doomed, was renamed, or was lost
    E0-E7  time passes
    E8-EF  a connection is lost and begun again
    F0-FF  raw bytes, framed or not

A request starts from a body that is right and is then patched, so a few bytes of input reach deep
code; mutation may break every byte of header and body. Two connections share the server, its
files, locks, oplocks and watches.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from typing import Final

from fuzz.store import ROOT, MemoryFeed, MemoryStore
from notify_server.auth import ntlm
from notify_server.auth.acceptor import Identity
from notify_server.auth.keys import SessionKeys
from notify_server.auth.sealing import Sealer
from notify_server.auth.signing import _ALGORITHMS
from notify_server.core.config import Bounds, Config, Share, share_table
from notify_server.core.connection import Connection
from notify_server.core.model import Session, Tree
from notify_server.core.outcome import Job, JobResult, run
from notify_server.core.server import Server
from notify_server.notify.change import ChangesLost, DirectoryDoomed, DirectoryMoved
from notify_server.notify.classes import added, removed
from notify_server.notify.table import Bounds as WatchBounds
from notify_server.wire.constants import Cipher, Dialect
from notify_server.wire.negotiate import NegotiateRequest
from notify_server.wire.status import NtStatus

MOST_STEPS: Final = 16
MOST_TAIL: Final = 31
LARGEST_OUTPUT: Final = 1 << 20  # bytes that one input may make the server send

_COMMANDS: Final = 20
_CREATE, _CHANGE_NOTIFY, _SESSION_SETUP = 5, 15, 1
_SIGNED, _RELATED, _ASYNC = 8, 4, 2
_ONES: Final = b"\xff" * 16
_KEY: Final = b"k" * 16
_CHALLENGE: Final = b"C" * 8
_NOW: Final = 1_000_000.0
_USERS: Final = {"tester": ntlm.nt_hash("secret")}
_BOUNDS: Final = Bounds(
    io_size=1 << 16, sessions=3, all_sessions=4, trees=4, opens=12, all_opens=14, listed=24,
    parked=6, credits=64, compound=8,
)  # fmt: skip
_WATCH_BOUNDS: Final = WatchBounds(requests_per_open=4, requests=10, bytes_per_open=256, bytes=1024)
_DIALECTS: Final = (Dialect.SMB_3_1_1, Dialect.SMB_3_0, Dialect.SMB_2_1, Dialect.SMB_2_0_2)
_NAMES: Final = ("", "d", "d\\f", "f", "d\\new", "f:s", "d\\e")


# --- bodies that are right ------------------------------------------------------------------


def _create(name: str, access: int, disposition: int, options: int, oplock: int) -> bytes:
    encoded = name.encode("utf-16-le")
    padded = encoded + bytes(-len(encoded) % 8)
    contexts = struct.pack("<IHHHHI", 24, 16, 4, 0, 0, 0) + b"MxAc\0\0\0\0" + struct.pack(
        "<IHHHHI", 0, 16, 4, 0, 24, 8
    ) + b"AlSi\0\0\0\0" + bytes(8)  # fmt: skip
    return (
        struct.pack(
            "<HBBIQQIIIIIHHII", 57, 0, oplock, 2, 0, 0, access, 0, 7, disposition, options,
            120, len(encoded), 120 + len(padded), len(contexts),
        )
        + padded
        + contexts
    )  # fmt: skip


def _ntlm_authenticate() -> bytes:
    """An AUTHENTICATE_MESSAGE that is right for `_CHALLENGE`."""
    user = "tester".encode("utf-16-le")
    blob = b"\x01\x01" + bytes(26) + bytes(8)
    key = ntlm.ntowf_v2(_USERS["tester"], "tester", "")
    response = hmac.digest(key, _CHALLENGE + blob, "md5") + blob
    at = 64
    fields = b"".join(
        struct.pack("<HHI", size, size, offset)
        for size, offset in (
            (0, at), (len(response), at + len(user)), (0, at), (len(user), at), (0, at), (0, at)
        )
    )  # fmt: skip
    return b"NTLMSSP\0\3\0\0\0" + fields + struct.pack("<I", 0x00080201) + user + response


def _setup(token: bytes) -> bytes:
    return struct.pack("<HBBIIHHQ", 25, 0, 1, 0, 0, 88, len(token), 0) + token


def _negotiate(*dialects: int) -> bytes:
    contexts = (
        struct.pack("<HHIHHH2x", 1, 6, 0, 1, 0, 1)
        + struct.pack("<HHIHHH2x", 2, 6, 0, 2, 2, 1)
        + struct.pack("<HHIHHHH", 8, 8, 0, 3, 2, 1, 0)
    )
    at = (100 + 2 * len(dialects) + 7) & ~7
    fixed = struct.pack(
        "<HHHHI16sIHH", 36, len(dialects), 1, 0, 0x40, b"g" * 16, at, 3, 0
    ) + struct.pack(f"<{len(dialects)}H", *dialects)  # fmt: skip
    return fixed.ljust(at - 64, b"\0") + contexts


def _connect(path: str) -> bytes:
    encoded = path.encode("utf-16-le")
    return struct.pack("<HHHH", 9, 0, 72, len(encoded)) + encoded


def _info(kind: int, number: int, room: int = 4096) -> bytes:
    return struct.pack("<HBBIHHIII16s", 41, kind, number, room, 104, 0, 0, 0, 0, _ONES)


def _set(kind: int, number: int, data: bytes, what: int = 0) -> bytes:
    return struct.pack("<HBBIHHI16s", 33, kind, number, len(data), 96, 0, what, _ONES) + data


def _named(name: str) -> bytes:
    encoded = name.encode("utf-16-le")
    return struct.pack("<B7xQI", 1, 0, len(encoded)) + encoded


def _directory(number: int, pattern: str) -> bytes:
    encoded = pattern.encode("utf-16-le")
    return struct.pack("<HBBI16sHHI", 33, number, 0, 0, _ONES, 96, len(encoded), 4096) + encoded


def _ioctl(code: int, data: bytes) -> bytes:
    return struct.pack(
        "<HHI16sIIIIIIII", 57, 0, code, _ONES, 120, len(data), 0, 0, 0, 4096, 1, 0
    ) + data  # fmt: skip


def _lock(*elements: tuple[int, int, int]) -> bytes:
    packed = b"".join(struct.pack("<QQI4x", *element) for element in elements)
    return struct.pack("<HHI16s", 48, len(elements), 0, _ONES) + packed


def _notify(flags: int, room: int, wanted: int) -> bytes:
    return struct.pack("<HHI16sII", 32, flags, room, _ONES, wanted, 0)


def _init_token(token: bytes) -> bytes:
    inner = b"\x60\x30\x06\x06\x2b\x06\x01\x05\x05\x02\xa0\x26\x30\x24\xa0\x0e\x30\x0c\x06\x0a"
    inner += bytes.fromhex("2b06010401823702020a") + b"\xa2\x12\x04\x10" + token[:16]
    return inner


_EMPTY: Final = b"\4\0\0\0"
_TYPE_1: Final = b"NTLMSSP\0\1\0\0\0" + struct.pack("<I", 0x60088215) + bytes(16)
_EA: Final = struct.pack("<IBBH", 16, 0, 1, 3) + b"A\0abc\0\0\0"[:8] + struct.pack(
    "<IBBH", 0, 0, 1, 0) + b"B\0"  # fmt: skip
_SD: Final = struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 20) + struct.pack(
    "<BBHHH", 2, 0, 8, 0, 0
)

BODIES: Final[tuple[tuple[bytes, ...], ...]] = (
    (_negotiate(0x0202, 0x0210, 0x0300, 0x0302, 0x0311), _negotiate(0x0210), _negotiate(0x0300)),
    (_setup(_TYPE_1), _setup(_ntlm_authenticate()), _setup(_init_token(_TYPE_1)), _setup(b"")),
    (_EMPTY,),
    (_connect("\\\\s\\TEST"), _connect("\\\\s\\IPC$"), _connect("\\\\s\\RO")),
    (_EMPTY,),
    (
        *(_create(name, 0x1F01FF, 3, 0, 9) for name in _NAMES),
        _create("d\\g", 0x80, 2, 1, 0),
        _create("f", 0x1F01FF, 1, 0x1000, 8),
        _create("d", 0x81, 1, 1, 0),
        _create("f", 0x3, 5, 0, 1),
    ),
    (
        struct.pack("<HHI16s", 24, 0, 0, _ONES),
        struct.pack("<HHI16s", 24, 1, 0, _ONES),
    ),
    (struct.pack("<HHI16s", 24, 0, 0, _ONES),),
    (
        struct.pack("<HBBIQ16sIIIHHB", 49, 0, 0, 64, 0, _ONES, 0, 0, 0, 0, 0, 0),
        struct.pack("<HBBIQ16sIIIHHB", 49, 0, 0, 8192, 0, _ONES, 0, 0, 0, 0, 0, 0),
    ),
    (
        struct.pack("<HHIQ16sIIHHI", 49, 112, 4, 0, _ONES, 0, 0, 0, 0, 0) + b"data",
        struct.pack("<HHIQ16sIIHHI", 49, 112, 4, 2**64 - 1, _ONES, 0, 0, 0, 0, 1) + b"data",
    ),
    (
        _lock((0, 10, 2)), _lock((0, 10, 0x12)), _lock((0, 10, 1)), _lock((0, 10, 4)),
        _lock((0, 5, 0x12), (5, 5, 0x11)),
    ),
    (
        _ioctl(0x00140204, struct.pack("<I16sHHH", 0x40, b"g" * 16, 1, 1, 0x0300)),
        _ioctl(0x000900C0, b""),
        _ioctl(0x00060194, b"\0\0"),
    ),
    (_EMPTY,),
    (_EMPTY,),
    (
        _directory(37, "*"), _directory(1, "f"), _directory(3, "*.*"), _directory(60, "<d>\""),
        _directory(12, "?*"),
    ),
    (
        _notify(0, 4096, 0xFFF), _notify(1, 4096, 0xFFF), _notify(1, 32, 3), _notify(0, 0, 0x17),
    ),
    (
        _info(1, 18), _info(1, 22), _info(1, 15), _info(2, 5), _info(2, 1), _info(3, 0),
        _info(1, 48), _info(1, 59), _info(1, 4, 8),
    ),
    (
        _set(1, 4, struct.pack("<qqqqI4x", 1, -1, -2, 0, 0x20)),
        _set(1, 10, _named("d\\r")),
        _set(1, 65, _named("f")),
        _set(1, 13, b"\1"),
        _set(1, 20, struct.pack("<Q", 100)),
        _set(1, 19, struct.pack("<Q", 1)),
        _set(1, 15, _EA),
        _set(3, 0, _SD, 4),
        _set(1, 64, b"\1\0\0\0"),
        _set(1, 14, struct.pack("<Q", 7)),
    ),
    (
        struct.pack("<HBBI16s", 24, 0, 0, 0, _ONES),
        struct.pack("<HBBI16s", 24, 1, 0, 0, _ONES),
    ),
    (b"",),
)  # fmt: skip
"""By command; 12 is CANCEL, 13 ECHO, 19 none at all."""

# Where a body has its FileId, from the start of the body; -1 if it has none.
_FILE_ID_AT: Final = (
    -1, -1, -1, -1, -1, -1, 8, 8, 16, 16, 8, 8, -1, -1, 8, 8, 24, 16, 8, -1
)  # fmt: skip


class Later:
    """A runner whose jobs stay away until the program calls them back."""

    def __init__(self, *, light: bool, heavy: bool) -> None:
        self.light = light
        self.heavy = heavy
        self.away: list[tuple[Job, Callable[[JobResult, float], None]]] = []

    def submit(self, job: Job, done: Callable[[JobResult, float], None]) -> JobResult | None:
        if not (self.light if job.light else self.heavy):
            return run(job)
        self.away.append((job, done))
        return None

    def release(self, which: int, now: float) -> None:
        if self.away:
            job, done = self.away.pop(which % len(self.away))
            done(run(job), now)


class Peer:
    """One connection and what its client knows."""

    __slots__ = ("connection", "file_id", "held", "mid", "tree_id")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.mid = 0
        self.tree_id = 0
        self.file_id = _ONES
        self.held: list[bytes] = []  # the beginning of a compound


class World:
    """A server and two connections, made afresh for each input: it costs microseconds."""

    def __init__(self, first: int, second: int) -> None:
        self.stage = first & 3  # 0 nothing said, 1 negotiated, else logged on
        self.dialect = _DIALECTS[first >> 2 & 3]
        self.signing = second & 3
        self.sealing = bool(second & 4) and self.dialect >= Dialect.SMB_3_0
        self.signing_required = bool(second & 8)
        self.now = _NOW
        self.feed = MemoryFeed()
        self.store = MemoryStore(self.feed)
        self.store.make("/d", is_directory=True)
        self.store.make("/d/f", is_directory=False)
        self.store.make("/f", is_directory=False)
        self.runner = Later(light=bool(first & 0x10), heavy=bool(first & 0x20))
        config = Config(
            share_table(Share("TEST", self.store), Share("RO", self.store, read_only=True)),
            _USERS,
            b"G" * 16,
            allow_anonymous=bool(second & 0x10),
            session_seconds=60.0 if second & 0x20 else 0.0,
            bounds=_BOUNDS,
        )
        self._random = 0
        self.server = Server(config, self.feed, self.runner, self._bytes, _WATCH_BOUNDS)
        self.sent = 0
        self.peers = [self.peer(), self.peer()]

    def _bytes(self, size: int) -> bytes:
        """Every id differs; the challenge is one for which an answer was made beforehand."""
        if size == len(_CHALLENGE):
            return _CHALLENGE
        self._random += 1
        return self._random.to_bytes(size, "little")

    def peer(self) -> Peer:
        connection = self.server.connect("fuzz")
        peer = Peer(connection)
        if not self.stage:
            return peer
        connection.dialect = self.dialect
        connection.negotiate_answered = True
        connection.supports_large_mtu = self.dialect > Dialect.SMB_2_0_2
        connection.signing_algorithm = self.signing % 3
        connection.client_negotiate = NegotiateRequest(1, 0x40, b"g" * 16, (0x0300,))
        connection.credits.take(0, 1)
        connection.credits.grant(1, 60)
        if self.sealing:
            connection.cipher = Cipher.AES_128_GCM
        peer.mid = 1
        if self.stage == 1:
            return peer
        session = self.server.new_session(connection)
        connection.sessions[session.session_id] = session
        session.keys = SessionKeys(_KEY, _KEY, _KEY, _KEY)
        session.identity = Identity("tester")
        session.signing_required = self.signing_required
        if self.sealing:
            session.sealer = Sealer(Cipher.AES_128_GCM, _KEY, _KEY)
        tree = Tree(1, session, self.server.config.shares["test"])
        session.next_tree_id = 2
        session.trees[1] = tree
        peer.tree_id = 1
        return peer

    def session(self, peer: Peer) -> Session | None:
        return next(iter(peer.connection.sessions.values()), None)

    # Steps

    def request(self, program: Program, op: int) -> None:
        command = op % _COMMANDS
        how, variant, extra = program.byte(), program.byte(), program.byte()
        peer = self.peers[how >> 7]
        bodies = BODIES[command]
        body = bytearray(bodies[variant % len(bodies)])
        at = _FILE_ID_AT[command]
        source = how >> 5 & 3
        if at >= 0 and source < 3:
            body[at : at + 16] = (peer.file_id, _ONES, bytes(16))[source]
        protection = how & 3
        flags = _SIGNED if protection in (1, 3) else 0
        if how & 4:
            flags |= _RELATED
        session = self.session(peer)
        message = bytearray(
            struct.pack(
                "<4sHHIHHIIQQQ16x", b"\xfeSMB", 64, 1, 0, command, 8, flags, 0, peer.mid,
                peer.tree_id << 32, session.session_id if session else 0,
            )
        ) + body  # fmt: skip
        if command != 12:
            peer.mid += 1
        for _ in range(extra & 7):
            where, value = program.byte(), program.byte()
            if where < len(message):
                message[where] = value
        message += program.take(extra >> 3)
        if how & 0x10 and len(peer.held) < 9:
            message += bytes(-len(message) % 8)
            message[20:24] = len(message).to_bytes(4, "little")
            peer.held.append(self.protect(message, session, protection))
            return
        payload = b"".join([*peer.held, self.protect(message, session, protection)])
        peer.held.clear()
        if protection == 2 and session is not None and session.sealer is not None:
            payload = session.sealer.seal(payload, session.session_id)
        self.receive(peer, len(payload).to_bytes(4, "big") + payload)

    def protect(self, message: bytearray, session: Session | None, protection: int) -> bytes:
        """Sign as the client would; with protection 3 in vain."""
        if protection == 1 and session is not None and session.keys is not None:
            message[48:64] = bytes(16)
            signature = _ALGORITHMS[self.peers[0].connection.signing_algorithm]
            message[48:64] = signature(session.keys.signing, bytes(message), False)
        return bytes(message)

    def receive(self, peer: Peer, data: bytes) -> None:
        peer.connection.receive(data, self.now)
        self.collect()

    def change(self, op: int, program: Program) -> None:
        name = _NAMES[program.byte() % len(_NAMES)].replace("\\", "/") or "x"
        path = f"{ROOT}/{name}"
        directory, _, last = path.rpartition("/")
        kind = op & 7
        if kind == 0:
            self.feed.events.append(added(directory, last, is_directory=False))
        elif kind == 1:
            self.feed.events.append(removed(directory, last, is_directory=True))
        elif kind == 2:
            self.feed.events.append(ChangesLost())
        elif kind == 3:
            self.feed.events.append(ChangesLost(directory))
        elif kind == 4:
            self.feed.events.append(DirectoryDoomed(directory, undone=bool(op & 8)))
        elif kind == 5:
            self.feed.events.append(DirectoryMoved(f"{ROOT}/d", f"{ROOT}/{last}"))
        else:
            long = last * (1 + program.byte())
            self.feed.events.append(added(directory, long, is_directory=False))
        self.server.drain(self.now)
        self.collect()

    def tick(self, op: int) -> None:
        self.now += (0.0, 1.0, 36.0, 61.0)[op & 3]
        self.server.tick(self.now)
        self.collect()

    def lose(self, which: int) -> None:
        self.peers[which].connection.lost(self.now)
        self.peers[which] = self.peer()

    def raw(self, op: int, program: Program) -> None:
        data = program.take(program.byte())
        if op & 2:
            data = b"\xfeSMB" + data
        if op & 4:
            data = b"\xfdSMB" + data
        if not op & 8:
            data = len(data).to_bytes(4, "big") + data
        self.receive(self.peers[op & 1], data)

    # What must hold

    def collect(self) -> None:
        """Take what is sent, as the socket's side would, and check that it is well-formed."""
        for connection in self.server.take_dirty():
            peer = next((p for p in self.peers if p.connection is connection), None)
            for chunk in connection.take_output():
                self.sent += len(chunk)
                assert int.from_bytes(chunk[:4], "big") == len(chunk) - 4, "frame length"
                if peer is not None:
                    self.learn(peer, chunk[4:])
        assert self.sent < LARGEST_OUTPUT, "an answer out of all proportion"

    def learn(self, peer: Peer, payload: bytes) -> None:
        if payload[:4] == b"\xfdSMB":
            return
        while True:
            assert payload[:6] == b"\xfeSMB\x40\0", "response header"
            status, command, _credits, flags, following = struct.unpack_from("<IHHII", payload, 8)
            assert flags & 1, "not a response"
            assert status in _STATUSES, f"status {status:#x}"
            assert status != NtStatus.STATUS_UNEXPECTED_IO_ERROR
            assert status != NtStatus.STATUS_PENDING or flags & _ASYNC
            if command == _CREATE and status == 0:
                peer.file_id = payload[128:144]
            elif command == 3 and status == 0:
                peer.tree_id = int.from_bytes(payload[36:40], "little")
            if not following:
                return
            assert following % 8 == 0
            payload = payload[following:]

    def check(self) -> None:
        """Bounds, whatever was asked for."""
        parked = 0
        for peer in self.peers:
            connection = peer.connection
            parked += len(connection.parked)
            assert len(connection.parked) <= _BOUNDS.parked
            assert len(connection.sessions) <= _BOUNDS.sessions
            assert connection.credits.outstanding <= _BOUNDS.credits
            for session in connection.sessions.values():
                assert len(session.trees) <= _BOUNDS.trees
                assert len(session.opens) <= _BOUNDS.opens + len(self.runner.away)
        server = self.server
        assert len(server.sessions) <= _BOUNDS.all_sessions
        assert len(self.store.handles) <= server.handles <= _BOUNDS.all_opens
        assert 0 <= server.listed <= _BOUNDS.listed
        assert server.held == sum(peer.connection.held for peer in self.peers)
        assert server.watches.parked <= _WATCH_BOUNDS.requests
        assert server.watches.parked <= parked, "a watch completes into nothing"
        assert 0 <= server.watches.buffered <= _WATCH_BOUNDS.bytes

    def end(self) -> None:
        """Both connections are lost: nothing may be left."""
        while self.runner.away:
            self.runner.release(0, self.now)
        for peer in self.peers:
            peer.connection.lost(self.now)
        while self.runner.away:
            self.runner.release(0, self.now)
        self.server.drain(self.now)
        server = self.server
        assert not server.sessions, "sessions are left"
        assert not len(server.watches), "watches are left"
        assert not server.watches.parked, "parked requests are left"
        assert not server.watches.buffered, "buffered bytes are left"
        assert not server.locks._files, "locks are left"
        assert not server.oplocks._opens, "oplocks are left"
        assert not self.store.handles, "handles are left"
        assert not server.handles, "handles are counted that are not there"
        assert not server.listed, "names of listings are left"
        assert not server.held, "bytes are counted that are not held"
        assert server.next_deadline() is None, "a deadline is left"


_STATUSES: Final = frozenset(int(status) for status in NtStatus)


class Program:
    """The rest of an input."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        at = self._at
        self._at += 1
        return self._data[at] if at < len(self._data) else 0

    def take(self, count: int) -> bytes:
        at = self._at
        self._at += count
        return self._data[at : at + count]


def run_input(data: bytes) -> World:
    """Run one input; raises whatever the core raises, and AssertionError."""
    program = Program(data)
    world = World(program.byte(), program.byte())
    steps = 0
    while program and steps < MOST_STEPS:
        steps += 1
        op = program.byte()
        if op < 0xC0:
            world.request(program, op)
        elif op < 0xD0:
            world.runner.release(op & 15, world.now)
            world.collect()
        elif op < 0xE0:
            world.change(op, program)
        elif op < 0xE8:
            world.tick(op)
        elif op < 0xF0:
            world.lose(op & 1)
        else:
            world.raw(op, program)
    world.check()
    world.end()
    return world
