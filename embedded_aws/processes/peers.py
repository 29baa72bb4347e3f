"""Finds out which user's process is at the other end of a local TCP connection."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

_CONNECTIONS = Path("/proc/net/tcp")
_LOCAL, _REMOTE, _USER = 1, 2, 7  # columns, from 0 (https://docs.kernel.org/networking/proc_net_tcp.html)


def is_of_this_user(connection: socket.socket) -> bool:
    """Return whether a connection over IPv4's loopback interface comes from a process of this process's user.

    Only Linux has the list of connections that this reads; on other systems, every process is accepted.
    """
    if not _CONNECTIONS.exists():
        return True
    ends = (_hexadecimal(connection.getpeername()), _hexadecimal(connection.getsockname()))
    for line in _CONNECTIONS.read_text().splitlines()[1:]:
        columns = line.split()
        if (columns[_LOCAL], columns[_REMOTE]) == ends:
            return int(columns[_USER]) == os.getuid()
    return False


def _hexadecimal(address: tuple[str, int]) -> str:
    """Return an address as the kernel lists it: the IPv4 address as a number in the machine's byte order."""
    host, port = address
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    return f"{number:08X}:{port:04X}"
