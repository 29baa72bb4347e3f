"""What the stack, the handlers, the work and the command line must agree on; it imports nothing of ours."""
