"""`lab ksmbd build` for real: from Debian's source, again, with an error, with patches.

On two quiet cores about two minutes, most of it for the builder's image and Debian's source.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Lab

pytestmark = pytest.mark.docker

FIRST_TIME_S = 900
MODULE = ".lab/flavours/ksmbd/override/modules/ksmbd.ko"
SYMBOLS = ".lab/flavours/ksmbd/symbols/ksmbd.ko"
SMB2PDU = "fs/smb/server/smb2pdu.c"


def build(lab: Lab, *words: str) -> Any:
    return lab.json("ksmbd", "build", *words, timeout=FIRST_TIME_S)


@pytest.fixture(scope="module")
def first(lab: Lab) -> Iterator[Any]:
    """The first build, without a source: Debian's is fetched."""
    yield build(lab)
    (lab.root / MODULE).unlink(missing_ok=True)  # the other tests have the kernel's own


def tree(first: Any) -> Path:
    return Path(first["source"])


def state_of(source: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in (source / "fs").rglob("*")
        if path.is_file()
    }


def test_debians_source_gives_a_module_that_tells_itself_apart(lab: Lab, first: Any) -> None:
    assert tree(first).parent == lab.root / ".lab/src"
    assert first["vermagic"].split()[0] == first["release"]
    assert len(first["build_id"]) == 40
    assert first["srcversion"]
    override = lab.root / MODULE
    assert override.read_bytes() == Path(first["module"]).read_bytes()
    assert override.stat().st_size < (lab.root / SYMBOLS).stat().st_size


def test_the_second_time_nothing_is_compiled(lab: Lab, first: Any) -> None:
    again = build(lab)
    assert again["changed"] == []
    assert again["build_id"] == first["build_id"]


def test_one_changed_file_makes_another_module(lab: Lab, first: Any) -> None:
    file = tree(first) / SMB2PDU
    before = file.read_text()
    try:
        file.write_text(before.replace('"Failed to', '"It failed to'))
        changed = build(lab)
        assert changed["changed"] == [SMB2PDU]
        assert changed["build_id"] != first["build_id"]
        file.write_text(before + "\nint broken(void) { return undeclared; }\n")
        failed = lab("ksmbd", "build", status=3, timeout=FIRST_TIME_S)
        line = len(before.splitlines()) + 2
        assert f"{file}:{line}:" in failed.stderr
        assert "undeclared" in failed.stderr
    finally:
        file.write_text(before)
    assert build(lab)["build_id"] == first["build_id"]


def test_a_patch_goes_to_a_copy(lab: Lab, first: Any, tmp_path: Path) -> None:
    source = tree(first)
    before = state_of(source)
    lines = (source / SMB2PDU).read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("int smb2_notify("))
    patch = tmp_path / "0001-comment.patch"
    head = f"--- a/{SMB2PDU}\n+++ b/{SMB2PDU}\n@@ -{at - 1},3 +{at - 1},4 @@\n"
    patch.write_text(f"{head} {lines[at - 2]}\n {lines[at - 1]}\n+/* patched */\n {lines[at]}\n")
    built = build(lab, "--patch", str(patch))
    assert SMB2PDU in built["changed"]
    patch.write_text(f"{head} no such line\n nor this\n+int x;\n {lines[at]}\n")
    failed = lab("ksmbd", "build", "--patch", str(patch), status=3, timeout=FIRST_TIME_S)
    assert f"0001-comment.patch: {SMB2PDU}: hunk 1" in failed.stderr
    assert "no such line" in failed.stderr
    assert state_of(source) == before


def test_another_folder_is_no_source(lab: Lab, first: Any, tmp_path: Path) -> None:
    failed = lab("ksmbd", "build", "--src", str(tmp_path), status=3, timeout=FIRST_TIME_S)
    assert f"{tmp_path} is no source of ksmbd" in failed.stderr
