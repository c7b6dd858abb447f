"""The framing and the parsers of POP3: bytes in, events and values out."""

from __future__ import annotations

import pytest

from bridge import limits
from bridge.model import ListedItem
from bridge.pop3.protocol import (
    Body,
    Broken,
    Capabilities,
    Challenge,
    End,
    Event,
    Expect,
    LineSplitter,
    NumberedLines,
    ProtocolError,
    ReplyParser,
    Status,
    TooLong,
    apop_digest,
    join_listing,
    parse_capabilities,
    parse_status,
    timestamp,
)


def events(wire: bytes, *shapes: Expect) -> list[Event]:
    parser = ReplyParser()
    for shape in shapes or (Expect.MULTI,):
        parser.expect(shape)
    return parser.feed(wire)


def broken(wire: bytes, *shapes: Expect) -> ProtocolError:
    """What is wrong with the last words of `wire`."""
    last = events(wire, *shapes)[-1]
    assert isinstance(last, Broken)
    return last.error


def message(body: bytes) -> bytes:
    """The content of a reply +OK, body, which must end exactly at the end of `body`."""
    parser = ReplyParser()
    parser.expect(Expect.MULTI)
    given = parser.feed(b"+OK\r\n" + body)
    assert given[-1] == End()
    assert parser.outstanding == 0
    assert parser.unread == b""
    return b"".join(event.data for event in given if isinstance(event, Body))


# --- framing ------------------------------------------------------------------------------


def test_replies_come_in_the_order_of_the_commands() -> None:
    wire = b"+OK 2 320\r\n+OK\r\nhello\r\n.\r\n-ERR gone\r\n+OK bye\r\n"
    assert events(wire, Expect.LINE, Expect.MULTI, Expect.MULTI, Expect.LINE) == [
        Status(True, b"2 320", ""),
        Status(True, b"", ""),
        Body(b"hello\r\n"),
        End(),
        Status(False, b"gone", ""),
        Status(True, b"bye", ""),
    ]


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b"..\r\n.\r\n", b".\r\n"),
        (b"..hidden\r\n.\r\n", b".hidden\r\n"),
        (b"a\r\n..\r\n...\r\nb\r\n.\r\n", b"a\r\n.\r\n..\r\nb\r\n"),
        (b"..\r\n..\r\n..\r\n.\r\n", b".\r\n.\r\n.\r\n"),
    ],
)
def test_stuffed_dots_come_off(wire: bytes, content: bytes) -> None:
    assert message(wire) == content


def test_an_unstuffed_dot_comes_off_like_a_stuffed_one() -> None:
    assert message(b"a\r\n.hidden\r\n.\r\n") == b"a\r\nhidden\r\n"


def test_a_lone_dot_ends_the_message_and_the_rest_is_no_reply() -> None:
    parser = ReplyParser()
    parser.expect(Expect.MULTI)
    parser.feed(b"+OK\r\none\r\n.\r\ntwo\r\n.\r\n")
    assert parser.unread == b"two\r\n.\r\n"


def test_what_came_before_the_words_that_are_not_understood_holds() -> None:
    given = events(b"+OK\r\none\r\n.\r\ntwo\r\n.\r\n", Expect.MULTI, Expect.MULTI)
    assert given[:3] == [Status(True, b"", ""), Body(b"one\r\n"), End()]
    assert isinstance(given[3], Broken)
    assert given[3].error.sample.startswith(b"two")
    assert len(given) == 4


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"a\n.\nb\r\n", id="P037 a dot between bare LF"),
        pytest.param(b"a\n.\r\nb\r\n", id="P037 a dot between LF and CRLF"),
        pytest.param(b"a\nb\n\nc\r\n", id="P038 bare LF"),
        pytest.param(b"a\rb\r\rc\r\n", id="P039 bare CR"),
        pytest.param(b"a\r.\rb\r\n", id="P039 a dot between bare CR"),
        pytest.param(b"\0a\0\r\n\0\r\n", id="P040 NUL"),
        pytest.param(b"\xff\xfe\x80 \xa4\xe9\r\n", id="P041 eight bits"),
        pytest.param(b"", id="P043 nothing at all"),
        pytest.param(b"\r\n", id="P043 one empty line"),
        pytest.param(b"no header\r\n", id="P044 no header"),
        pytest.param(b"x" * 300_000 + b"\r\n", id="P045 one long line"),
    ],
)
def test_content_is_kept_octet_for_octet(content: bytes) -> None:
    assert message(content + b".\r\n") == content


def test_a_dot_glued_to_the_last_line_is_no_end() -> None:
    assert End() not in events(b"+OK\r\ntext.\r\n")


def test_an_end_mark_without_its_LF_waits_and_can_be_accepted() -> None:
    parser = ReplyParser()
    parser.expect(Expect.MULTI)
    assert parser.feed(b"+OK\r\nbody\r\n.\r")[-1] == Body(b"body")
    assert parser.half_ended
    assert parser.accept_end() == [Body(b"\r\n"), End()]
    assert parser.outstanding == 0


def test_an_empty_body_with_such_an_end_mark() -> None:
    parser = ReplyParser()
    parser.expect(Expect.MULTI)
    parser.feed(b"+OK\r\n.\r")
    assert parser.half_ended
    assert parser.accept_end() == [End()]


def test_a_reply_glued_to_such_an_end_mark_is_never_content() -> None:
    wire = b"+OK\r\none\r\n.\r+OK\r\ntwo\r\n.\r\n"
    assert "end mark" in str(broken(wire, Expect.MULTI, Expect.MULTI))


def test_a_status_line_may_end_with_a_bare_LF() -> None:
    assert events(b"+OK\n.x\r\n.\r\n") == [Status(True, b"", ""), Body(b"x\r\n"), End()]


def test_a_status_line_without_end_is_cut() -> None:
    assert isinstance(broken(b"+OK " + b"x" * limits.POP3_LINE, Expect.LINE), TooLong)


@pytest.mark.parametrize(
    "junk", [b"HTTP/1.1 400\r\n", b"220 smtp", b"\x16\x03\x01", b"+OKAY\r\n", b"+\r\n", b"\r\n"]
)
def test_what_is_not_POP3_is_found_at_its_first_octets(junk: bytes) -> None:
    assert broken(junk, Expect.LINE).sample == junk.rstrip(b"\r\n")


def test_a_challenge_comes_only_where_it_is_expected() -> None:
    assert events(b"+ \r\n+OK\r\n", Expect.CHALLENGE) == [Challenge(b""), Status(True, b"", "")]
    assert events(b"+ YQ==\r\n", Expect.CHALLENGE) == [Challenge(b"YQ==")]
    assert "not POP3" in str(broken(b"+ \r\n", Expect.LINE))


# --- status lines -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"+OK", Status(True, b"", "")),
        (b"+ok ready", Status(True, b"ready", "")),
        (b"+OK<1.2@x>", Status(True, b"<1.2@x>", "")),
        (b"-err  no ", Status(False, b"no", "")),
        (b"-ERR [in-use] busy", Status(False, b"[in-use] busy", "IN-USE")),
        (b"-ERR [SYS/TEMP]", Status(False, b"[SYS/TEMP]", "SYS/TEMP")),
        (b"-ERR [LOGIN-DELAY]too soon", Status(False, b"[LOGIN-DELAY]too soon", "LOGIN-DELAY")),
        (b"-ERR [not a code] x", Status(False, b"[not a code] x", "")),
        (b"-ERR [", Status(False, b"[", "")),
        (b"-ERR []", Status(False, b"[]", "")),
    ],
)
def test_status_lines(line: bytes, status: Status) -> None:
    assert parse_status(line) == status


@pytest.mark.parametrize("line", [b"", b"OK", b"+OKAY", b"-ERROR", b"-", b"+", b" +OK", b"+ x"])
def test_junk_is_no_status(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_status(line)


# --- APOP ---------------------------------------------------------------------------------


def test_the_APOP_example_of_RFC_1939() -> None:
    stamp = timestamp(b"POP3 server ready <1896.697170952@dbc.mtview.ca.us>")
    assert stamp == b"<1896.697170952@dbc.mtview.ca.us>"
    assert apop_digest(stamp, "tanstaaf") == "c4c9334bac560ecc979e58001b3e22fb"


@pytest.mark.parametrize(
    "greeting",
    [
        b"ready",
        b"ready <>",
        b"<no at>",
        b"<a@>",
        b"<@b>",
        b"<a@b",
        b"a@b>",
        b"<a@b@c>",
        b"<a\x80@b>",
        b"<a b@c>",
        b"<a\0@b>",
        b"> <",
    ],
)
def test_CVE_2007_1558_only_a_strict_timestamp_counts(greeting: bytes) -> None:
    assert timestamp(greeting) is None


# --- CAPA ---------------------------------------------------------------------------------


def test_capabilities_of_RFC_2449() -> None:
    lines = [b"TOP", b"USER", b"SASL plain XOAUTH2", b"RESP-CODES", b"LOGIN-DELAY 900"]
    lines += [b"pipelining", b"EXPIRE 60", b"UIDL", b"STLS", b"IMPLEMENTATION Shlemazle v302", b""]
    assert parse_capabilities(lines) == Capabilities(
        known=True,
        pipelining=True,
        stls=True,
        top=True,
        uidl=True,
        user=True,
        sasl=frozenset({"PLAIN", "XOAUTH2"}),
        login_delay=900,
        expire=60,
        implementation="Shlemazle v302",
    )


@pytest.mark.parametrize("line", [b"LOGIN-DELAY", b"LOGIN-DELAY x", b"LOGIN-DELAY -1"])
def test_a_delay_that_is_no_number_is_not_known(line: bytes) -> None:
    assert parse_capabilities([line, b"EXPIRE NEVER"]) == Capabilities(known=True)


# --- listings -----------------------------------------------------------------------------


def numbered(*lines: bytes) -> NumberedLines:
    listing = NumberedLines()
    listing.feed(b"".join(line + b"\r\n" for line in lines))
    listing.finish()
    return listing


def items(sizes: list[bytes], uidls: list[bytes]) -> list[ListedItem]:
    return list(join_listing(numbered(*sizes).values, numbered(*uidls).values))


def test_a_listing_joins_sizes_and_uidls_by_number() -> None:
    assert items([b"1 120", b"2 200"], [b"2 QhdPYR", b"1 whqtswO"]) == [
        ListedItem(1, b"whqtswO", 120),
        ListedItem(2, b"QhdPYR", 200),
    ]


@pytest.mark.parametrize("line", [b"7", b"7 ", b"7    ", b"7\t"])
def test_an_empty_uidl_is_none(line: bytes) -> None:
    assert items([b"7 1", b"8 2"], [line, b"8 x"]) == [
        ListedItem(7, None, 1),
        ListedItem(8, b"x", 2),
    ]


def test_a_missing_line_leaves_the_others_at_their_numbers() -> None:
    given = items(
        [b"%d 9" % n for n in range(1, 10)], [b"%d u%d" % (n, n) for n in (1, 2, 3, 5, 6, 7, 8, 9)]
    )
    assert [item.uidl for item in given] == [
        b"u1",
        b"u2",
        b"u3",
        None,
        b"u5",
        b"u6",
        b"u7",
        b"u8",
        b"u9",
    ]


@pytest.mark.parametrize("length", [71, 128, 129, 500, 1000])
def test_long_uidls_are_kept(length: int) -> None:
    assert items([b"1 5"], [b"1 " + b"x" * length])[0].uidl == b"x" * length


def test_a_longer_one_is_kept_as_a_hash_that_tells_it_from_others() -> None:
    first = items([b"1 5"], [b"1 " + b"x" * 5000])[0].uidl
    second = items([b"1 5"], [b"1 " + b"x" * 5001])[0].uidl
    assert first is not None
    assert first.startswith(b"sha256:")
    assert len(first) == 7 + 64
    assert first != second


@pytest.mark.parametrize(
    "uidl",
    [b"a b", b"a\tb", b'"x"', b"../../x", b"a\0b", bytes(range(0x80, 0x100)), b"%s%n", b"';--"],
)
def test_a_uidl_is_opaque(uidl: bytes) -> None:
    assert items([b"1 5"], [b"1 " + uidl])[0].uidl == uidl


@pytest.mark.parametrize("line", [b"1   abc", b" 1 abc", b"1 abc  ", b"1\tabc"])
def test_spaces_around_a_uidl_mean_nothing(line: bytes) -> None:
    assert items([b"1 5"], [line]) == [ListedItem(1, b"abc", 5)]


@pytest.mark.parametrize(
    "line",
    [
        b"0 x",
        b"-1 x",
        b"4294967296 x",
        b"2147483648 x",
        b"abc x",
        b"",
        b"+1 x",
        b"1_0 x",
        b"\xb2 x",
        b"99999999999999999999999 x",
        b"1.5 x",
    ],
)
def test_a_number_without_sense_is_rejected(line: bytes) -> None:
    listing = numbered(b"1 a", line, b"2 b")
    assert listing.values == {1: b"a", 2: b"b"}
    assert listing.rejected == 1


def test_a_number_that_comes_twice_is_not_believed() -> None:
    listing = numbered(b"1 a", b"2 b", b"1 c")
    assert listing.rejected == 1
    assert list(join_listing(numbered(b"1 5", b"2 5").values, listing.values)) == [
        ListedItem(1, None, 5),
        ListedItem(2, b"b", 5),
    ]


def test_numbers_out_of_order_are_put_in_order() -> None:
    assert [item.number for item in items([b"3 1", b"1 1", b"2 1"], [])] == [1, 2, 3]


def test_what_came_between_LIST_and_UIDL_waits() -> None:
    assert items([b"1 5"], [b"1 a", b"2 new"]) == [ListedItem(1, b"a", 5)]


def test_uidls_that_differ_in_case_differ() -> None:
    given = items([b"1 5", b"2 5"], [b"1 abc", b"2 ABC"])
    assert given[0].uidl != given[1].uidl


@pytest.mark.parametrize("size", [b"0", b"-1", b"2147483648", b"9223372036854775808", b"abc", b""])
def test_a_size_without_sense_is_not_known(size: bytes) -> None:
    assert items([b"1 " + size], [b"1 a"]) == [ListedItem(1, b"a", None)]


def test_what_follows_the_size_is_no_matter() -> None:
    assert items([b"1 120 more"], [b"1 a"]) == [ListedItem(1, b"a", 120)]


def test_without_LIST_the_numbers_of_UIDL_count_and_the_other_way_round() -> None:
    assert list(join_listing(None, {1: b"a"})) == [ListedItem(1, b"a", None)]
    assert list(join_listing({1: b"5"}, None)) == [ListedItem(1, None, 5)]
    assert list(join_listing(None, None)) == []


def test_an_ERR_inside_a_listing_breaks_it_off() -> None:
    with pytest.raises(ProtocolError):
        numbered(b"1 a", b"-ERR [SYS/TEMP] disk")


def test_a_listing_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "POP3_LISTING_ITEMS", 1000)
    listing = NumberedLines()
    listing.feed(b"".join(b"%d x\r\n" % n for n in range(1, 1001)))
    with pytest.raises(TooLong):
        listing.feed(b"1001 x\r\n")


def test_lines_are_whole_however_they_are_cut() -> None:
    splitter = LineSplitter(10)
    assert splitter.feed(b"a\r") == []
    assert splitter.feed(b"\nb\r\nc") == [b"a", b"b"]
    assert splitter.finish() == [b"c"]
    with pytest.raises(TooLong):
        LineSplitter(10).feed(b"x" * (limits.POP3_LINE + 1))
