"""The five call trees of the notes that the lab began with, as they were drawn by hand.

Indentation is the call depth. Lines in comments there (what is saved, what is replied) are left
out. `change_notify_reply` under `smbd_smb2_notify_send` is called only if something is buffered.
"""

CREATE = """
smbd_smb2_request_dispatch
  smbd_smb2_request_process_create
    smbd_smb2_create_send
      smbd_smb2_create_finish
"""
NOTIFY = """
smbd_smb2_request_dispatch
  smbd_smb2_request_process_notify
    file_fsp_smb2
    smbd_smb2_notify_send
      change_notify_create
      change_notify_fsp_has_changes
      change_notify_add_request
    smbd_smb2_request_pending_queue
"""
NOTIFY_AT_ONCE = """
smbd_smb2_request_dispatch
  smbd_smb2_request_process_notify
    file_fsp_smb2
    smbd_smb2_notify_send
      change_notify_fsp_has_changes
      change_notify_reply
    smbd_smb2_request_pending_queue
"""
PENDING_TIMER = """
smbd_smb2_request_pending_timer
"""
CANCEL = """
smbd_smb2_request_dispatch
  smbd_smb2_request_process_cancel
    _tevent_req_cancel
      smbd_smb2_notify_cancel
        smbd_notify_cancel_by_smbreq
          smbd_notify_cancel_by_map
            change_notify_reply
"""
RESPONSE = """
messaging_dispatch_classic
  notify_handler
    notify_callback
      files_forall
        notify_fsp_cb
          notify_fsp
            change_notify_reply
"""


def drawn(text: str) -> list[tuple[int, str]]:
    """(depth, function) of each line."""
    lines = [line for line in text.splitlines() if line.strip()]
    return [((len(line) - len(line.lstrip())) // 2, line.strip()) for line in lines]


def missing(text: str, calls: list[tuple[int, str]]) -> str:
    """The first function drawn that `calls` do not have in that order and nesting; "" if all are.

    Between two drawn functions others may stand, and a drawn caller may call by way of others.
    """
    path: list[tuple[int, int]] = []  # (depth as drawn, depth as called) of the callers
    place = 0
    for depth, name in drawn(text):
        while path and path[-1][0] >= depth:
            path.pop()
        caller = path[-1][1] if path else -1
        while place < len(calls):
            found_depth, found = calls[place]
            if path and found_depth <= caller:
                return f"{name} (not within its caller)"
            place += 1
            if found == name:
                path.append((depth, found_depth))
                break
        else:
            return name
    return ""
