"""W12: how many devices can sign in at once?"""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Iterator
from time import perf_counter

from bench.imap.servers import PASSWORD, Server
from bench.imap.workload import FAST, Row, Sizes, Workload

FROM_ONE_ADDRESS = 90


def measure(server: Server, sizes: Sizes) -> Iterator[tuple[str, float]]:
    taken = _together(server, max(sizes.devices))
    yield "a login, of many at once", taken * 1e3
    yield "the same, beside fast login", taken * 1e3


def _together(server: Server, devices: int) -> float:
    """Seconds for each of `devices` logins that start at the same moment."""
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        start = perf_counter()
        for number in range(devices):
            connection = stack.enter_context(socket.socket())
            connection.bind((f"127.0.0.{1 + number // FROM_ONE_ADDRESS}", 0))
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", server.port))
            user = server.users[number % len(server.users)]
            selector.register(connection, selectors.EVENT_READ, user)
        left = devices
        greeted: set[object] = set()
        while left:
            for key, _ in selector.select(60):
                device = key.fileobj
                assert isinstance(device, socket.socket)
                answer = device.recv(65536)
                if device not in greeted:
                    greeted.add(device)
                    device.send(f'l LOGIN "{key.data}" "{PASSWORD}"\r\n'.encode())
                elif b"l OK" in answer:
                    left -= 1
                elif not answer or b"l NO" in answer:
                    raise ConnectionError(f"a login was refused: {answer!r}")
        return (perf_counter() - start) / devices


WORKLOAD = Workload(
    "W12",
    (
        Row("a login, of many at once", most=1.0),
        Row("the same, beside fast login", ratio=1.0, against=FAST),
    ),
    measure,
)
