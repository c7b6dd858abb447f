"""Devices that change things as fast as they are answered, until the daemon dies under them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from tests.faults.device import Device, Flags, Lost
from tests.faults.oracle import INBOX, Effect, Oracle, Place

FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Deleted", "\\Draft", "$Forwarded", "later")
MAILBOXES = (INBOX, "Drafts", "Sent", "Trash", "Archive")
MOST = 6  # messages of one command
MAILBOXES_MADE = 8  # by one writer


class Writer:
    """One device. Its mail, and what it was told, is `oracle.holdings[number]`."""

    def __init__(self, number: int, oracle: Oracle, random: Random, told: Callable[[], None]):
        self.number = number
        self._oracle = oracle
        self._random = random
        self._told = told  # a command was answered OK
        self._serial = 0
        self._made = 0
        self._answered = 0  # in this run

    async def run(self, port: int, login: str, acknowledged: int | None = None) -> None:
        """Works until the connection is lost, or so many commands were answered OK. Raises
        Refused."""
        self._answered = 0
        with contextlib.suppress(Lost):
            async with Device.connect(port, login) as device:
                while self._answered != acknowledged:
                    await self._random.choice(self._commands())(device)

    def _commands(self) -> Sequence[Callable[[Device], Awaitable[None]]]:
        commands: list[Callable[[Device], Awaitable[None]]] = [self._append, self._append]
        if self._made < MAILBOXES_MADE:
            commands.append(self._create)
        if self._oracle.holdings[self.number].entries:
            commands += [self._store, self._store, self._store, self._copy, self._move, self._move]
            commands += [self._expunge, self._fetch]
        return commands

    # --- commands -----------------------------------------------------------------------

    async def _append(self, device: Device) -> None:
        self._serial += 1
        octets = _draft(f"{self.number}.{self._serial}", self._random)
        digest = hashlib.sha256(octets).digest()
        self._oracle.owner[digest] = self.number
        mailbox, flags = self._mailbox(), self._flags()
        effect = Effect(added=[(mailbox, digest, flags)])
        line = f"APPEND {mailbox} ({' '.join(flags)}) {{{len(octets)}+}}\r\n".encode() + octets
        await self._do(device, line, effect)

    async def _store(self, device: Device) -> None:
        places = self._places()
        operand = self._flags() | {self._random.choice(FLAGS)}
        sign = self._random.choice(("+", "-", ""))
        entries = self._oracle.holdings[self.number].entries
        changed = {place: _stored(entries[place][1], sign, operand) for place in places}
        await device.select(places[0][0])
        line = f"UID STORE {_uids(places)} {sign}FLAGS.SILENT ({' '.join(operand)})"
        await self._do(device, line.encode(), Effect(changed=changed))

    async def _copy(self, device: Device) -> None:
        await self._transfer(device, "COPY", removes=False)

    async def _move(self, device: Device) -> None:
        await self._transfer(device, "MOVE", removes=True)

    async def _transfer(self, device: Device, command: str, *, removes: bool) -> None:
        places, target = self._places(), self._mailbox()
        if removes and target == places[0][0]:
            return
        entries = self._oracle.holdings[self.number].entries
        effect = Effect(
            removed=frozenset(places) if removes else frozenset(),
            added=[(target, *entries[place]) for place in places],
        )
        await device.select(places[0][0])
        await self._do(device, f"UID {command} {_uids(places)} {target}".encode(), effect)

    async def _expunge(self, device: Device) -> None:
        entries = self._oracle.holdings[self.number].entries
        places = [place for place in self._places() if "\\Deleted" in entries[place][1]]
        if not places:
            return
        await device.select(places[0][0])
        line = f"UID EXPUNGE {_uids(places)}".encode()
        await self._do(device, line, Effect(removed=frozenset(places)))

    async def _fetch(self, device: Device) -> None:
        """What it was told holds while it works, too."""
        places = self._places()
        await device.select(places[0][0])
        found = await device.fetch(_uids(places))
        entries = self._oracle.holdings[self.number].entries
        told = {uid: entries[box, uid] for box, uid in places}
        if found != told:
            self._oracle.faults.append(f"device {self.number}: {places} fetched as {found}")

    async def _create(self, device: Device) -> None:
        self._made += 1
        name = f"made-{self.number}-{self._made}"
        await self._do(device, f"CREATE {name}".encode(), Effect(created=name))
        self._oracle.mailboxes.add(name)

    async def _do(self, device: Device, line: bytes, effect: Effect) -> None:
        holding = self._oracle.holdings[self.number]
        holding.pending = effect
        text = await device.command(line)
        holding.acknowledged(_given(text) if effect.added else [])
        self._answered += 1
        self._told()

    # --- choices ------------------------------------------------------------------------

    def _places(self) -> list[Place]:
        """Some messages of one mailbox, by UID."""
        places = sorted(self._oracle.holdings[self.number].entries)
        mailbox, _ = self._random.choice(places)
        there = [place for place in places if place[0] == mailbox]
        return sorted(self._random.sample(there, self._random.randint(1, min(MOST, len(there)))))

    def _mailbox(self) -> str:
        """One that surely exists."""
        return self._random.choice(sorted(self._oracle.mailboxes.union(MAILBOXES)))

    def _flags(self) -> Flags:
        return frozenset(self._random.sample(FLAGS, self._random.randint(0, 3)))


def _stored(before: Flags, sign: str, operand: Flags) -> Flags:
    """RFC 3501 6.4.6."""
    if sign == "+":
        return before | operand
    return before - operand if sign == "-" else operand


def _uids(places: Sequence[Place]) -> str:
    return ",".join(str(uid) for _, uid in places)


def _given(text: bytes) -> list[int]:
    """UIDs of `[APPENDUID 7 12] ...` or `[COPYUID 7 1:2 12:13] ...` (RFC 4315 3)."""
    listed = text.partition(b"]")[0].split(b" ")[-1]
    uids: list[int] = []
    for item in listed.split(b","):
        first, _, last = item.partition(b":")
        uids += range(int(first), int(last or first) + 1)
    return uids


def _draft(name: str, random: Random) -> bytes:
    head = f"Subject: draft {name}\r\nMessage-ID: <{name}@devices.example.org>\r\n\r\n"
    return head.encode() + b"I will finish this later.\r\n" * random.randint(1, 80)
