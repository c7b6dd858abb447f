"""SELECT and EXAMINE (RFC 3501 6.3.1, 6.3.2), with CONDSTORE (RFC 7162 3.1.8) and QRESYNC
(RFC 7162 3.2.5)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.numbers import NumberSet
from bridge.imap.protocol.scanner import Scanner


@dataclass(frozen=True, slots=True)
class Qresync:
    """What the client still knows of the mailbox (RFC 7162 3.2.5.1 and 3.2.5.2).

    `known_uids` is None for "all"; `matches` pairs message numbers with UIDs by position.
    """

    uidvalidity: int
    modseq: int
    known_uids: NumberSet | None
    matches: tuple[NumberSet, NumberSet] | None


@dataclass(frozen=True, slots=True)
class Select:
    """`parameters` are upper-case names in the order sent: ("CONDSTORE", "QRESYNC")."""

    mailbox: str
    parameters: tuple[str, ...] = ()
    qresync: Qresync | None = None


def parse(scanner: Scanner) -> Select:
    scanner.space()
    mailbox = scanner.mailbox()
    parameters: list[str] = []
    qresync = None
    if scanner.take(b" "):
        scanner.expect(b"(")
        while True:
            name = scanner.word()
            if name in parameters:
                raise ParseError("A parameter is given twice")
            if name == "QRESYNC":
                qresync = _qresync(scanner)
            elif name != "CONDSTORE":
                raise ParseError("There is no such parameter")
            parameters.append(name)
            if not scanner.take(b" "):
                break
        scanner.expect(b")")
    scanner.end()
    return Select(mailbox, tuple(parameters), qresync)


def _qresync(scanner: Scanner) -> Qresync:
    scanner.space()
    scanner.expect(b"(")
    uidvalidity = scanner.nz_number()
    scanner.space()
    modseq = scanner.mod_sequence()
    known_uids = matches = None
    more = scanner.take(b" ")
    if more and scanner.peek != b"(":
        known_uids = _without_star(scanner)
        more = scanner.take(b" ")
    if more:
        scanner.expect(b"(")
        numbers = _without_star(scanner)
        scanner.space()
        matches = (numbers, _without_star(scanner))
        scanner.expect(b")")
    scanner.expect(b")")
    return Qresync(uidvalidity, modseq, known_uids, matches)


def _without_star(scanner: Scanner) -> NumberSet:
    numbers = scanner.sequence_set()
    # RFC 7162 7, known-uids: "*" is not allowed; RFC 5182 2.1: nothing is saved before SELECT.
    if numbers.has_star or numbers.saved:
        raise ParseError("* and $ are not allowed here")
    return numbers
