"""Builds what is released: the wheel, and a template with its assets that needs only the AWS CLI."""
