"""Decode every capture of this folder with this machine's tshark: `NAME.tshark-X.Y.pdml.gz`.

    PYTHONPATH=../../.. python decode.py [PREFIX…]   PREFIX: words before tshark's own

So the tests of what reads PDML need no tshark, and hold it to more than one version.
"""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

from lab.evidence import column, tshark

PORT = 24450
HERE = Path(__file__).parent


def main(prefix: list[str]) -> None:
    for path in sorted(HERE.glob("*.pcap")):
        keys = column.read_keys(path.with_suffix(".keys.json"))
        argv = [*prefix, *tshark.argv("/dev/stdin", PORT, keys)]
        argv.remove("-2")  # a pipe can't be read twice; with captures this small it is no matter
        pdml = subprocess.run(argv, input=path.read_bytes(), stdout=subprocess.PIPE, check=True)
        version = re.search(rb'creator="wireshark/(\d+\.\d+)', pdml.stdout)
        assert version is not None, "no PDML"
        out = HERE / f"{path.stem}.tshark-{version[1].decode()}.pdml.gz"
        out.write_bytes(gzip.compress(pdml.stdout, 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])
