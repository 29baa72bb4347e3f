#!/usr/bin/env python3
"""The CDK app, as cdk.json starts it."""

from infra.app import main

main()
