"""ECHO every few milliseconds from a process of its own: the server's longest stall, as a client
meets it. Prints one JSON line when its standard input ends."""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import time

from bench.smb_load import Client
from lab.scenarios.model import Command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--share", required=True)
    given = parser.parse_args()
    password = os.environ["LOAD_PASSWORD"]
    client = Client(given.host, given.port, given.user, password, given.share)
    trips = []
    while not select.select([sys.stdin], [], [], 0.003)[0]:
        start = time.perf_counter()
        client.call(Command.ECHO, {})
        trips.append((time.perf_counter() - start) * 1000)
    trips.sort()
    print(json.dumps({"n": len(trips), "median_ms": trips[len(trips) // 2], "max_ms": trips[-1]}))


if __name__ == "__main__":
    main()
