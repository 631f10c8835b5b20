"""What the guest of a flavour boots: its kernel fetched, taken or built, its initramfs packed.

Two steps, so that a changed guest script does not fetch a kernel again:

    kernel/     lib/modules/RELEASE and vmlinuz, laid out as Debian's packages are, and a stamp
    guest/      kernel, initrd and guest.json, packed by images/ksmbd/build_guest.py

Both run in the ksmbd image, as the user, without a capability.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import backends, lock
from lab.errors import LabFailed, UsageError
from lab.flavours import bzimage, folders
from lab.flavours.folders import STAMP
from lab.flavours.kernels import NOTE, Say, settings_of
from lab.flavours.settings import FlavourSettings
from lab.partial import folder_beside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.engine.jobs import Mount
    from lab.session import Lab

FETCH_DEADLINE_S = 900.0
PACK_DEADLINE_S = 600.0
LIBRARY = "/usr/local/lib/lab"
OUT, ROOT = "/out", "/kernel-root"


def ensure_guests(lab: Lab, nodes: Iterable[str], say: Say) -> None:
    """Make the guests of those nodes that have a kernel of their own."""
    for node in nodes:
        flavour = backends.flavour(node)
        if flavour and settings_of(lab, flavour).kernel_from != "same":
            build_kernel(lab, flavour, say)


def build_kernel(lab: Lab, flavour: str, say: Say) -> Path:
    """Make a flavour's guest unless it is there and up to date; return its folder."""
    folder = folders.of_flavour(lab.paths, flavour)
    settings = settings_of(lab, flavour)
    name = backends.named(flavour)
    with lock.held(folder.lock, f"making the kernel of {name}"):
        kernel = _ensure_kernel(lab, flavour, settings, folder, say)
        packed = {"kernel": kernel, "image": _image_digest(lab)}
        if _stamp(folder.guest) != packed:
            say(f"{name}: packing the guest")
            with _replaced(folder.guest, packed) as fresh:
                _pack(lab, _kernel_folder(folder), fresh)
    return folder.guest


def _kernel_folder(folder: folders.FlavourFolder) -> Path:
    return folder.path / "kernel"


def _image_digest(lab: Lab) -> str:
    """What the guest's programs come from."""
    from lab.engine.build import tag
    from lab.engine.sdk import Images

    return Images().digest(tag(lab.settings.name, backends.KSMBD))


def _ensure_kernel(
    lab: Lab, flavour: str, settings: FlavourSettings, folder: folders.FlavourFolder, say: Say
) -> Mapping[str, Any]:
    """Make `kernel/` unless it is of these settings; return what it was made of."""
    target = _kernel_folder(folder)
    makers = {"debian": _fetch, "image": _take, "tree": _compile}
    made_of = _made_of(lab, flavour, settings)
    if settings.kernel_from == "tree" or _stamp(target) != made_of:
        # make(1) itself finds out whether a tree is up to date
        makers[settings.kernel_from](lab, flavour, settings, target, made_of, say)
    found = _stamp(target)
    return found if found is not None else made_of


def _made_of(lab: Lab, flavour: str, settings: FlavourSettings) -> dict[str, Any]:
    """Everything that decides what the kernel is, for comparison."""
    if settings.kernel_from == "debian":
        return {
            "suite": settings.suite or lab.settings.debian.suite,
            "kernel": lab.settings.ksmbd_of(backends.named(flavour)).kernel,
            "mirror": lab.settings.debian.mirror,
        }
    if settings.kernel_from == "image":
        image, modules = _image_and_modules(lab, flavour, settings)
        return {
            "image": [str(image), image.stat().st_mtime_ns],
            "modules": [str(modules), _newest(modules)],
        }
    chosen = asdict(settings)
    return {key: chosen[key] for key in ("tree", "suite")} | {"config": list(settings.config)}


def _newest(folder: Path) -> int:
    """The newest change of a file below a folder: `make modules_install` writes all of them."""
    return max((path.lstat().st_mtime_ns for path in folder.rglob("*.ko*")), default=0)


def _stamp(folder: Path) -> Mapping[str, Any] | None:
    try:
        content = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


@contextmanager
def _replaced(target: Path, made_of: Mapping[str, Any]) -> Iterator[Path]:
    """A new folder that takes the place of `target` when the block succeeds, and not before.

    The old one's files are kept where the new one has the same: what is mounted into a running
    container is the folder itself, so the folder stays and its content is exchanged.
    """
    with folder_beside(target) as fresh:
        yield fresh
        target.mkdir(exist_ok=True)
        (target / STAMP).unlink(missing_ok=True)
        for old in target.iterdir():
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        for new in fresh.iterdir():
            new.rename(target / new.name)
        (target / STAMP).write_text(json.dumps(made_of) + "\n", encoding="utf-8")


def run_in_ksmbd_image(
    lab: Lab,
    doing: str,
    argv: list[str],
    mounts: list[Mount],
    *,
    deadline: float,
    network: str = "none",
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """Run something in the ksmbd image as the user; return its lines, LabFailed if it fails."""
    from lab.engine.build import tag
    from lab.engine.explain import failed
    from lab.engine.jobs import run_job

    said: list[str] = []
    code = run_job(
        tag(lab.settings.name, backends.KSMBD),
        argv,
        lab_name=lab.settings.name,
        mounts=mounts,
        user=f"{os.getuid()}:{os.getgid()}",
        network=network,
        environment=environment,
        deadline=deadline,
        on_line=said.append,
    )
    if code != 0:
        raise failed(doing, "\n".join(said))
    return said


def _pack(lab: Lab, kernel: Path, target: Path) -> None:
    from lab.engine.jobs import Mount

    # depmod writes beside the modules, so it gets a copy; the mount is read-only.
    script = (
        f"cp -a {ROOT}/. /tmp/root && python3 {LIBRARY}/build_guest.py /tmp/root {OUT} "
        f"--scripts {LIBRARY}/guest"
    )
    run_in_ksmbd_image(
        lab,
        "the guest cannot be packed",
        ["sh", "-c", script],
        [Mount(kernel, ROOT, read_only=True), Mount(target, OUT)],
        deadline=PACK_DEADLINE_S,
    )
    if not (target / NOTE).exists():
        raise LabFailed("packing the guest left no guest.json")


def _fetch(
    lab: Lab,
    flavour: str,
    settings: FlavourSettings,
    target: Path,
    made_of: Mapping[str, Any],
    say: Say,
) -> None:
    """Unpack Debian's kernel packages of a suite."""
    from lab.engine import apt_sources
    from lab.engine.jobs import Mount

    suite, kernel = made_of["suite"], made_of["kernel"]
    say(f"{backends.named(flavour)}: fetching Debian's kernel {kernel} of {suite}")
    archive = apt_sources.archive(lab.settings.debian.mirror, apt_sources.host_entries())
    sources = target.with_name("sources.list")
    sources.parent.mkdir(parents=True, exist_ok=True)
    sources.write_text("".join(f"{line}\n" for line in archive.source_lines(suite)))
    with _replaced(target, made_of) as fresh:
        run_in_ksmbd_image(
            lab,
            f"Debian's kernel {kernel} of {suite} cannot be fetched",
            [f"{LIBRARY}/fetch-kernel", f"linux-image-{kernel}", OUT],
            [Mount(fresh, OUT), Mount(sources, "/sources.list", read_only=True)],
            deadline=FETCH_DEADLINE_S,
            network="bridge",
            environment={"LAB_SOURCES": "/sources.list"},
        )
        if len(list((fresh / "usr/lib/modules").glob("*"))) != 1:
            raise LabFailed(
                f"Debian's {suite} has no kernel linux-image-{kernel} that can be unpacked",
                "check suite and kernel of the flavour in lab.toml",
            )


def _image_and_modules(lab: Lab, flavour: str, settings: FlavourSettings) -> tuple[Path, Path]:
    """The user's bzImage and its lib/modules/RELEASE; UsageError if they are not that."""
    where = f"[flavours.{flavour}]"
    image = lab.paths.root / Path(settings.image).expanduser()
    modules = lab.paths.root / Path(settings.modules).expanduser()
    if not image.is_file():
        raise UsageError(f"{where} image: there is no file {image}", "arch/x86/boot/bzImage")
    if not modules.is_dir():
        raise UsageError(f"{where} modules: there is no folder {modules}", "make modules_install")
    try:
        release = bzimage.release_of(image.read_bytes())
    except ValueError as error:
        raise UsageError(f"{where} image: {image} is no bzImage: {error}") from None
    candidates = [
        modules,
        *(modules.joinpath(*p) for p in ((release,), ("lib", "modules", release))),
    ]
    for candidate in candidates:
        if candidate.name == release and (candidate / "modules.builtin").is_file():
            return image, candidate
    there = sorted(
        {path.name for base in (modules, modules / "lib/modules") for path in base.glob("*.*")}
    )
    raise UsageError(
        f"{where}: {image} is {release}, and in {modules} there are no modules for it"
        + (f" (but {', '.join(there[:5])})" if there else ""),
        "both must come from one build: make bzImage modules && make modules_install "
        "INSTALL_MOD_PATH=…",
    )


def lay_out(image: Path, modules: Path, target: Path) -> None:
    """Copy a kernel and its modules to where Debian's packages have them."""
    release = modules.name
    (target / "boot").mkdir(parents=True)
    shutil.copyfile(image, target / "boot" / f"vmlinuz-{release}")

    def skipped(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name in ("build", "source")]

    shutil.copytree(modules, target / "usr/lib/modules" / release, ignore=skipped, symlinks=False)


def _take(
    lab: Lab,
    flavour: str,
    settings: FlavourSettings,
    target: Path,
    made_of: Mapping[str, Any],
    say: Say,
) -> None:
    """Copy the user's kernel and modules."""
    image, modules = _image_and_modules(lab, flavour, settings)
    say(f"{backends.named(flavour)}: taking {image} and {modules}")
    with _replaced(target, made_of) as fresh:
        lay_out(image, modules, fresh)


def _compile(
    lab: Lab,
    flavour: str,
    settings: FlavourSettings,
    target: Path,
    made_of: Mapping[str, Any],
    say: Say,
) -> None:
    """Build the user's tree, or Debian's."""
    from lab.kbuild.kernel import compile_kernel

    image, modules, identity = compile_kernel(lab, flavour, settings, say)
    whole = {**made_of, **identity}
    if _stamp(target) != whole:
        with _replaced(target, whole) as fresh:
            lay_out(image, modules, fresh)
