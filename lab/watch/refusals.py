"""What a server's refusal means, and what to do about it: one row a status."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.errors import LabFailed
from lab.watch.address import Address


@dataclass(frozen=True)
class Refusal:
    """`{host}`, `{server}`, `{share}`, `{directory}`, `{user}` stand for what was asked for."""

    cause: str
    remedy: str = ""


_LIST = "smbclient -p {port} -L //{host} -U {user} lists its shares"
_CANNOT = Refusal(
    "{server} cannot notify: CHANGE_NOTIFY was answered {status}",
    "nothing would ever be shown; watch another server (Linux 6.12's ksmbd has no CHANGE_NOTIFY)",
)
_NO_DIRECTORY = Refusal(
    "there is no directory {directory!r} on //{host}/{share}", "names go from the share's root"
)
_SEALING = Refusal(
    "{command} of //{host}/{share} was answered {status}",
    "{user} has no right to it, or the server insists on encryption, which was not agreed on",
)

REFUSALS: dict[tuple[str, str], Refusal] = {
    ("SESSION_SETUP", "STATUS_LOGON_FAILURE"): Refusal(
        "{host} does not accept the user {user!r} with this password (STATUS_LOGON_FAILURE)",
        "--user NAME, and the password by --password-file, LAB_WATCH_PASSWORD or the prompt",
    ),
    ("SESSION_SETUP", "STATUS_ACCESS_DENIED"): _SEALING,
    ("TREE_CONNECT", "STATUS_ACCESS_DENIED"): _SEALING,
    ("TREE_CONNECT", "STATUS_BAD_NETWORK_NAME"): Refusal(
        "{host} has no share {share!r} (STATUS_BAD_NETWORK_NAME)", _LIST
    ),
    ("CREATE", "STATUS_OBJECT_NAME_NOT_FOUND"): _NO_DIRECTORY,
    ("CREATE", "STATUS_OBJECT_PATH_NOT_FOUND"): _NO_DIRECTORY,
    ("CREATE", "STATUS_OBJECT_NAME_INVALID"): _NO_DIRECTORY,
    ("CREATE", "STATUS_NOT_A_DIRECTORY"): Refusal(
        "{directory!r} on //{host}/{share} is not a directory (STATUS_NOT_A_DIRECTORY)",
        "only directories can be watched: name the one that it lies in",
    ),
    ("CREATE", "STATUS_ACCESS_DENIED"): Refusal(
        "{user} may not list {directory!r} on //{host}/{share} (STATUS_ACCESS_DENIED)",
        "watching takes the right to list: --user NAME",
    ),
    ("CHANGE_NOTIFY", "STATUS_NOT_IMPLEMENTED"): _CANNOT,
    ("CHANGE_NOTIFY", "STATUS_NOT_SUPPORTED"): _CANNOT,
    ("CHANGE_NOTIFY", "STATUS_DELETE_PENDING"): Refusal(
        "the watched directory {directory!r} was deleted (STATUS_DELETE_PENDING)"
    ),
    ("CHANGE_NOTIFY", "STATUS_INVALID_PARAMETER"): Refusal(
        "{host} does not take this filter or length (STATUS_INVALID_PARAMETER)",
        "--filter all, or --filter names",
    ),
}

# Worth another attempt: the server is busy, coming up, or ended what was between us.
TRANSIENT = {
    "STATUS_INSUFFICIENT_RESOURCES",
    "STATUS_REQUEST_NOT_ACCEPTED",
    "STATUS_NOTIFY_CLEANUP",
    "STATUS_CANCELLED",
    "STATUS_FILE_CLOSED",
    "STATUS_NETWORK_NAME_DELETED",
    "STATUS_USER_SESSION_DELETED",
    "STATUS_NETWORK_SESSION_EXPIRED",
}
_STATUS = re.compile(r"(?P<command>[A-Z_]+): (?P<status>STATUS_\w+|0x[0-9A-F]{8})\Z")


def status_of(text: str) -> tuple[str, str] | None:
    """Command and status of what `lab.client` says of a refused handshake; None for the rest."""
    found = _STATUS.match(text)
    return (found["command"], found["status"]) if found else None


def refused(command: str, status: str, address: Address, user: str, server: str = "") -> LabFailed:
    """The error for a request that the server (by its name, where known) refused for good."""
    row = REFUSALS.get((command, status), Refusal("{command} of {directory!r} on //{host}/{share} "
                                                  "was answered {status}"))  # fmt: skip
    values = {
        "host": address.host,
        "port": address.port,
        "server": server or address.host,
        "share": address.share,
        "directory": address.directory or "/",
        "user": user,
        "command": command,
        "status": status,
    }
    return LabFailed(row.cause.format(**values), row.remedy.format(**values))
