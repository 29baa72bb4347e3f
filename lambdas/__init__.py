"""Thin handlers, one Lambda function a file."""
