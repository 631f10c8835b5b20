"""Record the captures of this folder: see README.md.

    python record.py FLOW OUT.pcap --port P --share-root DIR [--dialect 3.1.1|2.1] [--sealed]

Plays one flow of requests with smbprotocol, a client that nobody here wrote, against an SMB server
on the loopback interface while tcpdump captures, and writes the session keys beside the capture
(`OUT.pcap` gets `OUT.keys.json`). Needs root for tcpdump. Changes "on the server" are made below
`--share-root`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smbprotocol.change_notify import SMB2ChangeNotifyRequest
from smbprotocol.connection import Connection, Dialects
from smbprotocol.exceptions import SMBResponseException
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    ImpersonationLevel,
    SMB2CloseRequest,
    SMB2CreateRequest,
    SMB2CreateResponse,
    SMB2SetInfoRequest,
)
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

ALL_FF = b"\xff" * 16
LISTEN = 0x00100081  # FILE_LIST_DIRECTORY | FILE_READ_ATTRIBUTES | SYNCHRONIZE, as Explorer asks


class Client:
    def __init__(self, args: argparse.Namespace) -> None:
        self.connection = Connection(uuid.UUID(int=1), "127.0.0.1", args.port, require_signing=True)
        dialect = {"3.1.1": Dialects.SMB_3_1_1, "2.1": Dialects.SMB_2_1_0}[args.dialect]
        self.connection.connect(dialect, timeout=10)
        self.session = Session(
            self.connection,
            args.user,
            args.password,
            require_encryption=args.sealed,
            auth_protocol="ntlm",
        )
        self.session.connect()
        self.tree = TreeConnect(self.session, rf"\\127.0.0.1\{args.share}")
        self.tree.connect(require_secure_negotiate=False)
        self.root = Path(args.share_root)

    def keys(self) -> dict[str, str]:
        return {
            "session_id": f"{self.session.session_id:016x}",
            "session_key": self.session.session_key.hex(),
            "client_to_server": (self.session.encryption_key or b"").hex(),
            "server_to_client": (self.session.decryption_key or b"").hex(),
        }

    def send(self, *messages: Any) -> list[Any]:
        ids = self.session.session_id, self.tree.tree_connect_id
        if len(messages) > 1:
            return list(self.connection.send_compound(list(messages), *ids, related=True))
        return [self.connection.send(messages[0], *ids)]

    def answer(self, request: Any) -> bytes:
        try:
            response = self.connection.receive(request, timeout=5)
            return bytes(response["data"].get_value())
        except SMBResponseException:
            return b""  # an error is an observation; the capture keeps it

    def file_id(self, request: Any) -> bytes:
        response = SMB2CreateResponse()
        response.unpack(self.answer(request))
        return bytes(response["file_id"].get_value())

    def open(self, *args: Any, **kwargs: Any) -> bytes:
        return self.file_id(self.send(create(*args, **kwargs))[0])

    def close(self, file_id: bytes) -> None:
        message = SMB2CloseRequest()
        message["file_id"] = file_id
        self.answer(self.send(message)[0])


def create(
    name: str,
    access: int = LISTEN,
    disposition: int = CreateDisposition.FILE_OPEN,
    options: int = 0,
) -> Any:
    message = SMB2CreateRequest()
    message["impersonation_level"] = ImpersonationLevel.Impersonation
    message["desired_access"] = access
    message["file_attributes"] = 0
    message["share_access"] = 7
    message["create_disposition"] = disposition
    message["create_options"] = options
    message["buffer_path"] = name.encode("utf-16-le")
    return message


def notify(file_id: bytes, completion_filter: int, size: int = 2048, tree: bool = False) -> Any:
    message = SMB2ChangeNotifyRequest()
    message["flags"] = int(tree)
    message["file_id"] = file_id
    message["output_buffer_length"] = size
    message["completion_filter"] = completion_filter
    return message


def set_info(file_id: bytes, info_class: int, buffer: bytes) -> Any:
    message = SMB2SetInfoRequest()
    message["info_type"] = 1
    message["file_info_class"] = info_class
    message["file_id"] = file_id
    message["buffer"] = buffer
    return message


def rename(file_id: bytes, new: str) -> Any:
    name = new.encode("utf-16-le")
    return set_info(file_id, 10, bytes(16) + len(name).to_bytes(4, "little") + name)


def pause(seconds: float = 0.3) -> None:
    """Give the server time for its interim response: a recorder may sleep, a test may not."""
    time.sleep(seconds)


def explorer(client: Client) -> None:
    """The seed's flow: enter a directory, enter its sub-directory, touch on the server, leave."""
    base = "h1-" + uuid.uuid4().hex[:8]
    (client.root / base / "dir").mkdir(parents=True)
    root = client.send(create(base), notify(ALL_FF, 0x15))
    client.file_id(root[0])
    pause()
    sub = client.send(create(base + r"\dir"), notify(ALL_FF, 0x15))
    client.file_id(sub[0])
    pause()
    root[1].cancel()
    client.answer(root[1])
    (client.root / base / "dir" / "file1").touch()
    pause()
    sub[1].cancel()
    pause()


def changes(client: Client) -> None:
    """Create, rename, remove under a recursive watch; CLOSE ends the last request."""
    base = "c2-" + uuid.uuid4().hex[:8]
    (client.root / base / "sub").mkdir(parents=True)
    watch = client.open(base)
    parked = client.send(notify(watch, 0x17F, tree=True))[0]
    pause()
    name = base + r"\sub\a&b naïve 日本.txt"
    file = client.open(name, 0x00130196, CreateDisposition.FILE_CREATE)
    client.answer(parked)
    client.answer(client.send(rename(file, base + r"\sub\new name.txt"))[0])
    client.answer(client.send(set_info(file, 13, b"\x01"))[0])
    client.close(file)
    client.answer(client.send(notify(watch, 0x17F, tree=True))[0])
    client.send(notify(watch, 0x17F, tree=True))
    pause()
    client.close(watch)
    pause()


def errors(client: Client) -> None:
    """A notify on a file, on a closed FileId, with a zero buffer."""
    base = "b1-" + uuid.uuid4().hex[:8]
    (client.root / base).mkdir(parents=True)
    file = client.open(base + r"\file", 0x00130196, CreateDisposition.FILE_CREATE)
    client.answer(client.send(notify(file, 0x15))[0])
    client.close(file)
    client.answer(client.send(notify(file, 0x15))[0])
    watch = client.open(base, options=CreateOptions.FILE_DIRECTORY_FILE)
    parked = client.send(notify(watch, 0x3, size=0))[0]
    pause()
    (client.root / base / "added").touch()
    client.answer(parked)
    client.close(watch)


FLOWS: dict[str, Callable[[Client], None]] = {
    "explorer": explorer,
    "changes": changes,
    "errors": errors,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("flow", choices=FLOWS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--share-root", required=True)
    parser.add_argument("--share", default="TEST")
    parser.add_argument("--user", default="tester")
    parser.add_argument("--password", default=os.environ.get("PASSWORD", ""))
    parser.add_argument("--dialect", choices=("3.1.1", "2.1"), default="3.1.1")
    parser.add_argument("--sealed", action="store_true")
    args = parser.parse_args()

    argv = [
        "tcpdump",
        "-i",
        "lo",
        "--immediate-mode",
        "-U",
        "-w",
        str(args.out),
        "tcp",
        "port",
        str(args.port),
    ]
    tcpdump = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    assert tcpdump.stderr is not None
    while "listening on" not in tcpdump.stderr.readline():
        pass
    keys: dict[str, str] = {}
    try:
        client = Client(args)
        keys = client.keys()
        FLOWS[args.flow](client)
        client.connection.disconnect(True, timeout=5)
        pause()
    finally:
        tcpdump.send_signal(signal.SIGINT)
        tcpdump.wait(timeout=10)
    if args.sealed:
        args.out.with_suffix(".keys.json").write_text(json.dumps([keys], indent=1) + "\n")
    for left in Path(args.share_root).glob("??-????????"):
        shutil.rmtree(left)


if __name__ == "__main__":
    main()
