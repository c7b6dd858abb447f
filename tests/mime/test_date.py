"""Dates as mail programs write them."""

from __future__ import annotations

import datetime

import pytest

from bridge.mime.date import parse_date

UTC = datetime.UTC


def instant(*fields: int) -> int:
    return int(datetime.datetime(*fields, tzinfo=UTC).timestamp())  # type: ignore[arg-type, misc]  # mypy cannot count a star


@pytest.mark.parametrize(
    ("value", "at", "day"),
    [
        # RFC 5322 3.3 and its appendix A
        (b"Fri, 21 Nov 1997 09:55:06 -0600", (1997, 11, 21, 15, 55, 6), (1997, 11, 21)),
        (b"Thu,\r\n 13\r\n Feb\r\n 1969\r\n 23:32 -0330 (x)", (1969, 2, 14, 3, 2), (1969, 2, 13)),
        (b"21 Nov 97 09:55:06 GMT", (1997, 11, 21, 9, 55, 6), (1997, 11, 21)),
        (b"1 Jan 49 00:00 +0000", (2049, 1, 1), (2049, 1, 1)),
        (b"1 Jan 101 00:00 +0000", (2001, 1, 1), (2001, 1, 1)),
        # the day is the author's, the instant is everybody's
        (b"Mon, 1 Jan 2001 00:30:00 +0100", (2000, 12, 31, 23, 30), (2001, 1, 1)),
        (b"Sun, 31 Dec 2000 23:30:00 -0100", (2001, 1, 1, 0, 30), (2000, 12, 31)),
        (b"31 Dec 2016 23:59:60 +0000", (2017, 1, 1), (2016, 12, 31)),
        # zones
        (b"1 Jan 2001 12:00:00 EST", (2001, 1, 1, 17), (2001, 1, 1)),
        (b"1 Jan 2001 12:00:00 CEST", (2001, 1, 1, 10), (2001, 1, 1)),
        (b"1 Jan 2001 12:00:00 XYZ", (2001, 1, 1, 12), (2001, 1, 1)),
        (b"1 Jan 2001 12:00:00 A", (2001, 1, 1, 12), (2001, 1, 1)),
        (b"1 Jan 2001 12:00:00 GMT+0200", (2001, 1, 1, 10), (2001, 1, 1)),
        (b"1 Jan 2001 12:00:00 +02:00", (2001, 1, 1, 10), (2001, 1, 1)),
        (b"1 Jan 2001 12:00:00 +9999", (2001, 1, 1, 12), (2001, 1, 1)),
        (b"1 Jan 2001 12:00:00", (2001, 1, 1, 12), (2001, 1, 1)),
        (b"1 Jan 2001", (2001, 1, 1), (2001, 1, 1)),
        # what mail programs write instead
        (b"Monday, 01-Jan-01 12:00:00 UTC", (2001, 1, 1, 12), (2001, 1, 1)),
        (b"1 January 2001 12.34", (2001, 1, 1, 12, 34), (2001, 1, 1)),
        (b"Mon Jan  1 12:00:00 2001", (2001, 1, 1, 12), (2001, 1, 1)),
        (b"Mon Jan 1 12:00:00 PST 2001", (2001, 1, 1, 12), (2001, 1, 1)),
        (b"Mon Jan 1 12:00:00 2001 -0100", (2001, 1, 1, 13), (2001, 1, 1)),
        (b"2001-01-01T12:00:00.123Z", (2001, 1, 1, 12), (2001, 1, 1)),
        (b"2001-01-01 12:00:00 +0200", (2001, 1, 1, 10), (2001, 1, 1)),
        (b"Tue, 17 Jul 2012 22:23:35.882 +0000", (2012, 7, 17, 22, 23, 35), (2012, 7, 17)),
        (b"Tue, 17 Jul 2012 22:23:35 0000", (2012, 7, 17, 22, 23, 35), (2012, 7, 17)),
        (b"(1 Feb 2002 (x\\))) 1 Jan 2001 12:00:00 +0000", (2001, 1, 1, 12), (2001, 1, 1)),
    ],
)  # fmt: skip
def test_dates(value: bytes, at: tuple[int, ...], day: tuple[int, int, int]) -> None:
    date = parse_date(value)
    assert date is not None
    assert date.at == instant(*at)
    assert date.day == datetime.date(*day).toordinal()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"today",
        b"31 Feb 2001 12:00:00 +0000",
        b"0 Jan 2001",
        b"1 Foo 2001",
        b"1 Jan 0 00:00:00 +0000",
        b"1 Jan 0000 00:00:00 +0000",
        b"1 Jan 9999 00:00:00 +0000",
        b"1 Jan 10000 00:00:00 +0000",
        b"1 Jan 3609 00:00:00 +0000",
        b"1 Jan 2001 24:00:00 +0000",
        b"1 Jan 2001 12:60:00 +0000",
        b"Tue, 7 Apr 2026 10:00:t <x@y.example>",
        b"Tue, 17 Jul 2012 22:23:35.882 0000",
        b"(1 Jan 2001 never closed",
        b"9" * 100_000,
        b"1 " * 100_000,
        bytes(range(256)),
    ],
)
def test_what_is_no_date_is_none(value: bytes) -> None:
    assert parse_date(value) is None
