"""mbox: messages one after the other in a file, each after a line "From sender date".

Sources: RFC 4155 appendix A; the four dialects as qmail's mbox(5) and Dovecot's wiki tell them.
- mboxo quotes a line "From " of a message as ">From ", mboxrd also ">From " as ">>From ", so that
  it can be undone; mboxcl quotes as mboxo and has a Content-Length; mboxcl2 has one and quotes
  nothing.
- Programs keep flags in Status, X-Status, X-Keywords (mutt, Dovecot, Pine) or X-Mozilla-Status
  (Thunderbird) among the header fields. These are theirs, not the message's.

We write mboxrd, with Status, X-Status and X-Keywords before the message's own first line, so that
reading them off again gives its very bytes. We read all four: a Content-Length that leads to
the next "From " or to the end is believed.

Pure: the file is an `Octets`, what is found are spans in it.
"""

from __future__ import annotations

import calendar
import itertools
import re
import time as clock
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.model import Flag, Octets
from bridge.transfer import forms
from bridge.transfer.forms import Span
from bridge.transfer.marks import Marks, keywords

Variant = Literal["auto", "rd", "o", "cl", "cl2"]

_LINE = 1024  # octets of a From_ line that are looked at
_HEADER = 1024 * 1024  # octets of a header block in which fields are looked for
_DAYS = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTHS = (
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
)  # fmt: skip
# "From me@example.org Thu Nov  5 10:00:00 2026", with a zone before or after the year for some.
_FROM = re.compile(
    rb"From (?:[^\r\n]*? )??" + _DAYS + rb",? +([A-Z][a-z]{2}) +([0-9]{1,2}) +"
    rb"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?"
    rb"(?: +(?:[A-Z]{1,5}|[+-][0-9]{4}))?? +([0-9]{4})(?: +(?:[A-Z]{1,5}|[+-][0-9]{4}))? *\r?\n?"
)
_BARE = re.compile(rb"From -? *\r?\n")  # Thunderbird 100 and later
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_LENGTH = re.compile(rb"[0-9]{1,12}")
OURS = (b"status", b"x-status", b"x-keywords")
THEIRS = (*OURS, b"x-uid", b"x-imap", b"x-imapbase", b"content-length", b"lines")
_STATUS = {b"R": Flag.SEEN, b"A": Flag.ANSWERED, b"F": Flag.FLAGGED, b"D": Flag.DELETED}
_STATUS |= {b"T": Flag.DRAFT}


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the file: `start` to `end` without From_ line and closing blank line.

    `quoted`: lines "From " were made ">From ". `ended` is False where the file breaks off.
    """

    at: int  # where its From_ line begins
    start: int
    end: int
    date: int | None
    quoted: bool
    ended: bool = True


# --- reading ------------------------------------------------------------------------------


def entries(file: Octets, variant: Variant = "auto") -> Iterator[Entry]:
    """The messages of the file. What is before the first From_ line is no message."""
    at = _next(file, 0)
    while at is not None:
        start = _after_line(file, at)
        date = _date(file[at : min(start, at + _LINE)])
        counted = _counted(file, start) if variant in ("auto", "cl", "cl2") else None
        if counted is not None:
            end, following = counted
            quoted = variant == "cl"
            yield Entry(at, start, end, date, quoted, _is_ended(file, end, start))
            at = following
            continue
        following = _next(file, start)
        end = len(file) if following is None else following
        ended = _is_ended(file, end, start)
        yield Entry(at, start, _unblanked(file, start, end), date, variant != "cl2", ended)
        at = following


def is_foreign(file: Octets) -> bool:
    """Whether this cannot be an mbox: no From_ line begins it, blank lines aside."""
    return file[0:1024].lstrip(b"\r\n")[:5] != b"From "


def _next(file: Octets, start: int) -> int | None:
    """Where the next From_ line begins, at `start` or later."""
    at = start
    while True:
        if at > 0 or file[0:5] != b"From ":
            found = file.find(b"\nFrom ", max(at - 1, 0))
            if found < 0:
                return None
            at = found + 1
        if _separates(file, at):
            return at
        at += 5


def _separates(file: Octets, at: int) -> bool:
    """Whether the line "From " here begins a message, and is not one that nobody quoted: it has
    a date, and stands after a blank line or before a header."""
    line = file[at : at + _LINE]
    after = at + line.find(b"\n") + 1 if b"\n" in line else at + len(line)
    if _FROM.fullmatch(line[: after - at]):
        before = file[max(at - 3, 0) : at]
        blank = at == 0 or before.endswith((b"\n\n", b"\n\r\n")) or before in (b"\n", b"\r\n")
        return blank or _is_field(file, after)
    if not _BARE.match(line):
        return False
    return _is_field(file, after)


def _is_field(file: Octets, at: int) -> bool:
    return _FIELD.match(file[at : at + 200]) is not None


def _after_line(file: Octets, at: int) -> int:
    found = file.find(b"\n", at)
    return len(file) if found < 0 else found + 1


def _counted(file: Octets, start: int) -> tuple[int, int | None] | None:
    """(end of the message, the next From_ line) by Content-Length, where it leads there."""
    stop = forms.header_end(file, start, len(file), _HEADER)
    for _, _, name, value in forms.fields(file[start:stop]):
        if name == b"content-length" and _LENGTH.fullmatch(value):
            body = stop + (2 if file[stop : stop + 1] == b"\r" else 1)
            end = body + int(value)
            if end > len(file):
                return None
            at = end
            while file[at : at + 1] in (b"\r", b"\n"):
                at += 1
            if at >= len(file):
                return end, None
            line_start = at == 0 or file[at - 1 : at] == b"\n"
            return (end, at) if line_start and file[at : at + 5] == b"From " else None
    return None


def _unblanked(file: Octets, start: int, end: int) -> int:
    """The end of the message without the blank line that closes it in an mbox."""
    tail = file[max(start, end - 3) : end]
    if tail.endswith(b"\n\r\n"):
        return end - 2
    return end - 1 if tail.endswith(b"\n\n") or (tail == b"\n" and end - start == 1) else end


def _is_ended(file: Octets, end: int, start: int) -> bool:
    return end < len(file) or end == start or file[end - 1 : end] == b"\n"


def _date(line: bytes) -> int | None:
    found = _FROM.match(line)
    if found is None or found[1] not in _MONTHS:
        return None
    month = _MONTHS.index(found[1]) + 1
    day, hour, minute, second = int(found[2]), int(found[3]), int(found[4]), int(found[5] or 0)
    if not 1 <= day <= 31 or hour > 23 or minute > 59 or second > 60:
        return None
    return calendar.timegm((int(found[6]), month, day, hour, minute, second))


def likely(
    file: Octets, entry: Entry, drop: Sequence[bytes] = THEIRS, leading: Sequence[bytes] = ()
) -> list[tuple[Span, ...]]:
    """The readings of an entry, the likeliest first: without the fields of programs (`drop`
    anywhere, `leading` before all others); without the ones alone that we write first; as it is;
    each also without its last line end."""
    quotes = list(_quotes(file, entry)) if entry.quoted else []
    whole = ((entry.start, entry.end),)
    stop = forms.header_end(file, entry.start, entry.end, _HEADER)
    block = file[entry.start : stop]
    found = list(forms.fields(block))
    first = [each[2] for each in itertools.takewhile(lambda e: e[2] in (*drop, *leading), found)]
    # A program that writes first what it adds has added nothing later: that is the message's own.
    anywhere = not set(first) & set(drop)
    named = [
        (entry.start + low, entry.start + high)
        for number, (low, high, name, _) in enumerate(found)
        if number < len(first) or (anywhere and name in drop)
    ]
    readings = [forms.without(whole, sorted([*named, *quotes]))]
    start = entry.start
    for line in block.split(b"\n")[: len(OURS)]:
        if line.partition(b":")[0].lower() not in OURS:
            break
        start += len(line) + 1
        readings.append(forms.without(((start, entry.end),), quotes))
    readings.append(forms.without(whole, quotes))
    cut = [forms.without(spans, [(entry.end - 1, entry.end)]) for spans in readings]
    return [*readings, *(spans for spans in cut if file[entry.end - 1 : entry.end] == b"\n")]


def _quotes(file: Octets, entry: Entry) -> Iterator[Span]:
    """The ">" that a writer put before "From "."""
    at = entry.start
    while (found := file.find(b">From ", at, entry.end)) >= 0:
        first = found
        while first > entry.start and file[first - 1 : first] == b">":
            first -= 1
        if first == entry.start or file[first - 1 : first] == b"\n":
            yield found, found + 1
        at = found + 6


def marks(block: bytes, date: int | None) -> Marks:
    """What the first Status, X-Status and X-Keywords of a header block say."""
    flags = 0
    words: list[str] = []
    had: set[bytes] = set()
    for _, _, name, value in forms.fields(block):
        if name in had:
            continue
        had.add(name)
        if name in (b"status", b"x-status"):
            for letter, flag in _STATUS.items():
                if letter in value.partition(b"\n")[0]:
                    flags |= flag
        elif name == b"x-keywords":
            words += value.decode(errors="replace").split()
    return Marks(flags, keywords(words), date)


# --- writing ------------------------------------------------------------------------------


def head(given: Marks) -> bytes:
    """The From_ line and the fields that come before the message."""
    instant = clock.gmtime(max(0, min(given.date or 0, 253402300799)))
    day = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")[instant.tm_wday]
    line = b"From MAILER-DAEMON %b %b %2d %02d:%02d:%02d %04d\n" % (
        day,
        _MONTHS[instant.tm_mon - 1],
        instant.tm_mday,
        instant.tm_hour,
        instant.tm_min,
        instant.tm_sec,
        instant.tm_year,
    )
    status = b"Status: %bO\n" % (b"R" if given.flags & Flag.SEEN else b"")
    letters = b"".join(
        letter for letter, flag in _STATUS.items() if letter != b"R" and given.flags & flag
    )
    words = " ".join(given.keywords).encode()
    # All three, also empty: the first of each counts, and a message may have such fields itself.
    # Status last: a message may begin with a folded line, which would go on with a keyword.
    return b"%bX-Keywords: %b\nX-Status: %b\n%b" % (line, words, letters, status)


def quoted(message: Octets) -> Iterator[bytes]:
    """The message as it stands in an mboxrd file, with the blank line that closes it."""
    at = start = 0
    while (found := message.find(b"From ", at)) >= 0:
        first = found
        while first > 0 and message[first - 1 : first] == b">":
            first -= 1
        if first == 0 or message[first - 1 : first] == b"\n":
            yield from _slices(message, start, first)
            yield b">"
            start = first
        at = found + 5
    yield from _slices(message, start, len(message))
    yield b"\n" if message[len(message) - 1 : len(message)] == b"\n" else b"\n\n"


def _slices(message: Octets, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, forms.STEP):
        yield message[at : min(end, at + forms.STEP)]
