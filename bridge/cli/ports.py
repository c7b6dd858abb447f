"""Whether a port of this machine can be had, for commands that choose or examine one."""

from __future__ import annotations

import contextlib
import errno
import socket

_NEXT = 20  # ports that are tried behind the wanted one


def free(host: str, port: int) -> int:
    """This port, or the next one that nobody has; the wanted one where all are taken."""
    return next((each for each in range(port, port + _NEXT) if not why_not(host, each)), port)


def why_not(host: str, port: int) -> str:
    """Why nobody can listen there now, in the words of the system; "" where one can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            # SO_REUSEADDR lets two bind, but one alone listen.
            probe.listen()
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, "") or str(error)
    return ""
