"""A Content-Transfer-Encoding undone piece by piece, for parts that are too large to hold.

Rules: what comes out is what `transfer_decoded` makes of the whole, however the octets were cut;
what waits for the next piece is less than a line, and less than 64 KiB where lines never end
(blanks in a row beyond that are taken for those at the end of a line, which do not count).
"""

from __future__ import annotations

import re
from typing import Final

from bridge.mime.text import TRANSFER_ENCODINGS, transfer_decoded

_HELD: Final = 64 * 1024  # octets of an unfinished line that wait; RFC 2045 6.7 allows 76
_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
)
_OPEN = re.compile(rb"=[0-9A-Fa-f]?\Z")  # an escape whose end is still to come


class UnknownEncoding(Exception):
    """The Content-Transfer-Encoding is none that we can undo (RFC 3516 4.3)."""


class Decoder:
    """Raises UnknownEncoding when it is made; `feed` and `finish` raise nothing."""

    def __init__(self, encoding: str) -> None:
        if encoding not in TRANSFER_ENCODINGS:
            raise UnknownEncoding
        self._encoding = encoding
        self._held = b""

    def feed(self, octets: bytes) -> bytes:
        """What can be said of the octets so far."""
        if self._encoding == "base64":
            octets = self._held + octets.translate(None, _BASE64)
            # Padding ends a run; what follows the last of it is decoded in whole groups of four.
            run = octets.rfind(b"=") + 1
            ready = run + (len(octets) - run) // 4 * 4
        elif self._encoding == "quoted-printable":
            octets = self._held + octets
            ready = octets.rfind(b"\n") + 1
            if len(octets) - ready > _HELD:
                ready = _within_line(octets)
        else:
            return octets
        self._held = octets[ready:]
        return transfer_decoded(octets[:ready], self._encoding)

    def finish(self) -> bytes:
        """The rest, when all octets were fed."""
        held, self._held = self._held, b""
        return transfer_decoded(held, self._encoding)


def _within_line(octets: bytes) -> int:
    """A place near the end of an endless line where neither an escape nor a blank is cut off."""
    end = len(octets.rstrip(b" \t\r"))
    if len(octets) - end > _HELD:
        return len(octets)
    found = _OPEN.search(octets, max(0, end - 2), end)
    return found.start() if found else end
