"""Before `make test`: get a Docker engine, or say why the end-to-end tests will be skipped.

With `LAB_REQUIRE_DOCKER=1` (CI) a missing engine is a failure, so that no end-to-end test is
skipped unnoticed.
"""

from __future__ import annotations

import os
import sys

from lab.engine.bootstrap import ensure_engine
from lab.errors import LabError


def main() -> int:
    install = os.environ.get("LAB_INSTALL_ENGINE", "auto")
    try:
        ensure_engine(install, lambda text: print(text, flush=True))
    except LabError as error:
        print(f"No Docker engine: {error}", file=sys.stderr)
        if os.environ.get("LAB_REQUIRE_DOCKER") == "1":
            return error.exit_code
        print("The end-to-end tests will be skipped.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
