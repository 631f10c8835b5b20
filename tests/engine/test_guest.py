"""The guest: its modules by the kernel's own tables, its archive, and how its end is told."""

import gzip
import re
import struct
import subprocess
from pathlib import Path

import cpio
import kernel_modules
import pytest
import supervise
import vmlinux
from hypothesis import given
from hypothesis import strategies as st
from kernel_modules import MissingModule, ModuleTables
from supervise import Ended, Verdict

ROOT = Path(__file__).resolve().parents[2]
TABLES = ModuleTables.parse(
    dep=[
        "kernel/fs/smb/server/ksmbd.ko.xz: kernel/fs/smb/common/cifs_arc4.ko.xz"
        " kernel/fs/nls/nls_ucs2_utils.ko.xz",
        "kernel/fs/smb/common/cifs_arc4.ko.xz:",
        "kernel/fs/nls/nls_ucs2_utils.ko.xz:",
        "kernel/crypto/gcm.ko.xz: kernel/crypto/crypto_null.ko.xz",
        "kernel/crypto/crypto_null.ko.xz:",
        "kernel/crypto/ghash-generic.ko.xz: kernel/lib/crypto/gf128mul.ko.xz",
        "kernel/lib/crypto/gf128mul.ko.xz:",
        "kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/net_failover.ko.xz"
        " kernel/net/core/failover.ko.xz",
        "kernel/drivers/net/net_failover.ko.xz: kernel/net/core/failover.ko.xz",
        "kernel/net/core/failover.ko.xz:",
    ],
    softdep=[
        "# comment",
        "softdep ksmbd pre: gcm",
        "softdep ksmbd pre: aead2 hmac post: late",
    ],
    alias=["alias crypto-ghash ghash_generic", "alias crypto-gcm* gcm"],
    builtin=["kernel/crypto/hmac.ko", "kernel/drivers/virtio/virtio_pci.ko"],
)


def names(paths: tuple[str, ...]) -> list[str]:
    return [kernel_modules.module_name(path) for path in paths]


def test_what_a_module_needs_and_wants_is_loaded_before_it() -> None:
    found = TABLES.resolve(["ksmbd"])
    order = names(found.load)
    assert order[-1] == "ksmbd"
    assert order.index("crypto_null") < order.index("gcm") < order.index("ksmbd")
    assert {"cifs_arc4", "nls_ucs2_utils"} < set(order)
    assert found.built_in == ("hmac",)
    assert found.absent == ("aead2",)
    assert "late" not in order


def test_dependencies_of_dependencies_come_first() -> None:
    assert names(TABLES.resolve(["virtio_net"]).load) == ["failover", "net_failover", "virtio_net"]


def test_an_alias_finds_what_request_module_would() -> None:
    found = TABLES.resolve([], ["crypto-ghash", "crypto-ctr"])
    assert names(found.load) == ["gf128mul", "ghash_generic"]
    assert found.absent == ("crypto-ctr",)


def test_each_module_is_loaded_once() -> None:
    found = TABLES.resolve(["ksmbd", "gcm", "ksmbd"], ["crypto-gcm"])
    assert len(found.load) == len(set(found.load))


def test_a_required_module_that_is_built_in_is_fine_and_a_missing_one_is_named() -> None:
    assert TABLES.resolve(["virtio_pci"]).built_in == ("virtio_pci",)
    with pytest.raises(MissingModule, match="no_such"):
        TABLES.resolve(["no_such"])


def entries(archive: bytes) -> list[tuple[str, int, bytes]]:
    """Read an archive as the kernel does: header, name, padding, data, padding."""
    found, position = [], 0
    while True:
        assert archive[position : position + 6] == b"070701"
        fields = [int(archive[position + at : position + at + 8], 16) for at in range(6, 110, 8)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = archive[position + 110 : position + 110 + length - 1].decode()
        position += -(-(110 + length) // 4) * 4
        data = archive[position : position + size]
        position += -(-size // 4) * 4
        if name == "TRAILER!!!":
            assert position == len(archive)
            return found
        found.append((name, mode, data))


def test_parents_come_before_children_and_each_once() -> None:
    archive = cpio.Archive()
    archive.file("/a/b/c", b"12345", 0o600)
    archive.link("a/l", "b/c")
    archive.folder("a/b")
    assert entries(archive.to_bytes()) == [
        ("a", 0o040755, b""),
        ("a/b", 0o040755, b""),
        ("a/b/c", 0o100600, b"12345"),
        ("a/l", 0o120777, b"b/c"),
    ]


@given(st.dictionaries(st.text("abcxyz", min_size=1, max_size=9), st.binary(max_size=9)))
def test_archives_can_follow_one_another(files: dict[str, bytes]) -> None:
    archive = cpio.Archive()
    for name, data in files.items():
        archive.file(name, data)
    packed = archive.to_bytes()
    assert len(packed) % 4 == 0
    assert {name: data for name, _, data in entries(packed)} == files
    assert archive.to_bytes() == packed, "ending an archive must not change it"


PVH_KERNEL = b"\x7fELF" + struct.pack("<III4s", 4, 8, 18, b"Xen\0") + bytes(100)


def bzimage(payload: bytes) -> bytes:
    image = bytearray(1024)
    image[0x1F1] = 1
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 0, len(payload))
    return bytes(image) + payload


def test_the_kernel_is_found_in_a_bzimage() -> None:
    assert vmlinux.payload(bzimage(b"compressed" + b"size")) == b"compressed"


def test_a_kernel_that_cannot_be_booted_directly_is_left_as_it_is() -> None:
    assert vmlinux.extract(bzimage(b"unknown compression")) is None
    with pytest.raises(ValueError, match="HdrS"):
        vmlinux.payload(bytes(2000))


CONSOLE = [
    (["LAB READY uptime=3"], 0, Ended.RESET),
    (["[ 9.1] Kernel panic - not syncing: Fatal exception"], 0, Ended.PANIC),
    (
        ["[ 9.1] Kernel panic - not syncing: sysrq", "[ 9.2] reboot: Restarting system"],
        0,
        Ended.PANIC,
    ),
    (["[ 9.1] reboot: Power down"], 0, Ended.CLEAN),
    (["LAB FAILED uptime=1 ksmbd is not loaded", "reboot: Power down"], 0, Ended.INIT_FAILED),
    (["qemu-system-x86_64: could not set up host forwarding"], 1, Ended.QEMU_FAILED),
    (["LAB READY uptime=3"], -9, 137),
]


@pytest.mark.parametrize(("lines", "qemu", "code"), CONSOLE)
def test_the_exit_code_tells_how_the_guest_ended(lines: list[str], qemu: int, code: int) -> None:
    verdict = Verdict()
    for line in lines:
        verdict.hear(line)
    assert supervise.exit_code(verdict, qemu, told_to_stop=False, too_late=False) == code


def test_being_told_to_stop_is_clean_and_being_too_late_is_not() -> None:
    assert supervise.exit_code(Verdict(), -9, told_to_stop=True, too_late=False) == Ended.CLEAN
    late = supervise.exit_code(Verdict(), -9, told_to_stop=False, too_late=True)
    assert late == Ended.BOOT_DEADLINE


def test_the_boot_probe_has_neither_disk_nor_network() -> None:
    environment = {"LAB_KSMBD_ACCELERATOR": "kvm", "LAB_KSMBD_MEMORY": "300"}
    probe = supervise.qemu_command(environment, initrd=Path("/i"), disk=None, extra=["lab.probe"])
    assert probe[probe.index("-accel") + 1] == "kvm"
    assert probe[probe.index("-m") + 1] == "300"
    assert "-netdev" not in probe
    assert probe[probe.index("-append") + 1].endswith(" lab.probe")
    served = supervise.qemu_command({}, initrd=Path("/i"), disk=Path("/d"))
    assert "hostfwd=tcp::445-:445" in served[served.index("-netdev") + 1]
    assert "oops=panic" in served[served.index("-append") + 1]
    assert "-no-reboot" in served


def test_a_gzipped_kernel_is_unpacked_whole() -> None:
    """gzip's stream ends with the size; of other formats it is appended."""
    assert vmlinux.extract(bzimage(gzip.compress(PVH_KERNEL))) == PVH_KERNEL


def test_a_kernel_with_kasan_is_booted_as_the_bzimage_that_it_came_in() -> None:
    """Its PVH entry resets the machine, without a word on the console."""
    sanitized = PVH_KERNEL + b"KernelAddressSanitizer initialized (%s)\n\0"
    assert vmlinux.extract(bzimage(gzip.compress(sanitized))) is None


def test_debug_classes_reach_the_module_one_by_one(tmp_path: Path) -> None:
    """What the template makes is read by a shell, as words of one variable."""
    template = (ROOT / "templates/ksmbd/etc/guest.env.j2").read_text()
    rendered = tmp_path / "guest.env"
    told = template.replace("{{ settings.ksmbd.debug }}", "smb vfs")
    rendered.write_text(re.sub(r"{{.*?}}", "x", told))
    init = (ROOT / "images/ksmbd/guest/init").read_text()
    loop = init[init.index("for class in") :]
    loop = loop[: loop.index("done\n") + len("done\n")].replace("ksmbd.control", "echo")
    script = f"set -e\n. {rendered}\n{loop}"
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n") == ["-d smb", "-d vfs", ""]
