"""Exchange the module that a ksmbd guest runs: in the guest if it can be, else with a new guest.

The guest itself unloads and loads (`lab-ksmbd` in it, one command over SSH). A new guest starts
with the module in its override folder. Either way the kernel is asked at the end which module it
runs. A module that does not load, or that crashes the kernel, is taken out again: what served
before serves again, and the reason is an error.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lab import backends
from lab.errors import LabFailed, UsageError
from lab.flavours.folders import FlavourFolder, of_flavour
from lab.kernel import guest
from lab.kernel.guest import Code, GuestFailed, Loaded
from lab.kernel.module import Module, read_module
from lab.kernel.refusal import explain
from lab.nodes.model import NodeError
from lab.state import write_atomically

if TYPE_CHECKING:
    from lab.session import Lab

ASKED_FOR = "a new guest was asked for"
_WHY: Mapping[int, str] = {
    Code.OOPSED: "the kernel had an oops before: nothing in it is to be relied on",
    Code.STUCK: "the old module did not end in time",
    Code.LOST: "neither the new module nor the old one would load again",
    Code.SILENT: "ksmbd did not start on the loaded module",
}


class Built(Protocol):
    """What is needed of a build: its module without and with debug information, and its source."""

    @property
    def path(self) -> Path: ...

    @property
    def symbols(self) -> Path | None: ...

    @property
    def source(self) -> str: ...


@dataclass(frozen=True)
class Reloaded:
    """How the module came in: in the running guest, or with a new guest, and why so."""

    how: Literal["module", "guest"]
    identity: str
    srcversion: str
    release: str
    seconds: float
    why: str = ""
    phases: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "how": self.how,
            "why": self.why,
            "identity": self.identity,
            "srcversion": self.srcversion,
            "release": self.release,
            "seconds": round(self.seconds, 2),
            "phases": dict(self.phases),
        }


class ModuleRefused(LabFailed):
    """The kernel did not take the module; the one before it serves again."""


def reload_module(
    lab: Lab, flavour: str, built: Built | None = None, *, new_guest: bool = False
) -> Reloaded:
    """Exchange the module of a flavour ("" the default) for a build, or for the one installed.

    Raises `ModuleRefused` or `LabFailed`; what served before then serves again.
    """
    folder = of_flavour(lab.paths, flavour)
    path = built.path if built else folder.module
    if not path.is_file():
        raise UsageError(
            f"there is no module to load: {path}",
            "lab ksmbd build makes one; lab ksmbd reload --module FILE takes one of yours",
        )
    done = _Exchange(lab, flavour, path).run(new_guest=new_guest)
    if built and built.symbols:
        _write(folder.symbols, built.symbols.read_bytes())
        _write(folder.source_note, built.source.encode())
    return done


def original_module(lab: Lab, flavour: str) -> Reloaded:
    """Back to the module of the flavour's own kernel, with a new guest."""
    folder, name = of_flavour(lab.paths, flavour), backends.named(flavour)
    folder.module.unlink(missing_ok=True)
    proven(folder).unlink(missing_ok=True)
    began = time.monotonic()
    guest.replace(lab, name)
    found = guest.identity(lab, name)
    seconds = time.monotonic() - began
    return Reloaded("guest", found[0] if found else "", "", "", seconds, "it is the kernel's own")


def proven(folder: FlavourFolder) -> Path:
    """The module that was last seen to run; what a refused one is exchanged for again."""
    return folder.path / "proven" / "ksmbd.ko"


class _Exchange:
    """One module on its way into one guest."""

    def __init__(self, lab: Lab, flavour: str, path: Path) -> None:
        self._lab = lab
        self._name = backends.named(flavour)
        self._folder = of_flavour(lab.paths, flavour)
        self._path = path
        self._data = path.read_bytes()
        self._module = _ksmbd(self._data, path)
        module = self._folder.module
        self._there = module.read_bytes() if module.is_file() else b""
        self._began_at = time.time()
        self._began = time.monotonic()

    def run(self, *, new_guest: bool) -> Reloaded:
        why, loaded = (ASKED_FOR, None) if new_guest else self._in_the_guest()
        if why:
            self._with_a_new_guest(why)
        found = loaded.identity if loaded else guest.identity(self._lab, self._name)
        if self._module.identity not in found:
            raise LabFailed(
                f"{self._name} runs {' '.join(found) or 'no module'}, "
                f"not {self._module.identity} of {self._path}",
                "lab ksmbd reload --new-guest",
            )
        _write(proven(self._folder), self._data)
        return Reloaded(
            "guest" if why else "module",
            self._module.identity,
            self._module.srcversion,
            self._module.release,
            time.monotonic() - self._began,
            why,
            loaded.phases if loaded else {},
        )

    def _in_the_guest(self) -> tuple[str, Loaded | None]:
        """Exchange it in place; return why that did not do, or what the guest said."""
        try:
            loaded = guest.load(self._lab, self._name, self._data)
        except NodeError as error:
            console = self._lab.engine.logs(self._name, since=self._began_at)
            return guest.failure(console) or error.message, None
        if loaded.code == Code.REFUSED:
            self._put_back(self._there)
            raise self._refused(loaded.said)
        if loaded.code != Code.DONE:
            return _WHY.get(loaded.code, f"lab-ksmbd ended with {loaded.code}"), None
        self._install()
        if not guest.wait_until_it_answers(self._lab, self._name):
            return "ksmbd does not answer on the loaded module", None
        return "", loaded

    def _with_a_new_guest(self, why: str) -> None:
        if why != ASKED_FOR:
            self._lab.progress.say(f"{why}; a new guest takes its place")
        self._install()
        try:
            guest.replace(self._lab, self._name)
        except GuestFailed as failed:
            self._put_back()
            self._lab.progress.say(f"{failed.message}; the module before it goes back")
            guest.replace(self._lab, self._name)
            if said := guest.kernel_lines(failed.console):
                raise self._refused(said) from None
            raise ModuleRefused(
                f"{self._path} does not run: {failed.message}",
                f"the module before it serves again; {failed.remedy}",
            ) from None
        except BaseException:  # Ctrl-C: nobody has seen the module serve
            self._put_back()
            raise

    def _install(self) -> None:
        if not self._folder.module.is_file() or self._folder.module.read_bytes() != self._data:
            _write(self._folder.module, self._data)

    def _put_back(self, there: bytes = b"") -> None:
        """Take the module out of the override folder. What ran before it is there again, or
        `there`, which waited for the next guest."""
        before = proven(self._folder)
        if there and there != self._data:
            _write(self._folder.module, there)
            return
        if before.is_file() and before.read_bytes() != self._data:
            _write(self._folder.module, before.read_bytes())
        else:
            self._folder.module.unlink(missing_ok=True)
            before.unlink(missing_ok=True)

    def _refused(self, said: tuple[str, ...] | list[str]) -> ModuleRefused:
        refusal = explain(said)
        return ModuleRefused(
            f"{self._path} does not load: {refusal.words}\n    | {refusal.line}",
            f"the module before it serves again; {refusal.remedy}",
        )


def _ksmbd(data: bytes, path: Path) -> Module:
    module = read_module(data, str(path))
    if module.name != "ksmbd":
        raise UsageError(f"{path} is the module {module.name!r}, not ksmbd", "give a ksmbd.ko")
    return module


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
