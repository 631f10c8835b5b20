"""Samba's own test suite as rows of the matrix: smbtorture, one subtest a process.

`listing` knows the names, `output` reads what smbtorture printed (both pure); `process` runs one
subtest in the client's container, `run` all of them against all columns; `on_lab` makes the columns
of the lab's servers. `deviations/<server>.toml` says what a server is known to fail, and why.
"""
