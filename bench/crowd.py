"""Many devices that wait: signed in, INBOX selected, in IDLE. They live in processes of their own,
so that the memory and the time of the server are read alone.

    with Crowd(server, 5000) as crowd:                 # returns when all are in IDLE
        seconds = crowd.push([append, append])          # of each device until it was told EXISTS

Rules: every 90 devices have an address of loopback to themselves, for a server that counts
connections by address; users take turns; arrivals are on the monotonic clock of the machine, which
all processes share.
"""

from __future__ import annotations

import contextlib
import json
import resource
import selectors
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from bench.imap.servers import PASSWORD, Server

FROM_ONE_ADDRESS = 90
PROCESSES = 2
STOP_SECONDS = 30.0  # that all may take to hear of a message


def raise_open_files() -> None:
    """As many open files as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Crowd:
    """See the module. `tls` False: in clear."""

    def __init__(self, server: Server, devices: int, *, tls: bool = True) -> None:
        self._server, self._devices, self._tls = server, devices, tls
        self._parts: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        port = self._server.tls_port if self._tls else self._server.port
        for part in range(PROCESSES):
            facts = {
                "port": port,
                "tls": self._tls,
                "users": self._server.users,
                "numbers": list(range(part, self._devices, PROCESSES)),
            }
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.crowd", json.dumps(facts)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._parts.append(process)
        try:
            self._hear()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._parts:
            process.kill()
            process.communicate()

    def push(self, send: Callable[[], object]) -> list[float]:
        """Calls `send`, which must bring one new message to each device; rising seconds from the
        call until each was told. Raises ConnectionError where one was not."""
        for process in self._parts:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        self._hear()  # all listen
        start = time.monotonic()
        send()
        return sorted(each - start for told in self._hear() for each in told)

    def _hear(self) -> list[list[float]]:
        """What each process says next."""
        said = []
        for process in self._parts:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise ConnectionError("a part of the crowd went away")
            said.append(list(json.loads(line)))
        return said


class Part:
    """The devices of one process."""

    def __init__(self, port: int, users: Sequence[str], numbers: Sequence[int], tls: bool) -> None:
        raise_open_files()
        self._context = ssl.create_default_context()
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        self.devices = [
            self._device(port, users[number % len(users)], number, tls) for number in numbers
        ]

    def _device(self, port: int, user: str, number: int, tls: bool) -> socket.socket:
        low = 1 + number // FROM_ONE_ADDRESS
        source = f"127.0.{1 + low // 250}.{1 + low % 250}"
        line = socket.create_connection(("127.0.0.1", port), 60, (source, 0))
        if tls:
            line = self._context.wrap_socket(line)
        for command, end in (
            (b"", b"\r\n"),
            (f'l LOGIN "{user}" "{PASSWORD}"\r\n'.encode(), b"\r\nl OK"),
            (b"s SELECT INBOX\r\n", b"\r\ns OK"),
            (b"i IDLE\r\n", b"\r\n+ "),
        ):
            line.sendall(command)
            answer = b"\r\n"
            while end not in answer:
                if not (octets := line.recv(65536)):
                    raise ConnectionError(f"the server hung up after {answer!r}")
                answer += octets
        line.setblocking(False)
        return line

    def told(self) -> list[float]:
        """When each device was told of one more message."""
        with selectors.DefaultSelector() as selector:
            for device in self.devices:
                selector.register(device, selectors.EVENT_READ, device)
            print("[]", flush=True)
            arrived: list[float] = []
            until = time.monotonic() + STOP_SECONDS
            while len(arrived) < len(self.devices) and time.monotonic() < until:
                for key, _ in selector.select(1):
                    if b" EXISTS\r\n" in _available(key.data):
                        arrived.append(time.monotonic())
                        selector.unregister(key.fileobj)
            if len(arrived) < len(self.devices):
                raise ConnectionError(f"{len(self.devices) - len(arrived)} devices heard nothing")
            return arrived


def _available(device: socket.socket) -> bytes:
    """All that has come."""
    octets = b""
    with contextlib.suppress(ssl.SSLWantReadError, BlockingIOError):
        while piece := device.recv(65536):
            octets += piece
        raise ConnectionError("the server hung up on an idle device")
    return octets


def main() -> None:
    facts = json.loads(sys.argv[1])
    part = Part(facts["port"], facts["users"], facts["numbers"], facts["tls"])
    print("[]", flush=True)
    for _ in sys.stdin:
        print(json.dumps(part.told()), flush=True)


if __name__ == "__main__":
    main()
