"""What a guest says: of an exchange of its module, and on its console when it ends."""

from lab.kernel import guest
from lab.kernel.guest import Code, identities, understand
from lab.nodes.model import Completed

DONE = b"""phase unload 59.91
phase load 61.04
phase start 62.98
phase done 65.17
srcversion 533BB7E5866E52F63B9ACCB
build-id 5e85d3d0aa77c8f3d1a34762876c42df63577d70
"""
REFUSED = b"""phase unload 1.00
phase load 2.50
insmod: insmod: can't insert '/run/ksmbd.ko': unknown symbol in module
kernel: ksmbd: Unknown symbol vfs_watch (err -2)
phase start 3.00
phase done 3.25
build-id aa
"""


def test_an_exchange_tells_its_phases_and_the_module() -> None:
    loaded = understand(Completed(0, DONE, b""))
    assert loaded.code == Code.DONE
    assert loaded.phases == {"unload": 1.13, "load": 1.94, "start": 2.19}
    assert loaded.identity == (
        "5e85d3d0aa77c8f3d1a34762876c42df63577d70",
        "533BB7E5866E52F63B9ACCB",
    )
    assert loaded.said == ()


def test_a_refusal_keeps_what_insmod_and_the_kernel_said() -> None:
    loaded = understand(Completed(12, REFUSED, b""))
    assert loaded.code == Code.REFUSED
    assert [line.split(":")[0] for line in loaded.said] == ["insmod", "kernel"]
    assert loaded.identity == ("aa",)


def test_an_exchange_that_stopped_half_way_has_the_phases_so_far() -> None:
    loaded = understand(Completed(11, b"phase unload 5.0\n", b""))
    assert (loaded.code, loaded.phases, loaded.identity) == (Code.STUCK, {}, ())


def test_a_ready_line_tells_no_identity_by_accident() -> None:
    assert identities("LAB READY uptime=4.1 kernel=6.12 ksmbd: build-id aa \n") == ()


def test_the_end_of_a_guest_is_told_by_its_console() -> None:
    boot = "LAB override: module ksmbd\n"
    assert guest.failure(boot) == ""
    oops = "[   34.4] BUG: kernel NULL pointer dereference, address: 0000000000000008"
    assert guest.failure(f"{boot}{oops}\n") == f"the guest's kernel crashed: {oops}"
    goes_on = "[   34.4] BUG: KASAN: slab-out-of-bounds in smb2_open+0x1/0x2\n"
    assert guest.failure(boot + goes_on) == ""
    slow = "LAB guest ended: BOOT_DEADLINE after 60.9 s\n"  # no word on the module
    assert guest.failure(boot + slow) == ""
    missing = (
        f"{boot}LAB kernel: [ 1.1] ksmbd: Unknown symbol f (err -2)\r\n"
        "LAB FAILED uptime=17.23 ksmbd is not loaded\r\n"
    )
    assert guest.failure(missing) == "the guest gave up: ksmbd is not loaded"
    assert guest.kernel_lines(missing) == ["kernel: [ 1.1] ksmbd: Unknown symbol f (err -2)"]
