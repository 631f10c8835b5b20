"""A folder that is made beside its final place and renamed to it when all of it is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Yield a new, empty folder beside `target`; what is left of it at the end is removed.

    So are those of processes that were killed while they made theirs.
    """
    for left in target.parent.glob(f".{target.name}.*.part"):
        pid = left.name.split(".")[-2]
        if pid.isdecimal() and not _runs(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
