"""Bytes in, events out: a `Connection` with an owner that takes every literal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

from bridge.imap.protocol.connection import (
    CommandReady,
    Connection,
    Event,
    LiteralAnnounced,
    Malformed,
)
from bridge.imap.protocol.scanner import ParseError, Scanner

V = TypeVar("V")


def connection(*, authenticated: bool = True) -> Connection:
    made = Connection()
    made.authenticated = authenticated
    return made


def drain(peer: Connection) -> list[Event]:
    """Every event that is ready; literals are accepted into memory."""
    events: list[Event] = []
    while (event := peer.next_event()) is not None:
        events.append(event)
        if isinstance(event, LiteralAnnounced):
            peer.accept_literal()
    return events


def feed(*segments: bytes, authenticated: bool = True) -> list[Event]:
    peer = connection(authenticated=authenticated)
    events: list[Event] = []
    for segment in segments:
        peer.receive_data(segment)
        events += drain(peer)
    return events


def spoken(events: Iterable[Event]) -> list[str]:
    """Events as one reads them in a transcript: "a1 NOOP", "a2 BAD ...", "{5}"."""
    words = []
    for event in events:
        match event:
            case CommandReady():
                words.append(f"{event.tag.decode()} {event.name}")
            case LiteralAnnounced():
                words.append(f"{{{event.size}{'' if event.synchronizing else '+'}}}")
            case Malformed():
                tag = "*" if event.tag is None else event.tag.decode()
                words.append(f"{tag} BAD {event.text}{' BYE' if event.fatal else ''}")
            case _:
                words.append(f"line {event.octets.decode()}")
    return words


def scanner(wire: bytes) -> Scanner:
    """The arguments of the one command in `wire`, which needs no CRLF at its end."""
    events = feed(b"a " + wire + b"\r\n")
    ready = events[-1]
    assert isinstance(ready, CommandReady), spoken(events)
    return ready.arguments


def parse(grammar: Callable[[Scanner], V], wire: bytes) -> V:
    """What the grammar makes of a whole command: b"STATUS INBOX (UNSEEN)"."""
    return grammar(scanner(wire))


def refused(grammar: Callable[[Scanner], object], wire: bytes) -> str:
    """The text of the BAD."""
    with pytest.raises(ParseError) as caught:
        grammar(scanner(wire))
    assert caught.value.text.isascii()
    assert "\n" not in caught.value.text
    return caught.value.text
