"""Revisions of a git tree: named, listed, and taken out of it without touching it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.engine import process
from lab.errors import LabFailed, UsageError

GIT_DEADLINE_S = 60.0
EXPORT_DEADLINE_S = 300.0
# What of a kernel tree the module is built from; of any other tree it is all of it.
KERNEL_MARK = "scripts/asn1_compiler.c"
KERNEL_PARTS = (
    *("fs/smb", "fs/ksmbd", "fs/smbfs_common", "fs/nls"),
    *(KERNEL_MARK, "include/linux/asn1*"),
)
MOST_COMMITS = 200
OF_A_REPOSITORY = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE"),
)
# A checkout that runs no hook and leaves nothing in the repository, whatever that is set to.
BESIDE = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.splitIndex=false"),
    *("-c", "submodule.recurse=false"),
)
_COMMIT = re.compile(r"^([0-9a-f]{40,64}) (.*)$", re.MULTILINE)  # among git's warnings


@dataclass(frozen=True)
class Commit:
    """A commit, as people name it: `1a2b3c4d5e6f ("ksmbd: subject")`."""

    hash: str
    subject: str

    @property
    def short(self) -> str:
        return self.hash[:12]

    def __str__(self) -> str:
        return f'{self.short} ("{self.subject}")'


def _git(
    tree: Path, *words: str, deadline: float = GIT_DEADLINE_S, index: Path | None = None
) -> process.Ran:
    # Somebody else's tree is read all the same: nothing of it is executed.
    safe = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false")
    # Inside a hook, or after an export, git's own variables name another repository.
    env = {name: value for name, value in os.environ.items() if name not in OF_A_REPOSITORY}
    env |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    if index is not None:
        env["GIT_INDEX_FILE"] = str(index)
    return process.run(["git", *safe, "-C", str(tree), *words], deadline=deadline, env=env)


def resolve(tree: Path, revision: str) -> Commit:
    """The commit that a revision names. Raises `UsageError` with git's words."""
    if revision.startswith("-"):
        raise UsageError(f"{revision!r} is no revision", "a branch, a tag, a hash, HEAD~2")
    ran = _git(tree, "log", "-1", "--format=%H %s", f"{revision}^{{commit}}", "--")
    if ran.returncode != 0:
        raise UsageError(
            f"{tree} has no revision {revision!r}: {_words(ran.output)}",
            "--src names a git tree; a branch, a tag, a hash, HEAD~2",
        )
    return _listed(ran.output)[-1]


def commits(tree: Path, range: str) -> list[Commit]:
    """The commits of a range that follow one another, oldest first, its end always among them.

    Of what was merged, the merge: a commit of another branch stands on another base.
    """
    if range.startswith("-"):  # git would read an option
        raise UsageError(f"{range!r} is no range", "as in v6.12..HEAD")
    ran = _git(tree, "log", "--reverse", "--first-parent", "--format=%H %s", range, "--")
    if ran.returncode != 0:
        raise UsageError(
            f"{range} is no range of {tree}: {_words(ran.output)}", "as in v6.12..HEAD"
        )
    found = _listed(ran.output)
    if not found:
        raise UsageError(f"{range} has no commits", "the older end stands first: A..B")
    if len(found) > MOST_COMMITS:
        raise UsageError(
            f"{range} has {len(found)} commits, each would be built and run",
            f"at most {MOST_COMMITS}; git bisect with lab gate as its test is quicker",
        )
    return found


def top(tree: Path) -> Path:
    """The kernel's tree that the folder is in; the folder itself where it is in none."""
    if _git(tree, "cat-file", "-e", f"HEAD:{KERNEL_MARK}").returncode != 0:
        return tree
    ran = _git(tree, "rev-parse", "--show-toplevel")
    found = Path(ran.output.rstrip("\n"))
    return found if ran.returncode == 0 and found.is_dir() else tree  # a bare one has none


def export(tree: Path, commit: Commit, into: Path) -> Path:
    """The commit's files in `into`, a new folder, as far as the module needs them.

    Checked out beside the repository, with an index of its own. An archive would lack what the
    commit's attributes keep out of archives (export-ignore).
    """
    kernel = _git(tree, "cat-file", "-e", f"{commit.hash}:{KERNEL_MARK}").returncode == 0
    below = "" if kernel else _asked(tree, "--show-prefix")
    wanted = _present(tree, commit, KERNEL_PARTS) if kernel else [below or "."]
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        unpacked = Path(scratch) / "tree"
        unpacked.mkdir()
        ran = _git(
            tree,
            *(f"--git-dir={_asked(tree, '--absolute-git-dir')}", f"--work-tree={unpacked}"),
            *("--literal-pathspecs", *BESIDE),
            *("checkout", "--quiet", commit.hash, "--", *wanted),
            deadline=EXPORT_DEADLINE_S,
            index=Path(scratch) / "index",
        )
        if ran.returncode != 0:
            raise LabFailed(f"{commit} cannot be taken out of {tree}: {_words(ran.output)}")
        _remove_links_out(unpacked)
        (unpacked / below).rename(into)
    return into


def _asked(tree: Path, option: str) -> str:
    """What rev-parse says of the repository: behind git's warnings, and maybe nothing."""
    ran = _git(tree, "rev-parse", option)
    if ran.returncode != 0:
        raise LabFailed(f"{tree} is no git tree any more: {_words(ran.output)}")
    return ran.output.rpartition("\n")[0].rpartition("\n")[2]


def _present(tree: Path, commit: Commit, parts: Sequence[str]) -> list[str]:
    """Those of the paths that the commit has: git refuses one that it has not."""
    found = []
    for part in parts:
        folder = part.rpartition("/")[0]
        ran = _git(
            tree, "ls-tree", "--name-only", commit.hash, part if "*" not in part else folder + "/"
        )
        pattern = re.escape(part).replace(r"\*", ".*")
        found += [line for line in ran.output.splitlines() if re.fullmatch(pattern, line)]
    return found


def forget(folder: Path) -> None:
    """Remove what was exported."""
    shutil.rmtree(folder, ignore_errors=True)


def _remove_links_out(folder: Path) -> None:
    """Remove links that lead out of the tree: nothing is built from what they lead to."""
    within = os.path.realpath(folder)
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            leads_to = os.path.realpath(path)
            if path.is_symlink() and not Path(leads_to).is_relative_to(within):
                path.unlink()


def _listed(output: str) -> list[Commit]:
    return [Commit(hash, subject) for hash, subject in _COMMIT.findall(output)]


def _words(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    why = [line for line in lines if line.startswith(("fatal: ", "error: "))]
    first = (why or lines or ["git said nothing"])[0]
    return first.removeprefix("fatal: ").removeprefix("error: ")
