"""Where the commands reach the daemon: a Unix socket in data_dir that only its owner can open.

Rules: mode 0600 from the moment it exists; a path longer than the kernel takes (107 octets) is
reached through its folder; a socket that a killed daemon left behind is replaced, which is safe
because the store's lock lets one daemon alone have the folder.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

NAME = "control.sock"
_LONGEST = 107  # octets in sockaddr_un of Linux, without the closing NUL
_umask = threading.Lock()  # the umask belongs to the process


def listening(path: Path) -> socket.socket:
    """A socket that listens at `path`. Raises OSError."""
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _umask, _reachable(path) as name:
            before = os.umask(0o177)
            try:
                server.bind(name)
            finally:
                os.umask(before)
        server.listen()
        server.setblocking(False)
    except BaseException:
        server.close()
        raise
    return server


def connected(path: Path, timeout: float | None) -> socket.socket:
    """A socket that is connected to the daemon at `path`. Raises OSError: FileNotFoundError or
    ConnectionRefusedError when no daemon runs there."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(timeout)
    try:
        with _reachable(path) as name:
            client.connect(name)
    except BaseException:
        client.close()
        raise
    return client


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """A name for `path` that the kernel takes: itself, or one by way of its open folder."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
