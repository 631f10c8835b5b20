"""Which file systems may hang, told from the kernel's mount table."""

from __future__ import annotations

from pathlib import Path

import pytest

from notify_server.fs.mounts import LOCAL, find, mounts, what_may_hang

TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /srv/nfs rw - nfs4 server:/x rw,vers=4.2
31 22 0:26 / /srv/local rw - xfs /dev/sdb rw
32 31 0:27 / /srv/local/deep/in rw,relatime master:2 - fuse.sshfs host: rw
33 22 0:28 / /srv/with\040space rw - 9p share rw
34 22 0:29 / /srv/stacked rw - cifs //s/x rw
35 34 0:30 / /srv/stacked rw - tmpfs tmpfs rw
36 22 0:31 / /srv/auto rw - autofs systemd-1 rw
nonsense
"""


@pytest.mark.parametrize(
    ("directory", "hangs"),
    [
        ("/home/x", ""),
        ("/srv/nfs", "nfs4 at /srv/nfs"),
        ("/srv/nfs/below", "nfs4 at /srv/nfs"),
        ("/srv/nfsx", ""),
        ("/srv/local/deep/by", ""),
        ("/srv/local", "fuse.sshfs at /srv/local/deep/in"),
        ("/srv/with space/x", "9p at /srv/with space"),
        ("/srv/stacked", ""),
        ("/srv/auto", "autofs at /srv/auto"),
        ("/srv", "nfs4 at /srv/nfs"),
        ("/", "nfs4 at /srv/nfs"),
    ],
)
def test_what_may_hang(directory: str, hangs: str) -> None:
    assert find(TABLE, directory) == hangs


def test_what_nobody_knows_may_hang() -> None:
    assert find("", "/x") == "an unknown file system at /x"
    assert LOCAL.isdisjoint({"nfs", "nfs4", "cifs", "smb3", "fuse", "fuseblk", "9p", "virtiofs"})


def test_the_table_of_this_machine(tmp_path: Path) -> None:
    table = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    assert what_may_hang(str(tmp_path)) == find(table, str(tmp_path))
    assert what_may_hang("/proc") == "proc at /proc"


def test_the_name_of_a_mount_point_is_read_as_it_is() -> None:
    line = "36 35 98:0 / /srv/caf\u00e9\\040au\\134lait rw,noatime - ext4 /dev/root rw"
    assert list(mounts(line)) == [("/srv/caf\u00e9 au\\lait", "ext4")]
