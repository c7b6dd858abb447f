"""The boundary scanner: octets -> parts with their spans (RFC 2046 5.1).

Rules: one pass and no recursion. The octets are searched for the delimiter lines of the
multiparts that are open, innermost first and never past the next delimiter of an outer one,
so that every octet is looked at once a nesting level. Bodies are not copied. Depth, number of
parts and the octets searched are capped: what lies beyond is a leaf, or stays in its parent.
"""

from __future__ import annotations

from enum import IntEnum

from bridge.limits import (
    MIME_DEPTH,
    MIME_HEADER_BLOCK,
    MIME_HEADERS,
    MIME_PARTS,
    MIME_SEARCHED,
)
from bridge.mime.envelope import envelope
from bridge.mime.headers import Fields, fields, first
from bridge.mime.parameters import Pairs, content_type, disposition, token
from bridge.model import Octets

_COUNTED = 1 << 20  # octets that are copied at a time to count lines


class Kind(IntEnum):
    """What a part's body is made of."""

    LEAF = 0
    MULTIPART = 1
    MESSAGE = 2  # message/rfc822: one part follows, whose header is the inner message's


class Part:
    """A part: header [start, body), body [body, end), both offsets into the message.

    `lines` counts the line ends in the body; `envelope` is that of a message/rfc822 part's
    inner message. Texts are raw octets as they stood in the header, in the case they had.
    """

    __slots__ = (
        "body", "boundary", "depth", "disposition", "encoding", "end", "envelope", "fields",
        "kind", "lines", "parameters", "start", "subtype", "type",
    )  # fmt: skip

    def __init__(self, start: int, body: int, depth: int) -> None:
        self.start = start
        self.body = body
        self.end = body
        self.depth = depth
        self.kind = Kind.LEAF
        self.type = b"text"
        self.subtype = b"plain"
        self.parameters: Pairs = []
        self.disposition: tuple[bytes, Pairs] | None = None
        self.encoding = b"7bit"
        self.boundary = b""
        self.fields: Fields = {}
        self.envelope = b""
        self.lines = 0


class _Open:
    """A multipart that is open: its delimiter, and where that is met next.

    `hit` is the offset of the line end before the delimiter line, -1 when there is none up to
    the next one of an outer multipart; `horizon` is the nearest hit of this and all outer ones.
    """

    __slots__ = ("delimiter", "hit", "horizon", "part")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.delimiter = b"\n--" + part.boundary
        self.hit = self.horizon = 0


class _Scanner:
    """State of one scan. `trail` is the way from the root to the part that is being read."""

    def __init__(self, octets: Octets, messages: frozenset[bytes]) -> None:
        self.octets = octets
        self.messages = messages
        self.size = len(octets)
        self.parts: list[Part] = []
        self.trail: list[Part] = []
        self.open: list[_Open] = []
        self.headers = MIME_HEADERS  # octets that may still be looked at
        self.searches = MIME_SEARCHED * max(self.size, 8 << 20)  # octets that may be searched
        self.floor = 0  # where the last delimiter line ended; nothing before it is body
        self.blank_crlf = self.blank_lf = -1

    def run(self) -> list[Part]:
        pos: int | None = 0
        while pos is not None:
            part = self._header(pos)
            pos = part.body if part.kind is Kind.MESSAGE else self._next_part()
        for part in self.trail:
            part.end = self.size
        return self.parts

    def _header(self, start: int) -> Part:
        """Reads the header at `start` and opens its part."""
        limit = self.open[-1].horizon if self.open else self.size
        body, blank = self._header_end(start, limit)
        part = Part(start, body, len(self.trail))
        parent = self.trail[-1] if self.trail else None
        seen = min(body - start, MIME_HEADER_BLOCK, self.headers)
        self.headers -= seen
        found = part.fields = fields(self.octets[start : start + seen])
        _describe(part, found, parent, self.messages)
        if parent is not None and parent.kind is Kind.MESSAGE:
            parent.envelope = envelope(found)
        if part.kind is not Kind.LEAF and part.depth >= MIME_DEPTH:
            part.kind = Kind.LEAF
            # RFC 2046 4.5.1: octets that we do not take apart
            part.type, part.subtype, part.parameters = b"application", b"octet-stream", []
        self.parts.append(part)
        self.trail.append(part)
        if part.kind is Kind.MULTIPART and part.boundary and blank:
            self.open.append(_Open(part))
            self._search(len(self.open) - 1, body - 1)
        return part

    def _header_end(self, start: int, limit: int) -> tuple[int, bool]:
        """(offset of the body, whether a blank line stands before it).

        A delimiter line or the end of the octets ends a header too; the line end before a
        delimiter belongs to it (RFC 2046 5.1.1).
        """
        octets = self.octets
        lead = octets[start : start + 2]
        if lead == b"\r\n":
            return start + 2, True
        if lead[:1] == b"\n":
            return start + 1, True
        # both hits are kept: an offset behind us says nothing, one ahead of us still stands
        if self.blank_crlf < start:
            hit = octets.find(b"\n\r\n", start)
            self.blank_crlf = self.size if hit < 0 else hit
        if self.blank_lf < start:
            hit = octets.find(b"\n\n", start, min(self.size, self.blank_crlf + 1))
            # none before the other kind: then it is not asked for until that one is passed
            self.blank_lf = self.blank_crlf if hit < 0 else hit
        blank = min(self.blank_crlf, self.blank_lf)
        if limit < blank:
            return max(start, self._before(limit)), False
        if blank >= self.size:
            return self.size, False
        return blank + (2 if octets[blank + 1 : blank + 2] == b"\n" else 3), True

    def _before(self, newline: int) -> int:
        """Where the line end that has its LF at `newline` begins."""
        return newline - 1 if self.octets[max(newline - 1, 0) : newline] == b"\r" else newline

    def _search(self, index: int, pos: int) -> None:
        """Finds the next delimiter of an open multipart from `pos` on."""
        entry = self.open[index]
        outer = self.open[index - 1].horizon if index else self.size
        end = min(self.size, outer + len(entry.delimiter))
        entry.hit = -1
        if self.searches > 0:
            entry.hit = self.octets.find(entry.delimiter, pos, end)
            self.searches -= (end if entry.hit < 0 else entry.hit) - pos
        entry.horizon = outer if entry.hit < 0 else entry.hit

    def _next_part(self) -> int | None:
        """Goes on to the next part's header, closing what ends before it; None at the end."""
        while self.open:
            horizon = self.open[-1].horizon
            if horizon >= self.size:
                return None
            index = self._owner(horizon)
            entry = self.open[index]
            end = max(self._before(horizon), self.trail[-1].body, self.floor)
            while self.trail[-1] is not entry.part:
                self.trail.pop().end = end
            after = horizon + len(entry.delimiter)
            # RFC 2046 5.1.1: close-delimiter
            closing = self.octets[after : after + 2] == b"--"
            line_end = self.octets.find(b"\n", after)
            if line_end < 0:
                return None
            del self.open[index + 1 - closing :]
            self._refresh(horizon, line_end)
            self.floor = line_end + 1
            if not closing:
                return line_end + 1 if len(self.parts) < MIME_PARTS else None
        return None

    def _owner(self, hit: int) -> int:
        """The open multipart that a delimiter line belongs to: the longest delimiter, and of
        equal ones the innermost. RFC 2046 5.1.1 compares only the beginning of the line."""
        best, length = -1, -1
        for index in range(len(self.open) - 1, -1, -1):
            entry = self.open[index]
            if entry.hit == hit and len(entry.delimiter) > length:
                best, length = index, len(entry.delimiter)
        return best

    def _refresh(self, passed: int, pos: int) -> None:
        """Searches on for the open multiparts whose next delimiter was passed, and for those
        inside of one that had none before it."""
        moved = False
        for index, entry in enumerate(self.open):
            if entry.hit == passed or (moved and entry.hit < 0):
                self._search(index, pos)
                moved = True


RFC822 = frozenset({b"rfc822"})
WITH_GLOBAL = frozenset({b"rfc822", b"global"})


def scan_parts(octets: Octets, messages: frozenset[bytes] = RFC822) -> list[Part]:
    """All parts in the order of their headers: the root (the message) first. `messages` are the
    subtypes of message that are taken apart.

    A multipart without any part gets an empty text/plain one, since BODYSTRUCTURE must show
    one (RFC 3501 9, body-type-mpart).
    """
    parts = _Scanner(octets, messages).run()
    _count_lines(octets, parts)
    whole: list[Part] = []
    for index, part in enumerate(parts):
        whole.append(part)
        if part.kind is Kind.MULTIPART and (
            index + 1 == len(parts) or parts[index + 1].depth <= part.depth
        ):
            whole.append(Part(part.body, part.body, part.depth + 1))
    return whole


def _describe(part: Part, found: Fields, parent: Part | None, messages: frozenset[bytes]) -> None:
    """Fills in what the Content-* fields say (RFC 2045, RFC 2183)."""
    value = first(found, b"content-type")
    inside = parent is not None and parent.kind is Kind.MULTIPART
    if value is not None:
        # RFC 2045 5.2: what cannot be read as a type counts as text/plain
        if stated := content_type(value):
            part.type, part.subtype, part.parameters = stated
            lower = part.type.lower()
            if lower == b"multipart":
                part.kind = Kind.MULTIPART
                part.boundary = _boundary(part.parameters)
            elif lower == b"message" and part.subtype.lower() in messages:
                part.kind = Kind.MESSAGE
    # RFC 2046 5.1.5
    elif inside and parent is not None and parent.subtype.lower() == b"digest":
        part.type, part.subtype, part.kind = b"message", b"rfc822", Kind.MESSAGE
    elif not inside and b"mime-version" not in found:
        # RFC 2045 4: without MIME-Version and Content-Type it is not MIME
        for name in [name for name in found if name.startswith(b"content-")]:
            del found[name]
        return
    value = first(found, b"content-transfer-encoding")
    if value is not None:
        part.encoding = token(value) or b"7bit"
    value = first(found, b"content-disposition")
    if value is not None:
        part.disposition = disposition(value)


def _boundary(parameters: Pairs) -> bytes:
    for name, value in parameters:
        if name.lower() == b"boundary":
            return value
    return b""


def _count_lines(octets: Octets, parts: list[Part]) -> None:
    """Line ends of all bodies in one pass over the octets."""
    counts = dict.fromkeys(sorted({p.body for p in parts} | {p.end for p in parts}), 0)
    passed = seen = 0
    for offset in counts:
        while passed < offset:
            upto = min(offset, passed + _COUNTED)
            seen += octets[passed:upto].count(b"\n")
            passed = upto
        counts[offset] = seen
    for part in parts:
        part.lines = counts[part.end] - counts[part.body]
