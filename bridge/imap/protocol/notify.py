"""NOTIFY (RFC 5465 8): which events a client wants to hear of, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge import limits
from bridge.imap.protocol import fetch
from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.fetch import Item
from bridge.imap.protocol.scanner import Scanner

# As they are spelt in BADEVENT, by upper-case name. AnnotationChange belongs to RFC 5257, which
# nobody speaks.
EVENTS: Final = {
    name.upper(): name
    for name in (
        "MessageNew",
        "MessageExpunge",
        "FlagChange",
        "MailboxName",
        "SubscriptionChange",
        "MailboxMetadataChange",
        "ServerMetadataChange",
    )
}
_OF_MESSAGES: Final = frozenset({"MESSAGENEW", "MESSAGEEXPUNGE", "FLAGCHANGE"})
_SELECTED: Final = frozenset({"SELECTED", "SELECTED-DELAYED"})
_NAMED: Final = frozenset({"SUBTREE", "MAILBOXES"})
_OTHERS: Final = frozenset({"INBOXES", "PERSONAL", "SUBSCRIBED"}) | _NAMED


class BadEvent(ParseError):
    """An event that nobody here can tell of (RFC 5465 3.1): NO [BADEVENT (...)]."""

    status = b"NO"

    def __init__(self) -> None:
        super().__init__("There is no such event here")
        self.code = b"BADEVENT (%b)" % " ".join(EVENTS.values()).encode("ascii")


class TooMuch(ParseError):
    """More than we are willing to watch (RFC 5465 3.1): NO [NOTIFICATIONOVERFLOW]."""

    status = b"NO"
    code = b"NOTIFICATIONOVERFLOW"


@dataclass(frozen=True, slots=True)
class Group:
    """`filter` is PERSONAL, SUBTREE ...; `names` are those behind SUBTREE and MAILBOXES. `events`
    are of `EVENTS`, empty for NONE; `items` are asked of new messages in the selected mailbox."""

    filter: str
    names: tuple[str, ...]
    events: frozenset[str]
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Notify:
    """`groups` is None for NOTIFY NONE. `status` asks for a STATUS of all that is watched."""

    groups: tuple[Group, ...] | None
    status: bool = False


def parse(scanner: Scanner) -> Notify:
    scanner.space()
    word = scanner.word()
    if word == "NONE":
        scanner.end()
        return Notify(None)
    if word != "SET":
        raise ParseError("Expected SET or NONE")
    scanner.space()
    status = scanner.peek != b"("
    if status:
        if scanner.word() != "STATUS":
            raise ParseError("Expected STATUS or (")
        scanner.space()
    groups = [_group(scanner)]
    while scanner.take(b" "):
        groups.append(_group(scanner))
    scanner.end()
    # RFC 5465 6.1
    if sum(group.filter in _SELECTED for group in groups) > 1:
        raise ParseError("The selected mailbox is named twice")
    if len(groups) + sum(len(group.names) for group in groups) > limits.IMAP_NOTIFY_MAILBOXES:
        raise TooMuch(f"At most {limits.IMAP_NOTIFY_MAILBOXES} mailboxes can be named")
    return Notify(tuple(groups), status)


def _group(scanner: Scanner) -> Group:
    scanner.expect(b"(")
    kind = scanner.word()
    if kind not in _SELECTED | _OTHERS:
        raise ParseError("There is no such mailbox filter")
    scanner.space()
    names: tuple[str, ...] = ()
    if kind in _NAMED:
        names = _names(scanner)
        scanner.space()
    events: dict[str, None] = {}
    items: tuple[Item, ...] = ()
    if scanner.take(b"("):
        while True:
            event = scanner.atom().upper()
            if event not in EVENTS:
                raise BadEvent
            if event == "MESSAGENEW" and scanner.take(b" ("):
                items = fetch.items(scanner)
            events[event] = None
            if not scanner.take(b" "):
                break
        scanner.expect(b")")
    elif scanner.word() != "NONE":
        raise ParseError("Expected ( or NONE")
    scanner.expect(b")")
    _check(kind, frozenset(events), items)
    return Group(kind, names, frozenset(events), items)


def _check(kind: str, events: frozenset[str], items: tuple[Item, ...]) -> None:
    # RFC 5465 5: the one needs the other, and flags need both.
    if events & _OF_MESSAGES and not {"MESSAGENEW", "MESSAGEEXPUNGE"} <= events:
        raise ParseError("MessageNew and MessageExpunge go together, and with FlagChange")
    # RFC 5465 6.1
    if kind in _SELECTED and events - _OF_MESSAGES:
        raise ParseError("Of the selected mailbox only events of messages are told")
    if items and kind not in _SELECTED:
        raise ParseError("Items are told of new messages in the selected mailbox only")


def _names(scanner: Scanner) -> tuple[str, ...]:
    if not scanner.take(b"("):
        return (scanner.mailbox(),)
    names = {scanner.mailbox(): None}
    while scanner.take(b" "):
        names[scanner.mailbox()] = None
    scanner.expect(b")")
    return tuple(names)
