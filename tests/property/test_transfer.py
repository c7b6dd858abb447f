"""The formats of import and export: what is written is read again, whatever the bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bridge.imap.protocol.scanner import Scanner
from bridge.model import Flag
from bridge.transfer import (
    forms,
    imap_names,
    imap_reading,
    imap_wire,
    maildir,
    manifest,
    mbox,
    thunderbird,
)
from bridge.transfer.frames import Frames, head
from bridge.transfer.marks import Marks, file_name, level_of, mailbox_name

LINES = st.sampled_from(
    [
        b"From ", b"From - Thu Nov  5 10:00:00 2026", b">From x", b">>From ", b"Status: RO",
        b"X-Status: F", b"X-Keywords: a", b" folded", b"", b"Content-Length: 4", b"Subject: x",
        b"X-Mozilla-Status: 0008", b"\xff\0", b"From a@b Thu Nov  5 10:00:00 2026",
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r", b""])
MESSAGES = st.one_of(
    st.binary(min_size=1, max_size=200),
    st.lists(st.tuples(LINES, ENDS), min_size=1, max_size=12)
    .map(lambda lines: b"".join(line + end for line, end in lines))
    .filter(bool),
)
KEYWORDS = st.lists(
    st.text(st.sampled_from("abcXYZ019$_-.!"), min_size=1, max_size=8),
    max_size=4,
    unique_by=str.lower,
).map(tuple)
MARKS = st.builds(Marks, st.integers(0, 31), KEYWORDS, st.integers(0, 4_000_000_000))
LEVEL = st.text(min_size=1, max_size=20).filter(lambda level: "/" not in level)


@given(st.lists(st.tuples(MESSAGES, MARKS), min_size=1, max_size=5))
def test_an_mbox_of_ours_gives_its_messages_back(written: list[tuple[bytes, Marks]]) -> None:
    file = b"".join(mbox.head(marks) + b"".join(mbox.quoted(raw)) for raw, marks in written)
    known = {hashlib.sha256(raw).digest() for raw, _ in written}
    read = []
    for entry in mbox.entries(file):
        form = forms.chosen(file, mbox.likely(file, entry), known)
        raw = b"".join(forms.pieces(file, form))
        stop = forms.header_end(file, entry.start, entry.end, 1 << 20)
        marks = mbox.marks(file[entry.start : stop], entry.date)
        read.append((raw, marks.flags, marks.date))
        assert entry.ended
    assert read == [(raw, marks.flags, marks.date) for raw, marks in written]


@given(st.binary(max_size=400), st.lists(MESSAGES, max_size=4))
def test_any_file_is_read_to_its_end(junk: bytes, messages: list[bytes]) -> None:
    line = b"From a@b Thu Nov  5 10:00:00 2026\n"
    file = junk + b"\n\n" + b"\n\n".join(line + each for each in messages)
    for variant in ("auto", "rd", "o", "cl", "cl2"):
        entries = list(mbox.entries(file, variant))
        assert len(entries) >= (len(messages) if variant == "rd" else 0)
        for entry in entries:
            assert 0 <= entry.at < entry.start <= entry.end <= len(file)
            for spans in mbox.likely(file, entry, thunderbird.DROPPED, thunderbird.LEADING):
                assert all(a <= b for a, b in spans)
                assert all(one[1] <= two[0] for one, two in pairwise(spans))
        assert all(one.end <= two.at for one, two in pairwise(entries))


@given(st.lists(LEVEL, max_size=5))
def test_a_mailbox_name_fits_and_stays(levels: list[str]) -> None:
    name = mailbox_name(levels)
    assert mailbox_name(name.split("/")) == name
    assert not any(ord(character) < 32 for character in name)
    assert maildir.mailbox(maildir.folder(name)) == name
    assert "/" not in maildir.folder(name)
    for level in name.split("/"):
        made = file_name(level)
        assert level_of(made) == level or "%~" in made
        assert os.path.basename(made) == made
        assert made not in (".", "..")
        assert len(made.encode()) <= 200


@given(st.text(max_size=300), st.binary(max_size=300))
def test_names_of_others_are_read_without_a_word(name: str, octets: bytes) -> None:
    assert mailbox_name([maildir.mailbox(name), level_of(name)])
    maildir.marks(name, {"a": "x"}, None)
    maildir.keyword_letters(octets)
    thunderbird.marks(octets, None)
    mbox.marks(octets, None)
    for mailbox in manifest.parse([octets]).messages:
        assert mailbox_name(mailbox.split("/")) == mailbox


@given(MARKS)
def test_flags_and_keywords_are_in_a_maildir_name(marks: Marks) -> None:
    file, letters = maildir.keyword_file(marks.keywords)
    name = "1.x" + maildir.info(marks, letters)
    read = maildir.marks(name, maildir.keyword_letters(file), marks.date)
    assert (read.flags, set(read.keywords), read.date) == (
        marks.flags,
        set(marks.keywords),
        marks.date,
    )
    assert maildir.base(name) == "1.x"


@given(st.text(max_size=20), MARKS, st.binary(min_size=32, max_size=32))
def test_a_manifest_is_read_as_it_was_written(name: str, marks: Marks, digest: bytes) -> None:
    name = mailbox_name(name.split("/"))
    lines = [
        manifest.folder_line(name, "\\Sent", True, "folder"),
        *manifest.message_lines(name, [(digest, marks)]),
    ]
    read = manifest.parse(lines)
    assert read.folders == {"folder": name}
    assert read.special == {name: "\\Sent"}
    assert read.subscribed == {name}
    assert read.messages == {name: {digest: marks}}


@given(MESSAGES, st.integers(3, 20), st.integers(0, 300))
def test_the_end_of_a_header(raw: bytes, step: int, most: int) -> None:
    before, forms._HEADER_STEP = forms._HEADER_STEP, step
    try:
        end = forms.header_end(raw, 0, len(raw), most)
    finally:
        forms._HEADER_STEP = before
    head = raw[:most]
    blank = re.search(rb"(?:\A|(?<=\n))\r?\n", head)
    assert end == (blank.start() if blank else len(head))


@given(st.binary(max_size=2000))
def test_lines_that_end_with_lf_end_with_crlf(raw: bytes) -> None:
    form = forms.wire(raw, [(0, len(raw))])
    travelled = b"".join(forms.pieces(raw, form))
    if b"\r\n" in raw:
        assert travelled == raw
    else:
        assert travelled == raw.replace(b"\n", b"\r\n")
    assert hashlib.sha256(travelled).digest() == forms.digest(raw, form)


class Memory:
    """A sink."""

    def __init__(self) -> None:
        self.octets = b""

    def write(self, data: bytes, /) -> None:
        self.octets += data

    def finish(self) -> bytes:
        return self.octets

    def close(self) -> None: ...


@given(st.lists(st.binary(max_size=50), max_size=6), st.integers(1, 40))
def test_frames_come_out_however_they_are_cut(messages: list[bytes], step: int) -> None:
    sent = b"".join(head(len(raw), number=n) + raw for n, raw in enumerate(messages))
    frames = Frames(Memory)
    got = []
    for at in range(0, len(sent), step):
        for said, sink in frames.feed(sent[at : at + step]):
            octets = sink.finish()
            got.append((said["number"], octets[0 : len(octets)]))
    assert got == list(enumerate(messages))
    assert frames.is_whole


@given(st.integers(0, 31))
def test_flags_have_names(flags: int) -> None:
    from bridge.transfer.marks import summary

    named = {word.removeprefix("\\").upper() for word in summary(flags).split()}
    assert named == {flag.name for flag in Flag if flag & flags}


# --- the client's side of IMAP --------------------------------------------------------------

ATOMS = st.text(st.sampled_from("abcXYZ019.-_"), min_size=1, max_size=6).map(str.encode)
VALUES = st.recursive(
    st.one_of(ATOMS.filter(lambda a: a.upper() != b"NIL"), st.none(), st.binary(max_size=20)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=8,
)


def written(value: imap_wire.Token) -> bytes:
    if value is None:
        return b"NIL"
    if isinstance(value, list):
        return b"(" + b" ".join(map(written, value)) + b")"
    octets = value[0 : len(value)]
    plain = imap_wire.quoted(octets)
    return plain if plain is not None else b"{%d}\r\n%b" % (len(octets), octets)


@given(st.lists(VALUES, max_size=4), st.integers(1, 30))
def test_a_response_is_read_however_it_is_cut(values: list[imap_wire.Token], step: int) -> None:
    sent = b"* 1 FETCH " + written(values) + b"\r\n"
    sent += b"* OK [UIDVALIDITY 7] {3}\r\nA1 NO no\r\n"
    parser = imap_wire.ResponseParser(Memory)
    got = [each for at in range(0, len(sent), step) for each in parser.feed(sent[at : at + step])]
    assert [each.kind for each in got] == [b"FETCH", b"OK", b"NO"]
    assert got[0].tokens[2] == values
    assert (got[1].code, got[1].argument) == (b"UIDVALIDITY", b"7")
    assert (got[2].tag, got[2].text) == (b"A1", "no")
    assert parser.is_idle


@given(st.binary(max_size=300))
def test_no_answer_of_a_server_breaks_the_reader(octets: bytes) -> None:
    parser = imap_wire.ResponseParser(Memory)
    with contextlib.suppress(imap_wire.BadResponse):
        for response in parser.feed(octets + b"\r\n"):
            response.word(0), response.kind, response.text
            imap_names.personal(response)
            with contextlib.suppress(imap_wire.BadResponse):
                imap_names.listed(response)
            for token in response.tokens:
                imap_wire.flags(token)
                imap_wire.date(token)
                with contextlib.suppress(imap_wire.BadResponse):
                    imap_wire.pairs(token)


@given(st.integers(-10_000_000_000, 250_000_000_000), st.integers(0, 31), KEYWORDS)
def test_what_append_says_is_what_our_own_server_reads(
    date: int, flags: int, words: tuple[str, ...]
) -> None:
    said = imap_wire.append_head(flags, words, date)
    scanner = Scanner([said])
    scanner.space()
    assert scanner.flag_list() == (flags, words)
    scanner.space()
    assert scanner.date_time() == date
    assert imap_wire.date(said.split(b'"')[1]) == date


@given(LEVEL, LEVEL)
def test_a_mailbox_name_is_read_as_it_was_sent(one: str, two: str) -> None:
    name = mailbox_name([one, two])
    sent = imap_wire.mailbox(name)
    assert sent[:1] == sent[-1:] == b'"'
    assert Scanner([sent]).mailbox() == name


@given(MESSAGES)
def test_what_names_a_message_survives_what_servers_change(raw: bytes) -> None:
    lines = re.sub(rb"(?<!\r)\n", b"\r\n", raw)
    munged = bytes(0x58 if octet > 0x7F else octet for octet in lines)
    if forms.header_end(raw, 0, len(raw), len(raw)) < len(raw):
        assert imap_reading.naming(raw) == imap_reading.naming(lines)
    assert imap_reading.naming(lines) == imap_reading.naming(munged)
