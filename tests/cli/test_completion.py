"""Completion: what may stand where, and scripts that their shells accept."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.cli.completion import SCRIPTS, SHELLS, candidates
from lab.cli.words import Command, Flag, Positional

COMMANDS = {
    command.name: command
    for command in (
        Command("up", "Up", flags=(Flag(("--json",), False),)),
        Command("switch", "Switch", positionals=(Positional("server", ("samba", "py")),)),
        Command(
            "run-scenarios",
            "Run",
            positionals=(Positional("names", variadic=True),),
            flags=(Flag(("--server",), True), Flag(("--all",), False)),
        ),
        Command("ksmbd.build", "Build", flags=(Flag(("--src",), True),)),
        Command("ksmbd.reload", "Reload"),
    )
}


def values(command: Command, name: str) -> Sequence[str]:
    return {"names": ("A1", "A2", "C1"), "server": ("samba", "ksmbd", "py")}.get(name, ())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([""], ["--help", "--version", "help", "ksmbd", "run-scenarios", "switch", "up"]),
        (["r"], ["run-scenarios"]),
        (["switch", ""], ["ksmbd", "py", "samba"]),
        (["switch", "s"], ["samba"]),
        (["switch", "py", ""], []),
        (["up", "--"], ["--help", "--json"]),
        (["up", ""], []),
        (["run-scenarios", ""], ["A1", "A2", "C1"]),
        (["run-scenarios", "A1", "A"], ["A2"]),
        (["run-scenarios", "--server", ""], ["ksmbd", "py", "samba"]),
        (["run-scenarios", "--server", "py,s"], ["py,samba"]),
        (["run-scenarios", "--server", "py,"], ["py,ksmbd", "py,samba"]),
        (["ksmbd", ""], ["build", "reload"]),
        (["ksmbd", "build", "--s"], ["--src"]),
        (["ksmbd.build", "--s"], ["--src"]),
        (["help", "sw"], ["switch"]),
        (["nonsense", ""], []),
        ([], ["--help", "--version", "help", "ksmbd", "run-scenarios", "switch", "up"]),
    ],
)
def test_candidates(words: list[str], expected: list[str]) -> None:
    assert candidates(words, COMMANDS, values) == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_accepts_its_script(shell: str) -> None:
    if shutil.which(shell) is None:
        assert "lab --complete" in SCRIPTS[shell]
        return
    subprocess.run([shell, "-n"], input=SCRIPTS[shell], text=True, check=True, timeout=10)


def test_bash_completes_a_line_with_the_real_program(tmp_path: Path) -> None:
    """The whole way: bash's own machinery, the script, and `lab --complete`."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    lab = Path(sys.executable).with_name("lab")
    program = f"""
        PATH={lab.parent}:$PATH
        {SCRIPTS["bash"]}
        COMP_WORDS=(lab switch k) COMP_CWORD=2
        _lab_complete
        echo "${{COMPREPLY[*]}}"
    """
    done = subprocess.run(
        [bash, "-c", program], capture_output=True, text=True, timeout=30, cwd=tmp_path
    )
    assert done.stdout == "ksmbd\n", done.stderr
