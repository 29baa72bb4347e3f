"""Censuses that follow one another: what belongs together, what is comparable, and what changed."""
