"""TREE_CONNECT and TREE_DISCONNECT (3.3.5.7, 3.3.5.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notify_server.core.model import Tree
from notify_server.core.outcome import Outcome, Reply
from notify_server.wire.constants import ShareFlags, ShareType
from notify_server.wire.session import (
    EMPTY_RESPONSE,
    TreeConnectRequest,
    check_empty,
    pack_tree_connect_response,
)
from notify_server.wire.status import NtStatus, StatusError

if TYPE_CHECKING:
    from notify_server.core.request import Request


def tree_connect(request: Request) -> Outcome:
    r"""Connect to the share that ``\\server\share`` ends with; the server's name is not checked."""
    session = request.valid_session
    config = request.connection.server.config
    body = TreeConnectRequest.parse(request.message)
    server, _, name = body.path.removeprefix("\\\\").partition("\\")
    share = config.share(name)
    if not server or share is None:
        raise StatusError(NtStatus.STATUS_BAD_NETWORK_NAME)
    if share.store is not None and session.identity is not None and session.identity.anonymous:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    if share.encrypt and request.connection.cipher is None:
        raise StatusError(NtStatus.STATUS_ACCESS_DENIED)
    if len(session.trees) >= config.bounds.trees:
        raise StatusError(NtStatus.STATUS_INSUFFICIENT_RESOURCES)
    tree = Tree(session.next_tree_id, session, share)
    session.next_tree_id += 1
    session.trees[tree.tree_id] = tree
    request.tree = tree
    request.chain.tree_id = tree.tree_id
    is_disk = share.store is not None
    flags = ShareFlags.SMB2_SHAREFLAG_MANUAL_CACHING
    if not is_disk:
        flags = ShareFlags.SMB2_SHAREFLAG_NO_CACHING
    elif share.encrypt:
        flags |= ShareFlags.SMB2_SHAREFLAG_ENCRYPT_DATA
    kind = ShareType.SMB2_SHARE_TYPE_DISK if is_disk else ShareType.SMB2_SHARE_TYPE_PIPE
    return Reply(pack_tree_connect_response(kind, flags, 0, share.maximal_access))


def tree_disconnect(request: Request) -> Outcome:
    """Close what is open on the tree, which ends its notifies with CLEANUP."""
    check_empty(request.message)
    tree = request.valid_tree
    session = request.valid_session
    request.connection.stop_waiting(session, tree, request.now)
    for opened in [item for item in session.opens.values() if item.tree is tree]:
        request.connection.server.close_open(opened, request.now)
    session.trees.pop(tree.tree_id, None)
    return Reply(EMPTY_RESPONSE)
