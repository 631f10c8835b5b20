"""Run the guest as the container's first process, and say by the exit code how it ended.

    supervise.py            boot the guest and serve until it ends
    supervise.py --probe    boot the bare kernel; 0 if it came up within the deadline

The guest is disposable: its share is a fresh file system; its secrets, and what takes the place of
its own parts (see override.py), are packed into a second initramfs archive at each start; and when
it panics the container ends, so that the engine's restart policy puts a new guest in its place.
Everything on the guest's console goes to stdout (the container's log) and to CONSOLE.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import override
from cpio import Archive

GUEST = Path("/usr/local/share/lab/guest")
CONFIGURATION = Path("/etc/lab")
ACCOUNTS = (  # the setting that names it, its password, its uid
    ("LAB_SHARE_USER", Path("/run/lab/password"), 1000),
    ("LAB_SHARE_SECOND_USER", Path("/run/lab/password2"), 1001),
)
AUTHORIZED_KEY = Path("/run/lab/authorized_key")
OVERRIDE = Path("/run/lab/override")
STATE = Path("/run/guest")
CONSOLE = STATE / "console.log"
SHARE_MIB = 512
# QEMU's gdb stub; only who shares the container's network reaches it.
GDB_STUB = "tcp:127.0.0.1:1234"

# A panic must end the guest: the kernel reboots at once (panic=-1), and QEMU, told not to reboot,
# exits. `quiet` until /init raises the console's level: the serial line costs boot time.
KERNEL_ARGUMENTS = (
    "console=ttyS0",
    "quiet",
    "panic=-1",
    "oops=panic",
    "softlockup_panic=1",
    "sysctl.kernel.hung_task_panic=1",
    "sysctl.vm.panic_on_oom=1",  # else ksmbd-tools may be whom the kernel kills, in silence
    "sysctl.kernel.hung_task_timeout_secs=60",
    "mitigations=off",
    "nokaslr",
    "cryptomgr.notests",
    "tsc=reliable",
    "no_timer_check",
    "random.trust_cpu=on",
)


class Ended(IntEnum):
    """The container's exit codes. Any but CLEAN makes the engine start a new guest."""

    CLEAN = 0  # told to stop, or the guest was powered off
    PANIC = 70  # the kernel panicked; an oops is a panic here
    BOOT_DEADLINE = 71  # no READY in time
    RESET = 72  # rebooted without a word of panic
    INIT_FAILED = 73  # /init gave up; its reason is the last LAB line
    QEMU_FAILED = 74  # QEMU itself ended with an error


@dataclass
class Verdict:
    """What the console said so far."""

    ready: bool = False
    booted: bool = False
    ended: Ended | None = None

    _SIGNS = (
        (re.compile(r"Kernel panic - not syncing"), Ended.PANIC),
        (re.compile(r"^LAB FAILED "), Ended.INIT_FAILED),
        (re.compile(r"reboot: Power down|reboot: System halted"), Ended.CLEAN),
        (re.compile(r"reboot: Restarting system|reboot: machine restart"), Ended.RESET),
    )

    def hear(self, line: str) -> None:
        """Take one line of the console into account; the first sign of an end counts."""
        self.ready = self.ready or line.startswith("LAB READY ")
        self.booted = self.booted or line.startswith("LAB BOOTED ")
        if self.ended is None:
            self.ended = next((end for sign, end in self._SIGNS if sign.search(line)), None)


def exit_code(verdict: Verdict, qemu: int, *, told_to_stop: bool, too_late: bool) -> int:
    """Decide the container's exit code from what is known when QEMU has ended."""
    if told_to_stop:
        return Ended.CLEAN
    if verdict.ended is not None:
        return verdict.ended
    if too_late:
        return Ended.BOOT_DEADLINE
    if qemu < 0:
        return 128 - qemu  # as a shell would: 137 for SIGKILL
    return Ended.RESET if qemu == 0 else Ended.QEMU_FAILED


def accelerator_arguments(accelerator: str) -> list[str]:
    """Return QEMU's arguments for `kvm`, or for anything else emulation."""
    if accelerator == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi,tb-size=128", "-cpu", "max"]


def qemu_command(
    environ: Mapping[str, str], *, initrd: Path, disk: Path | None, extra: Iterable[str] = ()
) -> list[str]:
    """Return QEMU's command line; without a disk also without a network (the boot probe).

    One processor unless told otherwise: with two, emulated on a busy host, QEMU 10.0 was seen to
    abort while the guest set up its PCI devices (`iotlb_to_section: Assertion … failed`).
    """
    command = [
        "qemu-system-x86_64",
        *accelerator_arguments(environ.get("LAB_KSMBD_ACCELERATOR", "tcg")),
        *("-smp", environ.get("LAB_KSMBD_CPUS", "1"), "-m", environ.get("LAB_KSMBD_MEMORY", "256")),
        # -display none rather than -nographic: that would send the firmware's screen to the console
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"),
        *("-kernel", str(GUEST / "kernel"), "-initrd", str(initrd)),
        *("-append", " ".join((*KERNEL_ARGUMENTS, *extra))),
        *("-device", "virtio-rng-pci"),
    ]
    if disk is not None:
        forwards = ",".join(f"hostfwd=tcp::{port}-:{port}" for port in (445, 22))
        command += [
            *("-netdev", f"user,id=net,{forwards}"),
            *("-device", "virtio-net-pci,netdev=net,romfile="),
            *("-drive", f"if=none,id=share,file={disk},format=raw,cache=unsafe,discard=unmap"),
            *("-device", "virtio-blk-pci,drive=share"),
            *("-gdb", GDB_STUB),
        ]
    return command


def password_database(passwords: Mapping[str, str]) -> bytes:
    """Return ksmbd's user database, made by its own tool, told the passwords on stdin."""
    database, configuration = STATE / "ksmbdpwd.db", CONFIGURATION / "ksmbd.conf"
    database.unlink(missing_ok=True)
    for user, password in passwords.items():
        made = subprocess.run(
            ["ksmbd.adduser", "--add", f"--config={configuration}", f"--pwddb={database}", user],
            input=f"{password}\n{password}\n",
            text=True,
            capture_output=True,
            check=False,
        )
        if made.returncode != 0:
            raise SystemExit(f"supervise: ksmbd.adduser: {made.stderr.strip()}")
    return database.read_bytes()


def host_key() -> bytes:
    """Return a host key for the guest's SSH server; making it here costs less than in the guest."""
    path = STATE / "host_key"
    path.unlink(missing_ok=True)
    subprocess.run(
        ["dropbearkey", "-t", "ed25519", "-f", str(path)], check=True, capture_output=True
    )
    return path.read_bytes()


def start_archive() -> Archive:
    """Pack what differs from start to start: configuration, accounts, keys, the password's hash."""
    environment = (CONFIGURATION / "guest.env").read_text()
    told = dict(line.split("=", 1) for line in environment.splitlines())
    passwords = {told[name]: file.read_text().rstrip("\n") for name, file, _ in ACCOUNTS}
    users = [(told[name], uid) for name, _, uid in ACCOUNTS]
    archive = Archive()
    archive.file("etc/lab/guest.env", environment.encode())
    archive.file("etc/ksmbd/ksmbd.conf", (CONFIGURATION / "ksmbd.conf").read_bytes())
    archive.file("etc/ksmbd/ksmbdpwd.db", password_database(passwords), 0o600)
    passwd = "".join(f"{user}:x:{uid}:{uid}::/:/bin/sh\n" for user, uid in users)
    archive.file("etc/passwd", f"root:x:0:0::/root:/bin/sh\n{passwd}".encode())
    group = "".join(f"{user}:x:{uid}:\n" for user, uid in users)
    archive.file("etc/group", f"root:x:0:\n{group}".encode())
    archive.folder("root", 0o700)
    archive.folder("root/.ssh", 0o700)
    archive.file("root/.ssh/authorized_keys", AUTHORIZED_KEY.read_bytes(), 0o600)
    archive.file("etc/dropbear/host_key", host_key(), 0o600)
    replaced = override.add(archive, OVERRIDE, json.loads((GUEST / "guest.json").read_text()))
    for part in replaced:
        print(f"LAB override: {part}", flush=True)
    return archive


class Guest:
    """One QEMU process, its console, and when it has to be ready."""

    def __init__(self, command: list[str], deadline: float) -> None:
        self.verdict = Verdict()
        self.told_to_stop = False
        self.too_late = False
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._timer = threading.Timer(deadline, self._give_up)
        self._timer.daemon = True

    def run(self) -> int:
        """Pass the console on until QEMU ends; return the container's exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._timer.start()
        assert self._process.stdout is not None
        with CONSOLE.open("wb", buffering=0) as kept:
            for raw in self._process.stdout:
                kept.write(raw)
                sys.stdout.buffer.write(raw)
                sys.stdout.buffer.flush()
                self.verdict.hear(raw.decode(errors="replace").rstrip())
                if self.verdict.ready:
                    self._timer.cancel()
        qemu = self._process.wait()
        self._timer.cancel()
        return exit_code(self.verdict, qemu, told_to_stop=self.told_to_stop, too_late=self.too_late)

    def _stop(self, *_: object) -> None:
        # Nothing in the guest is worth a shutdown: its share is as disposable as itself.
        self.told_to_stop = True
        self._process.kill()

    def _give_up(self) -> None:
        if not self.verdict.ready:
            self.too_late = True
            self._process.kill()


def serve(environ: Mapping[str, str]) -> int:
    """Boot the guest with its share and network."""
    STATE.mkdir(parents=True, exist_ok=True)
    # A ksmbd.adduser in there fills the user database. Tools that were built from source are one
    # program, ksmbd.tools, which goes by that name into the guest alone: then it is Debian's.
    os.environ["PATH"] = f"{OVERRIDE / 'sbin'}:{os.environ['PATH']}"
    disk, initrd = STATE / "share.img", STATE / "initrd"
    disk.unlink(missing_ok=True)
    with disk.open("wb") as image:
        image.truncate(SHARE_MIB << 20)  # sparse: costs what is written
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", str(disk)], check=True)
    with initrd.open("wb") as combined:
        combined.write((GUEST / "initrd").read_bytes())
        combined.write(start_archive().to_bytes())
    deadline = float(environ.get("LAB_KSMBD_BOOT_DEADLINE", "60"))
    return Guest(qemu_command(environ, initrd=initrd, disk=disk), deadline).run()


def probe(environ: Mapping[str, str]) -> int:
    """Boot the kernel with nothing attached; return 0 if /init was reached in time."""
    STATE.mkdir(parents=True, exist_ok=True)
    deadline = float(environ.get("LAB_KSMBD_BOOT_DEADLINE", "15"))
    command = qemu_command(environ, initrd=GUEST / "initrd", disk=None, extra=("lab.probe",))
    guest = Guest(command, deadline)
    code = guest.run()
    return 0 if guest.verdict.booted else code or Ended.RESET


def main(argv: list[str]) -> int:
    """Serve, or probe; say at the end how it went."""
    started = time.monotonic()
    code = probe(os.environ) if argv == ["--probe"] else serve(os.environ)
    try:
        name = Ended(code).name
    except ValueError:
        name = f"signal {code - 128}"
    print(f"LAB guest ended: {name} after {time.monotonic() - started:.1f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
