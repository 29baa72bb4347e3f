"""Commands that maintain the project."""
