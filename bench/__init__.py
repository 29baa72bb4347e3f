"""The measurements of `make bench`: ratios to references that are measured in the same run."""
