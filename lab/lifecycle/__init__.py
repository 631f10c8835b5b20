"""Bringing a lab up and taking it down."""
