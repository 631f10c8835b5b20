"""Judging what was observed, and running the matrix of scenarios and servers.

`verdict` holds the values, `checks` and `wire` the predicates, `judge` puts them together (all
pure); `deviations` knows what a server is known to do differently; `run` does the work, `render`
shows it.
"""
