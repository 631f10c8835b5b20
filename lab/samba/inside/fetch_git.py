"""Fetch one reference of a git repository into a folder that nobody edits.

fetch_git.py URL REF FOLDER
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from lab.samba.inside.talk import note, tell
from lab.samba.inside.tree import Failed, output_of

EXTRA_CERTIFICATES = "/etc/lab-ca.crt"  # of a proxy that inspects TLS; may be absent
SYSTEM_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
CONFIGURATION = "/tmp/gitconfig"  # noqa: S108 - the container's own
# What ssh had against it stands in the line before.
UNREADABLE = "fatal: Could not read from remote repository."


def trust_extra_certificates() -> None:
    """Let git trust the host's own certificates besides Debian's."""
    extra = Path(EXTRA_CERTIFICATES)
    if extra.exists():
        both = Path("/tmp/ca.pem")  # noqa: S108 - the container's own
        both.write_bytes(Path(SYSTEM_CERTIFICATES).read_bytes() + extra.read_bytes())
        os.environ["GIT_SSL_CAINFO"] = str(both)


def trust_every_owner() -> None:
    """Let git read a repository of somebody else's: it was named, and nothing of it is executed.

    The git that fetches starts another one in the repository, which is told nothing by `-c`.
    """
    Path(CONFIGURATION).write_text("[safe]\n\tdirectory = *\n", encoding="utf-8")
    os.environ["GIT_CONFIG_GLOBAL"] = CONFIGURATION


def git(folder: Path, *words: str) -> str:
    """Run git there; Failed with the line that says why."""
    code, said = output_of(["git", "-C", str(folder), *words])
    if code != 0:
        raise Failed(f"git {words[0]} failed: {reason(said) or code}")
    return said.strip()


def reason(said: str) -> str:
    """Of what git said, the line that says why: advice and what follows of it come later."""
    lines = [line for line in said.splitlines() if line.strip()]
    fatal = (number for number, line in enumerate(lines) if line.startswith("fatal: "))
    number = next(fatal, len(lines) - 1)
    if number > 0 and lines[number] == UNREADABLE:
        number -= 1
    return lines[number] if lines else ""


def fetch(url: str, ref: str, folder: Path) -> str:
    """Check `ref` out in `folder`; return its commit. A commit that is there needs no network."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    is_commit = re.fullmatch(r"[0-9a-f]{40}", ref) is not None
    known = is_commit and output_of(["git", "-C", str(folder), "cat-file", "-e", ref])[0] == 0
    if not known:
        git(folder, "fetch", "--quiet", "--depth=1", "--no-tags", url, ref)
    wanted = ref if known else "FETCH_HEAD"
    git(folder, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--force", wanted)
    git(folder, "clean", "--quiet", "-fdx")
    return git(folder, "log", "-1", "--format=%h %s")


def main(argv: list[str]) -> int:
    """Fetch, and tell the commit."""
    url, ref, folder = argv
    tell("phase", name="fetch")
    trust_extra_certificates()
    trust_every_owner()
    try:
        commit = fetch(url, ref, Path(folder))
    except Failed as error:
        tell("failed", phase="fetch", text=f"{url} {ref}: {error}")
        return 1
    note(f"{ref} is {commit}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
