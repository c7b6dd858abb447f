"""Every response that the endpoint puts on a socket in a test is read by the second parser.

    with judged() as rejected: ...           # rejected: what was no IMAP, with the reason

Rules: the octets are taken before compression and TLS, whoever the client is: a script, mbsync,
Thunderbird. Nothing is left out; the last response of a connection may be cut off, as connections
break. What a daemon in another process says is read where it is heard (tests.support.imap_client).
"""

from __future__ import annotations

import contextlib
import re
import weakref
from collections.abc import Iterator
from unittest import mock

from bridge.imap.server import Link
from tests.support.second_parser import Rejected, accept

_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")


class Responses:
    """Octets in, whole responses out, each with its literals."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._at = 0  # from where a line end is looked for

    def feed(self, octets: bytes) -> Iterator[bytes]:
        self._octets += octets
        while (end := self._octets.find(b"\r\n", self._at)) >= 0:
            announced = _LITERAL.search(self._octets, max(self._at, end - 24), end + 2)
            if announced is not None:
                self._at = end + 2 + int(announced[1])
                continue
            yield bytes(self._octets[: end + 2])
            del self._octets[: end + 2]
            self._at = 0


class _Ear:
    def __init__(self) -> None:
        self.responses = Responses()
        self.heard = 0
        self.deaf = False


@contextlib.contextmanager
def judged() -> Iterator[list[str]]:
    rejected: list[str] = []
    ears: weakref.WeakKeyDictionary[Link, _Ear] = weakref.WeakKeyDictionary()
    write, write_last = Link.write, Link.write_last

    def hear(link: Link, octets: bytes) -> _Ear:
        ear = ears.setdefault(link, _Ear())
        for response in () if ear.deaf else ear.responses.feed(octets):
            ear.heard += 1
            try:
                accept(
                    response,
                    greeting=ear.heard == 1,
                    utf8=link.session.utf8,
                    rev2=link.session.rev2,
                )
            except Rejected as error:
                rejected.append(str(error))
        return ear

    def written(link: Link, *pieces: bytes) -> None:
        hear(link, b"".join(pieces))
        write(link, *pieces)

    def written_last(link: Link, octets: bytes) -> None:
        ear = hear(link, octets)
        ear.deaf = True  # to the same octets, deflated
        write_last(link, octets)
        ear.deaf = False

    with (
        mock.patch.object(Link, "write", written),
        mock.patch.object(Link, "write_last", written_last),
    ):
        yield rejected
