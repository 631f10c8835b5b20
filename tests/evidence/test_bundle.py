"""A bundle: all that a mailing list needs, and nothing that it must not have."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from lab.errors import LabFailed, UsageError
from lab.evidence import bundle, column, run_folder
from lab.evidence.bundle import Secret
from lab.evidence.run_folder import Run
from tests.evidence import run_on_disk

PASSWORD = "eVqN5-tKq8Wm_A1zX0yTgQ"
SSH_LINE = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMw"
PRIVATE = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SSH_LINE}\n-----END OPENSSH PRIVATE KEY-----\n"
KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
SECRETS = [Secret("the password", PASSWORD.encode()), *bundle.key_secrets(PRIVATE)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run whose every text file says every secret in every way."""
    path = run_on_disk.make(tmp_path / "20260102-120000")
    said = f"{PASSWORD}\n{SSH_LINE}\n{KEY.hex()} {KEY.hex().upper()}\n"
    for cell in path.glob("*/*"):
        (cell / "server.log").write_text(f"smbd starts\n{said}")
        rows = [{"session_id": f"{255:016x}", "session_key": KEY.hex()}]
        (cell / column.KEYS).write_text(json.dumps(rows))
    (path / "versions.json").write_text(json.dumps({"samba": {"smbd": f"4.22 {PASSWORD}"}}))
    return path


@pytest.fixture
def run(folder: Path) -> Run:
    return run_folder.read(folder)


def unpacked(data: bytes) -> dict[str, bytes]:
    """By path below the archive's one folder."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        for entry in tar.getmembers():
            extracted = tar.extractfile(entry)
            assert extracted is not None
            assert (entry.uid, entry.gid, entry.uname, entry.mtime) == (0, 0, "", 0)
            files[entry.name.partition("/")[2]] = extracted.read()
    return files


def test_it_has_what_a_maintainer_asks_for(run: Run) -> None:
    files = unpacked(bundle.build(run, "h1", [], SECRETS))
    assert set(files) == {
        "README.txt",
        "versions.json",
        *(f"{server}/ladder.txt" for server in ("samba", "ksmbd", "py")),
        "py/ladder-with-trace.txt",
        "py/trace.json",
        *(f"{server}/capture.pcap" for server in ("samba", "ksmbd", "py")),
        *(f"{server}/server.log" for server in ("samba", "ksmbd", "py")),
        "samba/against-py.txt",
        "ksmbd/against-py.txt",
    }
    readme = files["README.txt"].decode()
    assert "lab run-scenarios H1 --server ksmbd" in readme
    assert "unsupported: CHANGE_NOTIFY answered STATUS_NOT_IMPLEMENTED" in " ".join(readme.split())
    assert "its\n  capture cannot be decrypted" in readme
    assert files["samba/capture.pcap"] == run.cells["samba", "H1"].capture


def test_no_secret_is_in_it(folder: Path, run: Run) -> None:
    """Neither the password, nor the SSH key, nor a session's key, in any form."""
    before = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    forbidden = [*SECRETS, Secret("a session key", KEY)]
    assert all(any(form in before for form in secret.forms()) for secret in forbidden)
    files = unpacked(bundle.build(run, "H1", [], SECRETS))
    assert not [path for path in files if "key" in path or "observations" in path]
    for path, data in files.items():
        for secret in forbidden:
            assert not [form for form in secret.forms() if form in data], (path, secret.what)
    assert files["samba/server.log"].decode().count("[left out]") >= 4


@pytest.mark.parametrize("form", [PASSWORD.encode(), PASSWORD.encode("utf-16-le"), KEY])
def test_a_capture_with_a_secret_in_it_is_not_bundled(folder: Path, form: bytes) -> None:
    """It cannot be struck out of packets, so nothing is handed out at all."""
    path = folder / "samba/H1/capture.pcap"
    path.write_bytes(path.read_bytes() + form)
    with pytest.raises(LabFailed, match=r"is in samba/capture\.pcap"):
        bundle.build(run_folder.read(folder), "H1", ["samba"], SECRETS)


def test_text_made_for_mail_is_narrow(run: Run) -> None:
    for path, data in unpacked(bundle.build(run, "H1", [], SECRETS)).items():
        if path.endswith(".txt"):
            assert max(len(line) for line in data.decode().splitlines()) < 75, path


def test_only_the_servers_that_were_asked_for(run: Run) -> None:
    files = unpacked(bundle.build(run, "C2", ["samba"], SECRETS))
    assert {path.split("/")[0] for path in files} == {"README.txt", "versions.json", "samba"}


def test_what_has_no_capture_still_has_its_log(run: Run) -> None:
    assert set(unpacked(bundle.build(run, "C2", ["ksmbd"], SECRETS))) == {
        "README.txt",
        "versions.json",
        "ksmbd/crash.txt",
        "ksmbd/server.log",
    }


def test_a_long_log_is_its_end() -> None:
    text = "".join(f"line {number}\n" for number in range(1000))
    lines = bundle.excerpt(text).splitlines()
    assert lines[0] == "(800 lines before this are left out)"
    assert lines[-1] == "line 999"
    assert bundle.excerpt("\x1b[31mred\tx\n") == "\\u001b[31mred    x\n"


def test_a_long_report_of_the_kernel_is_its_beginning(folder: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(1000))
    for name in ("crash.txt", "server.log"):
        (folder / "ksmbd" / "C2" / name).write_text(text)
    files = unpacked(bundle.build(run_folder.read(folder), "C2", ["ksmbd"], SECRETS))
    lines = files["ksmbd/crash.txt"].decode().splitlines()
    assert (lines[0], lines[-2]) == ("line 0", "line 199")
    assert lines[-1] == "(800 lines after this are left out)"
    assert files["ksmbd/server.log"].decode().splitlines()[-1] == "line 999"
    assert bundle.beginning("a\nb\n") == "a\nb\n"


def test_the_same_run_gives_the_same_archive(run: Run) -> None:
    assert bundle.build(run, "H1", [], SECRETS) == bundle.build(run, "H1", [], SECRETS)


@pytest.mark.parametrize(("scenario", "servers"), [("H9", []), ("H1", ["sambo"])])
def test_unknown_names_get_the_nearest(run: Run, scenario: str, servers: list[str]) -> None:
    with pytest.raises(UsageError, match="Did you mean"):
        bundle.build(run, scenario, servers, SECRETS)
