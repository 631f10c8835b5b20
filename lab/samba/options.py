"""How smbd is configured and compiled for the lab."""

from __future__ import annotations

# Where Debian's smbd has its files: both use the same passwords, sockets and smb.conf.
PLACES = (
    "--prefix=/usr",
    "--enable-fhs",
    "--sysconfdir=/etc",
    "--localstatedir=/var",
    "--libexecdir=/usr/libexec",
    "--with-privatedir=/var/lib/samba/private",
    "--with-smbpasswd-file=/etc/samba/smbpasswd",
    "--with-piddir=/run/samba",
    "--with-lockdir=/run/samba",
    "--with-socketpath=/run/samba",
)
# A file server alone: four minutes on two cores instead of twenty.
PARTS = (
    "--without-ad-dc",
    "--disable-python",
    "--without-winbind",
    "--without-ads",
    "--without-ldap",
    "--without-pam",
    "--without-systemd",
    "--without-gettext",
    "--disable-cups",
    "--disable-avahi",
    "--disable-spotlight",
    "--without-quotas",
    # smb.conf's vfs objects: a static module needs no path.
    "--with-static-modules=vfs_streams_xattr,vfs_acl_xattr",
)
# log_stack_trace(), symbols
DEBUGGING = ("--enable-debug", "--with-libunwind")

CONFIGURE = (*PLACES, *PARTS, *DEBUGGING)

# Every function stays one that a debugger sees: nothing inlined, no call that became a jump.
FLAGS = "-g -O1 -fno-inline -fno-omit-frame-pointer -fno-optimize-sibling-calls"
