"""Reimplementations ("twins") of the built-in algorithms."""
