"""PDML becomes PDUs: of every capture, from both versions of tshark, the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.evidence import column, tshark
from lab.evidence.pdu import ALL_FF, Notify, Record, TcpEvent
from lab.evidence.tshark import SessionKey, TsharkError
from lab.nodes.model import Completed, DeadlineExceeded
from tests.evidence.material import CAPTURES, NAMES, PORT, VERSIONS, decoded, pdml, pdus

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


@pytest.mark.parametrize("name", NAMES)
def test_both_versions_of_tshark_say_the_same(name: str) -> None:
    one, two = (decoded(name, version) for version in VERSIONS)
    assert one == two


def test_a_compound_is_two_pdus_of_one_frame() -> None:
    create, notify = [pdu for pdu in pdus("samba-explorer") if pdu.count == 2][:2]
    assert (create.command, create.position, create.name) == (5, 0, "h1-149be086")
    assert (notify.command, notify.position, notify.file_id) == (15, 1, ALL_FF)
    assert notify.notify == Notify(0x15, watch_tree=False, output_buffer_length=2048)
    assert create.frame == notify.frame


def test_records_come_in_order_with_their_names() -> None:
    (listed,) = (pdu.records for pdu in pdus("samba-changes") if len(pdu.records) == 4)
    assert listed == (
        Record(4, "sub\\a&b naïve 日本.txt"),
        Record(5, "sub\\new name.txt"),
        Record(3, "sub\\new name.txt"),
        Record(2, "sub\\new name.txt"),
    )


def test_a_sealed_session_is_decoded_with_its_key() -> None:
    sealed = [pdu for pdu in pdus("samba-changes-sealed") if pdu.sealed]
    plain = [pdu for pdu in pdus("samba-changes") if pdu.command not in (0, 1)]
    assert [pdu.command for pdu in sealed] == [pdu.command for pdu in plain]
    assert [pdu.records for pdu in sealed] == [pdu.records for pdu in plain]
    assert not any(pdu.sealed for pdu in plain)


def test_interim_and_final_carry_status_async_id_and_credits() -> None:
    interim, final = (
        pdu for pdu in pdus("samba-explorer") if pdu.async_id == 5 and not pdu.from_client
    )
    assert (interim.status_name, interim.credits) == ("STATUS_PENDING", 1)
    assert (final.status_name, final.credits) == ("STATUS_CANCELLED", 0)


def test_the_ends_of_the_connection_are_events() -> None:
    events = [event for event in decoded("samba-explorer") if isinstance(event, TcpEvent)]
    assert [(event.what, event.from_client) for event in events] == [
        ("SYN", True),
        ("FIN", True),
        ("FIN", False),
    ]


def test_pdml_that_ends_early_is_an_error() -> None:
    with pytest.raises(TsharkError, match="ends early"):
        list(tshark.parse(pdml("samba-explorer")[:-200], PORT))


def test_control_characters_do_not_break_the_parser() -> None:
    damaged = pdml("samba-explorer").replace(b"Message ID: 4", b"Message ID: \x014")
    assert len(list(tshark.parse(damaged, PORT))) == len(decoded("samba-explorer"))


def _completed(stdout: bytes = b"", stderr: str = "", code: int = 0) -> Completed:
    return Completed(code, stdout, stderr.encode())


@pytest.mark.parametrize(
    ("done", "says"),
    [
        (
            _completed(
                stderr='tshark: "smb2.aid" is not a valid protocol or protocol field.', code=2
            ),
            "does not know the field smb2.aid",
        ),
        (_completed(b'<pdml version="0" creator="wireshark/3.4.10">'), "3.4 is too old"),
        (_completed(stderr="tshark: The file is damaged", code=2), "The file is damaged"),
        (_completed(b"", code=0), "tshark failed"),
    ],
)
def test_what_tshark_cannot_do_is_a_clear_error(done: Completed, says: str) -> None:
    with pytest.raises(TsharkError, match=says):
        tshark.check(done)


def test_no_tshark_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(TsharkError, match="not installed"):
        tshark.run_here(["tshark"])


def test_a_key_is_a_row_of_tsharks_table() -> None:
    key = SessionKey(0x52042B9A, bytes.fromhex("00" * 15 + "ff"))
    assert key.preference() == f'uat:smb2_seskey_list:9a2b045200000000,{"00" * 15}ff,"",""'


def test_keys_are_written_and_read(tmp_path: Path) -> None:
    keys = [SessionKey(7, b"\x01" * 16)]
    (tmp_path / "keys").write_text(column.keys_json(keys))
    assert column.read_keys(tmp_path / "keys") == keys
    assert column.read_keys(tmp_path / "none") == []
    assert json.loads(column.keys_json(keys))[0]["session_id"] == "0000000000000007"


@needs_tshark
@pytest.mark.parametrize("name", ["samba-explorer", "samba-changes-sealed"])
def test_this_machines_tshark_decodes_as_well(name: str) -> None:
    path = CAPTURES / f"{name}.pcap"
    keys = column.read_keys(path.with_suffix(".keys.json"))
    assert tuple(tshark.decode(tshark.run_here, str(path), PORT, keys)) == decoded(name)


@pytest.mark.slow
@needs_tshark
def test_without_its_key_a_sealed_session_stays_sealed() -> None:
    path = str(CAPTURES / "samba-changes-sealed.pcap")
    shut = [
        event
        for event in tshark.decode(tshark.run_here, path, PORT)
        if not isinstance(event, TcpEvent) and event.command == -1
    ]
    assert len(shut) == sum(pdu.sealed for pdu in pdus("samba-changes-sealed"))


@needs_tshark
def test_a_field_that_this_tshark_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tshark, "FIELDS", (*tshark.FIELDS, "smb2.no_such_field"))
    with pytest.raises(TsharkError, match=r"smb2\.no_such_field"):
        tshark.decode(tshark.run_here, str(CAPTURES / "samba-explorer.pcap"), PORT)


class Here:
    """This machine as a node; or one on which nothing ever ends."""

    def __init__(self, busy: bool = False) -> None:
        self.busy = busy
        self.said = 0

    def run(self, argv: Sequence[str], *, deadline: float) -> Completed:
        if self.busy:
            raise DeadlineExceeded("client", argv, deadline)
        done = tshark.run_here(argv)
        self.said += len(done.stdout)
        return done


@pytest.mark.slow
@needs_tshark
def test_on_a_node_what_nobody_reads_is_left_out_there() -> None:
    node, path = Here(), str(CAPTURES / "samba-explorer.pcap")
    slim = tshark.decode(tshark.on_node(node, 60), path, PORT)
    assert slim == tshark.decode(tshark.run_here, path, PORT)
    whole = tshark.run_here(tshark.argv(path, PORT)).stdout
    assert node.said < 0.6 * len(whole)


@needs_tshark
def test_on_a_node_too_a_tshark_that_fails_is_an_error() -> None:
    with pytest.raises(TsharkError, match="tshark failed"):
        tshark.decode(tshark.on_node(Here(), 60), "/absent.pcap", PORT)


def test_a_decoding_that_does_not_end_tells_no_keys() -> None:
    keys = [SessionKey(1, b"0123456789abcdef")]
    with pytest.raises(TsharkError, match=r"^tshark did not end within 60 s\n") as caught:
        tshark.decode(tshark.on_node(Here(busy=True), 60), "x.pcap", PORT, keys)
    assert caught.value.__suppress_context__
    assert "--no-capture" in str(caught.value.remedy)
