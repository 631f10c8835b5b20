"""The doctor: each check's words, on machines that are made up."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import doctor
from lab.doctor import Finding
from lab.errors import LabFailed
from lab.paths import LabPaths
from lab.secrets import Secrets, ensure
from lab.settings import load
from lab.state import State


def lab(root: Path, **environ: str) -> Any:
    """A lab without an engine."""

    class Engineless(SimpleNamespace):
        @property
        def engine(self) -> Any:
            raise LabFailed("the Docker daemon does not answer", "start it")

    paths = LabPaths(root)
    return Engineless(
        paths=paths,
        settings=load(root, environ),
        environ=environ,
        state=State(paths.state),
        secrets=Secrets(paths.secrets),
    )


def findings(checker: doctor.Checker, one: Any) -> list[Finding]:
    return doctor._run(checker, one)


def no_command(monkeypatch: pytest.MonkeyPatch, stderr: str | None = None) -> None:
    """No command works: there is none, or it says `stderr`."""
    done = None if stderr is None else subprocess.CompletedProcess([], 1, "", stderr)
    monkeypatch.setattr(doctor, "_command", lambda *argv: done)


def test_without_docker_root_is_told_that_up_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor.os, "geteuid", lambda: 0)
    (found,) = findings(doctor._engine, lab(tmp_path))
    assert found.grade == "warn"
    assert "lab up installs" in found.remedy


@pytest.mark.parametrize(("uid", "environ"), [(1000, {}), (0, {"LAB_INSTALL_ENGINE": "never"})])
def test_without_docker_others_get_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, environ: dict[str, str]
) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor.os, "geteuid", lambda: uid)
    (found,) = findings(doctor._engine, lab(tmp_path, **environ))
    assert found.grade == "fail"
    assert "apt-get install docker.io" in found.remedy


def test_a_daemon_that_is_down_is_told_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/docker")
    monkeypatch.setattr(doctor, "DOCKER_SOCKET", tmp_path / "none")
    monkeypatch.setattr(doctor.os, "geteuid", lambda: 1000)
    no_command(monkeypatch, "Cannot connect to the Docker daemon\nIs it running?")
    (found,) = findings(doctor._engine, lab(tmp_path))
    assert (found.grade, found.remedy) == ("fail", doctor.START_ENGINE)
    assert "Cannot connect to the Docker daemon" in found.detail


def test_a_socket_that_is_not_ours_names_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker.sock").touch()
    monkeypatch.setattr(doctor, "DOCKER_SOCKET", tmp_path / "docker.sock")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/docker")
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    no_command(monkeypatch, "permission denied")
    (found,) = findings(doctor._engine, lab(tmp_path))
    assert found.grade == "fail"
    assert "usermod -aG docker" in found.remedy


def test_no_compose_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_command(monkeypatch)
    (found,) = findings(doctor._compose, lab(tmp_path))
    assert found.grade == "fail"


def test_a_taken_port_is_a_failure_with_its_owner(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (found,) = findings(doctor._port, lab(tmp_path, LAB_FRONT_PORT=str(port)))
    assert found.grade == "fail"
    assert str(port) in found.detail


@pytest.mark.parametrize(("gib", "grade"), [(1, "fail"), (4, "warn"), (50, "ok")])
def test_disk_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gib: int, grade: str) -> None:
    usage = SimpleNamespace(free=gib * 2**30)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert {found.grade for found in findings(doctor._disk, lab(tmp_path))} == {grade}


def test_a_misspelt_variable_is_a_warning(tmp_path: Path) -> None:
    found = findings(doctor._settings, lab(tmp_path, LAB_FRONT_PROT="1"))
    assert found[1] == Finding(
        "settings",
        "warn",
        "nothing reads the variable LAB_FRONT_PROT",
        "did you mean LAB_FRONT_PORT?",
    )


def test_a_bundle_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    found = findings(doctor._certificates, lab(tmp_path, PIP_CERT="/nowhere.pem"))
    assert found[0].grade == "warn"
    assert "PIP_CERT names no file" in found[0].detail


def test_only_a_configured_mirror_is_tried(tmp_path: Path) -> None:
    (found,) = findings(doctor._network, lab(tmp_path))
    assert found.grade == "ok"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        mirror = f"http://127.0.0.1:{port}/debian"
        (reached,) = findings(doctor._network, lab(tmp_path, LAB_DEBIAN_MIRROR=mirror))
    (refused,) = findings(doctor._network, lab(tmp_path, LAB_DEBIAN_MIRROR=mirror))
    assert (reached.grade, refused.grade) == ("ok", "warn")


def test_a_password_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    made = ensure(LabPaths(tmp_path).secrets)
    assert findings(doctor._state, lab(tmp_path))[0].grade == "ok"
    made.password_file.chmod(0o644)
    (found,) = findings(doctor._state, lab(tmp_path))
    assert (found.grade, found.remedy) == ("warn", f"chmod 600 {made.password_file}")


@pytest.mark.parametrize(
    ("grades", "worst"), [(["ok"], "ok"), (["ok", "warn"], "warn"), (["warn", "fail"], "fail")]
)
def test_the_summary_is_the_worst(grades: list[doctor.Grade], worst: str) -> None:
    assert doctor.summary([Finding("x", grade, "") for grade in grades])["grade"] == worst


def test_every_check_runs_on_a_machine_without_an_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_command(monkeypatch)
    found = doctor.examine(lab(tmp_path))
    assert {one.check for one in found} >= {"python", "engine", "compose", "disk", "state"}
