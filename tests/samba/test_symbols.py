"""The table of functions: what nm, addr2line and a library's own symbols say."""

import ctypes.util
import sys
from pathlib import Path

import pytest

from lab.samba.inside.exported import exported
from lab.samba.inside.symbols import code_symbols, functions_of, merged, place

NM = """\
0000000000001000 T change_notify_reply
0000000000001100 t notify_fsp
0000000000001200 t notify_fsp.cold
0000000000001300 T smb_vfs_call_stat
0000000000001400 t talloc_thing
0000000000002000 D some_data
"""


def test_functions_are_those_of_smbd_static_ones_too_without_clones_and_accessors() -> None:
    assert dict(code_symbols(NM)) == {
        0x1000: "change_notify_reply",
        0x1100: "notify_fsp",
        0x1400: "talloc_thing",
    }


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("/src/samba/bin/default/../../source3/smbd/notify.c:216", "source3/smbd/notify.c:216"),
        ("../../lib/tevent/tevent_req.c:442 (discriminator 3)", "lib/tevent/tevent_req.c:442"),
        ("??:0", "??:0"),
    ],
)
def test_a_place_is_a_path_below_the_tree(line: str, found: str) -> None:
    assert place(line) == found


def test_of_other_libraries_only_the_two_are_taken_that_a_notify_passes_through() -> None:
    places = {0x1000: "source3/smbd/notify.c:216", 0x1100: "source3/smbd/notify.c:700"}

    def run(argv: list[str]) -> tuple[int, str]:
        if argv[0] == "nm":
            return 0, NM + "0000000000003000 T _tevent_req_cancel\n"
        addresses = [int(word, 16) for word in argv[2:]]
        return 0, "".join(places.get(address, "lib/x.c:1") + "\n" for address in addresses)

    base = functions_of(Path("libsmbd-base-private-samba.so"), run)
    assert base == [
        [0x1000, "change_notify_reply", "source3/smbd/notify.c:216"],
        [0x1100, "notify_fsp", "source3/smbd/notify.c:700"],
        [0x3000, "_tevent_req_cancel", "lib/x.c:1"],
    ]
    assert functions_of(Path("libtevent.so"), run) == [[0x3000, "_tevent_req_cancel", "lib/x.c:1"]]


def test_a_table_of_several_libraries_is_merged() -> None:
    functions, offsets = merged(
        {
            "libraries": {
                "a": {"functions": [[1, "f", "x.c:1"]], "offsets": {"s.m": 8}},
                "b": {"functions": []},
            }
        }
    )
    assert (list(functions), offsets) == (["a"], {"s.m": 8})


@pytest.mark.skipif(sys.platform != "linux", reason="ELF")
def test_what_a_library_exports_is_read_from_the_file_itself() -> None:
    with open("/proc/self/maps") as maps:
        paths = {line[73:].strip() for line in maps}
    libc = next((path for path in paths if "libc.so" in path or "libc-" in path), "")
    if not libc:
        pytest.skip(f"no libc among the mappings ({ctypes.util.find_library('c')})")
    names = {name for _, name in exported(Path(libc).read_bytes())}
    assert {"getpid", "malloc"} <= names
