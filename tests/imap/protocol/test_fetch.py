"""FETCH: items, sections, labels, modifiers."""

from __future__ import annotations

import pytest

from bridge import limits
from bridge.imap.protocol import fetch
from bridge.imap.protocol.fetch import Binary, BinarySize, Fetch, Item, Section, Simple
from bridge.imap.protocol.numbers import NumberSet
from tests.imap.protocol.support import parse, refused

ONE = NumberSet(((1, 1),))
PART = "Expected a number from 1 to 4294967295"


def items(wire: bytes) -> tuple[Item, ...]:
    return parse(fetch.parse, b"FETCH 1 " + wire).items


def section(wire: bytes) -> Section:
    (item,) = items(wire)
    assert isinstance(item, Section)
    return item


def names(wire: bytes) -> list[str]:
    return [item.name for item in items(wire) if isinstance(item, Simple)]


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (b"BINARY[]", Binary((), False, None, b"BINARY[]")),
        (b"binary.peek[1.2]", Binary((1, 2), True, None, b"BINARY[1.2]")),
        (b"BINARY[3]<7.9>", Binary((3,), False, (7, 9), b"BINARY[3]<7>")),
        (b"BINARY.SIZE[3]", BinarySize((3,), b"BINARY.SIZE[3]")),
        (b"preview (lazy)", Simple("PREVIEW")),
        (b"(PREVIEW (LAZY))", Simple("PREVIEW")),
        (b"PREVIEW (CHANGEDSINCE 1)", Simple("PREVIEW")),
    ],
)
def test_items_of_extensions(wire: bytes, expected: Item) -> None:
    assert items(wire) == (expected,)


def test_one_item() -> None:
    assert parse(fetch.parse, b"FETCH 1 flags") == Fetch(ONE, (Simple("FLAGS"),))


def test_a_list_in_its_order_each_once() -> None:
    assert names(b"(UID RFC822.SIZE FLAGS uid BODY BODYSTRUCTURE)") == [
        "UID",
        "RFC822.SIZE",
        "FLAGS",
        "BODY",
        "BODYSTRUCTURE",
    ]


@pytest.mark.parametrize(
    ("macro", "expanded"),
    [
        (b"FAST", ["FLAGS", "INTERNALDATE", "RFC822.SIZE"]),
        (b"all", ["FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"]),
        (b"FULL", ["FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"]),
    ],
)
def test_macros(macro: bytes, expanded: list[str]) -> None:
    assert names(macro) == expanded


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (b"BODY[]", Section((), "", (), False, None, b"BODY[]")),
        (b"body.peek[]", Section((), "", (), True, None, b"BODY[]")),
        (b"BODY[1.2]", Section((1, 2), "", (), False, None, b"BODY[1.2]")),
        (b"BODY[header]", Section((), "HEADER", (), False, None, b"BODY[HEADER]")),
        (b"BODY[3.TEXT]", Section((3,), "TEXT", (), False, None, b"BODY[3.TEXT]")),
        (b"BODY[1.MIME]", Section((1,), "MIME", (), False, None, b"BODY[1.MIME]")),
        (b"BODY[]<0.4294967295>", Section((), "", (), False, (0, 4294967295), b"BODY[]<0>")),
        (
            b"BODY[TEXT]<4294967295.1>",
            Section((), "TEXT", (), False, (4294967295, 1), b"BODY[TEXT]<4294967295>"),
        ),
        (
            b"BODY.PEEK[1.2.HEADER.FIELDS (From Subject from)]<5.10>",
            Section(
                (1, 2),
                "HEADER.FIELDS",
                (b"from", b"subject"),
                True,
                (5, 10),
                b"BODY[1.2.HEADER.FIELDS (From Subject from)]<5>",
            ),
        ),
        (
            b'BODY[HEADER.FIELDS.NOT ("X Y" {3}\r\na"b {1+}\r\nz)]',
            Section(
                (),
                "HEADER.FIELDS.NOT",
                (b"x y", b'a"b', b"z"),
                False,
                None,
                b'BODY[HEADER.FIELDS.NOT ("X Y" {3}\r\na"b z)]',
            ),
        ),
    ],
)
def test_sections(wire: bytes, expected: Section) -> None:
    assert section(wire) == expected


def test_sections_in_a_list() -> None:
    found = items(b"(UID BODY[TEXT] BODY.PEEK[HEADER.FIELDS (To)] FLAGS)")
    assert [item.name if isinstance(item, Simple) else item.label for item in found] == [
        "UID",
        b"BODY[TEXT]",
        b"BODY[HEADER.FIELDS (To)]",
        "FLAGS",
    ]


def test_modifiers() -> None:
    value = parse(fetch.parse, b"UID FETCH 1:* FLAGS (CHANGEDSINCE 12345 VANISHED)")
    assert value == Fetch(NumberSet(((1, 0),)), (Simple("FLAGS"),), 12345, vanished=True)
    assert parse(fetch.parse, b"FETCH 1 FLAGS (CHANGEDSINCE 0)").changed_since == 0
    value = parse(fetch.parse, b"UID FETCH 1:* FLAGS (PARTIAL -1:-30 CHANGEDSINCE 7)")
    assert (value.partial, value.changed_since) == ((-1, -30), 7)
    value = parse(fetch.parse, b"FETCH 1 (UID) (CHANGEDSINCE 9223372036854775807)")
    assert value.changed_since == 2**63 - 1


def test_caps() -> None:
    depth, fields = limits.IMAP_SECTION_DEPTH, limits.IMAP_HEADER_NAMES
    assert len(section(b"BODY[" + b".".join([b"1"] * depth) + b"]").path) == depth
    listed = b"BODY[HEADER.FIELDS (" + b" ".join(b"x%d" % n for n in range(fields)) + b")]"
    assert len(section(listed).fields) == fields


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (b"", "Missing argument"),
        (b" 1", "Missing argument"),
        (b" 1 ", "Expected a name"),
        (b" 1 ()", "Expected a name"),
        (b" 1 (FLAGS", "Expected )"),
        (b" 1 (FLAGS )", "Expected a name"),
        (b" 1 (ALL)", "There is no such FETCH item"),
        (b" 1 MOON", "There is no such FETCH item"),
        (b" 1 FLAGS UID", "Expected ("),
        (b" 1 BODY.PEEK", "There is no such FETCH item"),
        (b" 1 RFC822[]", "Unexpected text after the command"),
        (b" 1 BODY[", "Expected a name"),
        (b" 1 BODY[1", "Expected ]"),
        (b" 1 BODY[1.]", "The section ends with a dot"),
        (b" 1 BODY[.1]", "There is no such section"),
        (b" 1 BODY[0]", PART),
        (b" 1 BODY[01]", PART),
        (b" 1 BODY[4294967296]", PART),
        (b" 1 BODY[" + b"1" * 5000 + b"]", PART),
        (b" 1 BODY[1TEXT]", "Expected ]"),
        (b" 1 BODY[1..2]", "There is no such section"),
        (b" 1 BODY[MIME]", "MIME needs the number of a part"),
        (b" 1 BODY[TEXT.1]", "There is no such section"),
        (b" 1 BODY[HEADER.FIELDS]", "Expected one space"),
        (b" 1 BODY[HEADER.FIELDS ()]", "Expected an atom or a string"),
        (b" 1 BODY[HEADER.FIELDS (From]", "Expected )"),
        (b" 1 BODY[HEADER (From)]", "Expected ]"),
        (b" 1 BODY[HEADER.FIELDS ({4}\r\nA\r\nB)]", "A header field's name is printable ASCII"),
        (b" 1 BODY[" + b".".join([b"1"] * 10_000) + b"]", "A section has at most 100 levels"),
        (
            b" 1 BODY[HEADER.FIELDS (" + b" ".join([b"x"] * 30_000) + b")]",
            "HEADER.FIELDS has at most 500 names",
        ),
        (b" 1 BINARY", "Expected ["),
        (b" 1 BINARY[TEXT]", "BINARY has part numbers only"),
        (b" 1 BINARY[1.MIME]", "BINARY has part numbers only"),
        (b" 1 BINARY[1.]", "The section ends with a dot"),
        (b" 1 BINARY[1", "Expected ]"),
        (b" 1 BINARY.SIZE[1]<0.1>", "Unexpected text after the command"),
        (b" 1 BINARY[" + b".".join([b"1"] * 200) + b"]", "A section has at most 100 levels"),
        (b" 1 (PREVIEW (EAGER))", "Expected a name"),
        (b" 1 BODY[]<0.0>", PART),
        (b" 1 BODY[]<-1.5>", "Expected a number from 0 to 4294967295"),
        (b" 1 BODY[]<4294967296.1>", "Expected a number from 0 to 4294967295"),
        (b" 1 BODY[]<0>", "Expected ."),
        (b" 1 BODY[]<0.1", "Expected >"),
        (b" 1 FLAGS ()", "Expected a name"),
        (b" 1 FLAGS (VANISHED)", "VANISHED goes with CHANGEDSINCE"),
        (b" 1 FLAGS (VANISHED PARTIAL 1:2)", "VANISHED goes with CHANGEDSINCE"),
        (b" 1 FLAGS (PARTIAL 1:*)", "Expected a number from 1 to 4294967295"),
        (b" 1 FLAGS (MOON 1)", "There is no such FETCH modifier, or it is given twice"),
        (
            b" 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 1)",
            "There is no such FETCH modifier, or it is given twice",
        ),
        (
            b" 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
            "Expected a mod-sequence of at most 63 bits",
        ),
        (b" 1 FLAGS (CHANGEDSINCE -1)", "Expected a mod-sequence of at most 63 bits"),
    ],
)
def test_malformed(arguments: bytes, answer: str) -> None:
    assert refused(fetch.parse, b"FETCH" + arguments) == answer
