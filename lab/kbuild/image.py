"""The image that builds: gcc and the headers of a flavour's kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import backends, render
from lab.engine import build
from lab.errors import LabFailed
from lab.flavours.kernels import Say, guest_of, settings_of

if TYPE_CHECKING:
    from lab.session import Lab

FOLDER = "kbuild"  # below templates/ and images/


def headers_of(release: str) -> str:
    """Where a Debian kernel's headers are in the image."""
    return f"/usr/src/linux-headers-{release}"


def ensure_module_image(lab: Lab, flavour: str, say: Say) -> str:
    """Return the tag of the image with the headers of a flavour's Debian kernel; build it first."""
    settings = settings_of(lab, flavour)
    release = guest_of(lab, flavour).release
    suite = settings.suite or lab.settings.debian.suite
    # Flavours on the kernel of [ksmbd] share an image.
    own = settings.copied_from or flavour
    key = backends.folder(own if settings.kernel_from != "same" else "")
    try:
        return _ensure(lab, f"kbuild-{key}", suite, release, say)
    except LabFailed as error:
        if "Unable to locate package linux-headers" in error.message:
            raise LabFailed(
                f"the mirror has no headers for {release} any more, which the guest runs",
                f"a newer kernel and its headers: docker rmi {lab.settings.name}/ksmbd; lab up",
            ) from None
        raise


def ensure_kernel_image(lab: Lab, suite: str, say: Say) -> str:
    """Return the tag of the image that builds whole kernels; build it first."""
    return _ensure(lab, f"kbuild-kernel-{suite}", suite, "", say)


def ensure_tools_image(lab: Lab, flavour: str, say: Say) -> str:
    """Return the tag of an image with gdb and binutils for a flavour; build it first.

    For a kernel that is not Debian's there are no headers to be had, nor are they needed for that.
    """
    settings = settings_of(lab, flavour)
    if settings.kernel_from in ("tree", "image"):
        return ensure_kernel_image(lab, settings.suite or lab.settings.debian.suite, say)
    return ensure_module_image(lab, flavour, say)


def _ensure(lab: Lab, node: str, suite: str, release: str, say: Say) -> str:
    from lab.engine.base import ensure_base

    ensure_base(suite, lab.settings.debian.mirror, say)
    root = lab.paths.dot_lab / FOLDER
    planned = render.plan_folder(
        lab.paths, lab.settings, lab.environ, FOLDER, suite=suite, release=release
    )
    render.apply(planned, render.compare(planned, root / node), root / node)
    build.ensure_images(root, [node], lab.settings.name, say)
    return build.tag(lab.settings.name, node)
