"""CHANGE_NOTIFY itself, pure: what a change is, who is told, and how it is written down.

Read `table` first; it holds every rule of a watch. `change` says what a change is, `classes`
gives each operation its filter bits and actions, `records` puts records into bytes. Nothing here
opens a file, reads a clock or knows a socket.
"""
