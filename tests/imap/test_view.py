"""Sequence numbers: three devices, one mailbox, and whatever they do to each other.

The devices know nothing but the untagged responses that they were sent. Sessions, views, the
open mailbox and the commands are the real ones; only the store is a list. What others do happens
between commands and, in the middle of one, before any of its transactions.

Over 500 lines because it is one machine of devices, and what it found.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar, cast

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bridge.auth.passwords import Passwords
from bridge.bus import Bus
from bridge.imap import changelog
from bridge.imap.mailboxes import OpenMailboxes
from bridge.imap.protocol.connection import CommandReady
from bridge.imap.seams import Services, Throttle
from bridge.imap.session import Session
from bridge.imap.table import TABLE
from bridge.model import Flag, Login
from tests.support.memory_store import BOX, LOGIN, MemoryStore, MemoryTx

T = TypeVar("T")
NAMES = {
    "\\Answered": Flag.ANSWERED,
    "\\Flagged": Flag.FLAGGED,
    "\\Deleted": Flag.DELETED,
    "\\Seen": Flag.SEEN,
    "\\Draft": Flag.DRAFT,
}
FETCH = re.compile(rb"\* (\d+) FETCH \((.*)\)")


class Ear:
    """A `Wire` that keeps what it is given."""

    secure = private = True
    compressed = False
    peer = "127.0.0.1"

    def __init__(self) -> None:
        self.heard = b""

    def write(self, *pieces: bytes) -> None:
        self.heard += b"".join(pieces)

    def write_last(self, octets: bytes) -> None:
        self.heard += octets

    def start_compression(self) -> None: ...
    async def drain(self) -> None: ...
    async def start_tls(self) -> None: ...
    def bindings(self) -> Mapping[str, bytes]:
        return {}

    def resume(self) -> None: ...

    def signed_in(self) -> None: ...


class Device:
    """A client: `uids` and `flags` by sequence number, None where it was not told. The third speaks
    IMAP4rev2."""

    def __init__(self, number: int, services: Services, loop: asyncio.AbstractEventLoop) -> None:
        self.number = number
        self.loop = loop
        self.ear = Ear()
        self.session = Session(self.ear, services, TABLE)
        self.session.login = Login(LOGIN, "alice")
        self.session.connection.authenticated = True
        self.rev2 = number == 2
        if self.rev2:
            self.session.enable_rev2()
        self.uids: list[int | None] = []
        self.flags: list[set[str] | None] = []
        self.recent: int | None = None  # RECENT as told, None once an EXPUNGE made it unknown
        self.shown_recent = 0  # messages shown with \Recent since the command began
        self.first_unseen: int | None = None
        self.found: list[int] = []
        self.read_only = False

    def forget(self) -> None:
        self.uids, self.flags, self.first_unseen = [], [], None

    def do(self, command: str, *, may_expunge: bool, lost: bool = False) -> bytes:
        """Runs the command, applies what comes back, returns the tagged answer. `lost` allows a
        NO, for messages that another device expunged."""
        self.session.connection.receive_data(b"t " + command.encode() + b"\r\n")
        event = self.session.connection.next_event()
        assert isinstance(event, CommandReady)
        self.ear.heard = b""
        self.shown_recent = 0

        async def handle() -> None:
            await self.session._handle(event)
            await self.session.flush()

        self.loop.run_until_complete(handle())
        *untagged, answer, end = self.ear.heard.split(b"\r\n")
        assert end == b""
        assert answer.startswith((b"t OK", b"t NO") if lost else b"t OK"), answer
        for response in untagged:
            self.apply(response, may_expunge=may_expunge, asked=command != "NOOP")
        return answer

    def idle_news(self) -> None:
        """What an idling session is told (the loop of IDLE itself waits for a socket)."""
        self.ear.heard = b""

        async def sync() -> None:
            await self.session.sync(may_expunge=True)
            await self.session.flush()

        self.loop.run_until_complete(sync())
        for response in self.ear.heard.split(b"\r\n")[:-1]:
            self.apply(response, may_expunge=True, asked=False)

    def apply(self, response: bytes, *, may_expunge: bool, asked: bool) -> None:
        """`asked`: a FETCH may be one that the client asked for."""
        words = response.split()
        if response.endswith(b" EXPUNGE"):
            assert may_expunge, response
            at = int(words[1]) - 1
            assert 0 <= at < len(self.uids), response
            del self.uids[at], self.flags[at]
            self.recent = None
        elif response.endswith(b" EXISTS"):
            count = int(words[1])
            # RFC 3501 7.3.1: only EXPUNGE makes a mailbox smaller.
            assert count >= len(self.uids), response
            self.flags += [None] * (count - len(self.uids))
            self.uids += [None] * (count - len(self.uids))
        elif response.startswith(b"* SEARCH"):
            assert not self.rev2
            self.found = [int(number) for number in words[2:]]
        elif response.startswith(b'* ESEARCH (TAG "t")'):
            assert self.rev2
            self.found = [
                uid
                for part in re.findall(rb"[\d:]+", response.partition(b" ALL ")[2])
                for uid in range(int(part.split(b":")[0]), int(part.split(b":")[-1]) + 1)
            ]
        elif fetch := FETCH.fullmatch(response):
            at = int(fetch[1]) - 1
            assert 0 <= at < len(self.uids), response
            uid = re.search(rb"UID (\d+)", fetch[2])
            # RFC 9051, Appendix E 21
            assert uid is not None or asked or not self.rev2, response
            if uid is not None:
                assert self.uids[at] in (None, int(uid[1])), response
                self.uids[at] = int(uid[1])
            flags = re.search(rb"FLAGS \((.*?)\)", fetch[2])
            assert flags is not None, response
            shown = set(flags[1].decode().split())
            assert not (self.rev2 and "\\Recent" in shown)
            self.shown_recent += "\\Recent" in shown
            self.flags[at] = shown - {"\\Recent"}
        elif response.startswith(b"* LIST "):
            assert self.rev2
        elif response.endswith(b" RECENT"):
            assert not self.rev2
            self.recent = int(words[1])
        elif unseen := re.match(rb"\* OK \[UNSEEN (\d+)\]", response):
            assert not self.rev2
            self.first_unseen = int(unseen[1])
        else:
            assert re.match(rb"\* (FLAGS|OK)", response), response


class Devices(RuleBasedStateMachine):
    """After every full sync a device that only listened knows the mailbox as it is; before it,
    every number still means the message that it meant."""

    @initialize(
        tombstones=st.sampled_from([0, 2, 1000]),
        log=st.sampled_from([1, 3, 10_000]),
        messages=st.integers(0, 6),
    )
    def start(self, tombstones: int, log: int, messages: int) -> None:
        # Short memories, so that the ways that need long ones are gone too.
        self.log, changelog.LENGTH = changelog.LENGTH, log
        self.loop = asyncio.new_event_loop()
        bus = Bus()
        self.store = MemoryStore(bus, tombstones)
        self.services = Services(
            store=self.store.as_store(),
            bus=bus,
            passwords=cast(Passwords, None),
            mailboxes=OpenMailboxes(self.store.as_store(), bus),
            throttle=cast(Throttle, None),
            new_sink=cast(Any, None),
            logins={},
            starttls=False,
        )
        self.recent_elsewhere: set[int] = set()  # \Recent in sessions that are over
        for _ in range(messages):
            self.store.change(lambda tx: tx.append())
        self.devices = [Device(number, self.services, self.loop) for number in range(3)]
        for device in self.devices:
            self.select(device, read_only=False)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            try:
                for device in self.devices:
                    self.look(device)
            finally:
                self.loop.close()
                changelog.LENGTH = self.log

    # --- what others do -----------------------------------------------------------------

    @rule(
        flags=st.integers(0, 31),
        keyword=st.sampled_from(["", "$Work", "$Home"]),
        times=st.sampled_from([1, 1, 3]),
    )
    def mail_arrives(self, flags: int, keyword: str, times: int) -> None:
        for _ in range(times):
            self.store.change(lambda tx: tx.append(flags & ~4, [keyword] if keyword else []))

    @rule(seed=st.integers(0, 1000), op=st.sampled_from(["add", "remove", "replace"]))
    def flags_change(self, seed: int, op: Any) -> None:
        uids = self._some(seed)
        keywords = ["$Work"] if seed % 3 == 0 else []
        self.store.change(lambda tx: tx.store_flags(BOX, uids, op, seed % 32, keywords))

    @rule(seed=st.integers(0, 1000))
    def messages_vanish(self, seed: int) -> None:
        uids = self._some(seed)
        self.store.change(lambda tx: tx.expunge(BOX, uids, only_deleted=False))

    def another_stores(self, seed: int) -> None:
        uids = self._some(seed)
        self.store.change(lambda tx: tx.store_flags(BOX, uids, "replace", seed % 32))

    def _some(self, seed: int) -> list[tuple[int, int]]:
        """Some of the UIDs that are there, different ones for each seed."""
        return [
            (entry.uid, entry.uid)
            for at, entry in enumerate(self.store.tx.entries)
            if (seed >> (at % 10)) & 1
        ]

    @rule(
        planned=st.lists(
            st.tuples(st.sampled_from(["arrive", "flags", "vanish", "hear"]), st.integers(0, 1000)),
            min_size=1,
            max_size=4,
        )
    )
    def in_the_middle(self, planned: list[tuple[str, int]]) -> None:
        """The next commands find that something happens before each of their transactions."""

        def what(kind: str, seed: int) -> None:
            if kind == "arrive":
                self.store.change(lambda tx: tx.append(seed % 4))
            elif kind == "flags":
                self.another_stores(seed)
            elif kind == "vanish":
                uids = self._some(seed)[:2]
                self.store.change(lambda tx: tx.expunge(BOX, uids, only_deleted=False))
            else:
                self._another_session_reads()

        for kind, seed in planned:
            self.store.between.append(partial(what, kind, seed))

    def _another_session_reads(self) -> None:
        """Another session's command brings the shared mailbox up to date."""
        view = self.devices[0].session.view
        if view is None or view.mailbox._lock.locked():
            return
        waiting, self.store.between = self.store.between, []
        _finish(view.mailbox.refresh())
        self.store.between = waiting

    # --- what devices do ----------------------------------------------------------------

    def select(self, device: Device, *, read_only: bool) -> None:
        device.forget()
        device.read_only = read_only
        quiet = not self.store.between
        device.do("EXAMINE INBOX" if read_only else "SELECT INBOX", may_expunge=False)
        assert device.first_unseen is None or device.first_unseen <= len(device.uids)
        if quiet and not device.rev2:
            seen = [bool(entry.flags & Flag.SEEN) for entry in self.store.tx.entries]
            assert device.first_unseen == (None if all(seen) else seen.index(False) + 1)
        if device.uids:
            device.do("FETCH 1:* (UID FLAGS)", may_expunge=False, lost=True)

    device_numbers = st.integers(0, 2)

    @rule(number=device_numbers, read_only=st.sampled_from([False, False, True]))
    def select_again(self, number: int, read_only: bool) -> None:
        device = self.devices[number]
        self._forget_recent(device)
        self.select(device, read_only=read_only)

    @rule(number=device_numbers)
    def reconnect(self, number: int) -> None:
        device = self.devices[number]
        self._forget_recent(device)
        device.session.leave_mailbox()
        self.devices[number] = Device(number, self.services, self.loop)
        self.select(self.devices[number], read_only=False)

    def _forget_recent(self, device: Device) -> None:
        """The session is over: what was \\Recent in it is so nowhere any more."""
        view = device.session.view
        if view is not None and not device.read_only:
            self.recent_elsewhere |= {u for u in range(self.store.tx.uidnext) if view.is_recent(u)}

    @rule(number=device_numbers, idle=st.booleans())
    def hear(self, number: int, idle: bool) -> None:
        device = self.devices[number]
        if idle:
            device.idle_news()
        else:
            device.do("NOOP", may_expunge=True)

    @rule(number=device_numbers, uid=st.booleans())
    def fetch(self, number: int, uid: bool) -> None:
        device = self.devices[number]
        if not device.uids:
            return
        if uid:
            device.do("UID FETCH 1:* FLAGS", may_expunge=True)
        else:
            device.do("FETCH 1:* (UID FLAGS)", may_expunge=False, lost=True)

    @rule(
        number=device_numbers,
        first=st.integers(0, 5),
        last=st.integers(0, 5),
        op=st.sampled_from(["+", "-", ""]),
        names=st.sets(st.sampled_from([*NAMES, "$Work", "$New"]), min_size=1, max_size=3),
        silent=st.booleans(),
        uid=st.booleans(),
        earlier=st.none() | st.integers(0, 1000),
        meanwhile=st.none() | st.integers(0, 1000),
    )
    def store_flags(
        self,
        number: int,
        first: int,
        last: int,
        op: str,
        names: set[str],
        silent: bool,
        uid: bool,
        earlier: int | None,
        meanwhile: int | None,
    ) -> None:
        """`earlier`, `meanwhile`: another device changes flags before it, and in the middle."""
        device = self.devices[number]
        first, last = min(first, last), max(first, last)
        if device.read_only or last >= len(device.uids):
            return
        chosen: list[int | None] = [first + 1, last + 1]
        if uid:
            chosen = [device.uids[first], device.uids[last]]
            if None in chosen:
                return
        numbers = f"{chosen[0]}:{chosen[1]}"
        if earlier is not None:
            self.another_stores(earlier)
        if meanwhile is not None:
            self.store.between = [partial(self.another_stores, meanwhile)]
        if silent:
            # RFC 3501 6.4.6: the client takes for granted that it is done as it said.
            for flags in device.flags[first : last + 1]:
                if flags is not None and op == "+":
                    flags |= names
                elif flags is not None and op == "-":
                    flags -= names
                elif flags is not None:
                    flags.clear()
                    flags |= names
        device.do(
            f"{'UID ' if uid else ''}STORE {numbers} {op}FLAGS{'.SILENT' if silent else ''} "
            f"({' '.join(sorted(names))})",
            may_expunge=uid,
            lost=True,
        )

    @rule(number=device_numbers)
    def expunge(self, number: int) -> None:
        if not self.devices[number].read_only:
            self.devices[number].do("EXPUNGE", may_expunge=True)

    @rule(number=device_numbers, which=st.integers(0, 5), move=st.booleans())
    def copy(self, number: int, which: int, move: bool) -> None:
        device = self.devices[number]
        if which >= len(device.uids) or len(device.uids) > 20 or device.read_only:
            return
        name = "MOVE" if move else "COPY"
        device.do(f"{name} {which + 1}:* INBOX", may_expunge=True, lost=True)

    @rule(number=device_numbers)
    @precondition(lambda self: not self.store.between)
    def search(self, number: int) -> None:
        device = self.devices[number]
        device.do("SEARCH DELETED", may_expunge=False)
        by_number = device.found
        for at in by_number:
            assert 1 <= at <= len(device.uids)
        device.do("NOOP", may_expunge=True)
        device.do("UID SEARCH DELETED", may_expunge=True)
        assert device.found == [e.uid for e in self.store.tx.entries if e.flags & Flag.DELETED]

    @rule(number=device_numbers)
    def look(self, number: int | Device) -> None:
        """A full sync: what the device pieced together must be the mailbox."""
        device = number if isinstance(number, Device) else self.devices[number]
        self.store.between.clear()
        device.do("NOOP", may_expunge=True)
        tx = self.store.tx
        assert len(device.uids) == len(tx.entries)
        for uid, flags, entry in zip(device.uids, device.flags, tx.entries, strict=True):
            assert uid in (None, entry.uid)
            assert flags is None or flags == _names(entry.flags) | entry.keywords
        if not device.uids:
            return
        device.do("FETCH 1:* (UID FLAGS)", may_expunge=False)
        assert device.uids == [entry.uid for entry in tx.entries]
        assert device.recent in (None, device.shown_recent)
        self._check_recent(tx)

    def _check_recent(self, tx: MemoryTx) -> None:
        """\\Recent is given once, to the first read-write session that was told (RFC 3501
        2.3.2)."""
        writers = [device for device in self.devices if not device.read_only]
        views = [device.session.selected for device in writers]
        for entry in tx.entries:
            owners = sum(view.is_recent(entry.uid) for view in views)
            owners += entry.uid in self.recent_elsewhere
            told = any(view.sequence(entry.uid) is not None for view in views)
            assert owners == 1 or (owners == 0 and not told) or entry.uid >= tx.first_recent


def _names(flags: int) -> set[str]:
    return {name for name, flag in NAMES.items() if flags & flag}


def _finish(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return cast(T, done.value)
    raise AssertionError("it waits")


TestDevices = Devices.TestCase
TestDevices.settings = settings(
    max_examples=300,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


COMMANDS: dict[str, Callable[[Devices], object]] = {
    "noop": lambda m: m.hear(0, False),
    "idle": lambda m: m.hear(0, True),
    "fetch": lambda m: m.fetch(0, False),
    "uid fetch": lambda m: m.fetch(0, True),
    "store": lambda m: m.store_flags(0, 0, 2, "+", {"\\Seen"}, False, False, None, None),
    "store silent": lambda m: m.store_flags(0, 0, 2, "+", {"\\Seen"}, True, False, None, None),
    "replace silent": lambda m: m.store_flags(0, 0, 2, "", {"$New"}, True, True, None, None),
    "expunge": lambda m: m.expunge(0),
    "copy": lambda m: m.copy(0, 1, False),
    "move": lambda m: m.copy(0, 1, True),
    "select": lambda m: m.select_again(0, False),
    "examine": lambda m: m.select_again(0, True),
}
CHANGES: dict[str, Callable[[Devices], object]] = {
    "arrive": lambda m: m.store.change(lambda tx: tx.append(1)),
    "flags": lambda m: m.another_stores(0b110_0011),
    "vanish": lambda m: m.store.change(lambda tx: tx.expunge(BOX, [(2, 3)], only_deleted=False)),
    "hear": lambda m: m._another_session_reads(),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_interleaving_of_two_changes_with_a_command(command: str) -> None:
    """Before any transaction of any command, two changes in any order lose nothing."""
    plans = itertools.product(CHANGES, range(-1, 3), CHANGES, range(-1, 3))
    for first, first_at, second, second_at in plans:
        machine = Devices()
        machine.start(tombstones=1000, log=10_000, messages=4)
        planned: list[list[str]] = [[], [], []]
        for change, at in ((first, first_at), (second, second_at)):
            if at < 0:
                CHANGES[change](machine)
            else:
                planned[at].append(change)
        for changes in planned:
            machine.store.between.append(partial(_all, machine, changes))
        COMMANDS[command](machine)
        machine.teardown()


def _all(machine: Devices, changes: list[str]) -> None:
    for change in changes:
        CHANGES[change](machine)
