"""Creates the certificate authority and the certificate of the embedded AWS.

Every AWS client accepts a CA bundle (``AWS_CA_BUNDLE``), so TLS is on. Bucket policies that require TLS and the signing
of payloads therefore behave as on AWS.
"""

from __future__ import annotations

import os
from pathlib import Path

import trustme

CA, CERTIFICATE, KEY = "ca.pem", "gateway.pem", "gateway.key"
# The wildcards serve virtual-hosted S3 (bucket.localhost, bucket.s3.localhost).
_NAMES = ("localhost", "*.localhost", "*.s3.localhost", "127.0.0.1")


def write_certificates(directory: Path) -> Path:
    """Write a new certificate authority, certificate and key into ``directory``; return the authority's path."""
    authority = trustme.CA(organization_name="Embedded AWS")
    issued = authority.issue_cert(*_NAMES, common_name="localhost")
    write_private(directory / KEY, issued.private_key_pem.bytes())
    (directory / CERTIFICATE).write_bytes(issued.cert_chain_pems[0].bytes())
    authority.cert_pem.write_to_path(str(directory / CA))
    return directory / CA


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whatever mode an existing file has."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.truncate()
        file.write(content)
