"""Where Debian comes from, and how the base image is made of it."""

import io
import tarfile
from pathlib import Path

import pytest

from lab.engine import apt_sources, base
from lab.engine.apt_sources import Archive, Entry

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main contrib

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no
"""
ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # note
deb http://mirror.example/debian-security bookworm-security main
deb https://download.example/linux/debian bookworm stable
"""


@pytest.mark.parametrize(
    "entries",
    [list(apt_sources.parse_deb822(DEB822)), list(apt_sources.parse_list(ONE_LINE))],
    ids=["deb822", "one-line"],
)
def test_the_hosts_own_mirror_is_used(entries: list[Entry]) -> None:
    assert apt_sources.archive("", entries) == Archive(
        "http://mirror.example/debian", "http://mirror.example/debian-security"
    )


def test_the_setting_beats_the_host() -> None:
    chosen = apt_sources.archive("http://set.example/debian/", apt_sources.parse_deb822(DEB822))
    assert chosen.mirror == "http://set.example/debian"


@pytest.mark.parametrize(
    "entry",
    [
        Entry("http://archive.example/ubuntu", ("noble",), ("main",)),
        Entry("https://third.example/debian", ("bookworm",), ("stable",)),
    ],
)
def test_what_is_no_debian_mirror_is_not_used(entry: Entry) -> None:
    assert apt_sources.archive("", [entry]) == Archive(
        apt_sources.DEFAULT_MIRROR, apt_sources.DEFAULT_SECURITY
    )


def test_a_release_has_updates_and_security_and_unstable_has_neither() -> None:
    where = Archive("http://m/debian", "http://m/debian-security")
    assert where.source_lines("trixie") == [
        "deb http://m/debian trixie main",
        "deb http://m/debian trixie-updates main",
        "deb http://m/debian-security trixie-security main",
    ]
    assert where.source_lines("sid") == ["deb http://m/debian sid main"]


def test_the_way_to_the_mirror_is_carried_but_no_proxy_on_loopback() -> None:
    dump = (
        'APT "";\nAcquire::http::Proxy "http://127.0.0.1:3142";\n'
        'acquire::https::proxy "http://proxy.example:3128";\n'
        'Acquire::Check-Valid-Until "false";\nAcquire::Retries "3";\n'
    )
    assert apt_sources.carried_options(dump) == {
        "Acquire::https::Proxy": "http://proxy.example:3128",
        "Acquire::Check-Valid-Until": "false",
    }


def test_mmdebstrap_makes_a_minimal_suite_with_the_hosts_options() -> None:
    command = base.mmdebstrap_command(
        "trixie",
        Archive("http://m/debian", "http://m/debian-security"),
        {"Acquire::Check-Valid-Until": "false"},
        Path("/t/base.tar"),
    )
    assert "--variant=minbase" in command
    assert "--include=ca-certificates,python3" in command
    assert '--aptopt=Acquire::Check-Valid-Until "false"' in command
    assert command[command.index("trixie") + 1] == "/t/base.tar"
    assert command[-1] == "deb http://m/debian-security trixie-security main"


def test_a_pulled_debian_is_made_the_same() -> None:
    context = base.pulled_context("trixie", Archive("http://m/debian", "http://s"), {}, b"PEM")
    with tarfile.open(fileobj=io.BytesIO(context)) as archive:
        files = {name: archive.extractfile(name).read().decode() for name in archive.getnames()}  # type: ignore[union-attr]
    assert files["Dockerfile"].startswith("FROM debian:trixie-slim\n")
    assert all(package in files["Dockerfile"] for package in base.PACKAGES)
    assert "deb http://m/debian trixie main\n" in files["sources.list"]
    assert 'APT::Install-Recommends "false";' in files["apt.conf"]
    assert files["host.pem"] == "PEM"
