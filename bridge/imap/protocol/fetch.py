"""FETCH (RFC 3501 6.4.5), with CHANGEDSINCE and VANISHED (RFC 7162 3.1.4, 3.2.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from bridge import limits
from bridge.imap.protocol import responses
from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.numbers import NumberSet
from bridge.imap.protocol.scanner import Scanner

_SIMPLE: Final = frozenset(
    {
        "FLAGS",
        "UID",
        "ENVELOPE",
        "INTERNALDATE",
        "RFC822.SIZE",
        "BODYSTRUCTURE",
        "BODY",
        "MODSEQ",
        "RFC822",
        "RFC822.HEADER",
        "RFC822.TEXT",
    }
)
_TEXTS: Final = frozenset({"HEADER", "TEXT", "MIME", "HEADER.FIELDS", "HEADER.FIELDS.NOT"})


@dataclass(frozen=True, slots=True)
class Simple:
    """An item that is only a name, upper-case: FLAGS, RFC822.SIZE ..."""

    name: str


@dataclass(frozen=True, slots=True)
class Section:
    """BODY[...]: `path` (1, 2) is "1.2"; `text` is one of "" HEADER TEXT MIME HEADER.FIELDS
    HEADER.FIELDS.NOT; `fields` are lower-case header names; `partial` is (origin, octets).

    `label` is how the response names it: b"BODY[1.2.HEADER.FIELDS (From Subject)]<0>".
    """

    path: tuple[int, ...]
    text: str
    fields: tuple[bytes, ...]
    peek: bool
    partial: tuple[int, int] | None
    label: bytes


Item: TypeAlias = Simple | Section

# RFC 3501 6.4.5: the macros stand alone, not in a list.
_FAST: Final = (Simple("FLAGS"), Simple("INTERNALDATE"), Simple("RFC822.SIZE"))
_MACROS: Final[dict[str, tuple[Item, ...]]] = {
    "FAST": _FAST,
    "ALL": (*_FAST, Simple("ENVELOPE")),
    "FULL": (*_FAST, Simple("ENVELOPE"), Simple("BODY")),
}


@dataclass(frozen=True, slots=True)
class Fetch:
    """`items` are in the order sent, each once. `vanished` is only set with `changed_since`,
    and only allowed in UID FETCH (RFC 7162 3.2.6), which the name of the command tells."""

    numbers: NumberSet
    items: tuple[Item, ...]
    changed_since: int | None = None
    vanished: bool = False


def parse(scanner: Scanner) -> Fetch:
    scanner.space()
    numbers = scanner.sequence_set()
    scanner.space()
    items: dict[Item, None] = {}
    if scanner.take(b"("):
        while True:
            items[_item(scanner.word(), scanner)] = None
            if not scanner.take(b" "):
                break
        scanner.expect(b")")
    else:
        name = scanner.word()
        items = dict.fromkeys(_MACROS.get(name) or (_item(name, scanner),))
    changed_since, vanished = None, False
    if scanner.take(b" "):
        changed_since, vanished = _modifiers(scanner)
    scanner.end()
    return Fetch(numbers, tuple(items), changed_since, vanished)


def _modifiers(scanner: Scanner) -> tuple[int, bool]:
    changed_since, vanished = None, False
    scanner.expect(b"(")
    while True:
        name = scanner.word()
        if name == "CHANGEDSINCE" and changed_since is None:
            scanner.space()
            # RFC 7162 7 wants 1 or more; iOS Mail sends 0 to a mailbox new to it.
            changed_since = scanner.mod_sequence()
        elif name == "VANISHED" and not vanished:
            vanished = True
        else:
            raise ParseError("There is no such FETCH modifier, or it is given twice")
        if not scanner.take(b" "):
            break
    scanner.expect(b")")
    # RFC 7162 3.2.6: VANISHED without CHANGEDSINCE is BAD.
    if changed_since is None:
        raise ParseError("VANISHED goes with CHANGEDSINCE")
    return changed_since, vanished


def _item(name: str, scanner: Scanner) -> Item:
    if name in ("BODY", "BODY.PEEK") and scanner.take(b"["):
        return _section(name == "BODY.PEEK", scanner)
    if name not in _SIMPLE:
        raise ParseError("There is no such FETCH item")
    return Simple(name)


def _section(peek: bool, scanner: Scanner) -> Section:
    path: list[int] = []
    text = ""
    fields: list[bytes] = []
    while scanner.peek != b"]":
        if scanner.peek.isdigit():
            if len(path) >= limits.IMAP_SECTION_DEPTH:
                raise ParseError(f"A section has at most {limits.IMAP_SECTION_DEPTH} levels")
            path.append(scanner.nz_number())
            if scanner.take(b"."):
                if scanner.peek == b"]":
                    raise ParseError("The section ends with a dot")
                continue
        else:
            text = scanner.word()
            if text not in _TEXTS:
                raise ParseError("There is no such section")
        break
    # RFC 3501 6.4.5: MIME must be prefixed by part numbers.
    if text == "MIME" and not path:
        raise ParseError("MIME needs the number of a part")
    if text.startswith("HEADER.FIELDS"):
        scanner.space()
        fields = _header_list(scanner)
    scanner.expect(b"]")
    partial = None
    if scanner.take(b"<"):
        origin = scanner.number()
        scanner.expect(b".")
        partial = (origin, scanner.nz_number())
        scanner.expect(b">")
    lower = tuple(dict.fromkeys(field.lower() for field in fields))
    label = _label(path, text, fields, partial)
    return Section(tuple(path), text, lower, peek, partial, label)


def _header_list(scanner: Scanner) -> list[bytes]:
    fields: list[bytes] = []
    scanner.expect(b"(")
    while True:
        field = scanner.astring()
        # RFC 5322 2.2: printable ASCII. The label repeats it, so nothing else may be in it.
        if not all(0x20 <= octet <= 0x7E for octet in field):
            raise ParseError("A header field's name is printable ASCII")
        fields.append(field)
        if len(fields) > limits.IMAP_HEADER_NAMES:
            raise ParseError(f"HEADER.FIELDS has at most {limits.IMAP_HEADER_NAMES} names")
        if not scanner.take(b" "):
            break
    scanner.expect(b")")
    return fields


def _label(
    path: list[int], text: str, fields: list[bytes], partial: tuple[int, int] | None
) -> bytes:
    parts = [b"%d" % number for number in path]
    if text:
        parts.append(text.encode("ascii"))
    label = b"BODY[" + b".".join(parts)
    if fields:
        label += b" (" + b" ".join(responses.astring(field) for field in fields) + b")"
    # RFC 3501 7.4.2: the response to a partial fetch names its origin octet only.
    return label + (b"]" if partial is None else b"]<%d>" % partial[0])
