"""The command line, which runs the stack in the embedded AWS."""
