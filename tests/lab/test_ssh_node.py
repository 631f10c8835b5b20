"""The SSH node against a small SSH server: output, input, deadlines, a connection that broke."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from lab import secrets
from lab.nodes.model import DeadlineExceeded, NodeError
from lab.nodes.ssh import SshNode


class Shell(paramiko.ServerInterface):
    """Lets one key in and runs each command with /bin/sh."""

    def __init__(self, key: str) -> None:
        self.key = key

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        right = f"{key.get_name()} {key.get_base64()}" == self.key
        return paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self.execute, args=(channel, command), daemon=True).start()
        return True

    def execute(self, channel: paramiko.Channel, command: bytes) -> None:
        given = b""
        while chunk := channel.recv(65536):
            given += chunk
        done = subprocess.run(["/bin/sh", "-c", command], input=given, capture_output=True)
        channel.sendall_stderr(done.stderr)
        channel.sendall(done.stdout)
        channel.send_exit_status(done.returncode)
        channel.close()


class Server:
    """Accepts connections until closed; remembers its transports."""

    def __init__(self, key: str) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.transports: list[paramiko.Transport] = []
        self.host_key = paramiko.ECDSAKey.generate()
        self.shell = Shell(key)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(self.host_key)
            transport.start_server(server=self.shell)
            self.transports.append(transport)

    def close(self) -> None:
        self.listener.close()
        for transport in self.transports:
            transport.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = secrets.ensure(tmp_path / "secrets")
    server = Server(" ".join(made.authorized_key.read_text().split()[:2]))
    yield server
    server.close()


@pytest.fixture
def node(server: Server, tmp_path: Path) -> Iterator[SshNode]:
    node = SshNode("guest", "127.0.0.1", server.port, tmp_path / "secrets/id_ed25519")
    yield node
    node.close()


def test_output_and_exit_code_come_back(node: SshNode) -> None:
    done = node.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_arguments_arrive_as_they_are(node: SshNode) -> None:
    words = ["a b", "$HOME", "'", "*", ""]
    assert node.run(["printf", "%s\\n", *words]).text.split("\n") == [*words, ""]


def test_input_of_many_bytes(node: SshNode) -> None:
    data = bytes(range(256)) * 4096
    assert node.run(["cat"], input=data).stdout == data


def test_put_writes_the_bytes_with_the_mode(node: SshNode, tmp_path: Path) -> None:
    target = tmp_path / "with space"
    node.put(str(target), b"\0data", 0o640)
    assert target.read_bytes() == b"\0data"
    assert target.stat().st_mode & 0o777 == 0o640


def test_put_that_fails_says_why(node: SshNode) -> None:
    with pytest.raises(
        NodeError, match=r"put /nowhere/at/all` failed with exit code .*cannot create"
    ):
        node.put("/nowhere/at/all", b"")


def test_commands_share_one_connection(node: SshNode, server: Server) -> None:
    for _ in range(3):
        assert node.run(["true"]).returncode == 0
    assert len(server.transports) == 1


def test_a_broken_connection_is_made_anew(node: SshNode, server: Server) -> None:
    node.run(["true"])
    server.transports[0].close()
    server.transports[0].join(5)
    for _ in range(50):
        if not node._connection.is_connected:
            break
        threading.Event().wait(0.05)
    assert node.run(["true"]).returncode == 0
    assert len(server.transports) == 2


def test_a_command_that_does_not_end_meets_its_deadline(node: SshNode) -> None:
    with pytest.raises(DeadlineExceeded, match=r"guest: `sleep 3` did not end within 0\.3 s"):
        node.run(["sleep", "3"], deadline=0.3)


def test_nobody_listening_is_a_node_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    node = SshNode("guest", "127.0.0.1", port, secrets.ensure(tmp_path).identity)
    with pytest.raises(NodeError, match="guest: no SSH session"):
        node.run(["true"])


def test_another_key_is_refused(server: Server, tmp_path: Path) -> None:
    other = secrets.ensure(tmp_path / "other")
    node = SshNode("guest", "127.0.0.1", server.port, other.identity)
    with pytest.raises(NodeError, match="no SSH session"):
        node.run(["true"])
