"""Names of backends: `samba`, `ksmbd`, `py`, and `ksmbd@FLAVOUR` for ksmbd on another kernel.

People see `ksmbd@sid` everywhere: columns, folders of a run, `lab logs ksmbd@sid`. What becomes a
host name (Compose's service, the DNS alias, HAProxy's server) is `ksmbd-sid`, because `@` may not
stand there. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

BACKENDS = ("samba", "ksmbd", "py")
KSMBD = "ksmbd"
FLAVOUR = r"[a-z0-9][a-z0-9._-]{0,30}"
FLAVOUR_WORDS = "lower-case letters, digits, dots, - and _, at most 31"

_FLAVOURED = re.compile(rf"{KSMBD}@({FLAVOUR})")
_SERVICE = re.compile(rf"{KSMBD}-({FLAVOUR})")


def split(name: str) -> tuple[str, str]:
    """Return kind and flavour: `("ksmbd", "sid")`; the flavour of other names is ""."""
    found = _FLAVOURED.fullmatch(name)
    return (KSMBD, found.group(1)) if found else (name, "")


def kind(name: str) -> str:
    """Return which server it is: `ksmbd` for `ksmbd@sid`, any other name as it is."""
    return split(name)[0]


def flavour(name: str) -> str:
    """Return the flavour, "" for a backend without one."""
    return split(name)[1]


def is_ksmbd(name: str) -> bool:
    """Tell whether the backend is ksmbd, on whichever kernel."""
    return kind(name) == KSMBD


def named(flavour: str) -> str:
    """Return the backend of a flavour: `ksmbd@sid` for `sid`, `ksmbd` for ""."""
    return f"{KSMBD}@{flavour}" if flavour else KSMBD


def folder(flavour: str) -> str:
    """Return the name of a flavour's folder below `.lab/flavours/`; the default one's is ksmbd."""
    return flavour or KSMBD


def service(name: str) -> str:
    """Return a node's name as Compose, DNS and HAProxy know it."""
    return name.replace("@", "-")


def of_service(name: str) -> str:
    """Return the node of a service: the inverse of `service`."""
    found = _SERVICE.fullmatch(name)
    return named(found.group(1)) if found else name


def with_flavours(flavours: Iterable[str]) -> tuple[str, ...]:
    """Return all backends, the flavours beside the ksmbd that they are compared with."""
    place = BACKENDS.index(KSMBD) + 1
    return (*BACKENDS[:place], *map(named, flavours), *BACKENDS[place:])
