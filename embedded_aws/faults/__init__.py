"""Faults to inject into the embedded AWS: their specification, and how each kind takes effect."""
