"""Faults to inject into the embedded AWS: what can be specified, and how each kind takes effect."""
