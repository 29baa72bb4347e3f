"""Twins of the built-in algorithm containers."""
