"""Before `make test`: get what the tests need of the machine, or say which will be skipped.

A Docker engine for the end-to-end tests, tshark for the tests of the ladder, Chromium for those of
the report. With `LAB_REQUIRE_DOCKER=1` and `LAB_REQUIRE_BROWSER=1` (CI) what is missing is a
failure, so that no test is skipped unnoticed. `LAB_INSTALL_ENGINE=never` installs nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from lab.engine.bootstrap import ensure_engine
from lab.errors import LabError

PROGRAMS = ("tshark", "chromium")  # also the names of Debian's packages


def required(variable: str) -> bool:
    return os.environ.get(variable) == "1"


def engine(install: str) -> int:
    """The engine that `lab up` would get; its exit code if there must be one and is none."""
    try:
        ensure_engine(
            "never" if install == "never" else "auto", lambda text: print(text, flush=True)
        )
    except LabError as error:
        print(f"No Docker engine: {error}", file=sys.stderr)
        if required("LAB_REQUIRE_DOCKER"):
            return error.exit_code
        print("The end-to-end tests will be skipped.", file=sys.stderr)
    return 0


def programs(install: str) -> int:
    """tshark and Chromium from Debian's packages, where root may install them."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing and install != "never" and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing Debian's {' and '.join(missing)}, which tests use", flush=True)
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            subprocess.run(
                ["apt-get", "-qq", *words], env=environ, check=False, stdout=subprocess.DEVNULL
            )
        missing = [name for name in missing if shutil.which(name) is None]
    if missing:
        print(f"Missing: {', '.join(missing)}. As root: apt-get install {' '.join(missing)}",
              file=sys.stderr)  # fmt: skip
        if required("LAB_REQUIRE_BROWSER"):
            return 3
        print("The tests that use them will be skipped.", file=sys.stderr)
    return 0


def main() -> int:
    install = os.environ.get("LAB_INSTALL_ENGINE", "auto")
    return programs(install) or engine(install)


if __name__ == "__main__":
    sys.exit(main())
