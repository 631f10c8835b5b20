"""Rendering: which files a node gets, and what a second rendering says."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from lab import render
from lab.errors import LabFailed, UsageError
from lab.paths import LabPaths
from lab.settings import Settings, load

ROOT = Path(__file__).resolve().parents[2]
TOPOLOGY = "templates/compose/flavours.yml.j2"
PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def write(path: Path, text: str, *, executable: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755 if executable else 0o644)


@pytest.fixture
def paths(tmp_path: Path) -> LabPaths:
    write(tmp_path / "templates/samba/etc/smb.conf.j2", "[{{ settings.share.name }}]\n")
    write(tmp_path / "templates/samba/run.sh.j2", "#!/bin/sh\n", executable=True)
    write(tmp_path / "images/samba/Dockerfile", "FROM x\n")
    write(tmp_path / "images/common/health", "#!/bin/sh\n", executable=True)
    write(tmp_path / "images/py/Dockerfile", "FROM x\n")
    write(tmp_path / "lab/probe.py", "probe\n")
    write(tmp_path / "notify_server/core/server.py", "core\n")
    write(tmp_path / "notify_server/core/__pycache__/server.pyc", "compiled")
    write(tmp_path / "requirements/server.lock", "lock\n")
    return LabPaths(tmp_path)


def settings(paths: LabPaths, **environ: str) -> Settings:
    return load(paths.root, environ)


def statuses(results: list[render.Rendered]) -> dict[str, str]:
    return {result.path: result.status for result in results}


def test_a_node_gets_templates_files_common_files_and_extras(paths: LabPaths) -> None:
    planned = render.plan(paths, settings(paths), {})
    assert set(planned) == {
        "samba/etc/smb.conf",
        "samba/run.sh",
        "samba/Dockerfile",
        "samba/health",
        "samba/probe.py",
        "samba/ca/.keep",
        "samba/.dockerignore",
        "py/Dockerfile",
        "py/health",
        "py/probe.py",
        "py/ca/.keep",
        "py/.dockerignore",
        "py/notify_server/core/server.py",
        "py/requirements.lock",
    }
    assert planned["samba/etc/smb.conf"].data == b"[TEST]\n"


def test_written_files_keep_their_executable_bit(paths: LabPaths) -> None:
    render.render(paths, settings(paths), {})
    mode = (paths.rendered / "samba/run.sh").stat().st_mode
    assert stat.S_IMODE(mode) == 0o755
    assert stat.S_IMODE((paths.rendered / "samba/Dockerfile").stat().st_mode) == 0o644


def test_the_second_time_everything_is_unchanged_and_untouched(paths: LabPaths) -> None:
    first = render.render(paths, settings(paths), {})
    assert set(statuses(first).values()) == {"new"}
    file = paths.rendered / "samba/etc/smb.conf"
    inode = file.stat().st_ino
    second = render.render(paths, settings(paths), {})
    assert set(statuses(second).values()) == {"unchanged"}
    assert file.stat().st_ino == inode


def test_a_changed_setting_shows_as_a_diff(paths: LabPaths) -> None:
    render.render(paths, settings(paths), {})
    results = render.render(paths, settings(paths, LAB_SHARE_NAME="OTHER"), {})
    changed = [result for result in results if result.status != "unchanged"]
    assert [(result.path, result.status) for result in changed] == [
        ("samba/etc/smb.conf", "changed")
    ]
    assert "-[TEST]\n+[OTHER]\n" in changed[0].diff
    assert (paths.rendered / "samba/etc/smb.conf").read_text() == "[OTHER]\n"


def test_a_dry_run_writes_nothing(paths: LabPaths) -> None:
    results = render.render(paths, settings(paths), {}, dry_run=True)
    assert statuses(results)["samba/run.sh"] == "new"
    assert not paths.rendered.exists()


def test_what_is_no_longer_planned_is_removed_with_its_folder(paths: LabPaths) -> None:
    render.render(paths, settings(paths), {})
    (paths.templates / "samba/etc/smb.conf.j2").unlink()
    results = render.render(paths, settings(paths), {})
    assert statuses(results)["samba/etc/smb.conf"] == "removed"
    assert not (paths.rendered / "samba/etc").exists()


def test_a_lost_executable_bit_is_restored(paths: LabPaths) -> None:
    render.render(paths, settings(paths), {})
    (paths.rendered / "samba/run.sh").chmod(0o644)
    assert statuses(render.render(paths, settings(paths), {}))["samba/run.sh"] == "changed"
    assert (paths.rendered / "samba/run.sh").stat().st_mode & 0o100


def test_an_undefined_variable_names_template_and_variable(paths: LabPaths) -> None:
    write(paths.templates / "py/x.j2", "{{ settings.nothing }}")
    with pytest.raises(LabFailed, match=r"templates/py/x\.j2: .*'nothing'"):
        render.plan(paths, settings(paths), {})


def test_a_syntax_error_names_the_line(paths: LabPaths) -> None:
    write(paths.templates / "py/x.j2", "fine\n{% if %}\n")
    with pytest.raises(LabFailed, match=r"templates/py/x\.j2:2: "):
        render.plan(paths, settings(paths), {})


def test_two_sources_of_one_file_are_an_error(paths: LabPaths) -> None:
    write(paths.templates / "samba/Dockerfile.j2", "FROM y\n")
    with pytest.raises(LabFailed, match=r"both templates/samba/Dockerfile\.j2 and images/samba"):
        render.plan(paths, settings(paths), {})


def test_a_missing_source_file_is_named(paths: LabPaths) -> None:
    (paths.root / "lab/probe.py").unlink()
    with pytest.raises(LabFailed, match=r"lab/probe\.py cannot be read"):
        render.plan(paths, settings(paths), {})


def test_the_hosts_certificates_are_merged_each_once(paths: LabPaths, tmp_path: Path) -> None:
    write(tmp_path / "a.pem", "# text\n" + PEM.format("AAAA") + PEM.format("BBBB"))
    write(tmp_path / "b.pem", PEM.format("BBBB"))
    environ = {"PIP_CERT": str(tmp_path / "a.pem"), "SSL_CERT_FILE": str(tmp_path / "b.pem")}
    planned = render.plan(paths, settings(paths), environ)
    expected = PEM.format("AAAA") + PEM.format("BBBB")
    assert planned["samba/ca/extra.crt"].data.decode() == expected


def test_configured_certificates_replace_the_hosts(paths: LabPaths, tmp_path: Path) -> None:
    write(tmp_path / "own.pem", PEM.format("CCCC"))
    write(tmp_path / "host.pem", PEM.format("AAAA"))
    chosen = settings(paths, LAB_CA_CERTIFICATES="own.pem")
    planned = render.plan(paths, chosen, {"PIP_CERT": str(tmp_path / "host.pem")})
    assert planned["py/ca/extra.crt"].data.decode() == PEM.format("CCCC")


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), ("text", "no certificate")]
)
def test_configured_certificates_must_be_there(
    paths: LabPaths, content: str | None, words: str
) -> None:
    if content is not None:
        write(paths.root / "own.pem", content)
    with pytest.raises(UsageError, match=words):
        render.plan(paths, settings(paths, LAB_CA_CERTIFICATES="own.pem"), {})


def test_compose_gets_the_settings(paths: LabPaths) -> None:
    chosen = settings(paths, LAB_NAME="one", LAB_FRONT_PORT="4450")
    render.write_compose_environment(paths, chosen, "tcg")
    lines = paths.compose_env.read_text().splitlines()
    assert {"LAB_NAME=one", "LAB_FRONT_PORT=4450", "LAB_KVM_DEVICE=/dev/null"} <= set(lines)


def test_only_the_node_with_another_configuration_gets_another_hash(paths: LabPaths) -> None:
    write(paths.images / "py/etc/server.toml", "x\n")
    hashes = []
    for share in ("ONE", "TWO"):
        chosen = settings(paths, LAB_SHARE_NAME=share)
        render.render(paths, chosen, {})
        hashes.append(render.compose_environment(chosen, "tcg", paths.rendered))
    assert hashes[0]["LAB_CONFIG_SAMBA"] != hashes[1]["LAB_CONFIG_SAMBA"]
    assert hashes[0]["LAB_CONFIG_PY"] == hashes[1]["LAB_CONFIG_PY"]


def test_no_secret_reaches_a_rendered_file(paths: LabPaths) -> None:
    from lab.secrets import ensure

    password = ensure(paths.secrets).password()
    render.render(paths, settings(paths), {})
    render.write_compose_environment(paths, settings(paths), "tcg")
    for file in paths.dot_lab.rglob("*"):
        if file.is_file() and paths.secrets not in file.parents:
            assert password not in file.read_text()


FLAVOURS = """
[flavours.sid]
suite = "sid"
memory = 384
[flavours.mine]
debug = "smb"
"""


@pytest.fixture
def flavoured(paths: LabPaths) -> LabPaths:
    write(paths.settings_file, FLAVOURS)
    write(paths.templates / "ksmbd/etc/guest.env.j2", "DEBUG={{ settings.ksmbd.debug }}\n")
    write(paths.templates / "ksmbd/Dockerfile.j2", "FROM x\n")
    write(paths.templates / "front/etc/cfg.j2", "{{ settings.backends | map('string') | list }}\n")
    write(paths.templates / "compose/flavours.yml.j2", (ROOT / TOPOLOGY).read_text())
    return paths


def test_a_flavour_has_a_configuration_and_shares_the_image(flavoured: LabPaths) -> None:
    planned = render.plan(flavoured, settings(flavoured), {})
    assert planned["ksmbd/etc/guest.env"].data == b"DEBUG=\n"
    assert planned["ksmbd@sid/etc/guest.env"].data == b"DEBUG=\n"
    assert planned["ksmbd@mine/etc/guest.env"].data == b"DEBUG=smb\n"
    assert {path for path in planned if path.startswith("ksmbd@mine/")} == {
        "ksmbd@mine/etc/guest.env"
    }
    assert not any(path.startswith("compose/") for path in planned)


def test_the_topology_of_flavours(flavoured: LabPaths) -> None:
    chosen = settings(flavoured, LAB_NAME="one")
    render.render(flavoured, chosen, {})
    render.write_compose_environment(flavoured, chosen, "tcg")
    text = flavoured.compose_flavours.read_text()
    assert [line for line in text.splitlines() if line.startswith("  ksmbd-")] == [
        "  ksmbd-sid:",
        "  ksmbd-mine:",
    ]
    sid, mine = text.split("  ksmbd-mine:")
    assert 'org.notify-lab.node: "ksmbd@sid"' in sid
    assert 'LAB_KSMBD_MEMORY: "384"' in sid
    assert 'LAB_KSMBD_MEMORY: "256"' in mine
    assert f"{flavoured.flavours}/sid/guest:/usr/local/share/lab/guest:ro" in sid
    assert "/guest:" not in mine  # it runs the kernel of the image
    for part in (sid, mine):
        assert f'file: "{flavoured.root}/docker-compose.yml"' in part  # all the rest
        assert "privileged" not in part


def test_another_kernel_makes_another_container(flavoured: LabPaths) -> None:
    chosen = settings(flavoured)
    before = render.compose_flavours(flavoured, chosen)
    write(flavoured.flavours / "sid/guest/guest.json", '{"release": "6.19.0"}')
    stamp = flavoured.flavours / "sid/guest/made-of.json"
    write(stamp, '{"kernel": {"newest": 1}}')
    first = render.compose_flavours(flavoured, chosen)
    assert first != before
    # built anew: the same release, another kernel
    write(stamp, '{"kernel": {"newest": 2}}')
    assert render.compose_flavours(flavoured, chosen) != first


def test_without_flavours_there_is_no_second_file(flavoured: LabPaths) -> None:
    render.write_compose_environment(flavoured, settings(flavoured), "tcg")
    flavoured.settings_file.unlink()
    render.write_compose_environment(flavoured, settings(flavoured), "tcg")
    assert not flavoured.compose_flavours.exists()
