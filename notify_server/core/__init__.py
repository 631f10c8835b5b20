"""The protocol, sans I/O: bytes and the time go in, bytes and jobs come out.

Read `connection` first (from bytes to requests), then `dispatch` (the table of commands).
"""
