"""What `make bench` measures: ratios against references named in the same run."""
