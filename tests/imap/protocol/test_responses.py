"""Values in, bytes out."""

from __future__ import annotations

import pytest

from bridge.imap.protocol import responses
from bridge.model import Flag


@pytest.mark.parametrize(
    ("octets", "string", "astring"),
    [
        (b"", b'""', b'""'),
        (b"abc", b'"abc"', b"abc"),
        (b"nil", b'"nil"', b'"nil"'),
        (b"a b", b'"a b"', b'"a b"'),
        (b"a*b%", b'"a*b%"', b'"a*b%"'),
        (b"a]", b'"a]"', b"a]"),
        (b"(", b'"("', b'"("'),
        (b'a"', b'{2}\r\na"', b'{2}\r\na"'),
        (b"a\\", b"{2}\r\na\\", b"{2}\r\na\\"),
        (b"\r\na1 OK", b"{7}\r\n\r\na1 OK", b"{7}\r\n\r\na1 OK"),
        (b"\xff", b"{1}\r\n\xff", b"{1}\r\n\xff"),
        (b"\x7f", b"{1}\r\n\x7f", b"{1}\r\n\x7f"),
    ],
)
def test_strings(octets: bytes, string: bytes, astring: bytes) -> None:
    assert (responses.string(octets), responses.astring(octets)) == (string, astring)
    assert responses.nstring(octets) == string


def test_nil() -> None:
    assert responses.nstring(None) == b"NIL"


def test_quoted() -> None:
    assert responses.quoted(b'a"b\\c') == b'"a\\"b\\\\c"'
    for octets in (b"\r", b"\n", b"\0", b"\xff"):
        with pytest.raises(ValueError, match="quoted"):
            responses.quoted(octets)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("INBOX", b"INBOX"),
        ("Entwürfe", b"Entw&APw-rfe"),
        ("a & b", b'"a &- b"'),
        ("x\r\n* OK", b'"x&AA0ACg-* OK"'),
        ('a"b', b'{3}\r\na"b'),
        ("NIL", b'"NIL"'),
    ],
)
def test_mailbox_names(name: str, written: bytes) -> None:
    assert responses.mailbox_name(name) == written


@pytest.mark.parametrize(
    ("flags", "keywords", "recent", "written"),
    [
        (0, (), False, b"()"),
        (Flag.SEEN, ("$Forwarded",), False, b"(\\Seen $Forwarded)"),
        (0, ("a", "b"), False, b"(a b)"),
        (0, (), True, b"(\\Recent)"),
        (31, (), True, b"(\\Answered \\Flagged \\Deleted \\Seen \\Draft \\Recent)"),
    ],
)
def test_flags(flags: int, keywords: tuple[str, ...], recent: bool, written: bytes) -> None:
    assert responses.flag_list(flags, keywords, recent) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, b'" 1-Jan-1970 00:00:00 +0000"'),
        (837596665, b'"17-Jul-1996 09:44:25 +0000"'),
        (-1, b'"31-Dec-1969 23:59:59 +0000"'),
        (-62135596800, b'" 1-Jan-0001 00:00:00 +0000"'),
        (10**15, b'"31-Dec-9999 01:46:40 +0000"'),
        (-(10**15), b'" 1-Jan-0001 22:13:20 +0000"'),
    ],
)
def test_internaldate(seconds: int, written: bytes) -> None:
    assert responses.internaldate(seconds) == written


def test_responses() -> None:
    assert responses.tagged(b"a1", b"OK", "Done") == b"a1 OK Done\r\n"
    assert responses.tagged(b"a1", b"NO", "None", b"TRYCREATE") == b"a1 NO [TRYCREATE] None\r\n"
    assert responses.untagged(b"OK", b"Next", "UIDNEXT 7") == b"* OK [UIDNEXT 7] Next\r\n"
    assert responses.data(b"3", b"EXISTS") == b"* 3 EXISTS\r\n"
    assert responses.continuation() == b"+ \r\n"
    assert responses.continuation("Go on") == b"+ Go on\r\n"

    def whole(*numbers: bytes, modseq: int | None = None) -> bytes:
        return b"".join(responses.search_result(numbers, modseq))

    assert whole() == b"* SEARCH\r\n"
    assert whole(modseq=9) == b"* SEARCH\r\n"
    assert whole(b" 2 84", modseq=9) == b"* SEARCH 2 84 (MODSEQ 9)\r\n"
    assert whole(b" 2 84", b" 882") == b"* SEARCH 2 84 882\r\n"


@pytest.mark.parametrize(
    ("text", "code", "written"),
    [
        ("a\r\n* OK b", None, b"a??* OK b"),
        ("grün\0", None, b"gr?n?"),
        ("", None, b"-"),
        ("", "ALERT", b"[ALERT] -"),
        ("[ALERT] fake", None, b"(ALERT] fake"),
        ("x", "A\r\n", b"[A??] x"),
    ],
)
def test_texts_stay_one_line(text: str, code: str | None, written: bytes) -> None:
    assert responses.resp_text(text, code) == written
