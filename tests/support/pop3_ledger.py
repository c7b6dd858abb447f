"""What the scripted POP3 server serves, and what it writes down about its clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

Stream = Callable[[], Iterable[bytes]]
"""Octets that are made while they are sent: large, or without end."""


@dataclass(frozen=True, slots=True)
class Item:
    """One message of the maildrop; equal items are told apart by identity.

    `uidl` None leaves the message's line out of UIDL listings; `listed` is what LIST says
    instead of the true size; `wire` is the whole reply to RETR instead of a stuffed +OK;
    `error` is the text after -ERR that RETR and TOP give for this message.
    """

    uidl: bytes | None
    octets: bytes
    listed: bytes | None = None
    wire: bytes | None = None
    error: bytes | None = None


@dataclass(slots=True)
class SessionLedger:
    """One connection as the server saw it. `commands` are whole lines, passwords included."""

    commands: list[bytes] = field(default_factory=list)
    in_clear: list[bytes] = field(default_factory=list)  # lines that came before TLS
    sent: int = 0
    tried: bool = False  # to log in
    logged_in: bool = False
    quit: bool = False
    failure_answer: bytes | None = None  # to the challenge that says why a token is refused
    most_outstanding: int = 0  # whole commands that waited at once: above 1 is pipelining

    def verbs(self) -> list[bytes]:
        return [line.split(b" ", 1)[0].upper() for line in self.commands]


@dataclass(slots=True)
class Ledger:
    """What all clients did, over all sessions. Counters are keyed by UIDL.

    `offered` are the octets of every item that a session saw, `attempts` when somebody tried to
    log in (by the server's clock), `removed` the items that DELE and QUIT took away, `popped`
    those that went because they were retrieved.
    """

    sessions: list[SessionLedger] = field(default_factory=list)
    logins: int = 0
    failed_logins: int = 0
    attempts: list[float] = field(default_factory=list)
    offered: dict[bytes, None] = field(default_factory=dict)
    retrieved: Counter[bytes] = field(default_factory=Counter)  # RETRs served to their end
    topped: Counter[bytes] = field(default_factory=Counter)
    deleted: list[bytes] = field(default_factory=list)  # UIDLs removed by a QUIT
    removed: list[Item] = field(default_factory=list)
    popped: list[Item] = field(default_factory=list)
    sent: int = 0
    received: int = 0
    most_sessions: int = 0  # at once

    @property
    def commands(self) -> list[bytes]:
        """Every command line of every session, in order within a session."""
        return [line for session in self.sessions for line in session.commands]

    def count(self, verb: bytes) -> int:
        """How often a command was sent, over all sessions: count(b"DELE") == 0."""
        return sum(session.verbs().count(verb) for session in self.sessions)


def stuff(octets: bytes) -> bytes:
    """A message as RETR sends it after its +OK line (RFC 1939 3), end mark included."""
    body = octets.replace(b"\r\n.", b"\r\n..")
    if body.startswith(b"."):
        body = b"." + body
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    return body + b".\r\n"
