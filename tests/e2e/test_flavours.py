"""A second kernel beside the first: declared, up, a column of its own, and gone again.

On two quiet cores about a minute: Debian unstable's kernel is fetched and its guest packed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.harness import Lab, labelled, node_container

pytestmark = pytest.mark.docker

NODE = "ksmbd@sid"
TOML = '[flavours.sid]\nsuite = "sid"\n'


@pytest.fixture(scope="module")
def status(lab: Lab) -> Iterator[Any]:
    """The lab with a flavour; without it again afterwards."""
    file = lab.root / "lab.toml"
    file.write_text(TOML)
    lab("up", NODE, timeout=900)
    yield lab.json("status")
    lab("switch", "samba", status=None)
    file.unlink()
    lab("up", timeout=900)
    assert not node_container(lab, NODE)


def node(status: Any, name: str) -> Any:
    return next(each for each in status["nodes"] if each["name"] == name)


def test_it_runs_its_own_kernel_beside_the_others(lab: Lab, status: Any) -> None:
    own, default = node(status, NODE), node(status, "ksmbd")
    assert own["healthy"]
    assert default["healthy"]
    major = int(own["versions"]["kernel"].split(".")[0])
    assert major >= 7
    assert own["versions"]["kernel"] != default["versions"]["kernel"]
    assert own["versions"]["memory"] == "256 MiB"
    assert own["versions"]["accelerator"] in ("kvm", "tcg")


def test_the_front_leads_to_it(lab: Lab, status: Any) -> None:
    done = lab.json("switch", NODE)
    assert done["new"] == NODE
    assert done["proof"]["holds"]
    assert lab.json("status")["active"] == NODE


def test_logs_and_shell_are_its_own(lab: Lab, status: Any) -> None:
    assert "LAB READY" in lab("logs", NODE).stdout
    assert node(status, NODE)["versions"]["kernel"] in lab("logs", NODE).stdout


def test_its_column_differs_from_the_other_kernels(lab: Lab, status: Any) -> None:
    """Linux 6.12 refuses CHANGE_NOTIFY; 7.x parks it, and ends it when it is cancelled."""
    run = lab.json("run-scenarios", "A1", "A4", "--server", f"ksmbd,{NODE}", timeout=600)
    cells = {(cell["server"], cell["scenario"]): cell["verdict"] for cell in run["cells"]}
    assert cells == {
        ("ksmbd", "A1"): "unsupported",
        ("ksmbd", "A4"): "unsupported",
        (NODE, "A1"): "known deviation",  # its interim response grants no credits
        (NODE, "A4"): "pass",
    }


def test_nothing_is_left_of_the_container_that_made_it(lab: Lab, status: Any) -> None:
    names = {each["name"] for each in status["nodes"] if each["state"] == "running"}
    assert len(labelled(lab.root)["container"]) == len(names)
