"""`lab watch`: live, decoded notifications from any SMB2 server.

`watcher` is the loop, over `lab.client`'s connection; around it pure parts: `address`, `filters`,
`backoff`, `refusals`, `lines` (what is printed) and `ladder` (the PDUs underneath).
"""
