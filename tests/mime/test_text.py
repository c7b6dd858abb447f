"""Headers and bodies as text: octets in, characters out."""

from __future__ import annotations

import pytest

from bridge.mime.charsets import codec, decode
from bridge.mime.markup import words
from bridge.mime.parser import scan
from bridge.mime.text import (
    base_subject,
    body_texts,
    decode_header,
    fold,
    header_texts,
    header_values,
)
from tests.mime.messages import MIXED, NESTED


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b" plain ", "plain"),
        (b"folded\r\n\tline", "folded\tline"),
        # RFC 2047 8, examples
        (b"(=?ISO-8859-1?Q?a?=)", "(a)"),
        (b"(=?ISO-8859-1?Q?a?= b)", "(a b)"),
        (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a?=  \r\n  =?ISO-8859-1?Q?b?=)", "(ab)"),
        (b"(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
        (b"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"),
        (b"=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"),
        (b"=?utf-8?b?R3LDvMOfZQ?= without padding", "Grüße without padding"),
        (b"=?iso-8859-1*de?q?Gr=FC=DFe?=", "Grüße"),
        # a character over two words, which RFC 2047 5 forbids and mail has
        (b"=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"),
        (b"=?utf-8?q?two words?=", "two words"),
        (b"=?iso-2022-jp?B?GyRCRnxLXDhsGyhC?=", "日本語"),
        (b"=?shift_jis?B?k/qWe4zq?=", "日本語"),
        (b"=?euc-jp?B?xvzL3LjsCg==?=", "日本語\n"),
        (b"=?gb2312?B?1tDOxA==?=", "中文"),
        (b"=?big5?B?pKSk5Q==?=", "中文"),
        (b"=?euc-kr?B?x9G5zg==?=", "한민"),
        (b"=?koi8-r?B?8NLJ18XU?=", "Привет"),
        (b"=?windows-1251?Q?=CF=F0=E8?=", "При"),
        (b"=?utf-7?Q?M+APw-ller?=", "Müller"),
        # not encoded-words
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"=?utf-8?q?abc", "=?utf-8?q?abc"),
        (b"=?=?= a=?b", "=?=?= a=?b"),
        # raw 8 bit
        ("Grüße".encode(), "Grüße"),
        ("Grüße".encode("latin-1"), "Grüße"),
        (b"a \x81 b", "a \ufffd b"),
        (b"Re: \x1b$BF|K\\8l\x1b(B", "Re: 日本語"),
        # a charset that is none
        (b"=?unknown?q?=C3=A4?=", "ä"),
        (b"=?utf-8?q?=FF?=", "\ufffd"),
    ],
)
def test_decode_header(value: bytes, text: str) -> None:
    assert decode_header(value) == text


@pytest.mark.parametrize(
    "name",
    [
        "unicode_escape",
        "zlib",
        "rot13",
        "idna",
        "punycode",
        "base64",
        "../x",
        "x" * 1000,
        "",
        "mbcs",
    ],
)
def test_codecs_that_are_no_charsets_are_out_of_reach(name: str) -> None:
    assert codec(name) is None
    assert decode(b"\\x41 abc", name) == "\\x41 abc"


def test_header_values() -> None:
    header = b"To: a\r\nto : =?utf-8?q?b?=\r\nX-To: c\r\nTo:\r\n\td\r\n\r\n"
    assert header_values(header, b"TO") == ["a", "b", "d"]
    assert header_values(header, b"Cc") == []


def bodies(content: str, body: bytes) -> list[str]:
    message = f"{content}\r\n\r\n".encode() + body
    return list(body_texts(message, scan(message).parts))


def test_body_texts_decodes_transfer_encodings() -> None:
    head = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
    assert bodies(head + "base64", b"R3LDvMO\r\nfZQ==\r\n") == ["Grüße"]
    assert bodies(head + "BASE64", b"R3L!DvMOfZ Q\r\n") == ["Grüße"]
    assert bodies(head + "base64", b"YQ==YmM=") == ["abc"]
    assert bodies(head + "quoted-printable", b"Gr=C3=BC=  \r\n=C3=9Fe \t\r\n=0 =") == [
        "Grüße\r\n=0 "
    ]
    assert bodies(head + "8bit", "Grüße".encode()) == ["Grüße"]
    # RFC 2045 6.4: an unknown encoding makes octets of it
    assert bodies(head + "x-uuencode", b"begin 644 a") == []


def test_body_texts_gives_html_as_it_is_and_without_its_tags() -> None:
    page = b"<p>f&uuml;r &lt;<b>Gro</b>&szlig;e&nbsp;&#38;</p>"
    assert bodies("Content-Type: text/html", page) == [
        page.decode(), "f&uuml;r <Gro&szlig;e &",
    ]  # fmt: skip


def test_body_texts_gives_text_and_message_parts_only() -> None:
    assert list(body_texts(MIXED, scan(MIXED).parts)) == ["ä"]
    assert list(body_texts(NESTED, scan(NESTED).parts)) == [
        "first", "plain", "<p>html</p>", "html", "deep",
    ]  # fmt: skip
    report = (
        b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: message/delivery-status\r\n\r\nAction: failed\r\n--b--"
    )
    assert list(body_texts(report, scan(report).parts)) == ["Action: failed"]


def test_a_needle_on_the_border_of_two_pieces_is_found() -> None:
    line = b"x" * 74 + b"\r\n"
    border = 4 * 1024 * 1024
    text = bytearray(line * (2 * border // len(line)))
    text[border - 3 : border + 3] = b"needle"
    texts = bodies("Content-Type: text/plain", bytes(text))
    assert len(texts) == 3
    assert any("needle" in text for text in texts)


def test_header_texts_decodes_the_headers_of_inner_parts() -> None:
    message = NESTED.replace(b"Subject: inner", b"Subject: =?utf-8?q?=C3=A4?=")
    texts = list(header_texts(message, scan(message).parts))
    assert "Content-Type: multipart/mixed; boundary=b1" not in texts
    assert "Subject: ä\r\nContent-Type: multipart/alternative; boundary=b2" in texts


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>a</p><p>b</p>", "a b"),
        ("<span>a</span>b <i>c</i>d", "ab cd"),
        ("<title>t</title><style>p { x: y }</style>a<script>1 < 2</script>b", "a b"),
        ("a<!-- <p> -->b", "a b"),
        ("a<style>never closed", "a"),
        ("a <!-- never closed", "a"),
        ("a <b", "a"),
        ("1 &lt; 2 &amp; &#228; &bogus;", "1 < 2 & ä &bogus;"),
    ],
)
def test_words_of_html(page: str, text: str) -> None:
    assert words(page) == text


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("GRÜSSE", "grüße"),
        ("a\u0308", "ä"),
        ("ﬁne", "FINE"),
        ("ＡＢＣ", "abc"),
        ("ПРИВЕТ", "привет"),
        ("İ", "i\u0307"),
    ],
)
def test_fold_makes_alike_what_a_reader_takes_for_alike(text: str, needle: str) -> None:
    assert fold(needle) in fold(text)


def test_fold_keeps_accents_apart() -> None:
    assert fold("ä") not in fold("abc")
    assert fold("für") not in fold("fur")


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        # RFC 5256 2.1
        ("plain", "plain"),
        ("Re: plain", "plain"),
        ("re: RE: Fwd: fw: plain", "plain"),
        ("Re[2]: plain", "plain"),
        ("Re [list] : plain", "plain"),
        ("[list] Re: [list] plain", "plain"),
        ("[a] [b] plain", "plain"),
        ("[a][b]", "[b]"),
        ("[only]", "[only]"),
        ("Re: [only]", "[only]"),
        ("plain (fwd) (FWD)  ", "plain"),
        ("[fwd: [list] plain]", "plain"),
        ("[Fwd: Re: plain (fwd)]", "plain"),
        ("  two\t\r\n words ", "two words"),
        ("Re:", ""),
        ("", ""),
        ("Reply: no", "Reply: no"),
        ("Re plain", "Re plain"),
        ("[a [b]", "[a [b]"),
        ("[fwd: open", "[fwd: open"),
        ("AW: plain", "AW: plain"),
    ],
)
def test_base_subject(subject: str, base: str) -> None:
    assert base_subject(subject).base == base
