"""Date and Received values -> an instant, and the day as its author wrote it.

Rules: lenient about what mail programs wrote (RFC 5322 4.3: two-digit years, named zones,
comments; also asctime and ISO 8601), strict about what cannot be a date; never raises.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

# A year beyond these is a mistake or a trick to stay on top of the list: such a date is none.
_YEARS = range(1900, 2101)
_LONGEST = 1000  # octets of a value that are looked at
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_NAMES = b"jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTHS = {name: number for number, name in enumerate(_NAMES, start=1)}
# RFC 5322 4.3: hours east of Greenwich; every other name counts as -0000
_ZONES = {
    b"EDT": -4, b"EST": -5, b"CDT": -5, b"CST": -6, b"MDT": -6, b"MST": -7, b"PDT": -7,
    b"PST": -8, b"CET": 1, b"CEST": 2, b"MET": 1, b"MEST": 2, b"BST": 1, b"JST": 9,
}  # fmt: skip

# a fraction of a second is no time when digits stand where the zone should: "10:00:00.5 0000"
_TIME = rb"(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?+(?:[.,]\d{1,9}+(?![ \t]{1,20}+\d))?+(?![:.,]\d|:)"
_MONTH = rb"(?i:(" + b"|".join(_NAMES) + rb")[a-z]{0,6}+)"
_ZONE = rb"[ \t]{0,20}(?:(?:GMT|UTC)?([+-]\d{1,2}:?\d{2})|([A-Za-z]{1,5})\b)?"
# "Mon, 1 Jan 2001 10:00:00 +0100", the form of RFC 5322 3.3 and its obsolete spellings
_MAIL = re.compile(
    rb"\b(\d{1,2})(?:[ \t]{1,20}|-)" + _MONTH + rb"[.,]?+(?:[ \t]{1,20}|-)"
    rb"(\d{2,5}+)(?:[ \t,]{1,20}+" + _TIME + _ZONE + rb"|(?![ \t,]{1,20}+\d{1,2}[:.]))"
)
# "Mon Jan  1 10:00:00 2001 +0100", asctime
_ASCTIME = re.compile(
    rb"\b" + _MONTH + rb"[ \t]{1,20}(\d{1,2}),?[ \t]{1,20}" + _TIME + rb"[ \t]{1,20}"
    rb"(?:[A-Za-z]{2,5}[ \t]{1,20})?(\d{4})\b" + _ZONE
)
_ISO = re.compile(rb"\b(\d{4})-(\d{2})-(\d{2})[ T]" + _TIME + _ZONE)
_NESTED = re.compile(rb"[()\\]")


@dataclass(frozen=True, slots=True)
class Date:
    """`at`: seconds since the epoch, UTC. `day`: date.toordinal() of the day as written."""

    at: int
    day: int


def parse_date(value: bytes) -> Date | None:
    """The date of a Date field or of the end of a Received field; None when it has none."""
    text = _without_comments(value[:_LONGEST].replace(b"\r", b" ").replace(b"\n", b" "))
    if match := _MAIL.search(text):
        day, month, year, hour, minute, second, zone, name = match.groups()
    elif match := _ASCTIME.search(text):
        month, day, hour, minute, second, year, zone, name = match.groups()
    elif match := _ISO.search(text):
        year, month, day, hour, minute, second, zone, name = match.groups()
    else:
        return None
    if _year(year) not in _YEARS:
        return None
    try:
        number = _MONTHS[month.lower()] if month.isalpha() else int(month)
        ordinal = datetime.date(_year(year), number, int(day)).toordinal()
    except ValueError:
        return None
    hours, minutes, seconds = int(hour or 0), int(minute or 0), int(second or 0)
    # RFC 5322 3.3: 23:59:60 is a leap second
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    at = (ordinal - _EPOCH) * 86400 + hours * 3600 + minutes * 60 + seconds
    return Date(at - _offset(zone, name), ordinal)


def _year(digits: bytes) -> int:
    """RFC 5322 4.3: 00 to 49 are 2000 to 2049; other years of two or three digits add 1900."""
    year = int(digits)
    if len(digits) > 3:
        return year
    return year + (2000 if len(digits) == 2 and year < 50 else 1900)


def _offset(zone: bytes | None, name: bytes | None) -> int:
    """Seconds east of Greenwich; an impossible or unknown zone counts as none."""
    if zone:
        digits = zone[1:].replace(b":", b"").rjust(4, b"0")
        hours, minutes = int(digits[:2]), int(digits[2:])
        if hours > 23 or minutes > 59:
            return 0
        offset = hours * 3600 + minutes * 60
        return -offset if zone.startswith(b"-") else offset
    return _ZONES.get((name or b"").upper(), 0) * 3600


def _without_comments(text: bytes) -> bytes:
    """RFC 5322 3.2.2: comments nest; an unclosed one runs to the end."""
    if b"(" not in text:
        return text
    kept, level, start, pos = [], 0, 0, 0
    while match := _NESTED.search(text, pos):
        pos = match.end()
        if match[0] == b"(":
            if level == 0:
                kept.append(text[start : pos - 1])
            level += 1
        elif match[0] == b")" and level:
            level -= 1
            start = pos
        elif match[0] == b"\\":
            pos += 1
    if level == 0:
        kept.append(text[start:])
    return b" ".join(kept)
