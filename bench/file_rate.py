"""Create files at a steady rate, round robin over folders w0 … wN; says how many it made."""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    root, folders, rate, seconds = sys.argv[1], *map(int, sys.argv[2:5])
    start = time.perf_counter()
    made = 0
    while made < rate * seconds:
        due = int((time.perf_counter() - start) * rate)
        while made < min(due, rate * seconds):
            path = f"{root}/w{made % folders}/f{made}"
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
            made += 1
        time.sleep(0.001)
    took = time.perf_counter() - start
    print(json.dumps({"made": made, "seconds": took, "per_watcher": made // folders}))


if __name__ == "__main__":
    main()
