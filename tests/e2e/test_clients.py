"""Clients that nobody here wrote, on the lab's py node: smbclient, libsmb2, the kernel's cifs."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import Lab, docker, node_address, node_container


def in_client(lab: Lab, script: str, *, timeout: float = 60) -> str:
    """What a shell script prints in the client container; the password is in /tmp/auth there."""
    auth = f"username = tester\npassword = {lab.password}\n"
    run = subprocess.run(
        ["docker", "exec", "-i", node_container(lab, "client"), "sh", "-eu", "-c",
         f"umask 077; cat > /tmp/auth; {script}"],
        input=auth, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_smbclient_browses_and_edits(lab: Lab) -> None:
    said = in_client(
        lab,
        """
        echo content > /tmp/up; smbclient -A /tmp/auth //py/TEST -c '
            mkdir d; put /tmp/up d/one; rename d/one d/two; ls d/*; get d/two /tmp/down;
            allinfo d/two; del d/two; rmdir d; ls d*' || true
        cmp /tmp/up /tmp/down && echo same
        """,
    )
    assert "two" in said
    assert "same" in said
    assert "NT_STATUS_NO_SUCH_FILE listing \\d*" in said


@contextmanager
def changes_go_on(lab: Lab, folder: str) -> Iterator[None]:
    """Files appear in a folder of py's disk, a few a second: no watch can be armed too late."""
    over = threading.Event()

    def change() -> None:
        for turn in range(300):
            if over.wait(0.2):
                break
            docker("exec", node_container(lab, "py"), "touch", f"/srv/share/{folder}/wake{turn}")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)


def test_smbclient_is_notified(lab: Lab) -> None:
    """smbclient's `notify` loops until it is ended, here by timeout(1)."""
    docker("exec", node_container(lab, "py"), "mkdir", "-p", "/srv/share/n")
    try:
        with changes_go_on(lab, "n"):
            said = in_client(
                lab,
                "timeout 5 stdbuf -oL smbclient -A /tmp/auth //py/TEST -c 'notify n' "
                "|| test $? = 124",
            )
    finally:
        docker("exec", node_container(lab, "py"), "rm", "-r", "/srv/share/n")
    assert "wake" in said


@pytest.mark.parametrize("protection", ["plain", "signed", "sealed"])
@pytest.mark.parametrize("dialect", ["0x202", "0x210", "0x300", "0x302", "0x311"])
def test_libsmb2_works_on_files(lab: Lab, dialect: str, protection: str) -> None:
    """Debian's libsmb2 6.2 has no CHANGE_NOTIFY: its library lacks what its header declares."""
    if protection == "sealed" and dialect < "0x300":
        pytest.skip("SMB 2 does not seal")
    program = (Path(__file__).parent / "libsmb2_client.py").read_text(encoding="utf-8")
    run = subprocess.run(
        ["docker", "exec", "-i", node_container(lab, "client"), "python3", "-c", program,
         "py", "TEST", "tester", dialect, protection],
        input=lab.password + "\n", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    said = json.loads(run.stdout)
    names = said.pop("names")
    assert said == {"same": True, "size": 307_200, "truncated": 1000, "has_blocks": True}
    assert names == {".": [1, 0], "..": [1, 0], "two": [0, 1000]}


CIFS_IOC_NOTIFY = 0x4005CF09  # _IOW(0xCF, 9, struct smb3_notify): u32 filter, u8 watch_tree


def test_the_kernels_client_mounts_edits_and_waits(lab: Lab) -> None:
    """cifs.ko of the guest's kernel: mount //py/TEST, work on files, wait in the notify ioctl."""
    guest = subprocess.Popen(
        lab.argv("shell", "ksmbd"), env=lab.env, cwd=lab.root,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert guest.stdin is not None
    assert guest.stdout is not None
    guest.stdin.write(
        f"""
        modprobe cifs; mkdir -p /mnt/py /tmp/p; PASSWD='{lab.password}'; export PASSWD
        mount -t cifs //{node_address(lab, "py")}/TEST /mnt/py \
            -o username=tester,password="$PASSWD",vers=3.1.1 && echo mounted
        mkdir /mnt/py/k && echo content > /mnt/py/k/one && mv /mnt/py/k/one /mnt/py/k/two
        cat /mnt/py/k/two; ls /mnt/py/k
        base64 -d <<'END' | tar xzf - -C /tmp/p\n{perl(lab)}END
        cat > /tmp/wait.pl <<'END'
        $| = 1; sysopen(my $d, "/mnt/py/k", 0200000) or die "open: $!";
        my $argument = pack("LC", 0x3, 0);
        print "armed\\n"; my $r = ioctl($d, {CIFS_IOC_NOTIFY}, $argument);
        print defined $r ? "notified\\n" : "ioctl: $!\\n";
END
        /tmp/p/lib64/ld-linux-x86-64.so.2 --library-path /tmp/p/lib/x86_64-linux-gnu \
            /tmp/p/usr/bin/perl /tmp/wait.pl
        sleep 1; rm -r /mnt/py/k; umount /mnt/py && echo unmounted; exit
        """
    )
    guest.stdin.close()
    said = []
    with ExitStack() as stack:
        for line in guest.stdout:
            said.append(line.strip())
            if said[-1] == "armed":
                stack.enter_context(changes_go_on(lab, "k"))
            elif said[-1] == "notified":
                stack.close()
    guest.wait(60)
    assert said[:3] == ["mounted", "content", "two"], said
    assert "notified" in said, said
    assert said[-1] == "unmounted", said


def perl(lab: Lab) -> str:
    """perl and its libraries of the ksmbd container, for the guest: something that can ioctl()."""
    tar = subprocess.run(
        ["docker", "exec", node_container(lab, "ksmbd"), "sh", "-c",
         "cd / && tar -chzf - usr/bin/perl lib64/ld-linux-x86-64.so.2 "
         "$(ldd /usr/bin/perl | grep -o '/lib/[^ ]*' | cut -c2-)"],
        capture_output=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    return base64.encodebytes(tar).decode()
