"""From what people type to what Invoke parses.

Invoke wants `ksmbd.build` where people type `ksmbd build`, knows no argument that repeats without
its flag (`run-scenarios A1 C2`), runs several tasks from one line, and its errors list nothing. So
the words are understood here, completely and with good errors, and handed on in the one form that
Invoke cannot misread: `task --flag=value …`. Pure: words and a table in, words out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lab.declaring import suggestion
from lab.errors import UsageError


@dataclass(frozen=True)
class Flag:
    """An option of a command; `names` as typed (`--json`, `-f`), the first is the main one."""

    names: tuple[str, ...]
    takes_value: bool
    help: str = ""
    metavar: str = ""


@dataclass(frozen=True)
class Positional:
    """An argument without a flag; `values` are all it may be, where that is known.

    `look_up` gives them where they depend on the lab, whose settings are read only when needed.
    A variadic one takes any number, or `most`.
    """

    name: str
    fixed: tuple[str, ...] = ()
    variadic: bool = False
    most: int = 0
    look_up: Callable[[], Sequence[str]] | None = None

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(self.look_up()) if self.look_up else self.fixed


@dataclass(frozen=True)
class Command:
    """How one command is typed. `name` has a dot where people type a space."""

    name: str
    summary: str
    description: str = ""
    positionals: tuple[Positional, ...] = ()
    flags: tuple[Flag, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()

    @property
    def typed(self) -> str:
        return self.name.replace(".", " ")

    def flag(self, name: str) -> Flag | None:
        """The option of that name, main or short."""
        return next((flag for flag in self.flags if name in flag.names), None)

    @property
    def usage(self) -> str:
        """`lab switch SERVER [--json]`, without `lab`'s own options."""
        words = ["lab", self.typed]
        for positional in self.positionals:
            shown = "|".join(positional.values) or positional.name.upper()
            more = "" if positional.most == 1 else "…"
            words.append(f"[{shown}{more}]" if positional.variadic else shown)
        for flag in self.flags:
            value = f" {flag.metavar}" if flag.takes_value else ""
            words.append(f"[{flag.names[0]}{value}]")
        return " ".join(words)


Commands = Mapping[str, Command]

HELP_WORDS = ("--help", "-h")
VERSION_WORDS = ("--version", "-V")


@dataclass(frozen=True)
class Understood:
    """What a command line asks for: help (of a command, a group, or all), version, or a task."""

    action: str  # "help" | "version" | "run"
    subject: str = ""
    argv: tuple[str, ...] = field(default=())


def understand(words: Sequence[str], commands: Commands) -> Understood:
    """Read the words after `lab`; raise UsageError for what does not fit `commands`."""
    rest = list(words)
    if not rest or rest[0] in HELP_WORDS or rest[0] == "help":
        return _help([word for word in rest[1:] if word not in HELP_WORDS], commands)
    if rest[0] in VERSION_WORDS:
        return Understood("version")
    if rest[0].startswith("-"):
        raise UsageError(
            f"lab: unknown option {rest[0]!r}",
            "options go after the command; lab itself knows --help and --version",
        )
    name, used = _resolve(rest, commands)
    if name not in commands:
        asked = rest[used:]
        if not asked or asked[0] in HELP_WORDS:
            return Understood("help", name)
        raise unknown_command(f"{name} {asked[0]}", commands)
    arguments = rest[used:]
    before_end = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if any(word in HELP_WORDS for word in before_end):
        return Understood("help", name)
    return Understood("run", name, (name, *_arguments(arguments, commands[name])))


def groups(commands: Commands) -> list[str]:
    """Names that are not commands, but the first word of some: `ksmbd` of `ksmbd build`."""
    return sorted({name.split(".")[0] for name in commands if "." in name} - commands.keys())


def _help(words: list[str], commands: Commands) -> Understood:
    if not words:
        return Understood("help")
    name, _ = _resolve(words, commands)
    return Understood("help", name)


def _resolve(words: Sequence[str], commands: Commands) -> tuple[str, int]:
    """The command or group that the words begin with, and how many words that took."""
    if len(words) > 1 and f"{words[0]}.{words[1]}" in commands:
        return f"{words[0]}.{words[1]}", 2
    if words[0] in commands or words[0] in groups(commands):
        return words[0], 1
    raise unknown_command(words[0], commands)


def unknown_command(typed: str, commands: Commands) -> UsageError:
    """The error for a command that there is not, with the nearest and all."""
    group = typed.split(" ")[0]
    names = [command.typed for command in commands.values()]
    if group in groups(commands):
        names = [name for name in names if name.startswith(f"{group} ")]
    return UsageError(
        f"there is no command `lab {typed}`", suggestion(typed, sorted(names), "commands")
    )


def _arguments(words: Sequence[str], command: Command) -> list[str]:
    """The arguments as `--name=value`, each checked against what the command takes."""
    out: list[str] = []
    plain: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            plain += rest
            break
        if not word.startswith("-") or word == "-":
            plain.append(word)
            continue
        name, equals, value = word.partition("=")
        flag = command.flag(name)
        if flag is None:
            raise _unknown_option(name, command)
        if not flag.takes_value:
            if equals:
                raise _usage(f"{name} takes no value", command)
            out.append(flag.names[0])
            continue
        if not equals:
            if not rest:
                raise _usage(f"{name} needs a value", command)
            value = rest.pop(0)
        out.append(f"{flag.names[0]}={value}")
    return out + _positionals(plain, command)


def _positionals(plain: list[str], command: Command) -> list[str]:
    out = []
    rest = list(plain)
    for positional in command.positionals:
        if positional.variadic:
            most = positional.most or len(rest)
            taken, rest = rest[:most], rest[most:]
        elif rest:
            taken, rest = rest[:1], rest[1:]
        else:
            allowed = f" ({', '.join(positional.values)})" if positional.values else ""
            raise _usage(f"which {positional.name}{allowed}?", command)
        for value in taken:
            check_value(positional.name, value, positional.values)
            out.append(f"--{positional.name}={value}")
    if rest:
        takes = "takes no more arguments" if command.positionals else "takes no arguments"
        raise _usage(f"{takes}: {rest[0]!r}", command)
    return out


def check_value(what: str, value: str, values: Sequence[str]) -> None:
    """Raise UsageError, with the nearest and all, if `value` is not among `values` (empty: any)."""
    if values and value not in values:
        raise UsageError(f"there is no {what} {value!r}", suggestion(value, values, f"{what}s"))


def _unknown_option(name: str, command: Command) -> UsageError:
    names = [flag.names[0] for flag in command.flags]
    if not names:
        return _usage(f"takes no options: {name!r}", command)
    return UsageError(
        f"lab {command.typed}: there is no option {name!r}",
        suggestion(name, [*names, "--help"], "options"),
    )


def _usage(message: str, command: Command) -> UsageError:
    return UsageError(f"lab {command.typed}: {message}", f"usage: {command.usage}")
