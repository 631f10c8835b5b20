"""From typed words to Invoke's: groups with a space, repeated arguments, and errors that help."""

from __future__ import annotations

import pytest

from lab.cli.words import Command, Flag, Positional, Understood, understand
from lab.errors import UsageError

COMMANDS = {
    command.name: command
    for command in (
        Command("up", "Up", flags=(Flag(("--json",), False),)),
        Command("switch", "Switch", positionals=(Positional("server", ("samba", "ksmbd", "py")),)),
        Command(
            "run-scenarios",
            "Run",
            positionals=(Positional("names", variadic=True),),
            flags=(Flag(("--server",), True, metavar="SERVER"), Flag(("--all",), False)),
        ),
        Command(
            "logs",
            "Logs",
            positionals=(Positional("node", ("front", "py")),),
            flags=(Flag(("--follow", "-f"), False), Flag(("--tail",), True, metavar="N")),
        ),
        Command("ksmbd.build", "Build", flags=(Flag(("--src",), True),)),
        Command("ksmbd.reload", "Reload"),
        Command("watch", "Watch", positionals=(Positional("path", variadic=True, most=1),)),
        Command("diff", "Diff", positionals=(Positional("scenario"), Positional("left"))),
    )
}


def argv(line: str) -> list[str]:
    understood = understand(line.split(), COMMANDS)
    assert understood.action == "run"
    return list(understood.argv)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("up", ["up"]),
        ("up --json", ["up", "--json"]),
        ("switch py", ["switch", "--server=py"]),
        ("run-scenarios", ["run-scenarios"]),
        ("run-scenarios A1 C", ["run-scenarios", "--names=A1", "--names=C"]),
        (
            "run-scenarios A1 --server samba,py C2 --all",
            ["run-scenarios", "--server=samba,py", "--all", "--names=A1", "--names=C2"],
        ),
        ("run-scenarios --server=py", ["run-scenarios", "--server=py"]),
        ("run-scenarios -- --odd", ["run-scenarios", "--names=--odd"]),
        ("run-scenarios up", ["run-scenarios", "--names=up"]),
        ("logs -f py", ["logs", "--follow", "--node=py"]),
        ("logs py --tail 5", ["logs", "--tail=5", "--node=py"]),
        ("ksmbd build --src x", ["ksmbd.build", "--src=x"]),
        ("ksmbd.build --src x", ["ksmbd.build", "--src=x"]),
        ("ksmbd reload", ["ksmbd.reload"]),
        ("diff C1 samba", ["diff", "--scenario=C1", "--left=samba"]),
    ],
)
def test_typed_words_become_one_task_with_flags(line: str, expected: list[str]) -> None:
    assert argv(line) == expected


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        ("", ""),
        ("--help", ""),
        ("-h", ""),
        ("help", ""),
        ("help switch", "switch"),
        ("--help switch", "switch"),
        ("switch --help", "switch"),
        ("switch -h nonsense", "switch"),
        ("ksmbd", "ksmbd"),
        ("ksmbd --help", "ksmbd"),
        ("help ksmbd build", "ksmbd.build"),
        ("ksmbd build --help", "ksmbd.build"),
    ],
)
def test_help_is_found_wherever_it_is_asked_for(line: str, subject: str) -> None:
    assert understand(line.split(), COMMANDS) == Understood("help", subject)


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_version(word: str) -> None:
    assert understand([word], COMMANDS).action == "version"


@pytest.mark.parametrize(
    ("line", "message", "remedy"),
    [
        ("swich py", "there is no command `lab swich`", "did you mean 'switch'? commands: diff,"),
        ("ksmbd biuld", "there is no command `lab ksmbd biuld`", "did you mean 'ksmbd build'?"),
        ("ksmbd xyz", "there is no command `lab ksmbd xyz`", "ksmbd build, ksmbd reload"),
        ("--json up", "lab: unknown option '--json'", "options go after the command"),
        ("switch", "which server (samba, ksmbd, py)?", "usage: lab switch samba|ksmbd|py"),
        ("switch sambo", "there is no server 'sambo'", "did you mean 'samba'? servers: samba, k"),
        ("switch py up", "takes no more arguments: 'up'", "usage: lab switch"),
        ("up down", "takes no arguments: 'down'", "usage: lab up [--json]"),
        ("up --jsn", "there is no option '--jsn'", "did you mean '--json'? options: --json"),
        ("ksmbd reload -x", "takes no options: '-x'", "usage: lab ksmbd reload"),
        ("up --json=yes", "--json takes no value", "usage: lab up"),
        ("logs py --tail", "--tail needs a value", "[--tail N]"),
        ("diff C1", "which left?", "usage: lab diff SCENARIO LEFT"),
    ],
)
def test_what_does_not_fit_is_explained(line: str, message: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        understand(line.split(), COMMANDS)
    assert message in caught.value.message
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 2


def test_usage_shows_arguments_and_options() -> None:
    assert COMMANDS["logs"].usage == "lab logs front|py [--follow] [--tail N]"
    assert COMMANDS["run-scenarios"].usage == "lab run-scenarios [NAMES…] [--server SERVER] [--all]"


def test_an_argument_that_may_be_left_out_is_one_at_most() -> None:
    assert COMMANDS["watch"].usage == "lab watch [PATH]"
    assert COMMANDS["run-scenarios"].usage.startswith("lab run-scenarios [NAMES…]")
    assert argv("watch") == ["watch"]
    assert argv("watch dir") == ["watch", "--path=dir"]
    with pytest.raises(UsageError, match="takes no more arguments: 'two'"):
        argv("watch one two")
