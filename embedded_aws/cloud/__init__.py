"""The running embedded AWS: start it, find it again, deploy a template into it, stop it."""
