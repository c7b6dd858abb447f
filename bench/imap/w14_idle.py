"""W14: how much memory does a device cost that only waits?"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

from bench.imap.servers import PASSWORD, Server
from bench.imap.workload import OURS, Row, Sizes, Workload

FROM_ONE_ADDRESS = 90
FEW = 20  # of a server that has a process for each


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    devices = sizes.idle if server.name == OURS else FEW
    yield "an idle device", _cost(server, devices, tls=False)
    if server.tls_port:
        yield "an idle device, TLS", _cost(server, devices, tls=True)


def _cost(server: Server, devices: int, *, tls: bool) -> float:
    """kB for each of so many devices."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.ExitStack() as stack:
        server.client().socket.close()
        before = server.memory()
        for number in range(devices):
            place = ("127.0.0.1", server.tls_port if tls else server.port)
            source = (f"127.0.0.{1 + number // FROM_ONE_ADDRESS}", 0)
            line = stack.enter_context(socket.create_connection(place, 60, source))
            if tls:
                line = stack.enter_context(context.wrap_socket(line))
            user = server.users[number % len(server.users)]
            for command, end in (
                (b"", b"\r\n"),
                (f'l LOGIN "{user}" "{PASSWORD}"\r\n'.encode(), b"l OK"),
                (b"s SELECT INBOX\r\n", b"s OK"),
                (b"i IDLE\r\n", b"+ "),
            ):
                line.sendall(command)
                answer = b""
                while end not in answer:
                    if not (octets := line.recv(65536)):
                        raise ConnectionError(f"the server hung up after {answer!r}")
                    answer += octets
        return (server.memory() - before) / devices / 1000


WORKLOAD = Workload(
    "W14",
    (
        Row("an idle device", most=20, unit="kB"),
        Row("an idle device, TLS", most=90, unit="kB"),
    ),
    measure,
)
