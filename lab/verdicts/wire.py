"""What every response must look like, in every scenario: a breach is a finding.

Each rule is a predicate over one received PDU, with its section of MS-SMB2; `RULES` lists them.
They read the client's observations and share no code with any server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lab.scenarios.model import HeaderFlags
from lab.verdicts.evidence import Evidence, Observation, field
from lab.verdicts.verdict import Finding

# StructureSize of a response's body by command (MS-SMB2 2.2), where the status is a success.
STRUCTURE_SIZES: Mapping[str, int] = {
    "NEGOTIATE": 65,
    "SESSION_SETUP": 9,
    "LOGOFF": 4,
    "TREE_CONNECT": 16,
    "TREE_DISCONNECT": 4,
    "CREATE": 89,
    "CLOSE": 60,
    "FLUSH": 4,
    "WRITE": 17,
    "ECHO": 4,
    "CHANGE_NOTIFY": 9,
    "SET_INFO": 2,
}


def records_layout(pdu: Observation) -> str:
    """ "sound", or what breaks MS-FSCC 2.7.1 in the buffer of a CHANGE_NOTIFY response."""
    body = pdu["body"]
    if "malformed" in body:
        return str(body["malformed"])
    entries: list[dict[str, Any]] = body.get("records") or []
    if not entries:
        return "no records"
    for number, entry in enumerate(entries):
        where = f"record {number}"
        if entry["offset"] % 4:
            return f"{where} begins at {entry['offset']}, no multiple of 4"
        if (entry["next_entry_offset"] == 0) != (entry is entries[-1]):
            return f"{where}: NextEntryOffset {entry['next_entry_offset']}"
        if entry["file_name_length"] % 2 or not entry["file_name_length"]:
            return f"{where}: FileNameLength {entry['file_name_length']}"
        if "\0" in entry["name"]:
            return f"{where}: a NUL in the name"
        if "/" in entry["name"] or entry["name"].startswith("\\"):
            return f"{where}: name {entry['name']!r}"
        if not entry["action"].isalpha() and "_" not in entry["action"]:
            return f"{where}: Action {entry['action']}"
    return "sound"


def _direction(pdu: Observation) -> str:
    flags = pdu["header"]["flags"]
    return "" if flags & HeaderFlags.SMB2_FLAGS_SERVER_TO_REDIR else f"Flags 0x{flags:x}"


def _header_size(pdu: Observation) -> str:
    size = pdu["header"]["structure_size"]
    return "" if size == 64 else f"header StructureSize {size}"


def _seal(pdu: Observation) -> str:
    if pdu.get("sealing") and not pdu.get("sealed"):
        return f"not sealed, in a session sealed with {pdu['sealing']}"
    return ""


def _signature(pdu: Observation) -> str:
    if pdu.get("sealed"):
        return ""  # the seal is its signature, and was checked when it was opened
    if pdu["signature_ok"] is False:
        return f"the {pdu['signing']} signature is wrong"
    if pdu["signature_ok"] is None and pdu["signing"] and pdu["stage"] != "interim":
        return "not signed, in a signed session"
    return ""


def _known_request(pdu: Observation) -> str:
    return "" if pdu["ref"] else f"MessageId {pdu['header']['message_id']} was never sent"


def _answered_once(pdu: Observation) -> str:
    return "a second final response" if pdu["stage"] == "extra" else ""


def _structure_size(pdu: Observation) -> str:
    size = pdu["body"].get("structure_size")
    wanted = 9 if pdu["body"].get("error") else STRUCTURE_SIZES.get(pdu["command"], size)
    return "" if size == wanted else f"body StructureSize {size}, not {wanted}"


def _well_formed(pdu: Observation) -> str:
    return str(pdu["body"].get("malformed", ""))


def _interim_async(pdu: Observation) -> str:
    if pdu["stage"] != "interim":
        return ""
    return "" if pdu["header"].get("async_id") else "STATUS_PENDING without an AsyncId"


def _records(pdu: Observation) -> str:
    if not field(pdu, "body.records"):
        return ""
    layout = records_layout(pdu)
    return "" if layout == "sound" else layout


def _alignment(pdu: Observation) -> str:
    following = pdu["header"]["next_command"]
    return f"NextCommand {following} is no multiple of 8" if following % 8 else ""


RULES: Mapping[str, tuple[str, Callable[[Observation], str]]] = {
    "direction": ("MS-SMB2 2.2.1", _direction),
    "header-size": ("MS-SMB2 2.2.1", _header_size),
    "signature": ("MS-SMB2 3.3.4.1.1", _signature),
    "seal": ("MS-SMB2 3.3.4.1.4", _seal),
    "message-id": ("MS-SMB2 3.2.5.1.2", _known_request),
    "answered-once": ("MS-SMB2 3.3.4.3", _answered_once),
    "structure-size": ("MS-SMB2 2.2", _structure_size),
    "well-formed": ("MS-SMB2 2.2", _well_formed),
    "interim-async-id": ("MS-SMB2 3.3.4.2", _interim_async),
    "records": ("MS-FSCC 2.7.1", _records),
    "compound-alignment": ("MS-SMB2 3.3.4.1.3", _alignment),
}


def _relations(evidence: Evidence) -> list[Finding]:
    """Rules over several PDUs: a final response repeats its AsyncId; live AsyncIds are unique."""
    findings: list[Finding] = []
    live: dict[tuple[str, int], str] = {}
    by_request: dict[str, int] = {}
    for at, pdu in evidence.pdus("in"):
        async_id = pdu["header"].get("async_id", 0)
        key = (pdu["conn"], async_id)
        ref = pdu["ref"]
        if pdu["stage"] == "interim":
            if key in live:
                text = f"AsyncId {async_id} of {ref} still belongs to {live[key]}"
                findings.append(Finding("async-id-unique", text, at))
            live[key] = ref
            by_request[ref] = async_id
        elif pdu["stage"] == "final" and ref in by_request:
            if async_id != by_request[ref]:
                text = f"{ref}: AsyncId {async_id}, its interim response said {by_request[ref]}"
                findings.append(Finding("async-id-same", text, at))
            live.pop((pdu["conn"], by_request[ref]), None)
    return findings


def find_breaches(evidence: Evidence) -> tuple[Finding, ...]:
    """All breaches, in the order of the PDUs."""
    findings = _relations(evidence)
    for at, pdu in evidence.pdus("in"):
        for rule, (section, broken) in RULES.items():
            if text := broken(pdu):
                what = f"{pdu['command']} {pdu['ref']}".strip()
                findings.append(Finding(rule, f"{what}: {text} ({section})", at))
    for at in evidence.kinds.get("starved", []):
        text = f"{evidence.all[at]['conn']} was left without credits (MS-SMB2 3.3.1.2)"
        findings.append(Finding("credits", text, at))
    for at in evidence.kinds.get("garbage", []):
        findings.append(Finding("garbage", f"no SMB2 message: {evidence.all[at]['why']}", at))
    return tuple(sorted(findings, key=lambda finding: finding.at))
