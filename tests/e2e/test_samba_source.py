"""smbd from Debian's source: built, installed, the same verdicts, the seed's trees; a patch.

Takes as long as compiling Samba does: `make test-long`. LAB_SAMBA_BUILDS may name a `.lab/samba`
of a lab whose builds are to be gone on from.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.samba.source import Source
from lab.settings import Settings
from tests.e2e import samba_seed as seed
from tests.e2e.harness import Lab, copy_checkout, docker, free_port, node_container

pytestmark = [pytest.mark.long, pytest.mark.timeout(3 * 3600)]

HOURS = 2 * 3600
SUITE = Settings().debian.suite
NOTIFY_C = "source3/smbd/notify.c"
STACK_PATCH = Path(__file__).with_name("0001-log-the-stack-of-change_notify_reply.patch")


@pytest.fixture(scope="module")
def samba(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with the samba node alone."""
    lab = Lab(copy_checkout(tmp_path_factory.mktemp("samba") / "checkout"), free_port())
    builds = os.environ.get("LAB_SAMBA_BUILDS")
    if builds:
        shutil.copytree(builds, lab.root / ".lab/samba", symlinks=True)
        shutil.rmtree(lab.root / ".lab/samba/installed", ignore_errors=True)
    try:
        lab("up", "samba", timeout=1800)
        yield lab
    finally:
        lab("down", "--volumes", status=None)


def verdicts(lab: Lab) -> dict[str, str]:
    """The verdict of every scenario on samba."""
    matrix = lab.json("run-scenarios", "--server", "samba", status=None, timeout=1800)
    return {cell["scenario"]: cell["verdict"] for cell in matrix["cells"]}


@pytest.fixture(scope="module")
def of_debian(samba: Lab) -> dict[str, str]:
    """The verdicts on Debian's smbd, before another one takes its place."""
    assert "Debian" in smbd_version(samba)
    return verdicts(samba)


@pytest.fixture(scope="module")
def built(samba: Lab, of_debian: dict[str, str]) -> dict[str, Any]:
    """smbd from Debian's source package, installed; what `lab samba build` said of it."""
    return dict(samba.json("samba", "build", "--src", "debian-source", timeout=HOURS))


def smbd_version(lab: Lab) -> str:
    return docker("exec", node_container(lab, "samba"), "smbd", "--version").strip()


def test_it_runs_where_debians_ran_and_says_so(samba: Lab, built: dict[str, Any]) -> None:
    assert "Debian" not in smbd_version(samba)
    assert built["built"]["version"] in smbd_version(samba)
    pid = built["installed"]["pid"]
    exe = docker("exec", node_container(samba, "samba"), "readlink", f"/proc/{pid}/exe").strip()
    assert exe == "/src/samba/bin/smbd"


def test_its_verdicts_are_those_of_debians(
    samba: Lab, built: dict[str, Any], of_debian: dict[str, str]
) -> None:
    assert verdicts(samba) == of_debian


def traced(lab: Lab, scenario: str) -> list[dict[str, Any]]:
    """The trees of a traced run of one scenario."""
    (cell,) = lab.json("trace", scenario, "--server", "samba", timeout=600)["cells"]
    return list(cell["trace"]["trees"])


def is_like(tree: dict[str, Any], drawing: str) -> bool:
    calls = [(call[0], call[1]) for call in tree["tree"]]
    return not seed.missing(drawing, calls)


@pytest.mark.parametrize(
    ("drawing", "command", "stage"),
    [
        (seed.CREATE, "CREATE", "request"),
        (seed.NOTIFY, "CHANGE_NOTIFY", "request"),
        (seed.PENDING_TIMER, "CHANGE_NOTIFY", "interim"),
        (seed.CANCEL, "CANCEL", "request"),
        (seed.RESPONSE, "CHANGE_NOTIFY", "final"),
    ],
    ids=["Create", "Notify", "pending timer", "Cancel", "Notify response"],
)
def test_the_seeds_tree_comes_out(
    samba: Lab, built: dict[str, Any], drawing: str, command: str, stage: str, h1: list[Any]
) -> None:
    candidates = [
        tree
        for tree in h1
        if tree.get("command") == command and tree.get("stage", "request") == stage
    ]
    assert candidates, f"no tree of {command}, {stage}"
    assert any(is_like(tree, drawing) for tree in candidates), candidates[0]["tree"]
    assert all("message_id" in tree for tree in candidates)


@pytest.fixture(scope="module")
def h1(samba: Lab, built: dict[str, Any]) -> list[dict[str, Any]]:
    return traced(samba, "H1")


def unpacked(lab: Lab) -> Path:
    """Debian's source, as a build unpacked it."""
    (folder,) = (path for path in (lab.root / ".lab/samba/debian").iterdir() if path.is_dir())
    return folder


def copy_of_debians(lab: Lab, to: Path) -> Path:
    """Debian's source as a tree of the user's."""
    return Path(shutil.copytree(unpacked(lab), to, symlinks=True))


def carry_build_over(lab: Lab, source: Source) -> None:
    """The build of Debian's source as that of an equal one, so that not all is compiled again."""
    trees = lab.root / ".lab/samba"
    own = trees / source.key(SUITE)
    shutil.copytree(trees / Source().key(SUITE), own, symlinks=True)


def test_a_git_reference_is_built_and_the_next_one_incrementally(
    samba: Lab, built: dict[str, Any], tmp_path: Path
) -> None:
    repository = copy_of_debians(samba, tmp_path / "samba.git")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(repository)]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "--all", "--force"], check=True)
    subprocess.run([*git, "commit", "-qm", "as Debian has it"], check=True)
    subprocess.run([*git, "tag", "debian"], check=True)
    carry_build_over(samba, Source(url=str(repository), ref="debian"))
    where = f"git:{repository}"
    first = samba.json("samba", "build", "--src", f"{where}@debian", timeout=HOURS)
    assert first["built"]["source"] == f"{where}@debian"
    assert first["installed"]["version"] == built["built"]["version"]

    with (repository / NOTIFY_C).open("a") as file:
        file.write("\nint lab_was_here(void);\nint lab_was_here(void) { return 1; }\n")
    subprocess.run([*git, "commit", "-qam", "one function more"], check=True)
    second = samba.json("samba", "build", "--src", f"{where}@main", timeout=HOURS)
    replaced = second["installed"]["replaced"]
    assert 0 < len(replaced) <= 3, replaced
    failed = samba("samba", "build", "--src", f"{where}@no-such", status=3, timeout=600)
    assert "no-such" in failed.stderr


def test_a_changed_file_is_relinked_and_alone_replaced(
    samba: Lab, built: dict[str, Any], tmp_path: Path
) -> None:
    source = copy_of_debians(samba, tmp_path / "samba")
    before = (source / NOTIFY_C).stat()
    carry_build_over(samba, Source(folder=source.resolve()))
    first = samba.json("samba", "build", "--src", str(source), timeout=HOURS)
    assert first["installed"]["version"] == built["built"]["version"]
    with (source / NOTIFY_C).open("a") as file:
        file.write("\nint lab_was_here(void);\nint lab_was_here(void) { return 1; }\n")
    second = samba.json("samba", "build", "--src", str(source), timeout=HOURS)
    replaced = second["installed"]["replaced"]
    assert 0 < len(replaced) <= 3, replaced
    assert any("smbd-base" in name for name in replaced)
    assert (source / NOTIFY_C).stat().st_ino == before.st_ino
    assert not (source / "bin").exists()


def test_a_patch_that_logs_the_stack_shows_it_in_the_nodes_log(
    samba: Lab, built: dict[str, Any]
) -> None:
    words = ["samba", "build", "--src", "debian-source", "--patch", str(STACK_PATCH)]
    samba(*words, timeout=HOURS)
    samba("run-scenarios", "H1", "--server", "samba", timeout=300)
    log = docker("logs", node_container(samba, "samba"))
    assert "who replies to a notify?" in log
    assert "BACKTRACE" in log
    assert "notify_callback" in log
    assert "messaging_dispatch" in log


def test_a_compilers_error_names_the_users_file_and_the_old_smbd_goes_on(
    samba: Lab, built: dict[str, Any], tmp_path: Path
) -> None:
    wrong = tmp_path / "0001-wrong.patch"
    wrong.write_text(
        f"--- a/{NOTIFY_C}\n+++ b/{NOTIFY_C}\n@@ -1,2 +1,3 @@\n /*\n+*/ int x = stauts; /*\n"
        "    Unix SMB/CIFS implementation.\n"
    )
    before = smbd_version(samba)
    words = ["samba", "build", "--src", "debian-source", "--patch", str(wrong)]
    failed = samba(*words, status=3, timeout=HOURS)
    named = re.escape(str(unpacked(samba) / NOTIFY_C))
    assert re.search(rf"{named}:2:\d+: error: .stauts. undeclared", failed.stderr)
    assert smbd_version(samba) == before
    samba("run-scenarios", "A1", "--server", "samba", timeout=300)


def test_a_hunk_that_fails_is_named(samba: Lab, built: dict[str, Any], tmp_path: Path) -> None:
    other = tmp_path / "0001-other.patch"
    other.write_text(
        f"--- a/{NOTIFY_C}\n+++ b/{NOTIFY_C}\n@@ -1,2 +1,2 @@\n-nothing like it\n+x\n y\n"
    )
    words = ["samba", "build", "--src", "debian-source", "--patch", str(other)]
    failed = samba(*words, status=3, timeout=HOURS)
    assert f"hunk #1 of {NOTIFY_C}, at line 1" in failed.stderr


def test_reset_brings_debians_back(samba: Lab, built: dict[str, Any]) -> None:
    samba("samba", "reset", timeout=120)
    assert "Debian" in smbd_version(samba)
    samba("run-scenarios", "A1", "--server", "samba", timeout=300)
