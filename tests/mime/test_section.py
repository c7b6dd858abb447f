"""BODY[...] sections (RFC 3501 6.4.5): where each part of a message is."""

from __future__ import annotations

import pytest

from bridge.mime import headers
from bridge.mime.headers import named_fields
from bridge.mime.parser import scan
from bridge.mime.section import filter_fields, find, walk
from tests.mime.messages import ATTACHED, MIXED, NESTED, PLAIN


def fetch(message: bytes, section: str) -> bytes | None:
    """BODY[section] of a message; None for NIL."""
    words = section.split(".") if section else []
    text = words.pop() if words and not words[-1].isdigit() else ""
    span = find(scan(message).parts, len(message), tuple(map(int, words)), text)
    return None if span is None else message[span.start : span.end]


@pytest.mark.parametrize(
    ("section", "octets"),
    [
        ("", PLAIN),
        ("HEADER", PLAIN[:-23]),
        ("TEXT", PLAIN[-23:]),
        ("1", PLAIN[-23:]),
        ("1.MIME", PLAIN[:-23]),
        ("MIME", None),
        ("2", None),
        ("1.1", None),
        ("0", None),
        ("1.HEADER", None),
        ("1.TEXT", None),
    ],
)
def test_sections_of_a_message_without_parts(section: str, octets: bytes | None) -> None:
    assert fetch(PLAIN, section) == octets


@pytest.mark.parametrize(
    ("section", "octets"),
    [
        ("1", b"=C3=A4"),
        ("2", b"AAAAAAAA"),
        ("3", None),
        ("2.1", None),
        (
            "1.MIME",
            b"Content-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: quoted-printable\r\n"
            b"Content-Language: en, de\r\n\r\n",
        ),
        ("HEADER", MIXED[: MIXED.index(b"This is")]),
        ("TEXT", MIXED[MIXED.index(b"This is") :]),
    ],
)
def test_sections_of_a_multipart(section: str, octets: bytes | None) -> None:
    assert fetch(MIXED, section) == octets


@pytest.mark.parametrize(
    ("section", "octets"),
    [
        ("1", b"From: in@x.example\r\nSubject: inner\r\n\r\none\r\ntwo"),
        ("1.HEADER", b"From: in@x.example\r\nSubject: inner\r\n\r\n"),
        ("1.TEXT", b"one\r\ntwo"),
        ("1.MIME", b"Content-Type: message/rfc822\r\n\r\n"),
        ("1.1", b"one\r\ntwo"),
        ("1.1.MIME", b"From: in@x.example\r\nSubject: inner\r\n\r\n"),
        ("1.2", None),
        ("1.1.1", None),
    ],
)
def test_sections_of_a_message_in_a_message(section: str, octets: bytes | None) -> None:
    assert fetch(ATTACHED, section) == octets


@pytest.mark.parametrize(
    ("section", "octets"),
    [
        ("1", b"first"),
        ("2.1", b"plain"),
        ("2.2", b"<p>html</p>"),
        ("2.2.MIME", b"Content-Type: text/html\r\n\r\n"),
        ("2.3", None),
        ("3", b"--b3\r\n\r\ndeep\r\n--b3--\r\n"),
        ("3.1", b"deep"),
        ("3.HEADER", None),
        ("4", None),
    ],
)
def test_sections_of_parts_in_parts(section: str, octets: bytes | None) -> None:
    assert fetch(NESTED, section) == octets


def test_a_multipart_without_parts_has_an_empty_one() -> None:
    message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\nnothing"
    assert fetch(message, "1") == b""
    assert fetch(message, "1.MIME") == b""
    assert fetch(message, "2") is None


def test_the_line_end_before_a_delimiter_belongs_to_it() -> None:
    """RFC 2046 5.1.1; a part that is to end in a line end has two of them there."""
    message = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n\r\n--b\r\n\r\n--b--"
    )
    assert fetch(message, "1") == b"x\r\n"
    assert fetch(message, "2") == b""


def test_a_delimiter_ends_a_header() -> None:
    message = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: y\r\n--b\r\n\r\nz\r\n--b--"
    )
    assert fetch(message, "1.MIME") == b"X: y"
    assert fetch(message, "1") == b""
    assert fetch(message, "2") == b"z"


def test_walk_names_every_part() -> None:
    parts = [
        (part.path, f"{part.type}/{part.subtype}", NESTED[part.body_start : part.end][:8])
        for part in walk(scan(NESTED).parts)
    ]
    assert parts == [
        ((), "multipart/mixed", b"--b1\r\n\r\n"),
        ((1,), "text/plain", b"first"),
        ((2,), "message/rfc822", b"Subject:"),
        ((2,), "multipart/alternative", b"--b2\r\nCo"),
        ((2, 1), "text/plain", b"plain"),
        ((2, 2), "text/html", b"<p>html<"),
        ((3,), "multipart/mixed", b"--b3\r\n\r\n"),
        ((3, 1), "text/plain", b"deep"),
    ]


def test_walk_tells_encoding_and_charset() -> None:
    part = list(walk(scan(MIXED).parts))[1]
    assert (part.encoding, part.charset) == ("quoted-printable", "utf-8")


HEADER = b"From: a\r\nTO: b,\r\n\tc\r\nno field\r\nX-A : 1\r\nTo: d\r\n\r\n"


@pytest.mark.parametrize(
    ("names", "exclude", "octets"),
    [
        ({b"to"}, False, b"TO: b,\r\n\tc\r\nTo: d\r\n\r\n"),
        ({b"to"}, True, b"From: a\r\nno field\r\nX-A : 1\r\n\r\n"),
        ({b"x-a", b"from"}, False, b"From: a\r\nX-A : 1\r\n\r\n"),
        ({b"cc"}, False, b"\r\n"),
        (set(), True, HEADER),
    ],
)
def test_header_fields(names: set[bytes], exclude: bool, octets: bytes) -> None:
    assert filter_fields(HEADER, names, exclude) == octets


def test_header_fields_of_a_header_without_blank_line() -> None:
    assert filter_fields(b"A: 1\r\nB: 2\r\n", {b"b"}, False) == b"B: 2\r\n\r\n"
    assert filter_fields(b"", {b"b"}, False) == b"\r\n"


@pytest.mark.case("I074", "I076")
@pytest.mark.parametrize("size", range(1, 40))
def test_header_fields_of_a_header_that_is_looked_at_in_pieces(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """However the pieces fall, the fields are the same, up to the blank line."""
    monkeypatch.setattr(headers, "PIECE", size)
    for blank in (b"\r\n", b"\n", b"\r\r\n", b""):
        header = (
            b"To: a\r\n b\r\nSubject: x\r\n\ty\r\nX: z\r\nno field\r\nto : c\r\n"
            + blank
            + b"To: not this one\r\n"
        )
        wanted = [raw for name, raw in headers.raw_fields(header) if name in (b"to", b"x")]
        assert named_fields(header, frozenset((b"to", b"x"))) == b"".join(wanted)
