"""What goes wrong with a module or its guest while one develops: told, and got over."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Lab, node_container
from tests.e2e.ksmbd_source import SMB2PDU, Tree, build_and_reload, fetched, running_module

TOOLS = Path(__file__).parent / "ksmbd_tools"
MAIN = "fs/smb/server/server.c"
EXIT = "static void __exit ksmbd_server_exit(void)\n{\n"
ANSWER = "\tsmb2_set_err_rsp(work);\n\trsp->hdr.Status = STATUS_NOT_IMPLEMENTED;\n"
# struct modversion_info: the checksum as an unsigned long, the name in 56 bytes.
KERN_PATH = re.compile(rb"([^\0]{4})\0{4}kern_path\0{47}")


@pytest.fixture(scope="module")
def module(lab: Lab) -> Iterator[Tree]:
    """The source; afterwards the guest has its own module again."""
    tree = fetched(lab)
    yield tree
    lab("ksmbd", "reload", "--original")


@pytest.fixture
def tree(module: Tree) -> Iterator[Tree]:
    """The tree as Debian has it, before and after."""
    yield module
    module.restore()


def in_guest(lab: Lab, script: str) -> None:
    ran = subprocess.run(
        lab.argv("shell", "ksmbd"), input=script, env=lab.env, cwd=lab.root, text=True, timeout=60
    )
    assert ran.returncode == 0


def test_a_module_that_does_not_end_is_left_behind_with_its_guest(lab: Lab, tree: Tree) -> None:
    tree.edit(MAIN, EXIT, EXIT + "\tmsleep(3600 * 1000);\n")
    build_and_reload(lab)
    tree.restore()
    done = build_and_reload(lab)
    assert (done["how"], done["why"]) == ("guest", "the old module did not end in time")
    assert running_module(lab) == done["identity"][:12]


def test_a_kernel_that_had_an_oops_gets_no_module_any_more(lab: Lab, tree: Tree) -> None:
    """Here an oops ends the guest; somebody may have told the kernel to go on after one."""
    lab("ksmbd", "build", timeout=600)
    in_guest(lab, "echo 128 >/proc/sys/kernel/tainted\n")
    done = lab.json("ksmbd", "reload")
    assert done["how"] == "guest"
    assert "the kernel had an oops before" in done["why"]
    again = lab.json("ksmbd", "reload")
    assert (again["how"], again["why"]) == ("module", "")


def test_symbols_of_another_version_are_named_with_both(
    lab: Lab, tree: Tree, tmp_path: Path
) -> None:
    lab("ksmbd", "build", timeout=600)
    lab.json("ksmbd", "reload")
    before = running_module(lab)
    data = (lab.root / ".lab/flavours/ksmbd/override/modules/ksmbd.ko").read_bytes()
    (found,) = KERN_PATH.finditer(data)
    other = tmp_path / "ksmbd.ko"
    other.write_bytes(data[: found.start(1)] + b"\x78\x56\x34\x12" + data[found.end(1) :])
    refused = lab("ksmbd", "reload", "--module", str(other), status=3)
    assert "kern_path" in refused.stderr
    assert "disagrees about version of symbol" in refused.stderr
    assert running_module(lab) == before


def test_a_commit_that_crashes_the_kernel_closes_the_gate(lab: Lab, tree: Tree) -> None:
    tree.edit(SMB2PDU, ANSWER, "\tBUG();\n" + ANSWER)
    with tree.committed("ksmbd: crash in it"):
        tree.restore()
        build_and_reload(lab)  # the base
        told = lab.json(
            *("gate", "A1", "--base", "ksmbd", "--candidate", "HEAD~1..HEAD", "--each"),
            *("--src", str(tree.root), "--repeat", "2"),
            status=1,
        )
    assert '("ksmbd: crash in it")' in told["first_bad"]
    (verdict,) = told["verdicts"]
    assert not verdict["holds"]
    (crash,) = verdict["new_crashes"]
    assert re.match(r"kernel BUG at \S*smb2pdu\.c:\d+ in smb2_notify", crash), crash
    assert crash.endswith("in A1")
    running_module(lab)  # the base's guest was never touched


def test_tools_that_do_not_serve_give_way_to_those_of_before(lab: Lab, module: Tree) -> None:
    failed = lab("ksmbd", "tools", "--src", str(TOOLS), status=3, timeout=900)
    said = failed.stderr
    assert "autogen.sh" not in said, "it is built as ksmbd-tools are"
    assert "the guest does not serve with this program; the one before goes back" in said
    assert not (lab.root / ".lab/flavours/ksmbd/override/sbin/ksmbd.tools").exists()
    assert not (TOOLS / "configure").exists(), "the source is only read"
    running_module(lab)
    lab("run-scenarios", "A1", "--server", "ksmbd", "--no-capture")


def test_tools_that_were_built_serve_until_the_original_is_wanted(
    lab: Lab, module: Tree, tmp_path: Path
) -> None:
    """Debian's own program with a section more, which is made by make: another file that serves."""
    tree = tmp_path / "ksmbd-tools"
    shutil.copytree(TOOLS, tree)
    node = node_container(lab, "ksmbd")
    program = ["docker", "exec", node, "cat", "/usr/libexec/ksmbd.tools"]
    debians = subprocess.run(program, check=True, capture_output=True, timeout=60).stdout
    (tree / "tools/debian").write_bytes(debians)
    (tree / "tools/Makefile.am").write_text(
        "all-local: ksmbd.tools\n"
        "ksmbd.tools: $(srcdir)/debian\n"
        "\tobjcopy --add-section .lab=$(top_srcdir)/configure.ac $< $@\n"
    )
    try:
        lab("ksmbd", "tools", "--src", str(tree), timeout=900)
        assert running_tools(lab) != hashlib.sha256(debians).hexdigest()
        lab("run-scenarios", "A1", "--server", "ksmbd", "--no-capture")
    finally:
        lab("ksmbd", "tools", "--original")
    assert running_tools(lab) == hashlib.sha256(debians).hexdigest()


def running_tools(lab: Lab) -> str:
    """SHA-256 of the program that the guest runs."""
    script = 'set -- $(pidof ksmbd.mountd); sha256sum "/proc/$1/exe"\n'
    run = subprocess.run(
        lab.argv("shell", "ksmbd"), input=script, env=lab.env, cwd=lab.root,
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return run.stdout.split()[0]
