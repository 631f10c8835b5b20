"""Which ksmbd node a command means: the one option `--flavour` of all `lab ksmbd` commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import backends
from lab.declaring import suggestion
from lab.errors import UsageError

if TYPE_CHECKING:
    from lab.session import Lab

HELP = "the flavour of ksmbd (a [flavours.NAME] of lab.toml); without it the default one"


def flavour_of(lab: Lab, given: str) -> str:
    """The flavour that `--flavour` names: `sid`, or `ksmbd@sid`; "" is the default one."""
    flavour = "" if given == backends.KSMBD else backends.flavour(given) or given
    known = [backends.KSMBD, *lab.settings.flavours]
    if flavour and flavour not in known:
        raise UsageError(
            f"there is no flavour {given!r}", suggestion(flavour, known, "in lab.toml there are")
        )
    return flavour
