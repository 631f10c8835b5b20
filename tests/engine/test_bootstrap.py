"""What is done, or said, on which kind of machine without a working engine."""

import pytest

from lab.engine import bootstrap
from lab.engine.bootstrap import Host
from lab.engine.process import Ran
from lab.errors import LabFailed

DEBIAN = Host(
    root=True, apt=True, dnf=False, systemd=True, init_script=True, dockerd=True, docker_host=""
)


def changed(**fields: object) -> Host:
    return Host(**{**vars(DEBIAN), **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "ways"),
    [
        (DEBIAN, [["systemctl", "start", "docker"]]),
        # a container or a minimal system: the init script may fail on its own, dockerd is left
        (changed(systemd=False), [["service", "docker", "start"], ["dockerd"]]),
        (changed(systemd=False, init_script=False), [["dockerd"]]),
    ],
)
def test_the_daemon_is_started_as_the_machine_does_it(host: Host, ways: list[list[str]]) -> None:
    assert bootstrap.start_commands(host) == ways


@pytest.mark.parametrize(
    ("host", "install", "cause", "remedy"),
    [
        (changed(root=False), "auto", "does not answer", "sudo systemctl start docker"),
        (
            changed(root=False, dockerd=False),
            "auto",
            "no Docker engine on this machine",
            "sudo apt-get install docker.io docker-compose && sudo systemctl start docker",
        ),
        (
            changed(root=False, dockerd=False, apt=False, dnf=True),
            "auto",
            "no Docker engine on this machine",
            "sudo dnf install moby-engine docker-compose",
        ),
        (changed(dockerd=False), "never", "LAB_INSTALL_ENGINE=never", "apt-get install docker.io"),
        (changed(dockerd=False, apt=False), "auto", "no apt or dnf", "docs.docker.com"),
        (changed(docker_host="tcp://other:2375"), "auto", "DOCKER_HOST=tcp://other", "unset"),
    ],
)
def test_what_we_may_not_do_is_said_with_the_commands(
    host: Host, install: bootstrap.Install, cause: str, remedy: str
) -> None:
    refused = bootstrap.refusal(host, install, "the Docker daemon does not answer")
    assert refused is not None
    assert cause in refused.message
    assert remedy in refused.remedy


@pytest.mark.parametrize(
    ("host", "install"),
    [
        (DEBIAN, "auto"),
        (DEBIAN, "never"),  # starting is not installing
        (changed(dockerd=False), "auto"),
        (changed(dockerd=False, apt=False, dnf=True), "auto"),
    ],
)
def test_root_mends_it(host: Host, install: bootstrap.Install) -> None:
    assert bootstrap.refusal(host, install, "the Docker daemon does not answer") is None


def test_apt_installs_without_recommended_packages() -> None:
    command = bootstrap.install_command(DEBIAN, ["docker.io"])
    assert command is not None
    assert command[0] == "apt-get"
    assert "--no-install-recommends" in command


def test_the_daemon_itself_is_the_last_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """An init script that fails must not cost its whole waiting time."""
    host = changed(systemd=False)
    answers = iter([LabFailed("down"), LabFailed("down"), "20.10"])
    started: list[str] = []

    def version() -> str:
        answer = next(answers)
        if isinstance(answer, LabFailed):
            raise answer
        return answer

    monkeypatch.setattr(bootstrap, "_version", version)
    monkeypatch.setattr(
        bootstrap.process, "run", lambda argv, deadline: Ran(1, "ulimit: not permitted")
    )
    monkeypatch.setattr(bootstrap, "_detached", lambda argv: started.append(argv[0]))
    assert bootstrap._start(host, lambda line: None) == "20.10"
    assert started == ["dockerd"]
