"""Pipelined RETR against lock-step: seconds for a maildrop from Dovecot, by round trip time.

    python -m bench.pop3_window [--messages 500] [--octets 4000] [--rtt 0 20 100]

Prints one line a measurement; asserts nothing. The line has latency, not a limited rate.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import tempfile
import time
from pathlib import Path

from bridge.model import Endpoint, Secret, Security
from bridge.pop3.client import Pop3Session
from tests.support.delay_proxy import DelayProxy
from tests.support.dovecot import Dovecot


class _HashingSink:
    """Takes octets as the daemon's does, and keeps none."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def write(self, data: bytes, /) -> None:
        self.hash.update(data)

    def finish(self) -> bytes:
        return self.hash.digest()

    def close(self) -> None:
        pass


async def measure(dovecot: Dovecot, rtt: float, pipelining: bool) -> tuple[float, float, int]:
    """Seconds until the listing is there, seconds for all messages, octets."""
    async with DelayProxy(dovecot.host, dovecot.pop3s_port, rtt / 2) as line:
        port = line.port if rtt else dovecot.pop3s_port
        endpoint = Endpoint(dovecot.host, port, Security.TLS, dovecot.username, str(dovecot.ca_pem))
        started = time.perf_counter()
        session = await Pop3Session.open(
            endpoint, Secret(dovecot.password), new_sink=_HashingSink, pipelining=pipelining
        )
        items = await session.listing()
        listed = time.perf_counter()
        octets = 0
        async with contextlib.aclosing(session.retrieve(items)) as incoming:
            async for retrieved in incoming:
                octets += retrieved.size
        done = time.perf_counter()
        await session.quit()
    return listed - started, done - listed, octets


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--octets", type=int, default=4000)
    parser.add_argument("--rtt", type=float, nargs="*", default=[0, 20, 100], help="milliseconds")
    options = parser.parse_args()
    text = b"x" * 70 + b"\r\n"
    body = text * (options.octets // len(text))
    with tempfile.TemporaryDirectory() as folder, Dovecot(Path(folder)) as dovecot:
        dovecot.deliver(b"Subject: %d\r\n\r\n" % n + body for n in range(options.messages))
        asyncio.run(measure(dovecot, 0, True))  # Dovecot's indexes are made
        for rtt in options.rtt:
            for pipelining in (True, False):
                login, seconds, octets = asyncio.run(measure(dovecot, rtt / 1000, pipelining))
                way = "pipelined" if pipelining else "lock-step"
                print(
                    f"RTT {rtt:5.0f} ms  {way}  login and listing {login:6.2f} s  "
                    f"{options.messages} messages {seconds:7.2f} s  "
                    f"{options.messages / seconds:7.0f}/s  {octets / seconds / 1e6:6.1f} MB/s"
                )


if __name__ == "__main__":
    main()
