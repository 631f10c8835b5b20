"""OSError → NTSTATUS, in one table."""

from __future__ import annotations

import errno

from notify_server.wire.status import NtStatus, StatusError

STATUS_OF_ERRNO: dict[int, NtStatus] = {
    errno.ENOENT: NtStatus.STATUS_OBJECT_NAME_NOT_FOUND,
    errno.ENODATA: NtStatus.STATUS_OBJECT_NAME_NOT_FOUND,  # a stream
    errno.ENOTDIR: NtStatus.STATUS_OBJECT_PATH_NOT_FOUND,
    errno.EEXIST: NtStatus.STATUS_OBJECT_NAME_COLLISION,
    errno.EACCES: NtStatus.STATUS_ACCESS_DENIED,
    errno.EPERM: NtStatus.STATUS_ACCESS_DENIED,
    errno.EISDIR: NtStatus.STATUS_FILE_IS_A_DIRECTORY,
    errno.ENOTEMPTY: NtStatus.STATUS_DIRECTORY_NOT_EMPTY,
    errno.ENAMETOOLONG: NtStatus.STATUS_OBJECT_NAME_INVALID,
    errno.EINVAL: NtStatus.STATUS_INVALID_PARAMETER,
    errno.ENOSPC: NtStatus.STATUS_DISK_FULL,
    errno.EDQUOT: NtStatus.STATUS_DISK_FULL,
    errno.EFBIG: NtStatus.STATUS_DISK_FULL,
    errno.EROFS: NtStatus.STATUS_MEDIA_WRITE_PROTECTED,
    errno.EXDEV: NtStatus.STATUS_NOT_SAME_DEVICE,
    errno.EMFILE: NtStatus.STATUS_TOO_MANY_OPENED_FILES,
    errno.ENFILE: NtStatus.STATUS_TOO_MANY_OPENED_FILES,
    errno.ENOMEM: NtStatus.STATUS_INSUFFICIENT_RESOURCES,
    errno.EMLINK: NtStatus.STATUS_INSUFFICIENT_RESOURCES,
    errno.EOPNOTSUPP: NtStatus.STATUS_NOT_SUPPORTED,
    errno.ENOSYS: NtStatus.STATUS_NOT_SUPPORTED,
    errno.ETXTBSY: NtStatus.STATUS_SHARING_VIOLATION,
    errno.EBUSY: NtStatus.STATUS_SHARING_VIOLATION,
    # Too many symbolic links, or one that leads out of the share: there is no such path here.
    errno.ELOOP: NtStatus.STATUS_OBJECT_PATH_NOT_FOUND,
    errno.EIO: NtStatus.STATUS_UNEXPECTED_IO_ERROR,
    errno.ESTALE: NtStatus.STATUS_FILE_CLOSED,
}


def status_error(error: OSError) -> StatusError:
    """The StatusError that stands for an OSError."""
    return StatusError(STATUS_OF_ERRNO.get(error.errno or 0, NtStatus.STATUS_UNSUCCESSFUL))
