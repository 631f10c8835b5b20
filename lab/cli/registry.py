"""The `@command` decorator: an Invoke task, and with it what help, completion and errors need."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from invoke.collection import Collection
from invoke.tasks import Task

from lab.cli.words import Command, Flag, Positional

Body = Callable[..., int | None]


@dataclass(frozen=True)
class Registered:
    """A task for Invoke and its description for us."""

    task: Task[Any]
    command: Command


REGISTRY: dict[str, Registered] = {}


def command(
    name: str,
    *,
    positional: Positional | None = None,
    flags: Mapping[str, str] | None = None,
    metavars: Mapping[str, str] | None = None,
    short: Mapping[str, str] | None = None,
    repeated: tuple[str, ...] = (),
    examples: tuple[tuple[str, str], ...] = (),
) -> Callable[[Body], Body]:
    """Register a function as `lab NAME` (`group.verb` for `lab group verb`).

    The first parameter of the function is Invoke's context. `positional` is its argument without
    a flag; every other parameter is an option, a switch if its default is False. `flags` gives the
    options' help, `repeated` names those that may be given several times. `examples` are command
    lines, each with what it does.
    """
    flags, metavars, short = flags or {}, metavars or {}, short or {}

    def register(body: Body) -> Body:
        parameters = list(inspect.signature(body).parameters.values())[1:]
        options = [p for p in parameters if positional is None or p.name != positional.name]
        iterable = [*repeated, *([positional.name] if positional and positional.variadic else [])]
        task: Task[Any] = Task(
            body,
            name=name.rpartition(".")[2],
            positional=[],
            optional=(),
            iterable=iterable,
            auto_shortflags=False,
        )
        summary, _, description = (inspect.getdoc(body) or "").partition("\n\n")
        described = Command(
            name,
            summary=" ".join(summary.split()).rstrip("."),
            description=description,
            positionals=(positional,) if positional else (),
            flags=tuple(
                Flag(
                    names=(
                        "--" + option.name.replace("_", "-"),
                        *([short[option.name]] if option.name in short else []),
                    ),
                    takes_value=option.default is not False,
                    help=flags[option.name],
                    metavar=metavars.get(option.name, option.name.upper()),
                )
                for option in options
            ),
            examples=examples,
        )
        REGISTRY[name] = Registered(task, described)
        return body

    return register


def collection() -> Collection:
    """All registered tasks, grouped as their names say."""
    root = Collection()
    for name, registered in REGISTRY.items():
        group, _, _ = name.rpartition(".")
        if not group:
            root.add_task(registered.task)
            continue
        if group not in root.collections:
            root.add_collection(Collection(group))
        root.collections[group].add_task(registered.task)
    return root
