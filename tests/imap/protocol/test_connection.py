"""Octets as they come -> commands, literals, errors."""

from __future__ import annotations

import time

import pytest

from bridge import limits
from bridge.imap.protocol.connection import (
    CommandReady,
    Connection,
    Line,
    LiteralAnnounced,
    Malformed,
)
from bridge.model import Octets
from tests.imap.protocol.support import connection, drain, feed, spoken

TOO_LONG = "The line is too long"
LINE_END = "A line ends with CR LF; all up to the next is ignored"
NO_TAG = "A command starts with a tag and one space"
NO_NAME = "A command's name follows the tag and one space"


def command(wire: bytes) -> CommandReady:
    event = feed(wire)[-1]
    assert isinstance(event, CommandReady)
    return event


class TestCommands:
    def test_tag_and_name(self) -> None:
        ready = command(b"a1 noop\r\n")
        assert (ready.tag, ready.name, ready.arguments.at_end) == (b"a1", "NOOP", True)

    def test_arguments_start_behind_the_name(self) -> None:
        ready = command(b"a1 SELECT INBOX\r\n")
        ready.arguments.space()
        assert ready.arguments.mailbox() == "INBOX"

    def test_uid_belongs_to_the_name(self) -> None:
        ready = command(b"a1 Uid fetch 1 FLAGS\r\n")
        assert ready.name == "UID FETCH"
        assert ready.arguments.peek == b" "

    def test_a_name_without_a_space_behind_it(self) -> None:
        ready = command(b"a1 NOOP((((\r\n")
        assert (ready.name, ready.arguments.peek) == ("NOOP", b"(")

    def test_pipelined(self) -> None:
        assert spoken(feed(b"a NOOP\r\nb CHECK\r\nc LOG")) == ["a NOOP", "b CHECK"]

    def test_one_octet_at_a_time(self) -> None:
        wire = b"a LOGIN {3}\r\njoe {4+}\r\npass\r\nb NOOP\r\n"
        split = feed(*(wire[at : at + 1] for at in range(len(wire))))
        assert spoken(split) == ["{3}", "{4+}", "a LOGIN", "b NOOP"] == spoken(feed(wire))

    @pytest.mark.parametrize(
        ("wire", "answer"),
        [
            (b"\r\n", "* BAD " + NO_TAG),
            (b" NOOP\r\n", "* BAD " + NO_TAG),
            (b"* NOOP\r\n", "* BAD " + NO_TAG),
            (b"+ NOOP\r\n", "* BAD " + NO_TAG),
            (b"a+1 NOOP\r\n", "* BAD " + NO_TAG),
            (b'"a" NOOP\r\n', "* BAD " + NO_TAG),
            (b"\xc3\xa9 NOOP\r\n", "* BAD " + NO_TAG),
            (b"a\tNOOP\r\n", "* BAD " + NO_TAG),
            (b"t" * (limits.IMAP_TAG + 1) + b" NOOP\r\n", "* BAD " + NO_TAG),
            (b"DONE\r\n", "DONE BAD " + NO_NAME),
            (b"a \r\n", "a BAD " + NO_NAME),
            (b"a  NOOP\r\n", "a BAD " + NO_NAME),
            (b"a (NOOP)\r\n", "a BAD " + NO_NAME),
            (b"a UID\r\n", "a BAD UID goes before the name of a command"),
            (b"a UID  FETCH\r\n", "a BAD UID goes before the name of a command"),
        ],
    )
    def test_not_a_command(self, wire: bytes, answer: str) -> None:
        assert spoken(feed(wire + b"b NOOP\r\n")) == [answer, "b NOOP"]

    def test_ten_thousand_commands_in_one_segment(self) -> None:
        wire = b"".join(b"a%d NOOP\r\n" % number for number in range(10_000))
        started = time.perf_counter()
        events = spoken(feed(wire))
        assert events == [f"a{number} NOOP" for number in range(10_000)]
        assert time.perf_counter() - started < 2  # quadratic copying takes far longer

    def test_what_is_not_consumed_is_buffered(self) -> None:
        """What STARTTLS needs to see (no octet may follow it in plaintext)."""
        peer = connection()
        peer.receive_data(b"a STARTTLS\r\nb NOOP\r\n")
        assert isinstance(peer.next_event(), CommandReady)
        assert peer.buffered == len(b"b NOOP\r\n")
        drain(peer)
        assert peer.buffered == 0


class TestLines:
    def test_a_bare_lf_ends_nothing_and_smuggles_nothing(self) -> None:
        wire = b'a SELECT "x\nb DELETE INBOX\r\nc NOOP\r\n'
        assert spoken(feed(wire)) == ["a BAD " + LINE_END, "c NOOP"]

    def test_a_bare_lf_is_answered_at_once(self) -> None:
        peer = connection()
        peer.receive_data(b"a NOOP\n")
        assert spoken(drain(peer)) == ["a BAD " + LINE_END]
        peer.receive_data(b"b NOOP\nc NOOP")
        assert drain(peer) == []
        peer.receive_data(b"\r\nd NOOP\r\n")
        assert spoken(drain(peer)) == ["d NOOP"]

    def test_a_literal_behind_a_bare_lf_runs_nothing_either(self) -> None:
        wire = b"a NOOP\nb LOGIN {9+}\r\nc NOOP\r\n\r\n {10+}\r\nd DELETE\r\n\r\ne NOOP\r\n"
        assert spoken(feed(wire)) == ["a BAD " + LINE_END, "e NOOP"]

    def test_bare_lf_without_end(self) -> None:
        wire = b"a NOOP\n" + b"b NOOP\n" * (limits.IMAP_LINE // 7 + 1)
        assert spoken(feed(wire)) == ["a BAD " + LINE_END, "* BAD " + TOO_LONG + " BYE"]

    @pytest.mark.parametrize(
        "line", [b"a NO\rOP\r\n", b"a NOOP\r\r\n", b"a NO\0OP\r\n", b"a\0 NOOP\r\n"]
    )
    def test_nul_and_bare_cr(self, line: bytes) -> None:
        answer = "a BAD A line has no NUL and no bare CR"
        assert spoken(feed(line + b"b NOOP\r\n")) == [answer, "b NOOP"]

    @pytest.mark.parametrize(
        ("authenticated", "limit"),
        [(False, limits.IMAP_LINE_BEFORE_LOGIN), (True, limits.IMAP_LINE)],
    )
    def test_the_cap(self, authenticated: bool, limit: int) -> None:
        fits = b"a NOOP " + b"x" * (limit - 9) + b"\r\n"
        assert spoken(feed(fits, authenticated=authenticated)) == ["a NOOP"]
        answer = [f"a BAD {TOO_LONG} BYE"]
        longer = b"a NOOP " + b"x" * (limit - 8) + b"\r\nb NOOP\r\n"
        assert spoken(feed(longer, authenticated=authenticated)) == answer
        peer = connection(authenticated=authenticated)
        peer.receive_data(longer[:limit])
        assert spoken(drain(peer)) == answer
        for _ in range(1000):
            peer.receive_data(b"x" * 1000)
        assert (drain(peer), peer.buffered) == ([], 0)

    def test_a_tag_without_end_is_not_repeated(self) -> None:
        assert spoken(feed(b"t" * limits.IMAP_LINE)) == [f"* BAD {TOO_LONG} BYE"]

    def test_an_expected_line(self) -> None:
        peer = connection()
        peer.receive_data(b"a IDLE\r\nDONE\r\nb NOOP\r\n")
        assert spoken([peer.next_event() or Line(b"")]) == ["a IDLE"]
        peer.expect_line(64)
        assert peer.next_event() == Line(b"DONE")
        assert spoken(drain(peer)) == ["b NOOP"]

    def test_an_expected_line_too_long(self) -> None:
        peer = connection()
        peer.expect_line(64)
        peer.receive_data(b"x" * 62 + b"\r\n")
        assert peer.next_event() == Line(b"x" * 62)
        peer.expect_line(64)
        peer.receive_data(b"x" * 63 + b"\r\n")
        assert peer.next_event() == Malformed(None, TOO_LONG, fatal=True)

    @pytest.mark.parametrize(
        "line", [b"DO\0NE\r\n", b"DO\rNE\r\n", b"DONE\n\r\n", b"b X {3+}\r\nabc\r\n"]
    )
    def test_an_expected_line_that_is_wrong(self, line: bytes) -> None:
        peer = connection()
        peer.expect_line(64)
        peer.receive_data(line + b"c NOOP\r\n")
        event, *rest = drain(peer)
        assert isinstance(event, Malformed)
        assert (event.tag, event.fatal, spoken(rest)) == (None, False, ["c NOOP"])


class Recorder:
    """A sink that remembers."""

    def __init__(self, fail_after: int = 1 << 40) -> None:
        self.octets = b""
        self.largest = 0
        self.fail_after = fail_after

    def write(self, data: bytes, /) -> None:
        self.octets += data
        self.largest = max(self.largest, len(data))
        if len(self.octets) > self.fail_after:
            raise OSError("disk full")

    def finish(self) -> Octets:
        return self.octets

    def close(self) -> None:
        self.octets = b""


class TestLiterals:
    def test_announced_before_its_octets(self) -> None:
        peer = connection()
        peer.receive_data(b"a LOGIN {3}\r\n")
        assert peer.next_event() == LiteralAnnounced(b"a", "LOGIN", 3, synchronizing=True)
        assert peer.next_event() is None
        peer.accept_literal()
        assert peer.next_event() is None
        peer.receive_data(b"joe pass\r\n")
        ready = peer.next_event()
        assert isinstance(ready, CommandReady)
        ready.arguments.space()
        assert ready.arguments.astring() == b"joe"
        ready.arguments.space()
        assert ready.arguments.astring() == b"pass"

    def test_of_no_octets(self) -> None:
        assert spoken(feed(b"a X {0}\r\n {0+}\r\n\r\nb NOOP\r\n")) == [
            "{0}",
            "{0+}",
            "a X",
            "b NOOP",
        ]

    def test_lines_in_a_literal_are_no_commands(self) -> None:
        assert spoken(feed(b"a X {10+}\r\nb NOOP\r\n\r\n\r\nc NOOP\r\n")) == [
            "{10+}",
            "a X",
            "c NOOP",
        ]

    def test_refused_synchronizing(self) -> None:
        peer = connection()
        peer.receive_data(b"a APPEND INBOX {500}\r\n")
        assert peer.next_event() == LiteralAnnounced(b"a", "APPEND", 500, True, message=True)
        peer.refuse_literal()
        peer.receive_data(b"b NOOP\r\n")
        assert spoken(drain(peer)) == ["b NOOP"]

    def test_refused_non_synchronizing(self) -> None:
        peer = connection()
        peer.receive_data(b"a X {8+}\r\nb NOOP\r\n")
        assert peer.next_event() == LiteralAnnounced(b"a", "X", 8, synchronizing=False)
        peer.refuse_literal()
        peer.receive_data(b" more {8+}\r\nc NOOP\r\n and more\r\nd NOOP\r\n")
        assert spoken(drain(peer)) == ["d NOOP"]

    def test_refused_octets_are_not_kept(self) -> None:
        peer = connection()
        peer.receive_data(b"a APPEND x {100000000+}\r\n")
        peer.next_event()
        peer.refuse_literal()
        for _ in range(100):
            peer.receive_data(b"x" * 10_000)
            assert (peer.next_event(), peer.buffered) == (None, 0)

    def test_a_decision_that_nobody_asked_for(self) -> None:
        with pytest.raises(RuntimeError):
            Connection().accept_literal()

    def test_streamed(self) -> None:
        peer = connection()
        peer.receive_data(b"a APPEND x {300000}\r\n")
        peer.next_event()
        sink = Recorder()
        peer.accept_literal(sink)
        for _ in range(300):
            peer.receive_data(b"m" * 1000)
            assert (drain(peer), peer.buffered) == ([], 0)
        assert (len(sink.octets), sink.largest) == (300_000, 1000)
        peer.receive_data(b"\r\n")
        ready = peer.next_event()
        assert isinstance(ready, CommandReady)
        ready.arguments.space()
        ready.arguments.mailbox()
        ready.arguments.space()
        assert ready.arguments.literal_octets() is sink.octets

    def test_a_sink_that_fails(self) -> None:
        peer = connection()
        peer.receive_data(b"a APPEND x {30}\r\n" + b"m" * 20)
        peer.next_event()
        peer.accept_literal(Recorder(fail_after=10))
        with pytest.raises(OSError, match="disk full"):
            peer.next_event()
        peer.receive_data(b"m" * 10 + b"\r\nb NOOP\r\n")
        assert spoken(drain(peer)) == ["b NOOP"]

    def test_the_message_of_an_append(self) -> None:
        """Only the message may be large, and only after login."""
        events = feed(b"a APPEND {5}\r\nINBOX (\\Seen) {200000+}\r\n")
        assert [event.message for event in events if isinstance(event, LiteralAnnounced)] == [
            False,
            True,
        ]
        assert spoken(feed(b"a APPEND {200000}\r\n")) == ["a BAD The literal is too large"]
        early = feed(b"a APPEND x {200000}\r\n", authenticated=False)
        assert spoken(early) == ["a BAD The literal is too large"]

    def test_a_message_over_the_cap_is_announced(self) -> None:
        peer = connection()
        peer.receive_data(b"a APPEND x {4294967295}\r\n")
        event = peer.next_event()
        assert isinstance(event, LiteralAnnounced)
        assert event.size > limits.IMAP_APPEND

    def test_more_messages_than_one_append_has(self) -> None:
        most = limits.IMAP_APPEND_MESSAGES
        wire = b"a APPEND x" + b" {1}\r\nm" * most + b" {1}\r\nb NOOP\r\n"
        refused = f"a BAD One APPEND has at most {most} messages"
        assert spoken(feed(wire)) == ["{1}"] * most + [refused, "b NOOP"]

    @pytest.mark.parametrize(
        "digits",
        [
            b"%d" % (limits.IMAP_LITERAL_BEFORE_LOGIN + 1),
            b"2147483648",
            b"4294967295",
            b"99999999999999999999",
            b"9" * 5001,
        ],
    )
    def test_over_the_cap(self, digits: bytes) -> None:
        waiting = feed(b"a LOGIN {%b}\r\nb NOOP\r\n" % digits, authenticated=False)
        assert spoken(waiting) == ["a BAD The literal is too large", "b NOOP"]
        coming = feed(b"a LOGIN {%b+}\r\nb NOOP\r\n" % digits, authenticated=False)
        assert spoken(coming) == ["a BAD The literal is too large BYE"]

    @pytest.mark.parametrize(
        ("authenticated", "cap"),
        [(False, limits.IMAP_LITERAL_BEFORE_LOGIN), (True, limits.IMAP_LITERAL)],
    )
    def test_at_the_cap(self, authenticated: bool, cap: int) -> None:
        wire = b"a X {%d}\r\n%b\r\n" % (cap, b"x" * cap)
        assert spoken(feed(wire, authenticated=authenticated)) == [f"{{{cap}}}", "a X"]
        over = feed(b"a X {%d}\r\n" % (cap + 1), authenticated=authenticated)
        assert spoken(over) == ["a BAD The literal is too large"]

    @pytest.mark.parametrize(
        "announcement", [b"{-1}", b"{}", b"{+}", b"{1x}", b"{1", b"x}", b"{ 1}"]
    )
    def test_what_announces_nothing(self, announcement: bytes) -> None:
        assert spoken(feed(b"a X " + announcement + b"\r\nb NOOP\r\n")) == ["a X", "b NOOP"]

    @pytest.mark.case("I003")
    def test_too_many(self) -> None:
        wire = b"a SEARCH" + b" {1+}\r\nx" * 100_000 + b"\r\nb NOOP\r\n"
        *taken, last = spoken(feed(wire))
        assert len(taken) == limits.IMAP_LITERALS_PER_COMMAND
        assert last == "a BAD Too many literals in one command BYE"

    @pytest.mark.parametrize(
        ("authenticated", "literal", "cap"),
        [
            (False, limits.IMAP_LITERAL_BEFORE_LOGIN, limits.IMAP_COMMAND_BEFORE_LOGIN),
            (True, limits.IMAP_LITERAL, limits.IMAP_COMMAND),
        ],
    )
    def test_a_command_too_long(self, authenticated: bool, literal: int, cap: int) -> None:
        wire = b"a X" + (b" {%d+}\r\n" % literal + b"x" * literal) * 20 + b"\r\n"
        *taken, last = spoken(feed(wire, authenticated=authenticated))
        assert len(taken) == cap // (literal + 10)
        assert last == "a BAD The command is too long BYE"

    def test_behind_a_line_that_is_no_command(self) -> None:
        """RFC 7888 3: the octets are of that line, whatever else is wrong with it."""
        wire = b"* LOGIN {8+}\r\nb NOOP\r\n more {8+}\r\nc NOOP\r\n\r\nd NOOP\r\n"
        assert spoken(feed(wire)) == ["* BAD " + NO_TAG, "d NOOP"]
        wire = b"a LOGIN {2+}\r\nxx \0 {8+}\r\nb NOOP\r\n\r\nc NOOP\r\n"
        answer = "a BAD A line has no NUL and no bare CR"
        assert spoken(feed(wire)) == ["{2+}", answer, "c NOOP"]
        assert spoken(feed(b"* X {500000+}\r\nb NOOP\r\n")) == ["* BAD " + NO_TAG + " BYE"]
        assert spoken(feed(b"* X {8}\r\nb NOOP\r\n")) == ["* BAD " + NO_TAG, "b NOOP"]
