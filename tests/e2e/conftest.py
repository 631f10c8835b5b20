"""The real lab, brought up once for all end-to-end tests and taken down at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Lab, copy_checkout, engine_answers, free_port


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine that answers; else skip, or fail where LAB_REQUIRE_DOCKER=1."""
    if engine_answers():
        return
    if os.environ.get("LAB_REQUIRE_DOCKER") == "1":
        pytest.fail("no Docker engine answers, and LAB_REQUIRE_DOCKER=1")
    pytest.skip("no Docker engine answers")


@pytest.fixture(scope="session")
def lab(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab, up. Taken down with its volumes at the end, whatever happened."""
    lab = Lab(copy_checkout(tmp_path_factory.mktemp("lab") / "checkout"), free_port())
    try:
        lab("up", timeout=1800)
        yield lab
    finally:
        lab("down", "--volumes", status=None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything in this folder needs the engine, and bringing the lab up takes its time.

    What compiles a whole server runs only if it is asked for: `-m docker` does not.
    """
    if "long" not in config.option.markexpr.replace("not long", ""):
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.fspath).parents:
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.timeout(2100))
