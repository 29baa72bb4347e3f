"""The processes of functions, training jobs and endpoints, forked from one process that has loaded their libraries."""
