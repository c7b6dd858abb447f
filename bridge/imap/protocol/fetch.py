"""FETCH (RFC 3501 6.4.5), with CHANGEDSINCE and VANISHED (RFC 7162 3.1.4, 3.2.6), PARTIAL
(RFC 9394 3.3), BINARY (RFC 3516), PREVIEW (RFC 8970), SAVEDATE (RFC 8514), EMAILID and THREADID
(RFC 8474)."""

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
        "PREVIEW",
        "SAVEDATE",
        "EMAILID",
        "THREADID",
    }
)
# RFC 9051, Appendix E 18
_REV1: Final = frozenset({"RFC822", "RFC822.HEADER", "RFC822.TEXT"})
_TEXTS: Final = frozenset({"HEADER", "TEXT", "MIME", "HEADER.FIELDS", "HEADER.FIELDS.NOT"})


@dataclass(frozen=True, slots=True)
class Simple:
    """An item that is only a name, upper-case: FLAGS, RFC822.SIZE ... `rev2` is True where
    IMAP4rev2 shows another answer than IMAP4rev1."""

    name: str
    rev2: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """BODY[...]: `path` (1, 2) is "1.2"; `text` is one of "" HEADER TEXT MIME HEADER.FIELDS
    HEADER.FIELDS.NOT; `fields` are lower-case header names; `partial` is (origin, octets).

    `label` is how the response names it: b"BODY[1.2.HEADER.FIELDS (From Subject)]<0>"; `rev2` as
    in `Simple`.
    """

    path: tuple[int, ...]
    text: str
    fields: tuple[bytes, ...]
    peek: bool
    partial: tuple[int, int] | None
    label: bytes
    rev2: bool = False


@dataclass(frozen=True, slots=True)
class Binary:
    """BINARY[...] (RFC 3516 4.2): a section without its transfer encoding; `path`, `partial`,
    `label` and `rev2` as in `Section`, and `partial` counts decoded octets."""

    path: tuple[int, ...]
    peek: bool
    partial: tuple[int, int] | None
    label: bytes
    rev2: bool = False


@dataclass(frozen=True, slots=True)
class BinarySize:
    """BINARY.SIZE[...]: how many octets BINARY[...] has."""

    path: tuple[int, ...]
    label: bytes
    rev2: bool = False


Item: TypeAlias = Simple | Section | Binary | BinarySize

# RFC 3501 6.4.5: the macros stand alone, not in a list.
_FAST: Final = ("FLAGS", "INTERNALDATE", "RFC822.SIZE")
_MACROS: Final[dict[str, tuple[str, ...]]] = {
    "FAST": _FAST,
    "ALL": (*_FAST, "ENVELOPE"),
    "FULL": (*_FAST, "ENVELOPE", "BODY"),
}


@dataclass(frozen=True, slots=True)
class Fetch:
    """`items` are in the order sent, each once. `vanished` is only set with `changed_since`,
    and only allowed in UID FETCH (RFC 7162 3.2.6), which the name of the command tells."""

    numbers: NumberSet
    items: tuple[Item, ...]
    changed_since: int | None = None
    vanished: bool = False
    partial: tuple[int, int] | None = None  # RFC 9394 3.3, for UID FETCH only


def parse(scanner: Scanner) -> Fetch:
    scanner.space()
    numbers = scanner.sequence_set()
    scanner.space()
    if scanner.take(b"("):
        asked = items(scanner)
    else:
        name = scanner.word()
        macro = _MACROS.get(name, (name,))
        asked = tuple(parse_item(each, scanner) for each in macro)
    changed_since, vanished, partial = None, False, None
    if scanner.take(b" "):
        changed_since, vanished, partial = _modifiers(scanner)
    scanner.end()
    return Fetch(numbers, asked, changed_since, vanished, partial)


def _modifiers(scanner: Scanner) -> tuple[int | None, bool, tuple[int, int] | None]:
    changed_since, vanished, partial = None, False, None
    scanner.expect(b"(")
    while True:
        name = scanner.word()
        if name == "CHANGEDSINCE" and changed_since is None:
            scanner.space()
            # RFC 7162 7 wants 1 or more; iOS Mail sends 0 to a mailbox new to it.
            changed_since = scanner.mod_sequence()
        elif name == "VANISHED" and not vanished:
            vanished = True
        elif name == "PARTIAL" and partial is None:
            scanner.space()
            partial = scanner.partial_range()
        else:
            raise ParseError("There is no such FETCH modifier, or it is given twice")
        if not scanner.take(b" "):
            break
    scanner.expect(b")")
    # RFC 7162 3.2.6: VANISHED without CHANGEDSINCE is BAD.
    if vanished and changed_since is None:
        raise ParseError("VANISHED goes with CHANGEDSINCE")
    return changed_since, vanished, partial


def items(scanner: Scanner) -> tuple[Item, ...]:
    """What stands behind a "(", up to its ")": each item once."""
    found: dict[Item, None] = {}
    while True:
        found[parse_item(scanner.word(), scanner)] = None
        if not scanner.take(b" "):
            scanner.expect(b")")
            return tuple(found)


def parse_item(name: str, scanner: Scanner) -> Item:
    if name in ("BODY", "BODY.PEEK") and scanner.take(b"["):
        return _section(name == "BODY.PEEK", scanner)
    if name in ("BINARY", "BINARY.PEEK", "BINARY.SIZE"):
        return _binary(name, scanner)
    if name not in _SIMPLE or (scanner.rev2 and name in _REV1):
        raise ParseError("There is no such FETCH item")
    if name == "PREVIEW":
        # RFC 8970 4.1: ours is always at hand. A list behind it may also be one of modifiers.
        scanner.take_name(b" (LAZY)")
    return Simple(name, rev2=scanner.rev2 and name in ("BODY", "BODYSTRUCTURE"))


def _binary(name: str, scanner: Scanner) -> Binary | BinarySize:
    scanner.expect(b"[")
    path, ends = _part(scanner)
    if not ends:
        raise ParseError("BINARY has part numbers only")
    scanner.expect(b"]")
    if name == "BINARY.SIZE":
        return BinarySize(path, _label(b"BINARY.SIZE", path, "", [], None), _rev2(path, scanner))
    partial = _partial(scanner)
    label = _label(b"BINARY", path, "", [], partial)
    return Binary(path, name == "BINARY.PEEK", partial, label, _rev2(path, scanner))


def _rev2(path: tuple[int, ...], scanner: Scanner) -> bool:
    """RFC 9051 6.4.5.1: message/global has part numbers inside."""
    return scanner.rev2 and bool(path)


def _part(scanner: Scanner) -> tuple[tuple[int, ...], bool]:
    """1.2 before "]", or before the text that follows ("1.2.HEADER"); whether nothing follows."""
    path: list[int] = []
    while scanner.peek.isdigit():
        if len(path) >= limits.IMAP_SECTION_DEPTH:
            raise ParseError(f"A section has at most {limits.IMAP_SECTION_DEPTH} levels")
        path.append(scanner.nz_number())
        if not scanner.take(b"."):
            return tuple(path), True
    if path and scanner.peek == b"]":
        raise ParseError("The section ends with a dot")
    return tuple(path), scanner.peek == b"]"


def _partial(scanner: Scanner) -> tuple[int, int] | None:
    if not scanner.take(b"<"):
        return None
    origin = scanner.size()
    scanner.expect(b".")
    partial = (origin, scanner.nz_size())
    scanner.expect(b">")
    return partial


def _section(peek: bool, scanner: Scanner) -> Section:
    text = ""
    fields: list[bytes] = []
    path, ends = _part(scanner)
    if not ends:
        text = scanner.word()
        if text not in _TEXTS:
            raise ParseError("There is no such section")
    # RFC 3501 6.4.5: MIME must be prefixed by part numbers.
    if text == "MIME" and not path:
        raise ParseError("MIME needs the number of a part")
    if text.startswith("HEADER.FIELDS"):
        scanner.space()
        fields = _header_list(scanner)
    scanner.expect(b"]")
    partial = _partial(scanner)
    lower = tuple(dict.fromkeys(field.lower() for field in fields))
    label = _label(b"BODY", path, text, fields, partial)
    return Section(path, text, lower, peek, partial, label, _rev2(path, scanner))


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
    name: bytes,
    path: tuple[int, ...],
    text: str,
    fields: list[bytes],
    partial: tuple[int, int] | None,
) -> bytes:
    parts = [b"%d" % number for number in path]
    if text:
        parts.append(text.encode("ascii"))
    label = name + b"[" + b".".join(parts)
    if fields:
        label += b" (" + b" ".join(responses.astring(field) for field in fields) + b")"
    # RFC 3501 7.4.2: the response to a partial fetch names its origin octet only.
    return label + (b"]" if partial is None else b"]<%d>" % partial[0])
