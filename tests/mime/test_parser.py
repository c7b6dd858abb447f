"""`scan`: what it says beside ENVELOPE and BODYSTRUCTURE, and that it keeps its limits."""

from __future__ import annotations

import datetime
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from bridge import limits
from bridge.mime.parser import scan
from bridge.mime.preview import CHARACTERS
from bridge.mime.section import walk
from bridge.model import Octets, Structure
from tests.mime.imap_list import body_shape, items, parse
from tests.mime.messages import MIXED, NESTED, PLAIN

DELIVERED = b"""\
Received: by b.example; Mon, 1 Jan 2001 10:00:02 +0000
Received: from x.example; nonsense
Message-ID: <1@x.example>
Date: Mon, 1 Jan 2001 00:30:00 +0100
From: A <a@x.example>
Subject: Re: =?utf-8?q?Gr=C3=BC=C3=9Fe?=

Hello,

\tgoodbye.
""".replace(b"\n", b"\r\n")


def test_the_fields_of_a_structure() -> None:
    structure = scan(DELIVERED)
    assert structure.header == DELIVERED[: structure.header_size]
    assert DELIVERED[structure.header_size :] == b"Hello,\r\n\r\n\tgoodbye.\r\n"
    assert structure.message_id == "<1@x.example>"
    assert structure.base_subject == "Grüße"
    assert structure.sent_day == datetime.date(2001, 1, 1).toordinal()
    assert (
        structure.sent_at
        == datetime.datetime(2000, 12, 31, 23, 30, tzinfo=datetime.UTC).timestamp()
    )
    assert (
        structure.received_at
        == datetime.datetime(2001, 1, 1, 10, 0, 2, tzinfo=datetime.UTC).timestamp()
    )
    assert structure.preview == "Hello, goodbye."


def test_a_message_that_says_nothing() -> None:
    structure = scan(b"")
    assert (structure.message_id, structure.base_subject, structure.preview) == ("", "", "")
    assert (structure.sent_day, structure.sent_at, structure.received_at) == (None, None, None)
    assert (structure.header, structure.header_size) == (b"", 0)
    assert len(structure.fingerprint) == 32


@pytest.mark.parametrize(
    ("value", "message_id"),
    [
        (b"<a@b>", "<a@b>"),
        (b"\r\n <a@b> (comment)", "<a@b>"),
        (b"a@b", ""),
        (b"<a b@c>", ""),
        (b"<>", ""),
        (b"<" + b"x" * 5000 + b">", ""),
    ],
)
def test_message_id(value: bytes, message_id: str) -> None:
    assert scan(b"Message-ID: " + value + b"\r\n\r\n").message_id == message_id


def test_the_topmost_received_field_with_a_date_counts() -> None:
    swapped = DELIVERED.replace(b"; Mon, 1 Jan 2001 10:00:02 +0000", b"; then").replace(
        b"; nonsense", b"(a; b); 2 Jan 2001 10:00 +0000"
    )
    at = datetime.datetime(2001, 1, 2, 10, tzinfo=datetime.UTC).timestamp()
    assert scan(swapped).received_at == at


SAME = [
    lambda m: b"Received: by another hop; 3 Jan 2001 00:00 +0000\r\n" + m,
    lambda m: b"X-UIDL: 17\r\nStatus: RO\r\nX-Mozilla-Status: 0001\r\n" + m,
    lambda m: m.replace(b"Received: by b.example; Mon, 1 Jan 2001 10:00:02 +0000\r\n", b""),
    lambda m: m + b"\r\n\r\n",
    lambda m: m.removesuffix(b"\r\n"),
    lambda m: m.replace(b"From: A <a@", b"From: A\r\n <a@"),
]  # fmt: skip
OTHER = [
    lambda m: m.replace(b"<1@x", b"<2@x"),
    lambda m: m.replace(b"00:30:00", b"00:30:01"),
    lambda m: m.replace(b"From: A", b"From: B"),
    lambda m: m.replace(b"goodbye", b"welcome"),
    lambda m: m.replace(b"\r\n\r\n\tgood", b"\r\n\tgood"),
]  # fmt: skip


@pytest.mark.parametrize("change", SAME)
def test_a_fingerprint_survives_what_providers_do(change: Callable[[bytes], bytes]) -> None:
    assert change(DELIVERED) != DELIVERED
    assert scan(change(DELIVERED)).fingerprint == scan(DELIVERED).fingerprint


@pytest.mark.parametrize("change", OTHER)
def test_another_message_has_another_fingerprint(change: Callable[[bytes], bytes]) -> None:
    assert scan(change(DELIVERED)).fingerprint != scan(DELIVERED).fingerprint


def test_values_cannot_move_between_the_fields_of_a_fingerprint() -> None:
    one = scan(b"Message-ID: a\r\nDate: b\r\n\r\n")
    other = scan(b"Message-ID: a b\r\n\r\n")
    assert one.fingerprint != other.fingerprint


@pytest.mark.case("I088")
@pytest.mark.parametrize(
    ("message", "preview"),
    [
        (b"\r\n" + b"word " * 1000, ("word " * 40).strip()),
        (b"\r\n" + "ä".encode() * 1000, "ä" * CHARACTERS),
        (
            b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + b"x" * 16383 + "ä".encode(),
            "x" * 200,
        ),
        (b"Content-Type: text/plain; charset=utf-8\r\n\r\nabc\xc3", "abc"),
        (b"Content-Type: text/html\r\n\r\n<style>p{}</style><p>a&nbsp;b\xe2\x80\x8b", "a b"),
        (b"Content-Type: image/png\r\n\r\nabc", ""),
        (MIXED, "ä"),
        (NESTED, "first"),
        (b"\r\na\0b\x07c", "abc"),
    ],
)
def test_preview(message: bytes, preview: str) -> None:
    assert scan(message).preview == preview


def test_a_preview_prefers_plain_text() -> None:
    message = (
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/html\r\n\r\n<p>html\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n--b--"
    )
    assert scan(message).preview == "plain"
    assert scan(message.replace(b"\r\nplain\r\n", b"\r\n\r\n")).preview == "html"


@pytest.mark.parametrize("message", [PLAIN, MIXED, NESTED, DELIVERED])
def test_a_mapped_file_gives_the_same_structure(message: bytes, tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(message)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        # typeshed wants `int` where Octets.find takes any index; mmap itself takes both
        assert scan(cast(Octets, mapped)) == scan(message)


# --- limits: each is reached, the answer stays whole and small ---------------------------


def checked(message: bytes) -> Structure:
    """The structure of a hostile message; its wire bytes are read back."""
    structure = scan(message)
    assert len(items(structure.envelope)) == 10
    body_shape(parse(structure.bodystructure))
    body_shape(parse(structure.body))
    assert len(structure.header) <= limits.MIME_HEADER_BLOCK
    assert len(structure.preview) <= CHARACTERS
    return structure


def nested(levels: int) -> bytes:
    heads = [
        b"Content-Type: multipart/mixed; boundary=<%05d>\r\n\r\n--<%05d>\r\n" % (level, level)
        for level in range(levels)
    ]
    return b"".join(heads).replace(b"<", b"x").replace(b">", b"y") + b"\r\nx"


@pytest.mark.parametrize("levels", [limits.MIME_DEPTH - 1, 300, 5000])
def test_multiparts_nest_to_the_depth_limit(levels: int) -> None:
    parts = list(walk(checked(nested(levels)).parts))
    depth = min(levels, limits.MIME_DEPTH)
    assert max(part.depth for part in parts) == depth
    leaf = "text/plain" if levels < limits.MIME_DEPTH else "application/octet-stream"
    assert f"{parts[-1].type}/{parts[-1].subtype}" == leaf


@pytest.mark.parametrize("head", [b"", b"X: (\r\n", b": \r\n"])
def test_messages_nest_to_the_depth_limit(head: bytes) -> None:
    message = (head + b"Content-Type: message/rfc822\r\n\r\n") * 5000 + b"x"
    parts = list(walk(checked(message).parts))
    assert len(parts) == limits.MIME_DEPTH + 1
    assert parts[-1].type == "application"
    assert parts[-1].end == len(message)


def test_octets_are_searched_for_delimiters_to_the_limit() -> None:
    """Each open multipart that never ends costs a search through all the rest."""
    text = b"\r\n--" * (4 << 20)
    parts = list(walk(checked(nested(90)[:-3] + text).parts))
    assert limits.MIME_SEARCHED <= max(part.depth for part in parts) < 50
    short = list(walk(checked(nested(90)).parts))
    assert max(part.depth for part in short) == 90


@pytest.mark.parametrize("part", [b"--b\r\n", b"--b\r\nContent-Type: text/html\r\n\r\nx\r\n"])
def test_parts_are_counted(part: bytes) -> None:
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    structure = checked(head + part * (limits.MIME_PARTS + 5000) + b"--b--")
    assert len(list(walk(structure.parts))) == limits.MIME_PARTS
    assert len(structure.bodystructure) < 100 * limits.MIME_PARTS


def test_addresses_are_counted_over_all_fields_of_a_name() -> None:
    one = b"To: " + b", ".join(b"a%d@x.example" % n for n in range(1500)) + b"\r\n"
    recipients = items(checked(one * 4 + b"\r\n").envelope)[5]
    assert isinstance(recipients, list)
    assert len(recipients) == limits.MIME_ADDRESSES


@pytest.mark.parametrize("piece", [b"<", b",", b"()", b"g:", b";", b'"a"', b"a@b ", b"("])
def test_tokens_of_an_address_list_are_counted(piece: bytes) -> None:
    structure = checked(b"From: " + piece * 200_000 + b"\r\n\r\n")
    assert len(structure.envelope) < 4 * limits.MIME_HEADER_FIELD


def test_comments_nest_to_their_limit() -> None:
    def sender(depth: int) -> bytes:
        return checked(b"From: " + b"(" * depth + b")" * depth + b"a@x.example\r\n\r\n").envelope

    assert b'"x.example"' in sender(limits.MIME_COMMENT_DEPTH)
    assert b"x.example" not in sender(limits.MIME_COMMENT_DEPTH + 1)
    assert b"x.example" not in sender(20_000)
    kind = b"Content-Type: text/html;" + b"(" * 1000 + b")" * 1000 + b"a=b\r\n\r\n"
    assert body_shape(parse(checked(kind).body)) == "text/html"


@pytest.mark.parametrize("form", [b"; a%d=b", b"; a*%d*=b", b'; a%d="b"'])
def test_parameters_are_counted(form: bytes) -> None:
    value = b"text/plain" + b"".join(form % n for n in range(10_000))
    structure = checked(b"Content-Type: " + value + b"\r\n\r\n")
    assert b"b" * (limits.MIME_PARAMETERS + 1) not in structure.body
    assert structure.body.count(b'"') <= 4 * limits.MIME_PARAMETERS + 10


def test_encoded_words_are_counted() -> None:
    words = b" ".join([b"=?utf-8?q?a?="] * (limits.MIME_ENCODED_WORDS + 1))
    assert scan(b"Subject: " + words + b"\r\n\r\n").base_subject == (
        "a" * limits.MIME_ENCODED_WORDS + " =?utf-8?q?a?="
    )
    assert len(checked(b"Subject: " + words * 200 + b"\r\n\r\n").base_subject) <= 2_000


def test_a_field_is_read_to_its_limit() -> None:
    structure = checked(b"Subject: " + b"x" * 10_000_000 + b"\r\nX: y\r\n\r\nbody")
    assert structure.header_size == 10_000_019
    assert len(structure.envelope) <= limits.MIME_HEADER_FIELD + 100


def test_a_header_block_is_read_to_its_limit() -> None:
    filler = b"X: " + b"x" * 1000 + b"\r\n"
    structure = checked(b"Subject: early\r\n" + filler * 2000 + b"From: late@x.example\r\n\r\nbody")
    assert b"early" in structure.envelope
    assert b"late" not in structure.envelope
    assert structure.preview == "body"


def test_header_blocks_are_read_to_their_common_limit() -> None:
    part = b"--b\r\nContent-Type: text/html\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n\r\n"
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    parts = list(walk(checked(head + part * 10).parts))[1:]
    assert [part.subtype for part in parts] == ["html"] * 9 + ["plain"]
    assert limits.MIME_HEADERS < 9_000_000


def test_lines_of_one_field_name_a_hundred_thousand_times() -> None:
    structure = checked(b"To: a@x.example\r\n" * 100_000 + b"\r\n")
    assert len(structure.envelope) < 100 * limits.MIME_ADDRESSES


@pytest.mark.parametrize(
    "boundary",
    [b"", b"b" * 200_000, b"Content-Type", b" ", b"--", b"b--", b"(", b"\\\\", b"\xff"],
)
def test_odd_boundaries(boundary: bytes) -> None:
    head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    line = b"--" + boundary.replace(b"\\\\", b"\\") + b"\r\n"
    structure = checked(head + line + b"\r\nx\r\n" + line + head + line + b"\r\ny\r\n" + line)
    assert structure == scan(head + line + b"\r\nx\r\n" + line + head + line + b"\r\ny\r\n" + line)


@pytest.mark.parametrize(
    "subject",
    [b"[a]" * 80_000, b"[" * 200_000, b"Re: " * 60_000, b"[fwd:" * 40_000 + b"]" * 40_000],
)
def test_odd_subjects(subject: bytes) -> None:
    structure = checked(b"Subject: " + subject + b"\r\n\r\n")
    assert len(structure.base_subject) <= 2_000


@pytest.mark.parametrize(
    "field",
    [
        b"Date: " + b"1 " * 500_000,
        b"Message-ID: " + b"<" * 1_000_000,
        b"Received: " + b";" * 900_000,
    ],
)
def test_odd_fields(field: bytes) -> None:
    structure = checked(field + b"\r\n\r\n")
    assert (structure.sent_at, structure.message_id, structure.received_at) == (None, "", None)


@pytest.mark.case("I073")
def test_nothing_in_a_message_can_end_a_reply_early() -> None:
    evil = b'")\r\n a1 OK done\r\n {10}\r\n ("'
    message = (
        b"Subject: " + evil + b"\r\nMessage-ID: " + evil + b"\r\nFrom: " + evil
        + b'\r\nContent-Type: text/plain; charset="\\")\r\n a1 OK"; name="{10}"; x=\\{3}\r\n'
        + b"Content-Disposition: x; filename*0=\"\\\"\"; filename*1=\"\r\n a1 OK\"\r\n"
        + b"Content-ID: " + evil + b"\r\nContent-Language: " + evil + b"\r\n\r\nx"
    )  # fmt: skip
    structure = checked(message)
    for wire in (structure.envelope, structure.bodystructure, structure.body):
        assert b"\na1" not in wire
        assert b"\n a1" not in wire
