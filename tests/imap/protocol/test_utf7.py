"""Mailbox names on the wire: one spelling each."""

from __future__ import annotations

import pytest

from bridge.imap.protocol import utf7
from bridge.imap.protocol.errors import ParseError


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("", b""),
        ("INBOX", b"INBOX"),
        ("&", b"&-"),
        ("a&b&-", b"a&-b&--"),
        ("é&é", b"&AOk-&-&AOk-"),
        ("Entwürfe & mehr", b"Entw&APw-rfe &- mehr"),
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),  # RFC 3501 5.1.3
        ("😀", b"&2D3eAA-"),
        ("\0\t", b"&AAAACQ-"),
        ("\x7f", b"&AH8-"),
    ],
)
def test_both_ways(name: str, written: bytes) -> None:
    assert utf7.encode(name) == written
    assert utf7.decode(written) == name


@pytest.mark.parametrize(
    "written",
    [
        b"&",
        b"a&",
        b"&AOk",
        b"&AOk&-",
        b"&AGE-",  # "a" is written "a"
        b"&ACY-",  # "&" is written "&-"
        b"&AOk-&AOk-",  # two shifts in a row
        b"&AOk=-",
        b"&AOl-",  # bits left over
        b"&AO-",  # half a character
        b"&A-",
        b"&AOkA-",
        b"&2AA-",  # half a surrogate pair
        b"&3AA-",
        b"&2D0-&3gA-",  # a pair torn apart
        b"&U/BT-",  # "/" is written ","
        b"&A*k-",
        b"&AOk -",
        b"gr\xc3\xbcn",
        b"a\0",
        b"a\r\n",
        b"\x7f",
        b"&" + b"A" * 1_000_001 + b"-",
    ],
)
def test_refused(written: bytes) -> None:
    with pytest.raises(ParseError):
        utf7.decode(written)


def test_lone_surrogates_have_no_spelling() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        utf7.encode("\ud800")
