"""Devices that work, in a process of their own: random walks of FETCH, STORE, SEARCH and APPEND.

    python -m bench.load.walkers PORT SESSIONS SECONDS SEED      (started by bench.load.busy)

Session N signs in as user N; what it appends has a Message-ID of its own. Prints JSON: the
milliseconds of each command by its name, and the Message-IDs that were acknowledged, by user. One
more session says NOOP every few milliseconds: an upper bound for how long the daemon's loop was
held up.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

from bench.imap.servers import PASSWORD

NOOP_EVERY = 0.005
THINKS = 0.5  # seconds between two commands of a session, on average
FIRST = 3  # messages that each has before it walks
SEARCHES = (b"UID SEARCH UNSEEN", b"UID SEARCH SUBJECT walk", b"UID SEARCH BODY hello")


class Walker:
    """One session."""

    def __init__(self, port: int, user: str, name: str, seed: str) -> None:
        self.user, self.name = user, name
        self.took: dict[str, list[float]] = {}
        self.appended: list[str] = []
        self._port = port
        self._chance = random.Random(seed)
        self._tag = 0

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(f"127.0.7.{1 + self._chance.randrange(250)}", 0)
        )
        await self._reader.readline()
        await self._say(f'LOGIN "{self.user}" "{PASSWORD}"'.encode())
        await self._say(b"SELECT INBOX")
        for _ in range(FIRST):
            await self.append()

    async def walk(self, until: float) -> None:
        while time.monotonic() < until:
            command = self._chance.choice(("FETCH", "FETCH", "STORE", "SEARCH", "APPEND"))
            start = time.monotonic()
            match command:
                case "FETCH":
                    await self._say(b"FETCH 1:20 (UID FLAGS ENVELOPE)")
                case "STORE":
                    sign, place = self._chance.choice("+-"), 1 + self._chance.randrange(FIRST)
                    await self._say(f"STORE {place} {sign}FLAGS (\\Seen)".encode())
                case "SEARCH":
                    await self._say(self._chance.choice(SEARCHES))
                case _:
                    await self.append()
            self.note(command, start)
            await asyncio.sleep(self._chance.expovariate(1 / THINKS))

    async def append(self) -> None:
        message = f"{self.name}.{len(self.appended)}@walk.example"
        text = f"Message-ID: <{message}>\r\nSubject: walk\r\n\r\nhello\r\n".encode()
        await self._say(b"APPEND INBOX {%d+}\r\n" % len(text) + text)
        self.appended.append(message)

    async def probe(self, until: float) -> None:
        while time.monotonic() < until:
            start = time.monotonic()
            await self._say(b"NOOP")
            self.note("NOOP", start)
            await asyncio.sleep(NOOP_EVERY)

    def note(self, command: str, start: float) -> None:
        self.took.setdefault(command, []).append((time.monotonic() - start) * 1e3)

    async def _say(self, octets: bytes) -> None:
        """Raises RuntimeError for what is not OK."""
        self._tag += 1
        tag = b"zq%d " % self._tag
        self._writer.write(tag + octets + b"\r\n")
        while not (line := await self._reader.readline()).startswith(tag):
            if not line:
                raise RuntimeError("the server hung up")
        if not line.startswith(tag + b"OK"):
            raise RuntimeError(line.decode())


async def run(port: int, sessions: int, seconds: float, seed: int) -> None:
    walkers = [Walker(port, f"user{n}", f"s{n}", f"{seed}/{n}") for n in range(sessions)]
    prober = Walker(port, "user0", "probe", "probe")
    for walker in (*walkers, prober):
        await walker.connect()
    print("ready", flush=True)
    sys.stdin.readline()
    until = time.monotonic() + seconds
    await asyncio.gather(prober.probe(until), *(each.walk(until) for each in walkers))
    took: dict[str, list[float]] = {}
    appended: dict[str, list[str]] = {}
    for walker in (*walkers, prober):
        appended.setdefault(walker.user, []).extend(walker.appended)
        for name, costs in walker.took.items():
            took.setdefault(name, []).extend(costs)
    print(json.dumps({"took": took, "appended": appended}), flush=True)


if __name__ == "__main__":
    asyncio.run(run(*map(int, sys.argv[1:5])))
