"""Call traces: the functions that a server ran for each request, under their packets.

`model` is the one format, whatever server wrote it. Pure: `function_graph` and `notify_server` read
what ksmbd's kernel and py write, `attribution` finds the packet that each tree belongs to,
`folding` shortens trees, `text` shows them. At the rim: `ksmbd`, `py` and `smbd` switch a server's
tracing on and off, `recording` traces a column of a run.
"""
