"""`lab watch` on the real lab: through the front, over a switch, against a server that cannot."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.harness import Lab

SOON = 20.0


class Watch:
    """A running `lab watch --json` and its events."""

    def __init__(self, lab: Lab, *words: str) -> None:
        self.process = lab.popen("watch", "--json", *words)
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._events.put(json.loads(line))

    def until(self, **wanted: Any) -> dict[str, Any]:
        """The next event with these values; what comes before it is passed over."""
        deadline = time.monotonic() + SOON
        passed = []
        while time.monotonic() < deadline:
            try:
                event = self._events.get(timeout=max(deadline - time.monotonic(), 0.01))
            except queue.Empty:
                break
            if wanted.items() <= event.items():
                return event
            passed.append(event)
        pytest.fail(f"no {wanted} among {passed}; exit {self.process.poll()}")

    def ends(self, code: int) -> str:
        """What it said on stderr, after it ended with this code."""
        assert self.process.stderr is not None
        ended = self.process.wait(SOON)  # its stdout is the reader's
        said = self.process.stderr.read()
        assert ended == code, said
        return said


@contextmanager
def watching(lab: Lab, *words: str) -> Iterator[Watch]:
    watch = Watch(lab, *words)
    try:
        yield watch
    finally:
        if watch.process.poll() is None:
            watch.process.kill()
        watch.process.wait()


def on_server(lab: Lab, backend: str, script: str) -> None:
    """Run a script where the server runs, past SMB."""
    subprocess.run(
        lab.argv("shell", backend), input=script, env=lab.env, text=True, check=True, timeout=60
    )


@pytest.mark.parametrize("backend", ["samba", "py"])
def test_a_change_on_the_server_is_shown(lab: Lab, backend: str) -> None:
    lab("switch", backend)
    name = f"watched-{backend}"
    with watching(lab, "--filter", "names") as watch:
        told = watch.until(event="watching", again=False)
        assert told["server"] == backend
        on_server(lab, backend, f"touch /srv/share/{name} && rm /srv/share/{name}\n")
        watch.until(event="change", action="ADDED", name=name)
        watch.until(event="change", action="REMOVED", name=name)
        watch.process.send_signal(signal.SIGINT)
        watch.ends(130)


def test_a_switch_is_survived(lab: Lab) -> None:
    """The watch goes on with the new server, and shows what changes there."""
    lab("switch", "samba")
    with watching(lab, "--filter", "names") as watch:
        watch.until(event="watching", again=False)
        lab("switch", "py")
        watch.until(event="lost")
        told = watch.until(event="watching", again=True)
        assert told["server"] == "py"
        on_server(lab, "py", "touch /srv/share/after-switch\n")
        watch.until(event="change", action="ADDED", name="after-switch")
        on_server(lab, "py", "rm /srv/share/after-switch\n")


def test_a_server_that_cannot_notify_is_refused(lab: Lab) -> None:
    """ksmbd of Linux 6.12: one request, one answer, and its status in the error."""
    lab("switch", "ksmbd")
    try:
        with watching(lab, "--ladder") as watch:
            answer = watch.until(event="pdu", dir="in", command="CHANGE_NOTIFY")
            said = watch.ends(3)
        assert answer["status"] == "STATUS_NOT_IMPLEMENTED"
        assert "ksmbd cannot notify" in said
        assert "STATUS_NOT_IMPLEMENTED" in said
    finally:
        lab("switch", "samba")


def test_any_server_by_its_address(lab: Lab) -> None:
    """Past the lab's own settings: an address, a user, and a password from the environment."""
    lab("switch", "samba")
    address = f"//127.0.0.1:{lab.port}/TEST"
    words = ("watch", address, "--user", "tester", "--timeout", "0.5")
    said = lab(*words, env={"LAB_WATCH_PASSWORD": lab.password})
    assert f"watching {address}" in said.stderr
    refused = lab(*words, status=3, env={"LAB_WATCH_PASSWORD": "wrong"})
    assert "STATUS_LOGON_FAILURE" in refused.stderr
    lab(*words, "--filter", "nams", status=2)
    nobody = lab(*words, status=2)
    assert "LAB_WATCH_PASSWORD" in nobody.stderr
