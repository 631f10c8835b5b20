"""Acting on a node: run a command on it, put a file there, read its log.

`model` says what a node can do; `container` does it through the engine, `ssh` in the ksmbd guest
(or on any other host); `registry` knows which is which.
"""
