"""ENVELOPE (RFC 3501 7.4.2): headers in, wire bytes out."""

from __future__ import annotations

import pytest

from bridge.mime.address import address_list
from bridge.mime.parser import scan
from tests.mime.imap_list import parse


def envelope(*lines: str) -> bytes:
    return scan("\r\n".join([*lines, "", "body"]).encode("latin-1")).envelope


def test_an_ordinary_envelope() -> None:
    assert envelope(
        "Date: Mon, 7 Feb 1994 21:52:25 -0800",
        "From: Fred Foobar <foobar@Blurdybloop.COM>",
        "Subject: afternoon meeting",
        "To: mooch@owatagu.siam.edu",
        "Message-Id: <B27397-0100000@Blurdybloop.COM>",
    ) == (
        b'("Mon, 7 Feb 1994 21:52:25 -0800" "afternoon meeting"'
        b' (("Fred Foobar" NIL "foobar" "Blurdybloop.COM"))'
        b' (("Fred Foobar" NIL "foobar" "Blurdybloop.COM"))'
        b' (("Fred Foobar" NIL "foobar" "Blurdybloop.COM"))'
        b' ((NIL NIL "mooch" "owatagu.siam.edu")) NIL NIL NIL'
        b' "<B27397-0100000@Blurdybloop.COM>")'
    )


def test_a_message_without_header_has_an_envelope_of_nil() -> None:
    assert scan(b"").envelope == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    assert scan(b"\r\nbody").envelope == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"


def test_sender_and_reply_to_default_to_from_also_when_they_are_empty() -> None:
    wire = envelope("From: a@x.example", "Reply-To:", "Sender: b@x.example")
    assert parse(wire) == [
        None,
        None,
        [[None, None, b"a", b"x.example"]],
        [[None, None, b"b", b"x.example"]],
        [[None, None, b"a", b"x.example"]],
        *[None] * 5,
    ]


def test_folds_go_and_tabs_are_spaces() -> None:
    wire = envelope("Subject: one", "\ttwo", "  three", "Date: Mon,", " 1 Jan 2001")
    assert wire.startswith(b'("Mon, 1 Jan 2001" "one two  three" ')


def test_fields_that_stand_more_than_once() -> None:
    """Address lists are joined, of texts the last one counts."""
    wire = envelope("To: a@x.example", "Subject: first", "To: b@x.example", "Subject: second")
    assert wire == (
        b'(NIL "second" NIL NIL NIL ((NIL NIL "a" "x.example")(NIL NIL "b" "x.example"))'
        b" NIL NIL NIL NIL)"
    )


@pytest.mark.parametrize(
    ("subject", "wire"),
    [
        ('say "hi"', b'{8}\r\nsay "hi"'),
        ("back\\slash", b"{10}\r\nback\\slash"),
        ("Gr\xfc\xdfe", b"{5}\r\nGr\xfc\xdfe"),
        ("nul\0", b"{4}\r\nnul\x80"),
        ("bell\x07", b"{5}\r\nbell\x07"),
        (") {10}", b'") {10}"'),
    ],
)
def test_what_a_quoted_string_cannot_hold_goes_as_a_literal(subject: str, wire: bytes) -> None:
    """No content ends a line or a list of a reply early."""
    assert envelope(f"Subject: {subject}") == b"(NIL %b%b)" % (wire, b" NIL" * 8)


def test_a_long_text_goes_as_a_literal() -> None:
    assert b" {5000}\r\nxxx" in envelope("Subject: " + "x" * 5000)


ADDRESSES = [
    # the common forms
    (b"a@x.example", b'((NIL NIL "a" "x.example"))'),
    (b"<a@x.example>", b'((NIL NIL "a" "x.example"))'),
    (b"A B <a@x.example>", b'(("A B" NIL "a" "x.example"))'),
    (b'"B, A" <a@x.example>,c@y', b'(("B, A" NIL "a" "x.example")(NIL NIL "c" "y"))'),
    (b"J. R. Doe<j.r@x.example>", b'(("J. R. Doe" NIL "j.r" "x.example"))'),
    (b"=?utf-8?q?=C3=A4?= <a@x.example>", b'(("=?utf-8?q?=C3=A4?=" NIL "a" "x.example"))'),
    (b"A\r\n B\r\n\t<a@x.example>", b'(("A B" NIL "a" "x.example"))'),
    # quoted strings
    (b'"a \\"b\\" \\\\" <a@x.example>', b'(({7}\r\na "b" \\ NIL "a" "x.example"))'),
    (b'"a b"@x.example', b'((NIL NIL "a b" "x.example"))'),
    (b'A "B" C <a@x.example>', b'(("A B C" NIL "a" "x.example"))'),
    (b'"" <a@x.example>', b'((NIL NIL "a" "x.example"))'),
    # comments: the name of a bare address, otherwise nothing
    (b"a@x.example (A B)", b'(("A B" NIL "a" "x.example"))'),
    (b"a@x.example (A (B\\) C))", b'(("A (B) C)" NIL "a" "x.example"))'),
    (b"Pete(his \\) name) <pete(acct)@x.example(host)>", b'(("Pete" NIL "pete" "x.example"))'),
    (b"(nobody)", b"NIL"),
    # groups (RFC 3501 7.4.2): host NIL opens, all NIL closes
    (b"undisclosed-recipients:;", b'((NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL))'),
    (
        b"A Group:Chris <c@a.example>,joe@b.example; (end), d@c.example",
        b'((NIL NIL "A Group" NIL)("Chris" NIL "c" "a.example")(NIL NIL "joe" "b.example")'
        b'(NIL NIL NIL NIL)(NIL NIL "d" "c.example"))',
    ),
    (b"open: a@x", b'((NIL NIL "open" NIL)(NIL NIL "a" "x")(NIL NIL NIL NIL))'),
    # obsolete forms (RFC 5322 4.4)
    (b"<@r1,@r2:a@x.example>", b'((NIL "@r1,@r2" "a" "x.example"))'),
    (b"a . b @ x . example", b'((NIL NIL "a.b" "x.example"))'),
    (b", a@x.example,, b@x.example,", b'((NIL NIL "a" "x.example")(NIL NIL "b" "x.example"))'),
    (b"a@[192.0.2.1]", b'((NIL NIL "a" "[192.0.2.1]"))'),
    # what is no address is a valid structure all the same
    (b"", b"NIL"),
    (b"foo", b'((NIL NIL "foo" "MISSING_DOMAIN"))'),
    (b"Foo Bar", b'(("Foo Bar" NIL "MISSING_MAILBOX" "MISSING_DOMAIN"))'),
    (b"MAILER DAEMON <>", b'(("MAILER DAEMON" NIL "MISSING_MAILBOX" "MISSING_DOMAIN"))'),
    (b"A <a>", b'(("A" NIL "a" "MISSING_DOMAIN"))'),
    (b"A <a@x.example", b'(("A" NIL "a" "SYNTAX_ERROR"))'),
    (b"a@x.example <b@y.example>", b'((NIL NIL "a" "x.example"))'),
    (b'"never closed <a@x.example>', b"NIL"),
    (b"a@x.example (never closed", b'((NIL NIL "a" "x.example"))'),
    (b"a@x.example (ends in a backslash\\", b'((NIL NIL "a" "x.example"))'),
    (b";;;;", b'((NIL NIL "MISSING_MAILBOX" "MISSING_DOMAIN"))'),
    (b"J\xc3\xb6 <j\xc3\xb6@x.example>", b'(({3}\r\nJ\xc3\xb6 NIL {3}\r\nj\xc3\xb6 "x.example"))'),
]  # fmt: skip


@pytest.mark.parametrize(("value", "wire"), ADDRESSES, ids=[str(v)[:40] for v, _ in ADDRESSES])
def test_address_lists(value: bytes, wire: bytes) -> None:
    assert address_list(value) == wire
    parse(wire)
