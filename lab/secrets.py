"""The lab's secrets: its two users' passwords and the key to the guest, generated once per lab.

They lie under `.lab/secrets/` (0700, files 0600), are bind-mounted where a server needs them, and
are never in an image, a rendered file, a log or an argument.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

from lab.errors import LabFailed
from lab.state import write_atomically

PASSWORD_BYTES = 18  # 24 characters of URL-safe base64: 144 bits, nothing a shell or smb.conf minds


@dataclass(frozen=True)
class Secrets:
    """Where the secrets lie."""

    folder: Path

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    @property
    def second_password_file(self) -> Path:
        return self.folder / "password2"

    @property
    def identity(self) -> Path:
        """The private key (OpenSSH format) that the guest's root account accepts."""
        return self.folder / "id_ed25519"

    @property
    def authorized_key(self) -> Path:
        return self.folder / "id_ed25519.pub"

    def password(self) -> str:
        """Return the password of the share's user."""
        return _read(self.password_file)

    def second_password(self) -> str:
        """Return the password of the second, unprivileged user."""
        return _read(self.second_password_file)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise LabFailed(f"{file} does not exist: the lab was never up", "lab up") from None


def ensure(folder: Path) -> Secrets:
    """Make the secrets that are missing; tighten modes that are too wide. Existing ones stay."""
    secrets = Secrets(folder)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for file in (secrets.password_file, secrets.second_password_file):
        if not _present(file):
            write_atomically(file, token_urlsafe(PASSWORD_BYTES).encode(), 0o600)
    if not (_present(secrets.identity) and _present(secrets.authorized_key)):
        private, public = _new_key()
        write_atomically(secrets.identity, private, 0o600)
        write_atomically(secrets.authorized_key, public, 0o600)
    return secrets


def _present(file: Path) -> bool:
    """Tell whether `file` has content; if so, make it ours alone."""
    try:
        if file.stat().st_size == 0:
            return False
    except FileNotFoundError:
        return False
    os.chmod(file, 0o600)
    return True


def _new_key() -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return private, public + b" notify-lab\n"
