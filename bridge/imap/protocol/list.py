"""LIST and LSUB (RFC 3501 6.3.8, 6.3.9), LIST-EXTENDED (RFC 5258), with STATUS (RFC 5819),
SPECIAL-USE (RFC 6154) and MYRIGHTS (RFC 8440), and the matcher of their patterns.

Rules: `matches` is linear in the name for any pattern: it walks the name once and keeps the set
of places in the pattern that can be reached as the bits of one integer.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner
from bridge.imap.protocol.status import parse_items

_SELECT = frozenset({"SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"})
_RETURN = frozenset({"SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "STATUS", "MYRIGHTS"})
_PATTERNS = 100


@dataclass(frozen=True, slots=True)
class List:
    """`extended` is False for the form of RFC 3501 alone, where the pattern "" asks for the
    delimiter (RFC 5258 3). `status_items` is empty without RETURN (STATUS ...)."""

    reference: str
    patterns: tuple[str, ...]
    select_options: frozenset[str] = frozenset()
    return_options: frozenset[str] = frozenset()
    status_items: tuple[str, ...] = ()
    extended: bool = False


def parse(scanner: Scanner) -> List:
    scanner.space()
    extended = False
    select_options: frozenset[str] = frozenset()
    if scanner.peek == b"(":
        extended = True
        select_options = _select_options(scanner)
        scanner.space()
    reference = scanner.mailbox()
    scanner.space()
    if scanner.peek == b"(":
        extended = True
        patterns = _patterns(scanner)
    else:
        patterns = (scanner.list_mailbox(),)
    return_options: frozenset[str] = frozenset()
    status_items: tuple[str, ...] = ()
    if scanner.take(b" "):
        extended = True
        if scanner.word() != "RETURN":
            raise ParseError("Expected RETURN")
        scanner.space()
        return_options, status_items = _return_options(scanner)
    scanner.end()
    return List(reference, patterns, select_options, return_options, status_items, extended)


def parse_lsub(scanner: Scanner) -> List:
    """LSUB has the form of RFC 3501 alone."""
    scanner.space()
    reference = scanner.mailbox()
    scanner.space()
    pattern = scanner.list_mailbox()
    scanner.end()
    return List(reference, (pattern,))


def _select_options(scanner: Scanner) -> frozenset[str]:
    scanner.expect(b"(")
    options: set[str] = set()
    while not scanner.take(b")"):
        if options:
            scanner.space()
        option = scanner.word()
        # RFC 5258 3: options that the server does not know are BAD.
        if option not in _SELECT:
            raise ParseError("There is no such LIST selection option")
        options.add(option)
    # RFC 5258 6, list-select-opts: RECURSIVEMATCH needs another to match for.
    if "RECURSIVEMATCH" in options and not options & {"SUBSCRIBED", "SPECIAL-USE"}:
        raise ParseError("RECURSIVEMATCH goes with SUBSCRIBED or SPECIAL-USE")
    return frozenset(options)


def _return_options(scanner: Scanner) -> tuple[frozenset[str], tuple[str, ...]]:
    scanner.expect(b"(")
    options: set[str] = set()
    status_items: tuple[str, ...] = ()
    while not scanner.take(b")"):
        if options:
            scanner.space()
        option = scanner.word()
        if option not in _RETURN:
            raise ParseError("There is no such LIST return option")
        if option == "STATUS":
            scanner.space()
            status_items = parse_items(scanner)
        options.add(option)
    return frozenset(options), status_items


def _patterns(scanner: Scanner) -> tuple[str, ...]:
    scanner.expect(b"(")
    patterns: dict[str, None] = {}
    while True:
        patterns[scanner.list_mailbox()] = None
        if not scanner.take(b" "):
            break
        if len(patterns) >= _PATTERNS:
            raise ParseError(f"LIST has at most {_PATTERNS} patterns")
    scanner.expect(b")")
    return tuple(patterns)


# --- patterns ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Places:
    """Bit n of a mask stands for the n-th token of the pattern; the last bit for its end. `head` is
    what stands before a wildcard at the end, where that is the only one: as nearly always."""

    letters: dict[str, int]
    stars: int
    percents: int
    end: int
    head: str | None


@functools.lru_cache(maxsize=64)
def _compile(pattern: str) -> _Places:
    letters: dict[str, int] = {}
    stars = percents = 0
    bit = 1
    wild = ""
    for character in pattern + "\0":
        if character in "*%":
            wild = "*" if "*" in (wild, character) else "%"
            continue
        if wild:
            # A run of wildcards is one: "*" if it has one, else "%".
            if wild == "*":
                stars |= bit
            else:
                percents |= bit
            bit <<= 1
            wild = ""
        letters[character] = letters.get(character, 0) | bit
        bit <<= 1
    head = pattern[:-1]
    # INBOX is matched in any case, letter by letter.
    alone = pattern.endswith(("*", "%")) and not _is_wild(head) and not _may_be_inbox(head)
    return _Places(letters, stars, percents, bit >> 1, head if alone else None)


def _is_wild(pattern: str) -> bool:
    return "*" in pattern or "%" in pattern


def _may_be_inbox(head: str) -> bool:
    return head != "" and "INBOX".startswith(head[:5].upper())


def matches(pattern: str, name: str, delimiter: str = "/") -> bool:
    """Whether the name matches: "*" is anything, "%" anything within a level (RFC 3501 6.3.8).

    INBOX matches in any case, alone and as the first level of its children.
    """
    places = _compile(pattern)
    if places.head is not None:
        within = places.stars or delimiter not in name[len(places.head) :]
        return name.startswith(places.head) and bool(within)
    letters = places.letters
    stars = places.stars
    percents = places.percents
    wild = stars | percents
    # RFC 3501 5.1: INBOX is case-insensitive.
    folded = 5 if name == "INBOX" or name.startswith("INBOX" + delimiter) else 0
    reached = 1 | (wild & 1) << 1
    for index, character in enumerate(name):
        here = letters.get(character, 0)
        if index < folded:
            here |= letters.get(character.lower(), 0)
        stay = stars if character == delimiter else wild
        reached = (reached & here) << 1 | reached & stay
        reached |= (reached & wild) << 1
        if not reached:
            return False
    return bool(reached & places.end)
