"""Enumerations of [MS-FSCC]; member names verbatim from the document."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class NotifyAction(IntEnum):
    """Action of FILE_NOTIFY_INFORMATION ([MS-FSCC] 2.7.1)."""

    FILE_ACTION_ADDED = 0x00000001
    FILE_ACTION_REMOVED = 0x00000002
    FILE_ACTION_MODIFIED = 0x00000003
    FILE_ACTION_RENAMED_OLD_NAME = 0x00000004
    FILE_ACTION_RENAMED_NEW_NAME = 0x00000005
    FILE_ACTION_ADDED_STREAM = 0x00000006
    FILE_ACTION_REMOVED_STREAM = 0x00000007
    FILE_ACTION_MODIFIED_STREAM = 0x00000008


class FileAttributes(IntFlag):
    """FileAttributes ([MS-FSCC] 2.6)."""

    FILE_ATTRIBUTE_READONLY = 0x00000001
    FILE_ATTRIBUTE_HIDDEN = 0x00000002
    FILE_ATTRIBUTE_SYSTEM = 0x00000004
    FILE_ATTRIBUTE_DIRECTORY = 0x00000010
    FILE_ATTRIBUTE_ARCHIVE = 0x00000020
    FILE_ATTRIBUTE_NORMAL = 0x00000080
    FILE_ATTRIBUTE_TEMPORARY = 0x00000100
    FILE_ATTRIBUTE_SPARSE_FILE = 0x00000200
    FILE_ATTRIBUTE_REPARSE_POINT = 0x00000400
    FILE_ATTRIBUTE_COMPRESSED = 0x00000800
    FILE_ATTRIBUTE_OFFLINE = 0x00001000
    FILE_ATTRIBUTE_NOT_CONTENT_INDEXED = 0x00002000
    FILE_ATTRIBUTE_ENCRYPTED = 0x00004000


class FileInformationClass(IntEnum):
    """FileInformationClass ([MS-FSCC] 2.4)."""

    FileDirectoryInformation = 1
    FileFullDirectoryInformation = 2
    FileBothDirectoryInformation = 3
    FileBasicInformation = 4
    FileStandardInformation = 5
    FileInternalInformation = 6
    FileEaInformation = 7
    FileAccessInformation = 8
    FileNameInformation = 9
    FileRenameInformation = 10
    FileLinkInformation = 11
    FileNamesInformation = 12
    FileDispositionInformation = 13
    FilePositionInformation = 14
    FileFullEaInformation = 15
    FileModeInformation = 16
    FileAlignmentInformation = 17
    FileAllInformation = 18
    FileAllocationInformation = 19
    FileEndOfFileInformation = 20
    FileAlternateNameInformation = 21
    FileStreamInformation = 22
    FilePipeInformation = 23
    FileCompressionInformation = 28
    FileNetworkOpenInformation = 34
    FileAttributeTagInformation = 35
    FileIdBothDirectoryInformation = 37
    FileIdFullDirectoryInformation = 38
    FileValidDataLengthInformation = 39
    FileShortNameInformation = 40
    FileNormalizedNameInformation = 48
    FileIdInformation = 59
    FileIdExtdDirectoryInformation = 60
    FileDispositionInformationEx = 64
    FileRenameInformationEx = 65


class FsInformationClass(IntEnum):
    """FsInformationClass ([MS-FSCC] 2.5)."""

    FileFsVolumeInformation = 1
    FileFsLabelInformation = 2
    FileFsSizeInformation = 3
    FileFsDeviceInformation = 4
    FileFsAttributeInformation = 5
    FileFsControlInformation = 6
    FileFsFullSizeInformation = 7
    FileFsObjectIdInformation = 8
    FileFsSectorSizeInformation = 11


class FileSystemAttributes(IntFlag):
    """FileSystemAttributes of FileFsAttributeInformation ([MS-FSCC] 2.5.1)."""

    FILE_CASE_SENSITIVE_SEARCH = 0x00000001
    FILE_CASE_PRESERVED_NAMES = 0x00000002
    FILE_UNICODE_ON_DISK = 0x00000004
    FILE_PERSISTENT_ACLS = 0x00000008
    FILE_SUPPORTS_SPARSE_FILES = 0x00000040
    FILE_NAMED_STREAMS = 0x00040000
    FILE_SUPPORTS_HARD_LINKS = 0x00400000
    FILE_SUPPORTS_EXTENDED_ATTRIBUTES = 0x00800000


class DispositionFlags(IntFlag):
    """Flags of FileDispositionInformationEx ([MS-FSCC] 2.4.12)."""

    FILE_DISPOSITION_DO_NOT_DELETE = 0x00000000
    FILE_DISPOSITION_DELETE = 0x00000001
    FILE_DISPOSITION_POSIX_SEMANTICS = 0x00000002
    FILE_DISPOSITION_FORCE_IMAGE_SECTION_CHECK = 0x00000004
    FILE_DISPOSITION_ON_CLOSE = 0x00000008
    FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE = 0x00000010


class EaFlags(IntFlag):
    """Flags of one FILE_FULL_EA_INFORMATION ([MS-FSCC] 2.4.16)."""

    FILE_NEED_EA = 0x80
