"""What takes the place of the guest's own modules and programs."""

from pathlib import Path

import override
import pytest
from cpio import Archive

NOTE = {
    "release": "6.12.1-lab",
    "modules": [
        "kernel/drivers/net/virtio_net.ko",
        "kernel/fs/smb/common/cifs_arc4.ko",
        "kernel/fs/smb/server/ksmbd.ko",
        "kernel/fs/nls/nls_utf8.ko",
    ],
    "at_hand": ["kernel/lib/crypto/libdes.ko", "kernel/fs/smb/client/cifs.ko"],
}
BASE = "usr/lib/modules/6.12.1-lab"


def entries(data: bytes) -> dict[str, bytes]:
    """The files of a cpio archive."""
    found, at = {}, 0
    while at < len(data):
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        at += -(-(110 + name_size) // 4) * 4
        found[name] = data[at : at + size]
        at += -(-size // 4) * 4
    return found


def packed(folder: Path, depends: dict[str, list[str]]) -> tuple[dict[str, bytes], list[str]]:
    archive = Archive()
    said = override.add(archive, folder, NOTE, lambda path: depends.get(path.stem, []))
    return entries(archive.to_bytes()), said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("modules", "sbin"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_a_module_takes_the_place_of_its_namesake(folder: Path) -> None:
    (folder / "modules/ksmbd.ko").write_bytes(b"mine")
    files, said = packed(folder, {"ksmbd": ["cifs_arc4"]})
    assert files[f"{BASE}/kernel/fs/smb/server/ksmbd.ko"] == b"mine"
    load = files["usr/lib/modules/load"].decode().split()
    assert load == [f"/{BASE}/{path}" for path in NOTE["modules"]]
    assert said == ["module ksmbd"]


def test_a_module_that_was_not_there_is_loaded_before_ksmbd_and_after_its_needs(
    folder: Path,
) -> None:
    for name in ("smb_notify", "ksmbd", "smb-common"):
        (folder / f"modules/{name}.ko").write_bytes(name.encode())
    needs = {"ksmbd": ["smb_notify", "libdes"], "smb_notify": ["smb_common", "built_in"]}
    files, _ = packed(folder, needs)
    assert files[f"{BASE}/updates/smb_common.ko"] == b"smb-common"
    order = [line.rpartition("/")[2] for line in files["usr/lib/modules/load"].decode().split()]
    assert order == [
        *("virtio_net.ko", "cifs_arc4.ko"),
        *("smb_common.ko", "smb_notify.ko", "libdes.ko"),
        *("ksmbd.ko", "nls_utf8.ko"),
    ]


def test_programs_go_where_the_guest_runs_them_from(folder: Path) -> None:
    (folder / "sbin/ksmbd.tools").write_bytes(b"all of them")
    (folder / "sbin/ksmbd.mountd").write_bytes(b"one")
    files, said = packed(folder, {})
    assert files["usr/libexec/ksmbd.tools"] == b"all of them"
    assert files["usr/bin/ksmbd.mountd"] == b"one"
    assert said == ["program ksmbd.mountd", "program ksmbd.tools"]


def test_nothing_to_replace_adds_nothing(tmp_path: Path) -> None:
    assert packed(tmp_path / "absent", {}) == ({"TRAILER!!!": b""}, [])
