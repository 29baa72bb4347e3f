"""Segments: the learned models, statistics of the rows, and what they say in words."""
