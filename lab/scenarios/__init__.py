"""Scenarios: recorded as data (`model`), listed (`catalogue`), run embedded (`embedded`)."""
