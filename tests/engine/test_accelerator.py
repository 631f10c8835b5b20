"""KVM or emulation: tried once on each host kernel, and the reason said."""

from pathlib import Path
from typing import Any

import pytest

from lab.engine import accelerator
from lab.errors import LabFailed
from lab.nodes.model import Completed


class Memory:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value


class Case:
    """One host; `booted` counts how often a guest was tried."""

    def __init__(self, device: Path, problem: str = "") -> None:
        self.device, self.problem, self.booted = device, problem, 0
        self.memory, self.said = Memory(), list[str]()

    def boot(self) -> str:
        self.booted += 1
        return self.problem

    def decide(self, wanted: str, host_kernel: str = "6.1") -> tuple[str, str]:
        return accelerator.decide(
            wanted,
            device=self.device,
            host_kernel=host_kernel,
            state=self.memory,
            boot=self.boot,
            say=self.said.append,
        )


@pytest.fixture
def kvm(tmp_path: Path) -> Path:
    (tmp_path / "kvm").touch()
    return tmp_path / "kvm"


def test_emulation_by_setting_tries_nothing(kvm: Path) -> None:
    case = Case(kvm)
    assert case.decide("tcg")[0] == "tcg"
    assert case.booted == 0


def test_a_guest_that_boots_decides_for_kvm(kvm: Path) -> None:
    case = Case(kvm)
    assert case.decide("auto")[0] == "kvm"
    assert "trying KVM" in case.said[0]


def test_the_answer_is_remembered_until_the_host_kernel_changes(kvm: Path) -> None:
    case = Case(kvm, "a guest did not boot")
    assert case.decide("auto") == ("tcg", "a guest did not boot")
    assert case.decide("auto") == ("tcg", "a guest did not boot")
    assert case.booted == 1
    case.decide("auto", host_kernel="6.2")
    assert case.booted == 2


def test_no_device_means_emulation_and_says_so(tmp_path: Path) -> None:
    kind, reason = Case(tmp_path / "kvm").decide("auto")
    assert kind == "tcg"
    assert "there is no" in reason


def test_kvm_demanded_in_vain_is_an_error(kvm: Path, tmp_path: Path) -> None:
    with pytest.raises(LabFailed, match="did not boot"):
        Case(kvm, "a guest did not boot").decide("kvm")
    with pytest.raises(LabFailed, match="there is no"):
        Case(tmp_path / "none").decide("kvm")


@pytest.mark.parametrize(
    ("done", "problem"),
    [
        (Completed(0, b"LAB BOOTED uptime=0.4\n", b""), ""),
        (Completed(71, b"LAB guest ended: BOOT_DEADLINE after 10.0 s\n", b""), "did not boot"),
        (
            Completed(
                74, b"qemu-system-x86_64: failed to initialize kvm: Permission denied\n", b""
            ),
            "failed to initialize kvm: Permission denied",
        ),
    ],
)
def test_the_probes_end_is_understood(done: Completed, problem: str) -> None:
    said = accelerator.problem_of(done)
    assert said == "" if not problem else problem in said


def test_only_a_device_that_is_used_is_handed_in(kvm: Path) -> None:
    assert accelerator.compose_variables("tcg", kvm) == {"LAB_KVM_DEVICE": "/dev/null"}
    kvm.chmod(0o660)
    assert accelerator.compose_variables("kvm", kvm) == {
        "LAB_KVM_DEVICE": str(kvm),
        "LAB_KVM_GID": str(kvm.stat().st_gid),
    }
    kvm.chmod(0o600)
    assert "LAB_KVM_GID" not in accelerator.compose_variables("kvm", kvm)
