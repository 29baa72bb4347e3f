"""What is deployed: the stack, one construct a file."""
