"""Headless Chromium that connects to nothing: an installed one, or the one that npm installs for the tests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from playwright.sync_api import Browser, sync_playwright

from tests.reference import PROJECT

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@cache
def executable() -> str | None:
    """Return the path of Chromium, or None: what CHROMIUM names, an installed one, or npm's, which it unpacks."""
    installed = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if installed or not (PROJECT / "node_modules" / "@sparticuz" / "chromium").is_dir():
        return installed
    code = 'import("@sparticuz/chromium").then(async found => console.log(await found.default.executablePath()))'
    unpacked = subprocess.run(["node", "-e", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    return unpacked.stdout.strip()


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium, with a new empty profile, and stop it in the end."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        try:
            yield started
        finally:
            started.close()
