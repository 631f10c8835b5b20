"""Which kernel a ksmbd node runs, and making it where the flavour has one of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab import backends
from lab.errors import LabFailed, UsageError
from lab.flavours import folders
from lab.flavours.settings import FlavourSettings

if TYPE_CHECKING:
    from lab.session import Lab

Say = Callable[[str], None]

NOTE = "guest.json"
IMAGE_NOTE = f"/usr/local/share/lab/guest/{NOTE}"
READ_DEADLINE_S = 30.0


@dataclass(frozen=True)
class Guest:
    """What guest.json says of a guest's kernel."""

    release: str
    modules: tuple[str, ...] = ()
    built_in: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Guest:
        note: dict[str, Any] = json.loads(text)
        return cls(
            note["release"],
            *(tuple(note.get(key, ())) for key in ("modules", "built_in", "absent")),
        )


def settings_of(lab: Lab, flavour: str) -> FlavourSettings:
    """The settings of a flavour; those of the default one are all empty."""
    if not flavour:
        return FlavourSettings()
    found = lab.settings.flavours.get(flavour)
    if found is None:
        from lab.declaring import suggestion

        known = [*lab.settings.flavours]
        raise UsageError(
            f"there is no flavour {flavour!r}",
            suggestion(flavour, known, "flavours")
            if known
            else f"declare it in lab.toml: [flavours.{flavour}]",
        )
    return found


def guest_of(lab: Lab, flavour: str) -> Guest:
    """The kernel that a flavour's guest boots; LabFailed if it was not made yet."""
    if settings_of(lab, flavour).kernel_from == "same":
        return _guest_of_image(lab)
    note = folders.of_flavour(lab.paths, flavour).guest / NOTE
    if not note.exists():
        name = backends.named(flavour)
        raise LabFailed(f"the kernel of {name} was not made yet", f"lab up {name}")
    return Guest.parse(note.read_text(encoding="utf-8"))


def _guest_of_image(lab: Lab) -> Guest:
    """The kernel in the ksmbd image; remembered, because asking takes a container."""
    from lab.engine.build import tag
    from lab.engine.jobs import run_job
    from lab.engine.sdk import Images

    image = tag(lab.settings.name, backends.KSMBD)
    images = Images()
    if images.labels(image) is None:
        raise LabFailed("the ksmbd node was never built", "lab up ksmbd")
    digest = images.digest(image)
    known = lab.state.get("ksmbd_image", {})
    if known.get("digest") != digest:
        lines: list[str] = []
        code = run_job(
            image,
            ["cat", IMAGE_NOTE],
            lab_name=lab.settings.name,
            deadline=READ_DEADLINE_S,
            on_line=lines.append,
        )
        note = "\n".join(lines)
        if code != 0 or not _readable(note):
            raise LabFailed(f"{image} does not tell which kernel it has: {note}", "lab up ksmbd")
        known = {"digest": digest, "note": note}
        lab.state.set("ksmbd_image", known)
    return Guest.parse(known["note"])


def _readable(note: str) -> bool:
    try:
        Guest.parse(note)
    except (ValueError, KeyError, TypeError):
        return False
    return True
