"""What the grammar is after ENABLE IMAP4rev2 (RFC 9051), and what it is before."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.imap.protocol import fetch, list, search, select, status
from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner
from bridge.imap.protocol.search import Larger, Returns, Search

LARGEST = 2**63 - 1


def rev2(arguments: bytes) -> Scanner:
    return Scanner([arguments], rev2=True)


@pytest.mark.parametrize(
    ("grammar", "arguments"),
    [
        (search.parse, b" RECENT"),
        (search.parse, b" OR NEW ALL"),
        (search.parse, b" NOT OLD"),
        (status.parse, b" INBOX (RECENT)"),
        (list.parse, b' "" * RETURN (STATUS (RECENT))'),
        (fetch.parse, b" 1 RFC822"),
        (fetch.parse, b" 1 (UID RFC822.HEADER)"),
        (fetch.parse, b" 1 RFC822.TEXT"),
    ],
)
def test_what_is_gone(grammar: Callable[[Scanner], object], arguments: bytes) -> None:
    grammar(Scanner([arguments]))
    with pytest.raises(ParseError):
        grammar(rev2(arguments))


@pytest.mark.parametrize(
    ("grammar", "arguments"),
    [
        (search.parse, b" LARGER 4294967296"),
        (search.parse, b" SMALLER %d" % LARGEST),
        (fetch.parse, b" 1 BODY[]<4294967296.1>"),
        (fetch.parse, b" 1 BODY[]<0.%d>" % LARGEST),
        (fetch.parse, b" 1 BINARY[1]<%d.%d>" % (LARGEST, LARGEST)),
    ],
)
def test_numbers_of_63_bits(grammar: Callable[[Scanner], object], arguments: bytes) -> None:
    grammar(rev2(arguments))
    with pytest.raises(ParseError):
        grammar(Scanner([arguments]))


@pytest.mark.parametrize(
    ("grammar", "arguments"),
    [
        (search.parse, b" LARGER %d" % (LARGEST + 1)),
        (fetch.parse, b" 1 BODY[]<0.0>"),
        (fetch.parse, b" 1 BODY[]<0.01>"),
    ],
)
def test_numbers_that_are_none(grammar: Callable[[Scanner], object], arguments: bytes) -> None:
    with pytest.raises(ParseError):
        grammar(rev2(arguments))


def test_search_asks_for_all_where_it_asks_for_nothing() -> None:
    assert search.parse(rev2(b" LARGER 1")) == Search(Larger(1), returns=Returns(("ALL",)))
    assert search.parse(rev2(b" RETURN (MIN) LARGER 1")) == Search(
        Larger(1), returns=Returns(("MIN",))
    )


def test_names_are_utf8_and_no_modified_utf7() -> None:
    assert select.parse(rev2(' "Entwürfe"'.encode())).mailbox == "Entwürfe"
    assert select.parse(rev2(b" Entw&APw-rfe")).mailbox == "Entw&APw-rfe"
    assert select.parse(rev2(b" R&D")).mailbox == "R&D"
    assert select.parse(rev2(b" inbox")).mailbox == "INBOX"
    with pytest.raises(ParseError):
        select.parse(rev2(b' "\xff"'))
