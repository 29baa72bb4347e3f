"""Read a census CSV, judge it, clean and scale it, and write it as shards."""
