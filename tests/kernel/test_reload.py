"""What lies where the next guest takes its module from, however an exchange ended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.flavours.folders import FlavourFolder, of_flavour
from lab.kernel import reload
from lab.kernel.guest import Code, GuestFailed, Loaded
from lab.kernel.module import Module
from lab.nodes.model import NodeError
from lab.paths import LabPaths

GOOD, WAITING, NEW = b"good", b"waiting", b"new"


class Exchange:
    """A lab whose guest does as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.guests = 0
        self.load: Any = Loaded(Code.DONE)
        self.ends: list[BaseException | None] = []  # of the guests to come
        paths = LabPaths(root)
        self.folder: FlavourFolder = of_flavour(paths, "")
        self.lab: Any = SimpleNamespace(
            paths=paths,
            progress=SimpleNamespace(say=lambda line: None),
            engine=SimpleNamespace(logs=lambda name, since: ""),
        )
        self.new = root / "new.ko"
        self.new.write_bytes(NEW)
        for path, data in ((reload.proven(self.folder), GOOD), (self.folder.module, GOOD)):
            path.parent.mkdir(parents=True)
            path.write_bytes(data)
        monkeypatch.setattr(reload, "_ksmbd", lambda data, path: Module("ksmbd", "6 ", data.hex()))
        monkeypatch.setattr(reload.guest, "load", self._load)
        monkeypatch.setattr(reload.guest, "replace", self._replace)
        monkeypatch.setattr(reload.guest, "identity", lambda lab, name: (self.served.hex(),))
        monkeypatch.setattr(reload.guest, "wait_until_it_answers", lambda lab, name: True)
        self.served = GOOD

    def _load(self, lab: Any, name: str, module: bytes) -> Loaded:
        if isinstance(self.load, BaseException):
            raise self.load
        if self.load.code == Code.DONE:
            self.served = module
            return Loaded(Code.DONE, {}, (module.hex(),))
        return Loaded(self.load.code)

    def _replace(self, lab: Any, name: str) -> None:
        self.guests += 1
        end = self.ends.pop(0) if self.ends else None
        if end:
            raise end
        self.served = self.folder.module.read_bytes()

    def __call__(self, **options: bool) -> reload.Reloaded:
        built: Any = SimpleNamespace(path=self.new, symbols=None, source="")
        return reload.reload_module(self.lab, "", built, **options)


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Exchange:
    return Exchange(monkeypatch, tmp_path)


def test_a_module_that_serves_stays_and_is_what_a_bad_one_is_exchanged_for(
    exchange: Exchange,
) -> None:
    assert exchange().how == "module"
    assert exchange.folder.module.read_bytes() == NEW
    assert reload.proven(exchange.folder).read_bytes() == NEW


def test_a_refused_module_leaves_what_waited_for_the_next_guest(exchange: Exchange) -> None:
    exchange.folder.module.write_bytes(WAITING)
    exchange.load = Loaded(Code.REFUSED)
    with pytest.raises(reload.ModuleRefused):
        exchange()
    assert exchange.folder.module.read_bytes() == WAITING
    assert exchange.guests == 0


def test_a_refused_module_that_was_built_gives_way_to_the_one_before(exchange: Exchange) -> None:
    exchange.folder.module.write_bytes(NEW)
    exchange.load = Loaded(Code.REFUSED)
    with pytest.raises(reload.ModuleRefused):
        exchange()
    assert exchange.folder.module.read_bytes() == GOOD


@pytest.mark.parametrize("by_module", [True, False], ids=["it crashes", "it is deaf"])
def test_a_guest_that_does_not_serve_gets_the_module_before(
    exchange: Exchange, by_module: bool
) -> None:
    exchange.load = NodeError("the connection was closed")
    exchange.ends = [GuestFailed("it does not serve", "", "look", by_module=by_module)]
    with pytest.raises(reload.ModuleRefused, match="does not run: it does not serve"):
        exchange()
    assert exchange.folder.module.read_bytes() == GOOD
    assert (exchange.guests, exchange.served) == (2, GOOD)


def test_ctrl_c_while_the_new_guest_starts_leaves_the_module_before(exchange: Exchange) -> None:
    exchange.ends = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        exchange(new_guest=True)
    assert exchange.folder.module.read_bytes() == GOOD
    assert exchange.guests == 1
