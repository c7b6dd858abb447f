"""BODYSTRUCTURE and BODY (RFC 3501 7.4.2): messages in, wire bytes out."""

from __future__ import annotations

import pytest

from bridge.mime.parameters import content_type, disposition, token
from bridge.mime.parser import scan
from tests.mime.imap_list import body_shape, parse
from tests.mime.messages import ATTACHED, DIGEST, MIXED, PLAIN


def test_a_plain_message() -> None:
    structure = scan(PLAIN)
    assert structure.body == (b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 23 2)')
    assert structure.bodystructure == (
        b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 23 2 NIL NIL NIL NIL)'
    )


def test_a_multipart() -> None:
    structure = scan(MIXED)
    assert structure.body == (
        b'(("text" "plain" ("charset" "utf-8") NIL NIL "quoted-printable" 6 0)'
        b'("image" "png" ("name" "a b.png") "<1@x>" "a picture" "base64" 8) "mixed")'
    )
    assert structure.bodystructure == (
        b'(("text" "plain" ("charset" "utf-8") NIL NIL "quoted-printable" 6 0 NIL NIL ("en" "de")'
        b" NIL)"
        b'("image" "png" ("name" "a b.png") "<1@x>" "a picture" "base64" 8 NIL'
        b' ("attachment" ("filename" "a b.png" "size" "6")) NIL "http://x.example/")'
        b' "mixed" ("boundary" "b1") NIL NIL NIL)'
    )


def test_a_message_in_a_message() -> None:
    structure = scan(ATTACHED)
    inner = b"From: in@x.example\r\nSubject: inner\r\n\r\none\r\ntwo"
    assert structure.body == (
        b'(("message" "rfc822" NIL NIL NIL "7bit" %d (NIL "inner"'
        b' ((NIL NIL "in" "x.example")) ((NIL NIL "in" "x.example")) ((NIL NIL "in" "x.example"))'
        b" NIL NIL NIL NIL NIL)"
        b' ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 8 1) 4) "mixed")'
    ) % len(inner)


def test_parts_of_a_digest_are_messages() -> None:
    """RFC 2046 5.1.5: without a Content-Type; with one, that counts."""
    assert body_shape(parse(scan(DIGEST).body)) == [
        "digest",
        ["message/rfc822", "text/plain"],
        "text/html",
    ]


def structure_of(body: str, content: str = "multipart/mixed; boundary=b") -> object:
    text = f"Content-Type: {content}\r\n\r\n{body}"
    return body_shape(parse(scan(text.encode()).bodystructure))


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (
            # an outer delimiter that is the beginning of an inner one
            "--b\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n"
            "--m\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n"
            "--bb\r\n\r\nx\r\n--bb\r\n\r\ny\r\n--bb--\r\n--m\r\n\r\nz\r\n--m--\r\n--b--",
            ["mixed", ["mixed", ["mixed", "text/plain", "text/plain"], "text/plain"]],
        ),
        ("", ["mixed", "text/plain"]),
        ("--b--\r\n", ["mixed", "text/plain"]),
        ("text before, and no part", ["mixed", "text/plain"]),
        ("--b\r\n\r\nend missing", ["mixed", "text/plain"]),
        ("--b", ["mixed", "text/plain"]),
        ("--b\r\n", ["mixed", "text/plain"]),
        (
            "--b\r\nContent-Type: text/html\r\n--b\r\n\r\nx\r\n--b--",
            ["mixed", "text/html", "text/plain"],
        ),
        ("--b\n\nbare LF\n--b\n\nx\n--b--\n", ["mixed", "text/plain", "text/plain"]),
        ("--b \t\r\n\r\nx\r\n--b-- \r\n--b\r\n\r\nafter the end", ["mixed", "text/plain"]),
        ("-- b\r\n\r\nx", ["mixed", "text/plain"]),
        (
            "--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n"
            "--c\r\n\r\nx\r\n--b\r\nContent-Type: image/gif\r\n\r\nnot ended\r\n--b--",
            ["mixed", ["alternative", "text/plain"], "image/gif"],
        ),
        (
            "--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n\r\n"
            "--bb\r\nContent-Type: text/html\r\n\r\nx\r\n--bb--\r\n--b--",
            ["mixed", ["alternative", "text/html"]],
        ),
        (
            "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            "--b\r\nContent-Type: text/html\r\n\r\nx\r\n--b--\r\n--b\r\n\r\ny\r\n--b--",
            ["mixed", ["mixed", "text/html"], "text/plain"],
        ),
        (
            "--b\r\nContent-Type: message/rfc822\r\n\r\n"
            "Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--b--\r\n",
            ["mixed", ["message/rfc822", ["mixed", "text/plain"]]],
        ),
    ],
)  # fmt: skip
def test_boundaries(body: str, shape: object) -> None:
    assert structure_of(body) == shape


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("text", "text/plain"),
        ("", "text/plain"),
        (";charset=utf-8", "text/plain"),
        ("text/html charset=utf-8", "text/html"),
        ("multipart/mixed", ["mixed", "text/plain"]),
        ('multipart/mixed; boundary=""', ["mixed", "text/plain"]),
        ("multipart/mixed boundary=b", "text/plain"),
        ("multipart", "text/plain"),
        ("text/pl\xe4in", "text/pl"),
        ("TEXT / (comment) HTML", "text/html"),
        ("message/delivery-status", "message/delivery-status"),
    ],
)
def test_content_types_that_are_not_quite_right(value: str, shape: object) -> None:
    assert structure_of("x", value) == shape


def test_without_mime_version_and_content_type_it_is_not_mime() -> None:
    message = b"Content-Transfer-Encoding: base64\r\nContent-ID: <x>\r\n\r\nx"
    plain = b'("text" "plain" ("charset" "us-ascii") NIL NIL "%b" 1 0)'
    assert scan(message).body == plain % b"7bit"
    assert b'"base64"' in scan(b"MIME-Version: 1.0\r\n" + message).body


@pytest.mark.parametrize(
    ("value", "pairs"),
    [
        (b"a/b", []),
        (b"a/b;", []),
        (b"a/b; x=1;y=2 ; z = 3", [(b"x", b"1"), (b"y", b"2"), (b"z", b"3")]),
        (b'a/b; x="a;b \\"c\\" (d)"', [(b"x", b'a;b "c" (d)')]),
        (b'a/b; x="a\r\n b"', [(b"x", b"a b")]),
        (b"a/b; (comment (nested)) x=(c)1(c)", [(b"x", b"1")]),
        (b"a/b; x=one two; y=3", [(b"x", b"one"), (b"y", b"3")]),
        (b"a/b; x; y=3; =4; z=", [(b"y", b"3"), (b"z", b"")]),
        (b'a/b; y=3; x="never closed', [(b"y", b"3")]),
        (b"a/b; x==?utf-8?q?a(b?=; y=3", [(b"x", b"=?utf-8?q?a")]),
        (b"a/b; n=J\xc3\xb6", [(b"n", b"J\xc3\xb6")]),
        # RFC 2231
        (b"a/b; n*=utf-8''%e2%82%ac", [(b"n*", b"utf-8''%e2%82%ac")]),
        (b"a/b; n*1=b; n*0=a; n*2=c", [(b"n", b"abc")]),
        (b"a/b; n*0*=utf-8''%61; n*1=%b; n*2*=%63", [(b"n*", b"utf-8''%61%25b%63")]),
        (b"a/b; n*0=a; n*1*=%63", [(b"n*", b"''a%63")]),
        (b"a/b; n*0=a; n*2=c", [(b"n*0", b"a"), (b"n*2", b"c")]),
        (b"a/b; n*x=a", [(b"n*x", b"a")]),
    ],
)
def test_parameters(value: bytes, pairs: list[tuple[bytes, bytes]]) -> None:
    stated = content_type(value)
    assert stated is not None
    assert stated[2] == pairs


def test_disposition_and_encoding() -> None:
    assert disposition(b'attachment; filename="a.txt"') == (
        b"attachment",
        [(b"filename", b"a.txt")],
    )
    assert disposition(b';filename="a.txt"') == (b"", [(b"filename", b"a.txt")])
    assert token(b" base64 (as ever) ") == b"base64"
    assert token(b"7 bit") is None
    assert token(b"") is None
