"""Which images are built, from what, and what is said when that fails."""

import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.engine import build, labels
from lab.engine.build import ContextFile
from lab.errors import LabFailed

DOCKERFILE = b"FROM notify-lab-base:trixie\nCOPY x /x\n"
FILES = [ContextFile("Dockerfile", DOCKERFILE, False), ContextFile("x", b"1", False)]


class FakeBuilder:
    """An engine that remembers labels, and how many builds ran at once."""

    def __init__(self) -> None:
        self.images: dict[str, dict[str, str]] = {}
        self.fails: dict[str, str] = {}
        self.pruned: list[str] = []
        self.at_once = self.most = 0
        self.guard = threading.Lock()

    def labels(self, tag: str) -> dict[str, str] | None:
        return self.images.get(tag)

    def digest(self, tag: str) -> str:
        return f"sha256:{tag}"

    def build(
        self, context: bytes, tag: str, image_labels: Mapping[str, str]
    ) -> Iterator[tuple[str, str]]:
        with self.guard:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        time.sleep(0.05)
        yield "out", f"Step 1/2 : {tag}\n"
        with self.guard:
            self.at_once -= 1
        if tag in self.fails:
            yield "error", self.fails[tag]
            return
        self.images[tag] = dict(image_labels)

    def prune(self, name: str) -> None:
        self.pruned.append(name)


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    for node in ("front", "samba", "py"):
        folder = tmp_path / "rendered" / node
        (folder / "etc").mkdir(parents=True)
        (folder / "Dockerfile").write_bytes(DOCKERFILE)
        (folder / "x").write_text(node)
        (folder / "etc" / "conf").write_text("1")
        (folder / ".dockerignore").write_text("etc/\n")
    return tmp_path / "rendered"


def ensure(fake: FakeBuilder, rendered: Path, say: list[str] | None = None) -> dict[str, float]:
    said = [] if say is None else say
    return build.ensure_images(
        rendered, ["front", "samba", "py"], "lab", said.append, connect=lambda: fake
    )


def test_all_are_built_once_two_at_a_time(rendered: Path) -> None:
    fake = FakeBuilder()
    assert set(ensure(fake, rendered)) == {"front", "samba", "py"}
    assert fake.most == 2
    assert fake.pruned == ["lab"]
    assert fake.images["lab/py:latest"][labels.NAME] == "lab"
    assert fake.images["lab/py:latest"][labels.NODE] == "py"
    assert "Step 1/2" in (rendered.parent / "build-py.log").read_text()
    assert ensure(fake, rendered) == {}


def test_only_what_changed_is_built_and_configuration_does_not_count(rendered: Path) -> None:
    fake = FakeBuilder()
    ensure(fake, rendered)
    (rendered / "samba" / "etc" / "conf").write_text("2")
    assert ensure(fake, rendered) == {}
    (rendered / "samba" / "x").chmod(0o755)
    assert set(ensure(fake, rendered)) == {"samba"}


def test_a_failure_names_the_cause_the_node_and_the_remedy(rendered: Path) -> None:
    fake = FakeBuilder()
    fake.fails["lab/py:latest"] = "write /x: no space left on device"
    with pytest.raises(LabFailed, match="image of py failed: the disk is full") as caught:
        ensure(fake, rendered)
    assert "docker system df" in caught.value.remedy


def test_an_unknown_failure_shows_its_output_and_the_log(rendered: Path) -> None:
    fake = FakeBuilder()
    fake.fails["lab/samba:latest"] = "The command '/bin/sh -c false' returned a non-zero code: 1"
    with pytest.raises(LabFailed, match="non-zero code: 1") as caught:
        ensure(fake, rendered)
    assert str(rendered.parent / "build-samba.log") in caught.value.remedy


def test_the_longest_build_starts_first(rendered: Path) -> None:
    order = [job.node for job in build.jobs(FakeBuilder(), rendered, ["front", "py"], "lab")]
    assert order == ["py", "front"]


@given(st.permutations(FILES))
def test_the_hash_does_not_depend_on_the_order(files: list[ContextFile]) -> None:
    assert build.context_hash(files, "b") == build.context_hash(FILES, "b")


@pytest.mark.parametrize(
    "files",
    [
        [FILES[0], ContextFile("x", b"2", False)],
        [FILES[0], ContextFile("x", b"1", True)],
        [FILES[0], ContextFile("y", b"1", False)],
        [FILES[0]],
    ],
)
def test_the_hash_sees_content_permission_name_and_absence(files: list[ContextFile]) -> None:
    assert build.context_hash(files, "b") != build.context_hash(FILES, "b")


def test_another_base_image_makes_another_hash() -> None:
    assert build.context_hash(FILES, "old") != build.context_hash(FILES, "new")


def test_a_context_packs_to_the_same_bytes_whatever_the_clock(rendered: Path) -> None:
    first = build.pack(build.read_context(rendered / "py"))
    time.sleep(0.01)
    (rendered / "py" / "x").touch()
    assert build.pack(build.read_context(rendered / "py")) == first


def test_a_context_without_dockerfile_is_an_error_with_a_remedy() -> None:
    with pytest.raises(LabFailed) as caught:
        build.base_tag(FILES[1:])
    assert caught.value.remedy == "lab render"
