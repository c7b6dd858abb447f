"""Servers that want their connection as standard input and output: one process a connection.

    python -m tests.support.inetd FD PROGRAM [ARGUMENT ...]

FD is a listening socket that was inherited. Ends when it is told to, and takes its children along.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence


def serve(listener: socket.socket, command: Sequence[str]) -> None:
    """Until SIGTERM."""
    children: list[subprocess.Popen[bytes]] = []
    try:
        while True:
            connection, _ = listener.accept()
            with connection:
                ends = connection.fileno()
                children.append(subprocess.Popen(command, stdin=ends, stdout=ends))
            children = [child for child in children if child.poll() is None]
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            child.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
