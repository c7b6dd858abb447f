"""Invariants of the IMAP grammar, for every input that hypothesis can think of."""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Callable

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.imap.protocol import (
    acl,
    append,
    authenticate,
    bare,
    compress,
    context,
    copy,
    create,
    delete,
    enable,
    expunge,
    fetch,
    id,
    login,
    metadata,
    notify,
    quota,
    rename,
    replace,
    responses,
    search,
    select,
    sort,
    status,
    store,
    subscribe,
    thread,
    utf7,
)
from bridge.imap.protocol.connection import CommandReady, Connection, LiteralAnnounced, Malformed
from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.list import matches
from bridge.imap.protocol.list import parse as parse_list
from bridge.imap.protocol.numbers import NumberSet, format_ranges
from bridge.imap.protocol.scanner import Scanner

GRAMMARS: dict[str, Callable[[Scanner], object]] = {
    "APPEND": append.parse,
    "CANCELUPDATE": context.parse,
    "COMPRESS": compress.parse,
    "GETACL": acl.parse_mailbox,
    "GETMETADATA": metadata.parse_get,
    "GETQUOTA": quota.parse_root,
    "GETQUOTAROOT": quota.parse_mailbox,
    "LISTRIGHTS": acl.parse_identifier,
    "SETACL": acl.parse_set,
    "SETMETADATA": metadata.parse_set,
    "SETQUOTA": quota.parse_set,
    "AUTHENTICATE": authenticate.parse,
    "NOOP": bare.parse,
    "COPY": copy.parse,
    "CREATE": create.parse,
    "DELETE": delete.parse,
    "ENABLE": enable.parse,
    "UID EXPUNGE": expunge.parse,
    "FETCH": fetch.parse,
    "ID": id.parse,
    "LIST": parse_list,
    "LOGIN": login.parse,
    "NOTIFY": notify.parse,
    "RENAME": rename.parse,
    "REPLACE": replace.parse,
    "SEARCH": search.parse,
    "SELECT": select.parse,
    "SORT": sort.parse,
    "STATUS": status.parse,
    "STORE": store.parse,
    "SUBSCRIBE": subscribe.parse,
    "THREAD": thread.parse,
}

DIALOGUE = (
    b"a1 CAPABILITY\r\na2 LOGIN {3}\r\njoe {4+}\r\npass\r\n* NOPE {5+}\r\nx NOO more\r\n"
    b'a3 SELECT "x\nb DELETE y\r\na4 APPEND {5+}\r\nDraft (\\Seen) {12}\r\nA: b\r\n\r\nhi\r\n\r\n'
    b"a5 X {7+}\r\na6 NOOP\r\na7 FETCH 1 (BODY[])\r\na8 X {99999999}\r\na9 UID FETCH 1 UID\r\n"
    b"\r\nb1 NO\0OP\r\nb2 X {0}\r\n\r\nb3 LOGIN {9999999999+}\r\nb4 NOOP\r\n"
)
TOKENS = st.sampled_from(
    [
        b" ", b" ", b" ", b"\r\n", b"\r\n", b"\n", b"\r", b"\0", b"a1", b"NOOP", b"UID ", b"(",
        b")", b'"', b"\\", b"{3}\r\n", b"{3+}\r\n", b"{0+}\r\n", b"{99999999999}", b"{", b"}", b"*",
        b"%", b"[", b"]", b"<", b">", b".", b"1:*", b"0", b"4294967296", b"NIL", b"\\Seen",
        b"\xff", b"&", b"&AOk-", b"BODY", b"BODY.PEEK[", b"HEADER.FIELDS", b"NOT", b"OR",
        b"CHARSET", b"UTF-8", b"RETURN", b"1-Jan-2020", b"FLAGS", b"+FLAGS", b"CHANGEDSINCE",
        b"QRESYNC", b"MODSEQ", b"SUBJECT", b"STATUS", b"USE", b"=", b"APPEND", b"+", b"-", b"~",
        b"UTF8", b"/private/x", b"MAXSIZE", b"DEPTH", b"STORAGE", b"DEFLATE", b"\xc3\xa4",
        b"NOTIFY SET ", b"PERSONAL", b"SUBTREE", b"MessageNew", b"MessageExpunge", b"BINARY.SIZE[",
        b"PREVIEW", b" (LAZY)", b"EMAILID", b"SAVEDON",
    ]
)  # fmt: skip
GIBBERISH = st.one_of(st.binary(max_size=200), st.lists(TOKENS, max_size=40).map(b"".join))


def events(segments: list[bytes], refuse: bool, authenticated: bool) -> list[object]:
    """What the segments become, in values that compare."""
    peer = Connection()
    peer.authenticated = authenticated
    seen: list[object] = []
    for segment in segments:
        peer.receive_data(segment)
        while (event := peer.next_event()) is not None:
            if isinstance(event, LiteralAnnounced):
                if refuse:
                    peer.refuse_literal()
                else:
                    peer.accept_literal()
            if isinstance(event, CommandReady):
                seen.append((event.tag, event.name, octets_of(event.arguments)))
            else:
                seen.append(event)
    return seen


def octets_of(scanner: Scanner) -> bytes:
    octets = b""
    while not scanner.at_end:
        following = scanner.peek
        if scanner.take(following):
            octets += following
        else:
            literal = scanner.literal_octets()
            octets += b"<%b>" % literal[0 : len(literal)]
    return octets


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(octets) + 1) for place in places), len(octets)]
    return [octets[start:end] for start, end in itertools.pairwise(borders)]


@given(
    st.one_of(st.just(DIALOGUE), GIBBERISH),
    st.lists(st.integers(0, 1000), max_size=20),
    st.booleans(),
    st.booleans(),
)
def test_however_the_octets_are_cut_the_events_are_the_same(
    octets: bytes, places: list[int], refuse: bool, authenticated: bool
) -> None:
    whole = events([octets], refuse, authenticated)
    assert events(cut(octets, places), refuse, authenticated) == whole
    singly = [octets[at : at + 1] for at in range(len(octets))]
    assert events(singly, refuse, authenticated) == whole


@given(GIBBERISH, st.booleans())
def test_a_tag_that_is_repeated_cannot_break_a_line(octets: bytes, authenticated: bool) -> None:
    for event in events([octets + b"\r\n"], False, authenticated):
        tag = event.tag if isinstance(event, Malformed) else None
        if isinstance(event, tuple):
            tag = event[0]
        assert tag is None or re.fullmatch(rb"[!-~]+", tag)


@given(GIBBERISH)
def test_a_command_after_the_end_of_a_line_is_always_found(octets: bytes) -> None:
    """No input, unless it is fatal or announces a literal, swallows the command behind it."""
    octets = octets.replace(b"{", b"(")
    seen = events([octets + b"\r\nz9 NOOP\r\n"], False, True)
    assert seen[-1] == (b"z9", "NOOP", b"")


@settings(max_examples=1000)
@given(st.sampled_from(sorted(GRAMMARS)), GIBBERISH, st.booleans(), st.booleans())
@example("SEARCH", b" OR (SEEN) (NOT UID *)", False, False)
@example("SEARCH", b" OR LARGER 9999999999999999999 RECENT", False, True)
@example("FETCH", b" 1 BODY[]<99999999999.1>", False, True)
def test_gibberish_is_a_value_or_a_parse_error(
    name: str, arguments: bytes, utf8: bool, rev2: bool
) -> None:
    """The value has consumed everything; the text of the error is fit for a response."""
    peer = Connection()
    peer.authenticated = True
    peer.utf8, peer.rev2 = utf8, rev2
    peer.receive_data(b"a " + name.encode() + arguments + b"\r\n")
    while (event := peer.next_event()) is not None:
        if isinstance(event, LiteralAnnounced):
            peer.accept_literal()
        if isinstance(event, CommandReady):
            text = ""
            try:
                GRAMMARS[name](event.arguments)
            except ParseError as error:
                text = error.text
            assert event.arguments.at_end or text
            assert text.isascii()
            assert not text or text.isprintable()


@given(st.binary(max_size=100))
def test_gibberish_is_a_sasl_response_or_a_parse_error(line: bytes) -> None:
    try:
        response = authenticate.decode_response(line)
    except ParseError:
        return
    assert response is None or len(response) <= len(line)


@given(st.text())
def test_every_name_has_a_spelling_that_reads_back(name: str) -> None:
    written = utf7.encode(name)
    assert written.isascii()
    assert utf7.decode(written) == name


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)


@given(NAMES, st.booleans())
def test_a_mailbox_name_reads_back_as_it_was_shown(name: str, utf8: bool) -> None:
    """In the spelling of either kind of client, INBOX apart."""
    shown = responses.mailbox_name(name, utf8)
    if shown.startswith(b"{"):
        scanner = Scanner([b"", b""], [shown.partition(b"\r\n")[2]], utf8=utf8)
    else:
        scanner = Scanner([shown], utf8=utf8)
    read = scanner.mailbox()
    assert scanner.at_end
    assert read == name or name.upper().startswith("INBOX")


@given(
    st.one_of(
        st.binary(max_size=30),
        st.text("&-+,/=AOk2D9ab ", max_size=20).map(str.encode),
    )
)
def test_no_name_has_two_spellings(written: bytes) -> None:
    try:
        name = utf7.decode(written)
    except ParseError:
        return
    assert utf7.encode(name) == written


SEQ_NUMBER = st.one_of(st.just("*"), st.integers(1, 30).map(str))
SEQ_ITEM = st.one_of(SEQ_NUMBER, st.tuples(SEQ_NUMBER, SEQ_NUMBER).map(":".join))


@given(st.lists(SEQ_ITEM, min_size=1, max_size=10), st.integers(1, 30))
def test_ranges_are_what_counting_gives(items: list[str], largest: int) -> None:
    counted: set[int] = set()
    for item in items:
        ends = [largest if end == "*" else int(end) for end in item.split(":")]
        counted.update(range(min(ends), max(ends) + 1))
    ranges = NumberSet.parse(",".join(items).encode()).ranges(largest)
    assert {number for low, high in ranges for number in range(low, high + 1)} == counted
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(ranges))


@given(st.sets(st.integers(1, 60), min_size=1))
def test_formatted_ranges_read_back(numbers: set[int]) -> None:
    written = format_ranges(sorted(numbers))
    ranges = NumberSet.parse(written).ranges(99)
    assert {number for low, high in ranges for number in range(low, high + 1)} == numbers
    assert len(written.split(b",")) == len(ranges)


@given(st.text("*%ab/", max_size=10), st.text("ab/", max_size=10))
def test_the_matcher_agrees_with_a_regular_expression(pattern: str, name: str) -> None:
    reference = "".join({"*": ".*", "%": "[^/]*"}.get(c, re.escape(c)) for c in pattern)
    assert matches(pattern, name) is (re.fullmatch(reference, name) is not None)


@given(st.binary(max_size=50))
def test_whatever_is_in_a_string_it_reads_back_as_that_string(octets: bytes) -> None:
    """An independent reader: a quoted string without escapes, or a literal, and nothing after."""
    for written in (responses.string(octets), responses.astring(octets)):
        if written.startswith(b'"'):
            assert written == b'"' + octets + b'"'
            assert re.fullmatch(rb"[ !#-\[\]-~]*", octets)
        elif written.startswith(b"{"):
            size, _, rest = written[1:].partition(b"}\r\n")
            assert (int(size), rest) == (len(octets), octets)
        else:
            assert written == octets
            assert re.fullmatch(rb"[!#$&'+-\[\]-z|}~]+", octets)


@given(st.text(), st.text())
def test_a_response_is_one_line(text: str, code: str) -> None:
    for response in (
        responses.tagged(b"a", b"NO", text, code),
        responses.untagged(b"OK", text),
        responses.continuation(text),
    ):
        assert response.endswith(b"\r\n")
        assert set(response[:-2].decode("ascii")) <= set(string.printable[:95])


@given(st.integers())
def test_every_instant_prints_in_the_one_format(seconds: int) -> None:
    printed = responses.internaldate(seconds)
    assert re.fullmatch(
        rb'"[ 123][0-9]-[A-Z][a-z]{2}-[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} \+0000"', printed
    )
    if abs(seconds) < 2**35:
        assert Scanner([printed]).date_time() == seconds
