"""`python -m notify_server`: the server as a process."""

from __future__ import annotations

import sys

from notify_server.aio.command import main

if __name__ == "__main__":
    sys.exit(main())
