"""The program: exit codes, where output goes, help for every command, a start without ballast."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cli import main
from lab.cli.program import LabProgram
from lab.cli.registry import REGISTRY

COMMANDS = LabProgram().commands


def run(*words: str) -> int:
    return main(["lab", *words])


def test_without_words_lab_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    said = capsys.readouterr().out
    assert all(command.typed in said for command in COMMANDS.values())
    assert "lab run-scenarios --all" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = COMMANDS[name]
    assert run(*name.split("."), "--help") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: lab {command.typed}")
    assert command.examples, "a command without an example teaches nothing"
    assert all(line in said for line, _ in command.examples)
    assert all(flag.help for flag in command.flags)
    assert max(len(line) for line in said.splitlines()) <= 100


def test_many_flavours_do_not_widen_the_help(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flavours = [f"a-long-name-{number}" for number in range(12)]
    (root / "lab.toml").write_text("".join(f"[flavours.{name}]\n" for name in flavours))
    assert run("switch", "--help") == 0
    said = capsys.readouterr().out
    assert max(len(line) for line in said.splitlines()) <= 100
    assert all(f"ksmbd@{name}" in said for name in flavours)


def test_help_lists_the_commands_in_the_order_of_their_use() -> None:
    assert list(COMMANDS)[:4] == ["up", "down", "status", "switch"]


def test_the_registered_name_is_the_functions_module() -> None:
    assert {"up", "run-scenarios", "doctor"} <= REGISTRY.keys()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("lab 0.")


def test_a_usage_error_exits_2_with_cause_and_remedy_on_stderr(
    root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("switch", "sambo") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "lab: there is no server 'sambo'\n  did you mean 'samba'? servers: samba, ksmbd, py\n"
    )


def test_a_wrong_setting_exits_2_and_names_the_file(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "lab.toml").write_text("[front]\nport = 99999\n")
    assert run("render") == 2
    assert f"{root}/lab.toml: [front] port = 99999" in capsys.readouterr().err


def test_render_check_exits_1_only_if_something_would_change(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "templates/samba").mkdir()
    (root / "templates/samba/a.j2").write_text("{{ settings.share.name }}")
    (root / "lab").mkdir()
    (root / "lab/probe.py").touch()
    assert run("render", "--check") == 1
    assert run("render") == 0
    capsys.readouterr()
    assert run("render", "--check", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert {entry["status"] for entry in listed} == {"unchanged"}


def test_the_lock_names_the_other_command(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lab import lock

    with lock.held(root / ".lab/lock", "lab up"):
        assert run("render") == 3
    assert f"`lab up` (pid {os.getpid()}, since" in capsys.readouterr().err


def test_embedded_goes_with_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run-scenarios", "--embedded", "--server", "py") == 2
    assert "--embedded runs notify_server alone" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run-scenarios", "run-torture"])
def test_all_goes_with_no_server(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It ran all of them, those left out too."""
    assert run(command, "--all", "--server", "py,ksmbd") == 2
    assert "--server py,ksmbd" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "near"), [(["C99"], "C1"), (["--server", "samba,smbd"], "did you mean 'ksmbd'?")]
)
def test_unknown_scenarios_and_servers_exit_2(
    words: list[str], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("run-scenarios", *words) == 2
    assert near in capsys.readouterr().err


def test_the_list_of_scenarios_is_json_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run-scenarios", "C1", "--list", "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["name"] == "C1"
    assert entry["title"]


def broken(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("lab.render.render", fail)


def test_a_bug_is_one_line_and_how_to_see_more(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(monkeypatch, ValueError("oh"))
    assert run("render") == 3
    assert capsys.readouterr().err == (
        "lab: internal error: ValueError: oh\n"
        "  LAB_DEBUG=1 shows where; please report it with that output\n"
    )


def test_lab_debug_shows_the_traceback(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, ValueError("oh"))
    monkeypatch.setenv("LAB_DEBUG", "1")
    with pytest.raises(ValueError, match="oh"):
        run("render")


def test_ctrl_c_exits_130(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(monkeypatch, KeyboardInterrupt())
    assert run("render") == 130
    assert "interrupted" in capsys.readouterr().err


def test_sigterm_unwinds_and_exits_143(root: Path) -> None:
    """A terminated command lets go of what it holds, as an exception would."""
    program = (
        "import lab.render, lab.cli, sys, time, os\n"
        "def wait(*a, **k):\n"
        "    try: print('waiting', flush=True); time.sleep(30)\n"
        "    finally: print('unwound', flush=True)\n"
        "lab.render.render = wait\n"
        "sys.exit(lab.cli.main(['lab', 'render']))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    child.send_signal(signal.SIGTERM)
    out, _ = child.communicate(timeout=10)
    assert out == "unwound\n"
    assert child.returncode == 143


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = "import sys, lab.cli; sys.exit(lab.cli.main(['lab', '--help']))"
    read, write = os.pipe()
    os.close(read)
    child = subprocess.Popen([sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    _, err = child.communicate(timeout=10)
    assert err == b""


def test_help_starts_without_the_heavy_libraries() -> None:
    """What makes a start slow is imported by the commands that need it."""
    program = (
        "import sys, lab.cli; lab.cli.main(['lab', '--help']); "
        "heavy = {'docker', 'jinja2', 'rich', 'fabric', 'paramiko', 'impacket', 'requests'}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30
    )
    assert done.stderr == "[]\n"
