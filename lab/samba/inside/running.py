"""Which smbd runs in this container: asked of the processes themselves, not of files.

Run in the samba node, as `python3 -IS -` with `elf.py` before it: prints JSON
{"pid", "exe", "mapped": {path: build id}} for the smbd that listens; paths below PREFIX alone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

if "build_id" not in globals():
    from lab.samba.inside.elf import build_id

PREFIX = "/src/samba/"


def listener() -> int:
    """The pid of the smbd whose parent is not an smbd; 0 if none runs."""
    programs = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            exe = os.readlink(folder / "exe").removesuffix(" (deleted)")
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended, or is not ours to look at
        if os.path.basename(exe) == "smbd":
            programs[int(folder.name)] = int(stat[1])
    return min((pid for pid, parent in programs.items() if parent not in programs), default=0)


def mapped(pid: int) -> dict[str, str]:
    """What the process has mapped below PREFIX; a file replaced since reads `(deleted)`."""
    found = {}
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        path = line[73:].strip()
        if path.startswith(PREFIX) and path not in found:
            gone = path.endswith(" (deleted)")
            found[path] = "" if gone else build_id(Path(path).read_bytes())
    return found


def main() -> None:
    """Print what runs."""
    pid = listener()
    exe = os.readlink(f"/proc/{pid}/exe") if pid else ""
    json.dump({"pid": pid, "exe": exe, "mapped": mapped(pid) if pid else {}}, sys.stdout)


if __name__ == "__main__":
    main()
