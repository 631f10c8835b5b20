"""Take the kernel proper out of a bzImage.

Booting it directly (QEMU's PVH entry) spares the guest the unpacking, which under emulation costs
more than a second; here it is done once, when the image is built.
Format: Documentation/arch/x86/boot.rst.
"""

from __future__ import annotations

import struct
import subprocess

_GZIP = b"\x1f\x8b\x08"
_UNPACKERS = {
    b"\x28\xb5\x2f\xfd": ("zstd", "-dc"),
    b"\xfd7zXZ\x00": ("xz", "-dc"),
    _GZIP: ("gzip", "-dc"),
}
_PVH_NOTE = struct.pack("<III4s", 4, 8, 18, b"Xen\0")  # XEN_ELFNOTE_PHYS32_ENTRY of 8 bytes
_PVH_NOTE_32 = struct.pack("<III4s", 4, 4, 18, b"Xen\0")
# What a kernel with KASAN says when it has set its shadow memory up. Until then nothing that KASAN
# instruments may run, and behind the PVH entry something does: Linux 6.12 faults on the shadow
# before there is a handler, and the machine resets. A bzImage sets early shadow up first.
_KASAN = b"KernelAddressSanitizer initialized"


def payload(image: bytes) -> bytes:
    """Return the compressed kernel in a bzImage; raises ValueError if it is none."""
    if image[0x202:0x206] != b"HdrS":
        raise ValueError("no bzImage: the setup header's HdrS is missing")
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    compressed = image[start : start + length]
    # The last four bytes are the unpacked size: gzip's own, and no part of any other stream.
    return compressed if compressed.startswith(_GZIP) else compressed[:-4]


def extract(image: bytes) -> bytes | None:
    """Return the ELF kernel, or None where only the bzImage can be booted."""
    compressed = payload(image)
    for magic, command in _UNPACKERS.items():
        if compressed.startswith(magic):
            kernel = subprocess.run(
                command, input=compressed, capture_output=True, check=True
            ).stdout
            return kernel if _boots_directly(kernel) else None
    return None


def _boots_directly(kernel: bytes) -> bool:
    entry = _PVH_NOTE in kernel or _PVH_NOTE_32 in kernel
    return kernel.startswith(b"\x7fELF") and entry and _KASAN not in kernel
