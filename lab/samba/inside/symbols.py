"""The table by which the tracer knows smbd: functions with their places, offsets in structures.

Made in the builder, where nm, addr2line and gdb are, after each build; the tracer needs none of
them. Static functions are in it too: the symbol tables are those of a build that is not stripped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from lab.samba.inside.tree import Failed, output_of

TABLE = ".lab-symbols.json"
# What is traced: the SMB server itself, not talloc, tevent, tdb, nor the VFS modules below it.
TRACED = re.compile(r"source3/smbd/[^/]+\.c:\d+$")
# Left out of that: who one is at the moment, and accessors without an interest of their own. They
# are two thirds of all calls, and each stop costs the server time.
LEFT_OUT = re.compile(
    r"(set|push|pop|set_root)_sec_ctx|smbd_(un)?become_root|smbd_change_to_root_user|get_current_\w+"
    r"|smb_vfs_call_\w+|vfs_\w*fsp_extension|sys_acl_\w+|map_canon_ace_perms|token_contains_\w+"
    r"|fsp_(get|set|is)_\w+|fh_\w+|metadata_fsp|is_named_stream|(cp|synthetic)_smb_f\w+"
    r"|smb_fname_fsp_\w+|conn_(protocol|using_smb2)|smbXsrv_version_\w+|smbXsrv_set_crypto_flag"
    r"|smbXsrv_session_find_\w+|share_mode_lock_access_private_data|smb_register_vfs"
)
# Two functions elsewhere that the trees of a notify begin or pass through.
ALSO = ("messaging_dispatch_classic", "_tevent_req_cancel")
# What the tracer reads: (structure, member)
MEMBERS = (
    ("smbd_smb2_request", "in.vector"),
    ("smbd_smb2_request", "current_idx"),
    ("smb_request", "mid"),
)
LIBRARY_OF_MEMBERS = "libsmbd-base"

Run = Callable[..., tuple[int, str]]


def code_symbols(listing: str) -> Iterator[tuple[int, str]]:
    """(address, name) of the functions in nm's output, without LEFT_OUT and compilers' clones."""
    for line in listing.splitlines():
        match = re.match(r"([0-9a-f]+) [Tt] ([A-Za-z_]\w*)$", line)
        if match and not LEFT_OUT.fullmatch(match[2]):
            yield int(match[1], 16), match[2]


def place(line: str) -> str:
    """`source3/smbd/notify.c:216` from addr2line's path, which goes by way of bin/default."""
    path = line.partition(" (discriminator")[0]
    return re.sub(r"^.*/bin/default/(\.\./)*|^(\.\./)+", "", path)


def functions_of(library: Path, run: Run = output_of) -> list[list[Any]]:
    """The functions of a library that are traced: [address, name, file:line]."""
    _, listing = run(["nm", "--defined-only", str(library)])
    symbols = dict(code_symbols(listing))
    if library.name.startswith(LIBRARY_OF_MEMBERS):
        wanted = symbols
    else:
        wanted = {address: name for address, name in symbols.items() if name in ALSO}
    if not wanted:
        return []
    addresses = [f"{address:x}" for address in wanted]
    _, lines = run(["addr2line", f"--exe={library}", *addresses])
    places = [place(line) for line in lines.splitlines()]
    return [
        [address, name, where]
        for (address, name), where in zip(wanted.items(), places, strict=True)
        if name in ALSO or TRACED.match(where)
    ]


def offsets(library: Path, run: Run = output_of) -> dict[str, int]:
    """{"struct.member": its offset}, from the library's debug information."""
    ask = [
        f'-ex=printf "%s %lu\\n", "{struct}.{member}", &((struct {struct} *)0)->{member}'
        for struct, member in MEMBERS
    ]
    _, said = run(["gdb", "--batch", "--nx", *ask, str(library)])
    return {name: int(value) for name, value in re.findall(r"^(\w+\.[\w.]+) (\d+)$", said, re.M)}


def write(tree: Path, files: dict[str, list[str]]) -> None:
    """Write the table for these files of the tree; what has the build id of before is kept."""
    table = tree / TABLE
    try:
        before = json.loads(table.read_text())["libraries"]
    except (OSError, ValueError, KeyError):
        before = {}
    libraries = {}
    for name, (real, build_id) in files.items():
        known = before.get(name, {})
        if known.get("build_id") == build_id:
            libraries[name] = known
            continue
        library = tree / real
        found: dict[str, Any] = {"build_id": build_id, "functions": functions_of(library)}
        if library.name.startswith(LIBRARY_OF_MEMBERS):
            found["offsets"] = offsets(library)
            missing = {f"{s}.{m}" for s, m in MEMBERS} - found["offsets"].keys()
            if missing:
                raise Failed(f"the tracer cannot find {', '.join(sorted(missing))} in smbd")
        libraries[name] = found
    table.write_text(json.dumps({"libraries": libraries}))


def merged(table: dict[str, Any]) -> tuple[dict[str, list[list[Any]]], dict[str, int]]:
    """The functions of each library that has some, and all offsets."""
    libraries: Iterable[tuple[str, Any]] = table["libraries"].items()
    functions = {name: found["functions"] for name, found in libraries if found["functions"]}
    known: dict[str, int] = {}
    for found in table["libraries"].values():
        known |= found.get("offsets", {})
    return functions, known
