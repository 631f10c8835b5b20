"""The gate for a patch series: base against candidate, side by side, several times.

`sides` says what is compared, `commits` gets it out of a git tree, `judge` decides (pure),
`verdict` writes it down for a mailing list, `run` builds the modules and runs the scenarios.
"""
