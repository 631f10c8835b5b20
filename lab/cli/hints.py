"""What to type next: how to reach the lab's share, and how to have `lab` on the path."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.session import Lab


def connection_hints(lab: Lab) -> list[str]:
    """Lines that say how to connect to the front. The password is named by its file only."""
    share, front = lab.settings.share, lab.settings.front
    host, port = lab.front_address()
    password = lab.secrets.password_file
    lines = [
        "",
        "connect:",
        f'  PASSWD="$(cat {password})" smbclient -p {port} -U {share.user} //{host}/{share.name}',
    ]
    if port == 445:
        lines.append(rf"  Windows: \\{front.client_address}\{share.name}")
    else:
        lines.append(
            f'  Windows: needs port 445 and an address it can reach: set bind = "0.0.0.0" and '
            f"port = 445 under [front] in lab.toml, then \\\\ADDRESS\\{share.name}"
        )
    lines.append(f"  user {share.user}, password in {password}")
    return lines


def path_hint(lab: Lab) -> list[str]:
    """How to have `lab` on the path; nothing if it is."""
    if shutil.which("lab") is not None:
        return []
    activate = Path(sys.prefix) / "bin" / "activate"
    if not activate.exists():
        return []
    try:
        shown = activate.relative_to(Path.cwd())
    except ValueError:
        shown = activate
    return ["", f"to have `lab` on your path: . {shown}    (or: make install)"]
