"""What holds for every reply that a POP3 server can send."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from bridge import limits
from bridge.pop3.protocol import (
    Body,
    Broken,
    End,
    Event,
    Expect,
    NumberedLines,
    ReplyParser,
    join_listing,
    parse_capabilities,
    timestamp,
)
from bridge.pop3.quirks import is_unknown_command, login_refusal, without_second_ok
from tests.support.pop3_server import stuff

# Octets that matter to the framing come often.
awkward = st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b".", b"..", b"\r\n.", b"\r\n.\r", b"a", b"\0", b"+OK "]
    )
    | st.binary(max_size=4),
    max_size=30,
).map(b"".join)
shapes = st.lists(st.sampled_from(Expect), min_size=1, max_size=5)


def pieces(wire: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted(cut % (len(wire) + 1) for cut in cuts)
    return [wire[start:end] for start, end in zip([0, *places], [*places, len(wire)], strict=True)]


def run(expected: list[Expect], parts: list[bytes]) -> list[Event | str]:
    """The events, with the slices of a body joined and an error told by its words."""
    parser = ReplyParser()
    for shape in expected:
        parser.expect(shape)
    return joined([event for part in parts for event in parser.feed(part)])


def joined(found: Sequence[Event | str]) -> list[Event | str]:
    events: list[Event | str] = []
    for event in found:
        if isinstance(event, Broken):
            events.append(str(event.error))
        elif isinstance(event, Body) and events and isinstance(events[-1], Body):
            events[-1] = Body(events[-1].data + event.data)
        else:
            events.append(event)
    return events


@given(wire=awkward, expected=shapes, cuts=st.lists(st.integers(0, 500), max_size=8))
def test_any_split_of_any_bytes_gives_the_same_events(
    wire: bytes, expected: list[Expect], cuts: list[int]
) -> None:
    for prefix in (b"", b"+OK\r\n", b"+OK x\n", b"-ERR\r\n+OK\r\n"):
        whole = run(expected, [prefix + wire])
        assert run(expected, pieces(prefix + wire, cuts)) == whole


@given(bodies=st.lists(awkward, min_size=1, max_size=4), cuts=st.lists(st.integers(0, 999)))
def test_every_message_comes_through_as_it_was_stuffed(
    bodies: list[bytes], cuts: list[int]
) -> None:
    """A server that stuffs as RFC 1939 3 says loses and adds no octet, but for the line end that
    the last line must have."""
    wire = b"".join(b"+OK\r\n" + stuff(body) for body in bodies)
    events = run([Expect.MULTI] * len(bodies), pieces(wire, cuts))
    taken = [b""]
    for event in events:
        if isinstance(event, Body):
            taken[-1] += event.data
        elif isinstance(event, End):
            taken.append(b"")
    assert not any(isinstance(event, str) for event in events)
    assert taken[:-1] == [
        body if not body or body.endswith(b"\r\n") else body + b"\r\n" for body in bodies
    ]


@given(wire=st.binary(max_size=400), expected=shapes)
def test_no_bytes_raise_and_none_are_held_without_bound(
    wire: bytes, expected: list[Expect]
) -> None:
    parser = ReplyParser()
    for shape in expected:
        parser.expect(shape)
    events = parser.feed(wire)
    given_out = sum(len(event.data) for event in events if isinstance(event, Body))
    assert given_out + len(parser.unread) <= len(wire) + 2
    assert len(parser.unread) <= max(limits.POP3_LINE, len(wire) + 2)


@given(lists=st.lists(st.binary(max_size=40), max_size=20), uidls=st.binary(max_size=300))
def test_any_listing_gives_rising_numbers_sane_sizes_and_bounded_uidls(
    lists: list[bytes], uidls: bytes
) -> None:
    sizes, ids = NumberedLines(), NumberedLines()
    wire = b"\r\n".join(lists).replace(b"-ERR", b"")
    for target, data in ((sizes, wire), (ids, uidls.replace(b"-ERR", b""))):
        if b"-err" not in data.lower():
            target.feed(data)
            target.finish()
    items = list(join_listing(sizes.values, ids.values))
    numbers = [item.number for item in items]
    assert numbers == sorted(set(numbers))
    for item in items:
        assert 0 < item.number < 2**31
        assert item.size is None or 0 < item.size < 2**31
        assert item.uidl is None or 0 < len(item.uidl) <= limits.POP3_UIDL


@given(text=st.binary(max_size=200))
def test_whatever_a_server_says_is_judged_without_raising(text: bytes) -> None:
    stamp = timestamp(text)
    assert stamp is None or stamp in text
    assert parse_capabilities(text.split(b"\n")).known
    assert login_refusal("", text) in ("auth", "busy", "temporary")
    assert is_unknown_command("AUTH", text) is False
    assert text.endswith(without_second_ok(text))


replies = st.one_of(
    st.builds(lambda body: (Expect.MULTI, b"+OK\r\n" + stuff(body)), awkward),
    st.sampled_from(
        [
            (Expect.MULTI, b"-ERR no such message\r\n"),
            (Expect.MULTI, b"+OK\n.\r\n"),
            (Expect.LINE, b"+OK\r\n"),
            (Expect.LINE, b"-ERR [IN-USE] busy\n"),
            (Expect.CHALLENGE, b"+ YQ==\r\n+OK\r\n"),
        ]
    ),
)


@given(
    window=st.lists(replies, min_size=1, max_size=12),
    cuts=st.lists(st.integers(0, 2_000), max_size=20),
    ahead=st.integers(0, 12),
    data=st.data(),
)
def test_a_window_of_replies_gives_the_same_events_however_it_is_cut(
    window: list[tuple[Expect, bytes]], cuts: list[int], ahead: int, data: st.DataObject
) -> None:
    """Pipelined: any mix of replies, each command announced at any time before its reply begins;
    and they are the events of the replies one by one."""
    one_by_one: list[Event | str] = []
    for shape, reply in window:
        one_by_one += run([shape], [reply])
    wire = b"".join(reply for _, reply in window)
    assert run([shape for shape, _ in window], pieces(wire, cuts)) == one_by_one

    parser, told = ReplyParser(), list(window)
    for shape, _ in told[: ahead + 1]:
        parser.expect(shape)
    waiting = told[ahead + 1 :]
    events: list[Event | str] = []
    for part in pieces(wire, cuts):
        announce: bool = data.draw(st.booleans())
        if waiting and announce:
            parser.expect(waiting.pop(0)[0])
        events += parser.feed(part)
    for shape, _ in waiting:
        parser.expect(shape)
        events += parser.feed(b"")
    assert joined(events) == one_by_one
    assert parser.outstanding == 0
    assert parser.unread == b""
