"""Messages on the control socket: a line of JSON with the size, then the octets, and the next one.

    {"size": 5, "mailbox": "INBOX", "flags": 8, "keywords": [], "date": 1700000000}\\n
    hello

Pure: `Frames` takes what comes, in pieces of any size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from bridge.model import Sink
from bridge.transfer.marks import Marks, keywords

_LINE = 256 * 1024
Head = Mapping[str, object]


class BadFrame(ValueError):
    """Not what `head` wrote."""


def head(size: int, **values: object) -> bytes:
    return json.dumps({"size": size, **values}).encode() + b"\n"


def marks_of(said: Head) -> Marks:
    """The flags, keywords and date of a head. Raises BadFrame."""
    flags, words, date = said.get("flags", 0), said.get("keywords", []), said.get("date")
    if not isinstance(flags, int) or not isinstance(words, list):
        raise BadFrame("flags or keywords are not what they should be")
    if date is not None and not isinstance(date, int):
        raise BadFrame("the date is no number")
    return Marks(flags & 31, keywords(str(word) for word in words), date)


class Frames:
    """Collects frames; octets go into a sink of `new_sink`, one for each message."""

    def __init__(self, new_sink: Callable[[], Sink]) -> None:
        self._new_sink = new_sink
        self._line = b""
        self._head: Head | None = None
        self._sink: Sink | None = None
        self._left = 0

    @property
    def is_whole(self) -> bool:
        """Whether no frame is under way."""
        return self._sink is None and not self._line

    def close(self) -> None:
        """Frees the sink of a frame that was not finished."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def feed(self, data: bytes) -> Iterator[tuple[Head, Sink]]:
        """The messages that are complete now; each sink waits for `finish`. Raises BadFrame, and
        OSError where a sink cannot be written."""
        at = 0
        while at < len(data) or (self._sink is not None and not self._left):
            if self._sink is None:
                end = data.find(b"\n", at)
                self._line += data[at:] if end < 0 else data[at:end]
                if len(self._line) > _LINE:
                    raise BadFrame("a line is too long")
                if end < 0:
                    return
                at = end + 1
                self._begin()
            if self._sink is not None:
                piece = data[at : at + self._left]
                self._sink.write(piece)
                self._left -= len(piece)
                at += len(piece)
                if not self._left and self._head is not None:
                    found, self._sink = self._sink, None
                    yield self._head, found

    def _begin(self) -> None:
        line, self._line = self._line, b""
        try:
            said = json.loads(line)
            size = said["size"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise BadFrame("no line of JSON with a size") from None
        if not isinstance(size, int) or size < 0:
            raise BadFrame("the size is no number")
        self._head, self._left = said, size
        self._sink = self._new_sink()
