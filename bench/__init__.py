"""Measurements behind the figures in README: `make bench`. Not part of the installed package."""
