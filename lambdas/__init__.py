"""Lambda handlers, one per file."""
