"""What to watch: `//host[:port]/share[/dir]`, or a directory of the lab's own share."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.errors import UsageError

SMB_PORT = 445
EXAMPLE = "as in //fileserver/public, //192.0.2.7:1445/TEST/dir or //[2001:db8::7]/share"
HOST = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<plain>[^:\[\]@]*))(?::(?P<port>.*))?\Z", re.DOTALL)


@dataclass(frozen=True)
class Address:
    """A directory of a share; `directory` has `/` between its parts, "" is the share's root."""

    host: str
    port: int
    share: str
    directory: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == SMB_PORT else f":{self.port}"
        directory = f"/{self.directory}" if self.directory else ""
        return f"//{host}{port}/{self.share}{directory}"

    @property
    def smb_path(self) -> str:
        """The directory as CREATE wants it: relative to the share, `\\` between the parts."""
        return self.directory.replace("/", "\\")


def is_remote(text: str) -> bool:
    """Whether the words name a host, rather than a directory of the lab's share."""
    return text.startswith(("//", "\\\\", "smb://"))


def parse(text: str) -> Address:
    """An address as people type it, in slashes, backslashes or as smb://; raises UsageError."""
    plain = text.removeprefix("smb:").replace("\\", "/")
    if not plain.startswith("//"):
        raise UsageError(f"{text!r} names no host", EXAMPLE)
    host, *rest = plain[2:].split("/")
    if "@" in host:
        raise UsageError(
            f"{text!r} has a user in it", "--user NAME; the password is asked for, or see --help"
        )
    parts = [part for part in rest if part]
    if not parts:
        raise UsageError(f"{text!r} names no share", EXAMPLE)
    found = HOST.match(host)
    name = (found["six"] or found["plain"] or "") if found else ""
    if found is None or not name:
        raise UsageError(f"{text!r} names no host", EXAMPLE)
    return Address(name, _port(text, found["port"]), parts[0], directory(parts[1:]))


def directory(parts: list[str] | str) -> str:
    """The parts of a path, checked and joined; "" for the root."""
    words = parts if isinstance(parts, list) else parts.replace("\\", "/").split("/")
    kept = [word for word in words if word not in ("", ".")]
    if ".." in kept:
        raise UsageError("a path on a share cannot go up with ..", "name it from the share's root")
    return "/".join(kept)


def _port(text: str, written: str | None) -> int:
    if written is None:
        return SMB_PORT
    if not (written.isascii() and written.isdecimal() and 0 < int(written[:6]) < 65536):
        raise UsageError(f"{text!r}: {written!r} is no port", "1 to 65535; 445 if none is named")
    return int(written)
