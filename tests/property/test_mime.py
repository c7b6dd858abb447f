"""Properties of the MIME scanner, for any octets and for messages that are composed."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from bridge.mime.address import addresses
from bridge.mime.charsets import decode
from bridge.mime.date import parse_date
from bridge.mime.headers import raw_fields
from bridge.mime.parser import scan
from bridge.mime.section import filter_fields, find, walk
from bridge.mime.text import base_subject, body_texts, decode_header, fold, header_texts
from bridge.mime.tree import Kind
from tests.mime.imap_list import body_shape, items, parse

# octets that mean something to the scanner, and any others
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\r\n ", b"--b", b"--b--", b"--bb", b"--", b"b", b":",
    b";", b"Content-Type: ", b"multipart/mixed; boundary=b", b'multipart/digest; boundary="bb"',
    b"message/rfc822", b"text/html", b"; charset=", b"utf-7", b"iso-2022-jp", b"MIME-Version: 1.0",
    b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"=", b"=C3", b"From: ",
    b"To: ", b"Subject: ", b"Date: ", b"Received: ", b"1 Jan 2001 00:00 +0000", b"<", b">", b"@",
    b",", b"(", b")", b'"', b"\\", b"a", b"a@b.example", b"=?utf-8?q?", b"?=", b"{3}", b"[", b"]",
    b"\x00", b"\xff", b"Content-Disposition: x; ", b"a*0*=", b"a*1=", b"Re: ", b"<!--", b"&amp;",
]  # fmt: skip
octets = st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4)), max_size=80).map(
    b"".join
)


@given(octets)
def test_any_octets_have_a_structure_whose_lists_balance(message: bytes) -> None:
    """scan never raises; ENVELOPE has ten members; BODY and BODYSTRUCTURE are well-formed and
    have the same shape; the same octets give the same structure."""
    structure = scan(message)
    assert len(items(structure.envelope)) == 10
    assert body_shape(parse(structure.bodystructure)) == body_shape(parse(structure.body))
    assert message.startswith(structure.header)
    assert len(structure.fingerprint) == 32
    assert structure == scan(message)


@given(octets)
def test_every_part_lies_inside_its_parent_and_after_its_sibling(message: bytes) -> None:
    trail: list[tuple[int, int]] = []
    ends: list[int] = []
    for part in walk(scan(message).parts):
        assert 0 <= part.start <= part.body_start <= part.end <= len(message)
        del trail[part.depth :], ends[part.depth + 1 :]
        if trail:
            body, end = trail[-1]
            assert body <= part.start
            assert part.end <= end
        if len(ends) > part.depth:
            assert ends.pop() <= part.start
        trail.append((part.body_start, part.end))
        ends.append(part.end)


@given(octets)
def test_every_part_of_the_walk_is_found_by_its_number(message: bytes) -> None:
    table = scan(message).parts
    seen: set[tuple[int, ...]] = set()
    for part in walk(table):
        if part.path and part.path not in seen:
            seen.add(part.path)
            body = find(table, len(message), part.path, "")
            mime = find(table, len(message), part.path, "MIME")
            assert body is not None
            assert mime is not None
            assert (mime.start, mime.end) == (part.start, part.body_start)
            assert (body.start, body.end) == (part.body_start, part.end)
            text = find(table, len(message), part.path, "TEXT")
            assert (text is not None) == (part.kind is Kind.MESSAGE)


@given(octets, st.sets(st.sampled_from([b"from", b"to", b"subject", b"content-type"])))
def test_header_fields_and_its_complement_share_out_the_header(
    message: bytes, names: set[bytes]
) -> None:
    """Every field is in exactly one of HEADER.FIELDS and HEADER.FIELDS.NOT, octet for octet."""
    header = scan(message).header
    both = len(filter_fields(header, names, False)) + len(filter_fields(header, names, True))
    assert both == sum(len(raw) for _, raw in raw_fields(header)) + 2 * len(b"\r\n")


@given(octets)
def test_text_of_any_octets(message: bytes) -> None:
    """Decoding never raises and gives characters that can be encoded; folding twice is folding
    once; a base subject is its own base subject."""
    structure = scan(message)
    for text in [*body_texts(message, structure.parts), *header_texts(message, structure.parts)]:
        text.encode("utf-8", "surrogatepass")
        assert fold(fold(text)) == fold(text)
    base = base_subject(decode_header(message)).base
    assert base_subject(base).base == base


@given(
    st.binary(max_size=60),
    st.sampled_from(["utf-7", "iso-2022-jp", "hz", "big5", "gb2312", "x", ""]),
)
def test_decode_never_raises(data: bytes, charset: str) -> None:
    assert len(decode(data, charset)) <= 2 * len(data) + 2


@given(octets)
def test_dates_never_raise(value: bytes) -> None:
    date = parse_date(value)
    assert date is None or abs(date.at - (date.day - 719163) * 86400) <= 2 * 86400


local = st.text("abc.XYZ09_+-", min_size=1, max_size=8).filter(lambda s: not s.startswith("."))
names = st.text("abc XYZ'_-", max_size=12).map(lambda s: " ".join(s.split()))


@given(st.lists(st.tuples(names, local, local), min_size=1, max_size=5), st.data())
def test_addresses_that_were_written_are_read(
    people: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    """Whatever the spelling (quoted or not, folded, commented), the same people come out."""
    written = []
    for name, mailbox, host in people:
        spec = f"{mailbox}@{host}"
        fold_ = data.draw(st.sampled_from(["", " ", "\r\n ", "\t", " (a comment) "]))
        forms = [f'"{name}"{fold_}<{spec}>', f"{name}{fold_}<{fold_}{spec}{fold_}>"]
        written.append(data.draw(st.sampled_from(forms)) + fold_)
    read = addresses(",".join(written).encode())
    assert read == [
        (name.encode() or None, None, mailbox.encode(), host.encode())
        for name, mailbox, host in people
    ]


@dataclass
class Composed:
    """A part by hand: its octets, and the octets of its leaves by number."""

    head: bytes
    body: bytes
    parts: list[Composed]


lines = st.lists(st.text("ab-. \t", max_size=10).map(str.encode), max_size=4).map(b"\r\n".join)


@st.composite
def composed(draw: st.DrawFn, level: int = 0) -> Composed:
    kind = draw(
        st.sampled_from(["leaf", "leaf", "multipart", "message"] if level < 4 else ["leaf"])
    )
    if kind == "leaf":
        return Composed(b"X-Leaf: 1\r\n\r\n", draw(lines), [])
    if kind == "message":
        inner = draw(composed(level=level + 1))
        return Composed(b"Content-Type: message/rfc822\r\n\r\n", inner.head + inner.body, [inner])
    # that of an outer multipart may be the beginning of that of an inner one
    boundary = draw(st.sampled_from([b"=%d=" % level, b"=" * (level + 1)]))
    parts = draw(st.lists(composed(level=level + 1), min_size=1, max_size=3))
    body = draw(lines)
    body += b"\r\n" if body else b""
    for part in parts:
        body += b"--%b\r\n%b%b\r\n" % (boundary, part.head, part.body)
    # with its line end: one right before an outer delimiter belongs to the inner line
    body += b"--%b--\r\n%b" % (boundary, draw(lines))
    return Composed(b'Content-Type: multipart/mixed; boundary="%b"\r\n\r\n' % boundary, body, parts)


@given(composed())
def test_sections_of_a_composed_message_are_the_composed_octets(message: Composed) -> None:
    octets = message.head + message.body
    table = scan(octets).parts

    def fetch(path: tuple[int, ...], text: str) -> bytes | None:
        span = find(table, len(octets), path, text)
        return None if span is None else octets[span.start : span.end]

    def check(part: Composed, path: tuple[int, ...]) -> None:
        """`path` is the number of the message that `part` is the content of."""
        if b"multipart" in part.head:
            for number, child in enumerate(part.parts, 1):
                check_numbered(child, (*path, number))
            assert fetch((*path, len(part.parts) + 1), "") is None
        else:
            check_numbered(part, (*path, 1))

    def check_numbered(part: Composed, path: tuple[int, ...]) -> None:
        assert fetch(path, "") == part.body
        assert fetch(path, "MIME") == part.head
        if b"message" in part.head:
            inner = part.parts[0]
            assert fetch(path, "HEADER") == inner.head
            assert fetch(path, "TEXT") == inner.body
            check(inner, path)
        elif b"multipart" in part.head:
            check(part, path)

    check(message, ())
