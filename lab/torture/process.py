"""One smbtorture in the client's container, and nothing left of it afterwards, whatever happens.

The password goes in over stdin and from there into a file of mode 0600 on the container's tmpfs: it
is on nobody's command line. When stdin ends, because we close it or because we are no more,
smbtorture is ended too.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.scenarios.pipe import Pipe, PipeClosed
from lab.targets import Target
from lab.verdicts.columns import Interrupted

LISTING_ARGV = ("smbtorture", "--list")
LISTING_DEADLINE_S = 20.0
GRACE_S = 5.0  # beyond the deadline, which timeout(1) in the container keeps
POLL_S = 0.25

# $1 is the deadline, the rest are smbtorture's arguments. printf is the shell's own: no process
# has the password among its arguments. smbtorture writes its scratch files where it stands.
SCRIPT = r"""
umask 077
folder=$(mktemp -d /tmp/torture.XXXXXX) && cd "$folder" || exit 125
trap 'rm -rf "$folder"' EXIT
IFS= read -r user && IFS= read -r password || exit 125
printf 'username = %s\npassword = %s\n' "$user" "$password" >credentials
unset password
exec 3<&0
deadline=$1
shift
timeout -k 1 "$deadline" smbtorture --authentication-file=credentials "$@" </dev/null 2>&1 3<&- &
child=$!
(while read -r _; do :; done <&3; kill -TERM "$child") >/dev/null 2>&1 &
watcher=$!
wait "$child"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
"""

OpenPipe = Callable[[Sequence[str]], Pipe]


@dataclass(frozen=True)
class Ran:
    """What one smbtorture printed, and its exit code (None: it did not end in time)."""

    text: str
    code: int | None


def arguments(target: Target, share: str, name: str) -> list[str]:
    """smbtorture's arguments for one subtest, as one would type them (without the credentials)."""
    return [f"//{target.host}/{share}", f"--smb-ports={target.port}", name]


def run(
    open_pipe: OpenPipe,
    target: Target,
    share: str,
    name: str,
    deadline: float,
    stop: threading.Event,
) -> Ran:
    """Run one subtest; at most `deadline` seconds. Raises Interrupted once `stop` is set."""
    words = arguments(target, share, name)
    pipe = open_pipe(["sh", "-c", SCRIPT, "torture", f"{deadline:.0f}", *words])
    lines: list[str] = []
    end = time.monotonic() + deadline + GRACE_S
    code: int | None = None
    try:
        pipe.write_line(target.user)
        pipe.write_line(target.password)
        while time.monotonic() < end:
            if stop.is_set():
                raise Interrupted
            with contextlib.suppress(TimeoutError):
                lines.append(pipe.read_line(POLL_S))
    except PipeClosed:
        pass  # its end: the ordinary way out
    finally:
        code = pipe.close()
    return Ran("".join(f"{line}\n" for line in lines), code)
