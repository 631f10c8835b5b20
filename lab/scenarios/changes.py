"""Recording a scenario: changes made over SMB, each a few requests on a handle of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.scenarios.fields import (
    DACL_SECURITY_INFORMATION,
    DELETE,
    FILE_BASIC_INFORMATION,
    FILE_CREATE,
    FILE_DELETE_ON_CLOSE,
    FILE_DIRECTORY_FILE,
    FILE_DISPOSITION_INFORMATION,
    FILE_END_OF_FILE_INFORMATION,
    FILE_FULL_EA_INFORMATION,
    FILE_LINK_INFORMATION,
    FILE_NON_DIRECTORY_FILE,
    FILE_OVERWRITE,
    FILE_READ_ATTRIBUTES,
    FILE_RENAME_INFORMATION,
    FILE_WRITE_ATTRIBUTES,
    FILE_WRITE_DATA,
    FILE_WRITE_EA,
    FULL_ACCESS,
    GENERIC_READ,
    INFO_SECURITY,
    SYNCHRONIZE,
    WRITE_DAC,
)

if TYPE_CHECKING:
    from lab.scenarios.connection import Open


class Changes:
    """What a connection can do to the share. Every request of it has to succeed."""

    def opened(self, note: str, path: str, **create: Any) -> Open:
        raise NotImplementedError

    def create_file(self, path: str) -> None:
        self.opened(
            f"create {path}",
            path,
            access=GENERIC_READ,
            disposition=FILE_CREATE,
            options=FILE_NON_DIRECTORY_FILE,
        ).close()

    def mkdir(self, path: str) -> None:
        self.opened(
            f"mkdir {path}",
            path,
            access=GENERIC_READ,
            disposition=FILE_CREATE,
            options=FILE_DIRECTORY_FILE,
        ).close()

    def delete(self, path: str) -> None:
        """Remove a file or an empty directory, by FILE_DELETE_ON_CLOSE."""
        self.opened(
            f"delete {path}",
            path,
            access=DELETE,
            options=FILE_DELETE_ON_CLOSE,
        ).close()

    def rename(self, old: str, new: str) -> None:
        opened = self.opened(
            f"rename {old} to {new}", old, access=DELETE | FILE_READ_ATTRIBUTES | SYNCHRONIZE
        )
        opened.set_info(FILE_RENAME_INFORMATION, target=new)
        opened.close()

    def link(self, old: str, new: str) -> None:
        opened = self.opened(
            f"hard-link {old} as {new}", old, access=GENERIC_READ | FILE_READ_ATTRIBUTES
        )
        opened.set_info(FILE_LINK_INFORMATION, target=new)
        opened.close()

    def set_basic(self, path: str, **fields: int) -> None:
        """FILE_BASIC_INFORMATION: `file_attributes`, or times in units of 100 ns."""
        opened = self.opened(
            f"set {', '.join(fields)} of {path}", path, access=FILE_WRITE_ATTRIBUTES | SYNCHRONIZE
        )
        opened.set_info(FILE_BASIC_INFORMATION, **fields)
        opened.close()

    def set_ea(self, path: str, value: str) -> None:
        opened = self.opened(
            f"set the extended attribute LAB of {path} to {value}", path, access=FILE_WRITE_EA
        )
        opened.set_info(FILE_FULL_EA_INFORMATION, ea_name="LAB", ea_value=value)
        opened.close()

    def set_dacl(self, path: str, access_mask: int = FULL_ACCESS) -> None:
        """A security descriptor that lets everyone do what `access_mask` says."""
        opened = self.opened(
            f"grant 0x{access_mask:x} of {path} to everyone", path, access=WRITE_DAC
        )
        opened.set_info(
            0,
            info_type=INFO_SECURITY,
            additional_information=DACL_SECURITY_INFORMATION,
            access_mask=access_mask,
        )
        opened.close()

    def write(self, path: str, *, length: int, offset: int = 0) -> None:
        opened = self.opened(
            f"write {length} bytes at {offset} of {path}", path, access=FILE_WRITE_DATA
        )
        opened.write(length, offset)
        opened.close()

    def truncate(self, path: str, size: int) -> None:
        opened = self.opened(f"set the size of {path} to {size}", path, access=FILE_WRITE_DATA)
        opened.set_info(FILE_END_OF_FILE_INFORMATION, end_of_file=size)
        opened.close()

    def overwrite(self, path: str) -> None:
        """CREATE of an existing file with FILE_OVERWRITE."""
        self.opened(
            f"overwrite {path}",
            path,
            access=FILE_WRITE_DATA,
            disposition=FILE_OVERWRITE,
            options=FILE_NON_DIRECTORY_FILE,
        ).close()

    def dispose(self, path: str) -> None:
        """Remove by FILE_DISPOSITION_INFORMATION."""
        opened = self.opened(f"set {path} delete-pending", path, access=DELETE)
        opened.set_info(FILE_DISPOSITION_INFORMATION, delete_pending=True)
        opened.close()
