"""The `lab` program: an Invoke program whose command line is read by `words`.

Around the task it decides what the user sees: help, errors with their remedy, exit codes.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from invoke.config import Config
from invoke.exceptions import Exit, ParseError
from invoke.program import Program

from lab.cli.registry import REGISTRY, collection
from lab.cli.words import Command, Commands, understand
from lab.errors import LabError, UsageError

# One module each, in the order in which help shows them.
COMMAND_MODULES = (
    "up",
    "down",
    "status",
    "switch",
    "scenarios",
    "trace",
    "evidence",
    "ladder",
    "samba",
    "capture",
    "torture",
    "watch",
    "shell",
    "logs",
    "ksmbd_build",
    "ksmbd_reload",
    "ksmbd_dev",
    "ksmbd_look",
    "ksmbd_tools",
    "gate",
    "doctor",
    "render",
    "completion",
)
EXIT_FAILED = 3
DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_BROKEN_PIPE = 128 + signal.SIGPIPE


class LabConfig(Config):
    """Invoke's configuration without the user's and the system's: lab has its own settings."""

    prefix = "lab"
    env_prefix = "LAB_INVOKE"  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "lazy": True})


class LabProgram(Program):
    """`lab`: tasks of `lab.cli.commands`, run one at a time."""

    def __init__(self) -> None:
        for module in COMMAND_MODULES:
            importlib.import_module(f"lab.cli.commands.{module}")
        self.commands: Commands = {
            name: registered.command for name, registered in REGISTRY.items()
        }
        super().__init__(
            namespace=collection(),
            name="notify-lab",
            binary="lab",
            config_class=LabConfig,
        )

    def main(self, argv: Sequence[str]) -> int:
        """Run one command line; everything that goes wrong becomes words and an exit code."""
        debugging = os.environ.get("LAB_DEBUG") == "1"
        try:
            with _sigterm_unwinds():
                return self._main(argv)
        except LabError as error:
            if debugging:
                raise
            print(f"lab: {error}", file=sys.stderr)
            return error.exit_code
        except BrokenPipeError:
            # Whoever read our output went away; nothing may be written while Python shuts down.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_BROKEN_PIPE
        except Exception as error:
            if debugging:
                raise
            if isinstance(error, OSError) and error.errno in DISK_TROUBLE:
                print(f"lab: {error.strerror}: {error.filename or 'a file'}", file=sys.stderr)
                return EXIT_FAILED
            print(
                f"lab: internal error: {type(error).__name__}: {error}\n"
                "  LAB_DEBUG=1 shows where; please report it with that output",
                file=sys.stderr,
            )
            return EXIT_FAILED

    def _main(self, argv: Sequence[str]) -> int:
        words = list(argv[1:])
        if words[:1] == ["--complete"]:
            return self._complete(words[1:])
        understood = understand(words, self.commands)
        if understood.action == "version":
            print(f"lab {_version()}")
            return 0
        if understood.action == "help":
            self._print_help(understood.subject)
            return 0
        return self._run_task(list(understood.argv))

    def _run_task(self, words: list[str]) -> int:
        """The steps of Invoke's own `run`, with our errors and the task's result."""
        try:
            self.create_config()
            self.parse_core(["lab", *words])
            sys.dont_write_bytecode = False  # Invoke switches it on for the task files it loads
            self.parse_collection()
            self.parse_tasks()
            self.update_config()
        except ParseError as error:
            # Only values of a wrong type are left for Invoke to complain about.
            raise UsageError(str(error), f"lab {words[0].replace('.', ' ')} --help") from None
        except Exit as error:
            return int(error.code)
        executor = self.executor_class(self.collection, self.config, self.core)
        results: dict[Any, Any] = executor.execute(*self.tasks)
        return next((int(result) for result in results.values() if result is not None), 0)

    def _print_help(self, subject: str) -> None:
        from lab.cli import help as texts

        print(texts.subject(subject, self.commands) if subject else texts.overview(self.commands))

    def _complete(self, words: Sequence[str]) -> int:
        from lab.cli.completion import candidates

        print("\n".join(candidates(words, self.commands, argument_values)))
        return 0


def argument_values(command: Command, name: str) -> Sequence[str]:
    """The values that completion offers for an argument or option."""
    from lab.cli import names

    for positional in command.positionals:
        if positional.name == name and positional.values:
            return positional.values
    if name == "server":
        return names.servers()
    if name == "run":
        return _run_names()
    offered = OFFERED.get((command.name, name))
    return offered() if offered else ()


def _scenario_names() -> list[str]:
    from lab.scenarios.catalogue import load

    return [scenario.name for scenario in load()]


def _scenario_words() -> list[str]:
    return [word for name in _scenario_names() for word in (name, name[0])]


def _run_names() -> list[str]:
    from lab import runs
    from lab.cli.commands.evidence import runs_folder

    return [*runs.names(runs_folder()), runs.LATEST, runs.PREVIOUS]


def _what_to_compare() -> list[str]:
    from lab.cli import names

    return [*_scenario_names(), *names.servers(), *_run_names()]


# (command, argument) -> the words that it may be
OFFERED: Mapping[tuple[str, str], Callable[[], Sequence[str]]] = {
    ("run-scenarios", "names"): _scenario_words,
    ("trace", "names"): _scenario_words,
    ("bundle", "scenario"): _scenario_names,
    ("ladder", "scenario"): _scenario_names,
    ("diff", "what"): _what_to_compare,
}


def _version() -> str:
    from importlib.metadata import version

    return version("notify-lab")


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM end the command the way an exception does, so that children are waited for."""

    def terminate(number: int, frame: object) -> None:
        raise SystemExit(EXIT_TERMINATED)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
