"""What tools say becomes a cause and a remedy; what is not known is shown as it was said."""

import pytest

from lab.engine import explain

SAYINGS = [
    (
        "PermissionError: [Errno 13] permission denied while trying to connect to the docker "
        "daemon socket at unix:///var/run/docker.sock",
        "may not use",
        "usermod -aG docker",
    ),
    (
        "DockerException: Error while fetching server API version: ('Connection aborted.', "
        "PermissionError(13, 'Permission denied'))",
        "may not use",
        "usermod",
    ),
    (
        "DockerException: Error while fetching server API version: ('Connection aborted.', "
        "FileNotFoundError(2, 'No such file or directory'))",
        "does not answer",
        "systemctl start docker",
    ),
    (
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon "
        "running?",
        "does not answer",
        "systemctl start docker",
    ),
    (
        "dpkg: error: failed to write (No space left on device)",
        "disk is full",
        "docker system df",
    ),
    (
        "Error starting userland proxy: listen tcp4 127.0.0.1:1445: bind: address already in use",
        "127.0.0.1:1445 is taken",
        "LAB_FRONT_PORT",
    ),
    (
        "driver failed programming external connectivity: Bind for 127.0.0.1:1445 failed: port is "
        "already allocated",
        "127.0.0.1:1445 is taken",
        "LAB_FRONT_PORT",
    ),
    (
        "listen tcp4 10.9.8.7:1445: bind: cannot assign requested address",
        "none of this host's",
        "[front] bind",
    ),
    (
        'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on '
        "192.0.2.53:53: no such host",
        "registry cannot be reached",
        "proxy",
    ),
    (
        "E: Failed to fetch http://mirror.example/debian/dists/trixie/InRelease  Could not connect",
        "mirror or index cannot be reached",
        "LAB_DEBIAN_MIRROR",
    ),
    (
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
        "failed: self-signed certificate in certificate chain')) - could not resolve",
        "not trusted",
        "LAB_CA_CERTIFICATES",
    ),
    (
        "E: Unable to locate package linux-image-cloud-amd65",
        "no package linux-image-cloud-amd65",
        "[ksmbd] kernel",
    ),
]


@pytest.mark.parametrize(("output", "cause", "remedy"), SAYINGS)
def test_a_known_sign_gives_cause_and_remedy(output: str, cause: str, remedy: str) -> None:
    error = explain.failed("starting", output)
    assert error.message.startswith("starting: ")
    assert cause in error.message
    assert remedy in error.remedy


def test_an_unknown_failure_shows_the_last_lines() -> None:
    output = "\n".join(f"line {number}" for number in range(100)) + "\n\n"
    error = explain.failed("building", output, "whole log: x")
    assert "line 99" in error.message
    assert "line 80" in error.message
    assert "line 79" not in error.message
    assert error.remedy == "whole log: x"


def test_silence_is_said_without_an_empty_quotation() -> None:
    assert explain.failed("building", "").message == "building"
