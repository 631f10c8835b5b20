"""Build what the guest boots from: a kernel, an initramfs, and a note of what is in them.

    build_guest.py KERNEL_ROOT OUTPUT --scripts FOLDER

KERNEL_ROOT is a Debian kernel package unpacked (`dpkg -x`), so nothing of it is configured or run.
Programs come from the packages that are installed where this runs, each with the libraries that
ldd names. OUTPUT gets `kernel`, `initrd`, and `guest.json`.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import subprocess
import sys
from pathlib import Path

import vmlinux
from cpio import Archive
from kernel_modules import ModuleTables, Resolution

# Loaded by /init, in an order that the kernel's tables give.
REQUIRED = ("virtio_net", "virtio_blk", "ksmbd")
# Wanted where the release has them as modules: nls_utf8 for file names; the algorithms that ksmbd
# asks the crypto API for at run time, which no table lists for ksmbd itself; entropy.
OPTIONAL = (
    "nls_utf8",
    "crypto-cmac",
    "crypto-ccm",
    "crypto-cbcmac",
    "crypto-gcm",
    "crypto-ghash",
    "crypto-ctr",
    "virtio_rng",
)
# Only laid ready (`modprobe cifs`): the guest as a client of the other servers.
AT_HAND = ("cifs",)

PROGRAMS = {  # where it is -> where it goes
    "/usr/sbin/dropbear": "usr/bin/dropbear",
    "/usr/libexec/ksmbd.tools": "usr/libexec/ksmbd.tools",
    "/usr/lib/openssh/sftp-server": "usr/lib/sftp-server",
}
KSMBD_TOOLS = ("ksmbd.mountd", "ksmbd.control", "ksmbd.adduser", "ksmbd.addshare")
# ksmbd-tools convert names and passwords between UTF-8 and UTF-16 through glibc's gconv; without
# these the tools store a wrong password hash and say nothing.
GCONV = ("UTF-16.so", "UNICODE.so", "UTF-32.so")


def libraries(program: str) -> list[str]:
    """Return the paths of the shared libraries that `program` loads, its loader included."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", listing)


def add_userland(archive: Archive, scripts: Path) -> None:
    """Busybox as the system, the SSH and ksmbd programs, gconv, and the accounts' files."""
    archive.character_device("dev/console", 5, 1)
    for folder in ("proc", "sys", "tmp", "run", "srv/share", "root/.ssh", "mnt", "usr/bin"):
        archive.folder(folder)
    for name, target in (("bin", "usr/bin"), ("sbin", "usr/bin"), ("usr/sbin", "bin")):
        archive.link(name, target)
    archive.copy(Path("/usr/bin/busybox"), "usr/bin/busybox")
    applets = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True)
    for applet in applets.stdout.split():
        if applet != "busybox":
            archive.link(f"usr/bin/{applet}", "busybox")
    for program, place in PROGRAMS.items():
        archive.copy(Path(program), place)
        for library in libraries(program):
            # /lib is a link to /usr/lib in the guest too; /lib64 holds the loader alone
            real = f"/usr{library}" if library.startswith("/lib/") else library
            if real not in archive:
                archive.copy(Path(library), real)
    archive.link("lib", "usr/lib")
    for tool in KSMBD_TOOLS:
        archive.link(f"usr/bin/{tool}", "../libexec/ksmbd.tools")
    gconv = next(Path("/usr/lib").glob("*/gconv"))
    for name in GCONV:
        archive.copy(gconv / name, f"{gconv}/{name}")
    for name in ("gconv-modules", "gconv-modules.d/gconv-modules-extra.conf"):
        if (gconv / name).exists():
            archive.copy(gconv / name, f"{gconv}/{name}")
    archive.file("etc/nsswitch.conf", b"passwd: files\ngroup: files\n")
    archive.file("etc/shells", b"/bin/sh\n")
    for script in sorted(scripts.iterdir()):
        place = "init" if script.name == "init" else f"usr/bin/{script.name}"
        archive.file(place, script.read_bytes(), 0o755)


def unpacked(module: Path) -> bytes:
    """Return a module's content; the guest's insmod need not know how it was compressed."""
    data = module.read_bytes()
    if module.suffix == ".xz":
        return lzma.decompress(data)
    if module.suffix == ".zst":
        return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
    return data


def plain(path: str) -> str:
    """Return a module's path without the suffix of its compression."""
    return re.sub(r"\.(xz|zst|gz)$", "", path)


def add_modules(archive: Archive, release_dir: Path) -> tuple[Resolution, Resolution]:
    """Add the modules to load and those at hand; /lib/modules/load lists the first in order."""
    tables = ModuleTables.read(release_dir)
    load = tables.resolve(REQUIRED, OPTIONAL)
    at_hand = tables.resolve((), AT_HAND)
    base = f"usr/lib/modules/{release_dir.name}"
    for path in dict.fromkeys(load.load + at_hand.load):
        archive.file(f"{base}/{plain(path)}", unpacked(release_dir / path))
    archive.file(
        "usr/lib/modules/load", "".join(f"/{base}/{plain(p)}\n" for p in load.load).encode()
    )
    kept = {plain(path) for path in load.load + at_hand.load}
    archive.file(f"{base}/modules.dep", filtered_dependencies(release_dir, kept).encode())
    archive.copy(release_dir / "modules.softdep", f"{base}/modules.softdep")
    return load, at_hand


def filtered_dependencies(release_dir: Path, kept: set[str]) -> str:
    """Return modules.dep for the modules in the archive, so that modprobe works in the guest."""
    lines = []
    for line in (release_dir / "modules.dep").read_text(encoding="utf-8").splitlines():
        path, _, needs = line.partition(":")
        if plain(path) in kept:
            lines.append(
                f"{plain(path)}: {' '.join(plain(p) for p in needs.split())}".rstrip() + "\n"
            )
    return "".join(lines)


def find_kernel(root: Path, release: str, release_dir: Path) -> Path:
    """Return the bzImage: in /boot up to Linux 6.x of Debian, beside the modules in later ones."""
    for place in (root / "boot" / f"vmlinuz-{release}", release_dir / "vmlinuz"):
        if place.exists():
            return place
    raise SystemExit(f"build_guest: no vmlinuz for {release} in {root}")


def main(argv: list[str]) -> None:
    """Write OUTPUT/kernel, OUTPUT/initrd and OUTPUT/guest.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernel_root", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--scripts", type=Path, required=True)
    arguments = parser.parse_args(argv)

    releases = sorted((arguments.kernel_root / "usr/lib/modules").iterdir())
    if len(releases) != 1:
        raise SystemExit(f"build_guest: expected one kernel release, found {releases}")
    release_dir = releases[0]
    release = release_dir.name
    subprocess.run(["depmod", "-b", str(arguments.kernel_root / "usr"), release], check=True)

    archive = Archive()
    add_userland(archive, arguments.scripts)
    load, at_hand = add_modules(archive, release_dir)

    arguments.output.mkdir(parents=True, exist_ok=True)
    image = find_kernel(arguments.kernel_root, release, release_dir).read_bytes()
    elf = vmlinux.extract(image)
    (arguments.output / "kernel").write_bytes(elf or image)
    (arguments.output / "initrd").write_bytes(archive.to_bytes())
    note = {
        "release": release,
        "direct_boot": elf is not None,
        "modules": [plain(path) for path in load.load],
        "built_in": list(load.built_in),
        "absent": list(load.absent),
        "at_hand": [plain(path) for path in at_hand.load if path not in load.load],
    }
    (arguments.output / "guest.json").write_text(json.dumps(note, indent=2) + "\n")
    print(json.dumps(note, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
