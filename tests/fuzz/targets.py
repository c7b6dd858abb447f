"""The targets: each takes any octets, and its docstring is the invariant that they cannot break.

A target raises only when the program is wrong: AssertionError, or whatever the program let escape.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from bridge import config, limits
from bridge.config import ConfigError, tree
from bridge.imap.protocol import search, sort, thread, utf7
from bridge.imap.protocol.connection import CommandReady, Connection, LiteralAnnounced, Malformed
from bridge.imap.protocol.deflate import DamagedInput, Deflate
from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner
from bridge.mime.address import addresses
from bridge.mime.date import parse_date
from bridge.mime.headers import raw_fields
from bridge.mime.parser import scan
from bridge.mime.section import walk
from bridge.mime.text import (
    base_subject,
    body_texts,
    decode_header,
    fold,
    header_texts,
    transfer_decoded,
)
from bridge.pop3.protocol import (
    Body,
    Broken,
    End,
    Event,
    Expect,
    NumberedLines,
    ProtocolError,
    ReplyParser,
    join_listing,
    parse_capabilities,
)
from tests.mime.imap_list import body_shape, items, parse
from tests.property.test_imap_protocol import GRAMMARS

Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {}


def target(function: Target) -> Target:
    TARGETS[function.__name__.replace("_", "-")] = function
    return function


def _split(octets: bytes) -> tuple[int, bytes]:
    """A choice, and the rest."""
    return (octets[0], octets[1:]) if octets else (0, b"")


@target
def imap_lines(octets: bytes) -> None:
    """However the octets come, commands are the same, hold no CR or LF in their tags, and what is
    kept of an unfinished line stays within the cap."""
    choice, octets = _split(octets)
    size = 1 + choice % 7

    def commands(pieces: list[bytes]) -> list[object]:
        peer = Connection()
        peer.authenticated = bool(choice & 8)
        seen: list[object] = []
        for piece in pieces:
            peer.receive_data(piece)
            while (event := peer.next_event()) is not None:
                if isinstance(event, LiteralAnnounced):
                    peer.refuse_literal() if choice & 16 else peer.accept_literal()
                elif isinstance(event, CommandReady):
                    assert not {10, 13} & set(event.tag)
                    seen.append((event.tag, event.name))
                else:
                    assert not isinstance(event, Malformed) or event.text.isprintable()
                    seen.append(event)
            assert peer.buffered <= limits.IMAP_LINE + len(piece)
        return seen

    singly = [octets[at : at + size] for at in range(0, len(octets), size)]
    assert commands(singly) == commands([octets])


@target
def imap_grammar(octets: bytes) -> None:
    """Any arguments of any command are a value that has consumed them all, or a ParseError whose
    text is fit for a response."""
    choice, octets = _split(octets)
    name = sorted(GRAMMARS)[choice % len(GRAMMARS)]
    mode, octets = _split(octets)
    peer = Connection()
    peer.authenticated, peer.utf8, peer.rev2 = True, bool(mode & 1), bool(mode & 2)
    peer.receive_data(b"a " + name.encode() + b" " + octets + b"\r\n")
    while (event := peer.next_event()) is not None:
        if isinstance(event, LiteralAnnounced):
            peer.accept_literal()
        elif isinstance(event, CommandReady):
            parser = GRAMMARS.get(event.name)
            if parser is None:
                continue
            try:
                value = parser(event.arguments)
            except ParseError as error:
                text = error.text
                assert text and text.isascii() and text.isprintable()  # noqa: PT018
            else:
                assert event.arguments.at_end or isinstance(value, search.Refused)


@target
def imap_search(octets: bytes) -> None:
    """SEARCH, SORT and THREAD keys are a value or a ParseError, in any depth, in time linear in
    their length."""
    choice, octets = _split(octets)
    scanner = Scanner([octets[: limits.IMAP_LINE]], utf8=bool(choice & 1))
    try:
        value = (search, sort, thread)[choice % 3].parse(scanner)
    except ParseError:
        return
    assert scanner.at_end or isinstance(value, search.Refused)


@target
def imap_names(octets: bytes) -> None:
    """A spelling in modified UTF-7 is refused, or is the one spelling of its name; any name has a
    spelling that reads back."""
    try:
        name = utf7.decode(octets)
    except ParseError:
        name = octets.decode("utf-8", "replace")
    else:
        assert utf7.encode(name) == octets
    written = utf7.encode(name)
    assert written.isascii()
    assert utf7.decode(written) == name


@target
def deflate(octets: bytes) -> None:
    """No more is inflated at once than was asked for; what is inflated is what zlib says, and what
    is no deflate stream is DamagedInput."""
    choice, octets = _split(octets)
    most = 1 + 37 * choice
    ours, theirs = Deflate(), zlib.decompressobj(-15)
    ours.receive_data(octets)
    inflated = b""
    damaged = False
    while ours.pending and len(inflated) < 200_000:
        try:
            piece = ours.inflate(most)
        except DamagedInput:
            damaged = True
            break
        assert len(piece) <= most
        inflated += piece
    try:
        expected = theirs.decompress(octets, 200_000)
    except zlib.error:
        assert damaged
        return
    assert not damaged or len(expected) < 200_000
    shorter = min(len(inflated), len(expected))
    assert damaged or inflated[:shorter] == expected[:shorter]


@target
def mime(octets: bytes) -> None:
    """Any octets have a structure: ENVELOPE with ten members, BODY and BODYSTRUCTURE that are
    well-formed and of one shape, parts that lie inside their parents, the same every time; and
    texts that can be searched."""
    structure = scan(octets)
    assert len(items(structure.envelope)) == 10
    assert body_shape(parse(structure.bodystructure)) == body_shape(parse(structure.body))
    assert octets.startswith(structure.header)
    assert structure == scan(octets)
    for part in walk(structure.parts):
        assert 0 <= part.start <= part.body_start <= part.end <= len(octets)
    for text in [*body_texts(octets, structure.parts), *header_texts(octets, structure.parts)]:
        text.encode("utf-8", "surrogatepass")


@target
def headers(octets: bytes) -> None:
    """Fields share out the block without overlap; addresses are four members each, no more of them
    than the cap; encoded words, dates and base subjects never raise, and folding twice is folding
    once."""
    total = sum(len(raw) for _, raw in raw_fields(octets))
    assert total <= len(octets) + 2
    listed = addresses(octets)
    assert len(listed) <= limits.MIME_ADDRESSES
    assert all(len(address) == 4 for address in listed)
    text = decode_header(octets)
    assert fold(fold(text)) == fold(text)
    base = base_subject(text).base
    assert base_subject(base).base == base
    date = parse_date(octets)
    assert date is None or abs(date.at - (date.day - 719163) * 86400) <= 2 * 86400
    for encoding in ("base64", "quoted-printable", "x-uuencode"):
        assert len(transfer_decoded(octets, encoding)) <= len(octets)


@target
def pop3(octets: bytes) -> None:
    """However the octets come, the events are the same; nothing comes after Broken; a listing has
    each number once, with a size that is a size; capabilities never raise."""
    choice, octets = _split(octets)
    size = 1 + choice % 7
    shapes = [Expect.LINE, Expect.MULTI, Expect.CHALLENGE, Expect.MULTI, Expect.MULTI]

    def events(pieces: list[bytes]) -> list[Event]:
        parser = ReplyParser()
        for shape in shapes[choice % 3 :]:
            parser.expect(shape)
        seen: list[Event] = []
        for piece in pieces:
            for event in parser.feed(piece):
                before = seen[-1] if seen else None
                assert not isinstance(before, Broken)
                if isinstance(event, Body) and isinstance(before, Body):
                    seen[-1] = Body(before.data + event.data)
                elif isinstance(event, Broken):
                    seen.append(Broken(ProtocolError(str(event.error))))
                else:
                    seen.append(event)
        return seen

    def shown(found: list[Event]) -> list[str]:
        return [str(each.error) if isinstance(each, Broken) else repr(each) for each in found]

    whole = events([octets])
    singly = [octets[at : at + size] for at in range(0, len(octets), size)]
    assert shown(events(singly)) == shown(whole)
    for before, after in pairwise(whole):
        assert not isinstance(before, Broken)
        assert not (isinstance(before, End) and isinstance(after, Body))
    sizes, uidls = NumberedLines(), NumberedLines()
    for lines in (sizes, uidls):
        try:
            lines.feed(octets)
            lines.finish()
        except ProtocolError:
            return
    listing = list(join_listing(sizes.values, uidls.values))
    assert len({item.number for item in listing}) == len(listing)
    assert all(item.size is None or 0 <= item.size < 2**63 for item in listing)
    parse_capabilities(octets.splitlines())


@target
def config_yaml(octets: bytes) -> None:
    """Any text is a config or a list of mistakes, each with a place in it, none with a line end in
    its text."""
    text = octets.decode("utf-8", "replace")
    read = tree.read(text)
    for problem in read.problems:
        assert problem.place.line >= 1
        assert problem.place.column >= 1
        assert problem.text.isprintable()
    _CONFIG.touch(mode=0o600)
    _CONFIG.write_text(text)
    try:
        config.load(_CONFIG)
    except ConfigError as error:
        mistakes = error.mistakes
    else:
        return
    assert mistakes
    for mistake in mistakes:
        assert str(mistake).isprintable(), str(mistake)


_CONFIG = (
    Path("/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir())
    / f"popbridge-fuzz-{os.getpid()}.yaml"
)
