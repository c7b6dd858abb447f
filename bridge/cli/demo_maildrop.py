"""A small POP3 server for `popbridge demo`: one maildrop in memory, on loopback, in clear.

It speaks RFC 1939 (USER PASS STAT LIST UIDL RETR TOP DELE RSET NOOP QUIT) and RFC 2449 (CAPA
with PIPELINING): enough for any POP3 client, so that the demo shows a real poll. Rule: commands
are answered in the order in which they came, whatever comes in one packet.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from bridge import limits

_CAPABILITIES = ("USER", "UIDL", "TOP", "PIPELINING", "IMPLEMENTATION popbridge-demo")


class DemoMaildrop:
    """Serves `messages` (CRLF, not dot-stuffed) to one user while it is entered.

    DELE marks and QUIT removes, as RFC 1939 6 has it; `port` is known once entered.
    """

    def __init__(self, messages: Sequence[bytes], user: str, password: str) -> None:
        self.messages = {f"demo-{number:05}": each for number, each in enumerate(messages, 1)}
        self._user = user
        self._password = password
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, limit=limits.POP3_LINE
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(self, self._user, self._password)
        writer.write(b"+OK popbridge demo\r\n")
        try:
            while not session.over:
                line = await reader.readline()
                if not line:
                    break
                writer.writelines(session.answer(line))
                await writer.drain()
        except (ConnectionError, ValueError):  # gone, or a line over the limit
            pass
        finally:
            writer.close()


class _Session:
    """One session: lines in, answers out."""

    def __init__(self, maildrop: DemoMaildrop, user: str, password: str) -> None:
        self._maildrop = maildrop
        self._user, self._password = user, password
        self._named = ""
        self._open = False
        self._items = list(maildrop.messages.items())
        self._deleted: set[int] = set()
        self.over = False

    def answer(self, line: bytes) -> Iterable[bytes]:
        """The octets that answer one command line."""
        words = line.decode("utf-8", "replace").rstrip("\r\n").split(" ", 1)
        verb, rest = words[0].upper(), words[1] if len(words) > 1 else ""
        if verb == "CAPA":
            return _lines("+OK", _CAPABILITIES)
        if verb == "QUIT":
            return self._quit()
        if not self._open:
            return self._authorize(verb, rest)
        commands: dict[str, Callable[[str], Iterable[bytes]]] = {
            "STAT": self._stat,
            "LIST": self._list,
            "UIDL": self._uidl,
            "RETR": self._retr,
            "TOP": self._top,
            "DELE": self._dele,
            "RSET": self._rset,
            "NOOP": lambda _: [b"+OK\r\n"],
        }
        if verb not in commands:
            return [b"-ERR unknown command\r\n"]
        try:
            return commands[verb](rest)
        except (LookupError, ValueError):
            return [b"-ERR no such message\r\n"]

    def _authorize(self, verb: str, rest: str) -> Iterable[bytes]:
        if verb == "USER":
            self._named = rest
            return [b"+OK\r\n"]
        if verb != "PASS":
            return [b"-ERR log in first\r\n"]
        given = f"{self._named}\0{rest}".encode()
        self._open = hmac.compare_digest(given, f"{self._user}\0{self._password}".encode())
        return [b"+OK welcome\r\n" if self._open else b"-ERR [AUTH] wrong user or password\r\n"]

    def _there(self) -> list[tuple[int, str, bytes]]:
        """(number, UIDL, octets) of what is not marked as deleted."""
        numbered = enumerate(self._items, 1)
        return [(n, uidl, raw) for n, (uidl, raw) in numbered if n not in self._deleted]

    def _one(self, text: str) -> tuple[int, str, bytes]:
        number = int(text)
        if not 1 <= number <= len(self._items) or number in self._deleted:
            raise LookupError(text)
        return number, *self._items[number - 1]

    def _stat(self, _: str) -> Iterable[bytes]:
        there = self._there()
        return [f"+OK {len(there)} {sum(len(raw) for _, _, raw in there)}\r\n".encode()]

    def _list(self, rest: str) -> Iterable[bytes]:
        if rest:
            number, _, raw = self._one(rest)
            return [f"+OK {number} {len(raw)}\r\n".encode()]
        return _lines("+OK", (f"{n} {len(raw)}" for n, _, raw in self._there()))

    def _uidl(self, rest: str) -> Iterable[bytes]:
        if rest:
            number, uidl, _ = self._one(rest)
            return [f"+OK {number} {uidl}\r\n".encode()]
        return _lines("+OK", (f"{n} {uidl}" for n, uidl, _ in self._there()))

    def _retr(self, rest: str) -> Iterable[bytes]:
        _, _, raw = self._one(rest)
        return [f"+OK {len(raw)} octets\r\n".encode(), _stuffed(raw), b".\r\n"]

    def _top(self, rest: str) -> Iterable[bytes]:
        number, lines = rest.split()
        head, _, body = self._one(number)[2].partition(b"\r\n\r\n")
        kept = b"".join(body.splitlines(keepends=True)[: int(lines)])
        return [b"+OK\r\n", _stuffed(head + b"\r\n\r\n" + kept), b".\r\n"]

    def _dele(self, rest: str) -> Iterable[bytes]:
        self._deleted.add(self._one(rest)[0])
        return [b"+OK\r\n"]

    def _rset(self, _: str) -> Iterable[bytes]:
        self._deleted.clear()
        return [b"+OK\r\n"]

    def _quit(self) -> Iterable[bytes]:
        self.over = True
        for number in self._deleted:
            self._maildrop.messages.pop(self._items[number - 1][0], None)
        return [b"+OK bye\r\n"]


def _lines(first: str, rest: Iterable[str]) -> Iterable[bytes]:
    return ["\r\n".join([first, *rest, ".", ""]).encode()]


def _stuffed(raw: bytes) -> bytes:
    """RFC 1939 3: a line that starts with a dot gets another one, and the last line ends."""
    stuffed = raw.replace(b"\r\n.", b"\r\n..")
    if raw.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed if stuffed.endswith(b"\r\n") or not stuffed else stuffed + b"\r\n"
