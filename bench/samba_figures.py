"""How long smbd from Debian's source takes: from nothing, and after a change in notify.c.

The change is a patch that is applied and taken away again in turns, so each sample compiles one
file and links what it is part of. From nothing is measured only in a lab without such a tree:
`.lab/samba/` is removed by hand, not by a benchmark.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.lab_figures import LAB, ROOT, lab
from bench.report import Figure

HOURS = 3 * 3600
RELINK_BAR_S = 60
PATCH = """\
--- a/source3/smbd/notify.c
+++ b/source3/smbd/notify.c
@@ -1,3 +1,4 @@
+int lab_bench(void); int lab_bench(void) { return 1; }
 /*
    Unix SMB/CIFS implementation.
    change notify handling
"""


def build(*words: str) -> dict[str, Any]:
    """`lab samba build` of Debian's source; any failure ends the benchmark with its words."""
    argv = [LAB, "samba", "build", "--src", "debian-source", "--json", *words]
    run = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=HOURS)
    if run.returncode != 0:
        sys.exit(f"{' '.join(argv)} exited with {run.returncode}:\n{run.stderr}")
    result: dict[str, Any] = json.loads(run.stdout)
    return result


def measure(times: int) -> list[Figure]:
    """The figures; leaves Debian's smbd in the samba node, and the build tree."""
    lab("up", "samba")
    first = build()
    seconds = first["built"]["seconds"]
    figures = []
    if seconds["configure"]:
        how = "lab samba build without a tree: configure, make bin/smbd; the image is there"
        extra = {"configure_s": seconds["configure"], "make_s": seconds["make"]}
        total = seconds["configure"] + seconds["make"]
        figures.append(Figure("smbd from nothing", "min", [total / 60], None, how, extra))
    relinked, installed, whole = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        patch = Path(folder, "0001-bench.patch")
        patch.write_text(PATCH)
        for number in range(times):
            done = build(*(["--patch", str(patch)] if number % 2 == 0 else []))
            relinked.append(done["built"]["seconds"]["make"])
            installed.append(done["installed"]["seconds"])
            whole.append(done["built"]["seconds"]["total"] + done["installed"]["seconds"])
    lab("samba", "reset")
    how = "one line added to notify.c, or taken away: make bin/smbd"
    return [
        *figures,
        Figure("smbd after a change in notify.c", "s", relinked, RELINK_BAR_S, how),
        Figure("the same with copying the source, and the image looked at", "s", whole),
        Figure("into the running node", "s", installed, None, "replaced, restarted, proved"),
    ]
