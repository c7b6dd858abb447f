"""What SORT and THREAD compare, from octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import limits
from bridge.mime.parser import scan
from bridge.mime.text import casemap
from bridge.model import SortKeys


def keys(*lines: str | bytes) -> SortKeys:
    header = b"\r\n".join(each if isinstance(each, bytes) else each.encode() for each in lines)
    return scan(header + b"\r\n\r\n").sort_keys


def test_nothing() -> None:
    assert keys("X: y") == SortKeys()


def test_addresses() -> None:
    """The mailbox of the first address of the first field (RFC 5256 3), in one case."""
    found = keys("From: ann@b.example, bob@c", "From: z@z", 'To: C <"c d"@x>', "Cc: e@f")
    assert (found.sender, found.to, found.cc) == ("ANN", "C D", "E")
    assert keys("To: friends: ann@b.example;").to == "FRIENDS"
    assert keys("To: undisclosed recipients").to == ""
    assert keys("Cc: jörg@x").cc == "JO\u0308RG"


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("From: Ann <z@b.example>", "ANN"),
        ('From: "ann b" <z@b.example>', "ANN B"),
        ("From: =?utf-8?q?=C3=A4?= <z@b.example>", "A\u0308"),
        # RFC 5957 3: without a name the address
        ("From: ann@b.example", "ANN@B.EXAMPLE"),
        ("From: <ann>", "ANN"),
        ('From: "" <ann@b.example>', "ANN@B.EXAMPLE"),
    ],
)
def test_display_names(line: str, key: str) -> None:
    assert keys(line).display_from == key
    assert keys(line.replace("From", "To")).display_to == key


@pytest.mark.parametrize(
    ("subject", "base", "is_reply"),
    [
        ("Grüße", "GRU\u0308ßE", False),
        ("Re: a", "A", True),
        ("[list] a", "A", False),
        ("[list] Re: a", "A", True),
        ("a (fwd)", "A", True),
        ("[Fwd: a]", "A", True),
        ("Re:", "", True),
        ("x" * 3_000, "X" * 500, False),
    ],
)
def test_subjects(subject: str, base: str, is_reply: bool) -> None:
    found = keys(f"Subject: {subject}")
    assert (found.subject, found.is_reply) == (base, is_reply)


def test_8_bit_octets_without_a_charset_are_utf_8_or_nothing() -> None:
    assert keys(b"Subject: Fr\xf6sche").subject == "FR\ufffdSCHE"
    assert keys("Subject: Frösche").subject == "FRO\u0308SCHE"


def links(*lines: str) -> list[bytes]:
    octets = keys(*lines).links
    return [octets[at : at + 8] for at in range(0, len(octets), 8)]


def test_links() -> None:
    own, first, second = links("Message-ID: <a@x>", "References: <b@x>\r\n <c@x>")
    assert len({own, first, second}) == 3
    assert links("Message-ID: <b@x>") == [first]
    # one parent of In-Reply-To, where References has none
    assert links("In-Reply-To: <b@x> from <c@x>") == [bytes(8), first]
    assert links("References: nonsense", "In-Reply-To: <b@x>") == [bytes(8), first]
    assert links("References: <c@x>", "In-Reply-To: <b@x>") == [bytes(8), second]
    # RFC 5256 3: quoting makes no difference, case does
    assert links('Message-ID: <"b"@x>') == links('Message-ID: <"\\b"@x>') == [first]
    assert links("Message-ID: <B@x>") != [first]
    assert links("Message-ID: b@x") == links("Message-ID: <>") == [bytes(8)]


def test_the_middle_of_too_many_references_goes() -> None:
    every = [f"<{number}@x>" for number in range(limits.MIME_REFERENCES + 50)]
    _, *kept = links("References: " + " ".join(every))
    assert len(kept) == limits.MIME_REFERENCES
    assert kept[0] == links(f"Message-ID: {every[0]}")[0]
    assert kept[1:] == [links(f"Message-ID: {each}")[0] for each in every[51:]]


@given(st.text(), st.text())
def test_casemap_is_blind_to_case_and_keeps_order(left: str, right: str) -> None:
    """Mapping twice is mapping once for ASCII; equal texts in other case are equal."""
    ascii_only = left.encode("ascii", "replace").decode()
    assert casemap(ascii_only.lower()) == casemap(ascii_only.upper()) == casemap(ascii_only)
    assert casemap(left + right).startswith(casemap(left)[:-1])
