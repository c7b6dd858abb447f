"""Random histories of a maildrop against the rules of identity.

Whatever a provider does with its UIDLs, numbers and headers, after every complete poll each
delivery that it ever showed us is stored exactly once, and what was expunged stays away.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.mime.parser import scan
from bridge.model import KnownItem, ListedItem
from bridge.spool import Spool
from bridge.sync.headers import Unspoken, header_fingerprint
from bridge.sync.identity import Deliveries
from bridge.sync.plan import VERIFY_ITEMS, Plan, plan
from bridge.sync.settle import Fetched, settle
from tests.sync.fakes import ACCOUNT, FakeTx


@dataclass(frozen=True)
class Mail:
    """What lies in the maildrop. `delivery` is the truth that no provider tells."""

    delivery: int
    octets: bytes
    uidl: bytes | None


def fetched(item: ListedItem, octets: bytes) -> Fetched:
    spool = Spool(Path("/nowhere"))  # small messages never touch it
    spool.write(octets)
    return Fetched(item, spool, spool.finish(), spool.sha256, scan(octets))


@dataclass
class Provider:
    """A maildrop and a store that polls it, without sockets."""

    mails: list[Mail] = field(default_factory=list)
    tx: FakeTx = field(default_factory=FakeTx)
    shown: dict[bytes, int] = field(default_factory=dict)  # digest as first stored -> delivery
    offered: set[int] = field(default_factory=set)  # deliveries in a listing polled to its end
    expunged: set[int] = field(default_factory=set)
    doubted: frozenset[int] = frozenset()
    seen: frozenset[tuple[bytes | None, bytes]] = frozenset()
    now: int = 1_800_000_000
    fetches: int = 0
    top: bool = False  # whether the server knows TOP

    def by_headers(
        self, listing: list[ListedItem], todo: Plan, items: list[KnownItem], known: Deliveries
    ) -> list[ListedItem]:
        """The TOP pass, as `bridge.sync.reconcile` and the poller do it."""
        unspoken = Unspoken(listing, items, todo.speaking, self.doubted)
        left = []
        for line in todo.fetch:
            item = None
            if self.top and unspoken.may_be(line):
                header = self.mails[line.number - 1].octets.partition(b"\r\n\r\n")[0]
                item = unspoken.take(line, header_fingerprint(header + b"\r\n\r\n"))
            if item is None:
                left.append(line)
                continue
            number = item.id
            if item.uidl == line.uidl:
                self.tx.relink_item(number, line, self.now)
            else:
                number = self.tx.settle_item(
                    ACCOUNT.id, line, item.digest, item.fingerprint, self.now, headers=item.headers
                )
            known.settle(line, number, item.digest, item.fingerprint)
        return left

    def poll(
        self, *, cut: int | None = None, batch: int = 3, wrong: dict[int, int] | None = None
    ) -> int:
        """One poll, broken off after `cut` messages. Returns how many were fetched. `wrong`: RETR
        of a number gives the body of another one."""
        answers = wrong or {}
        self.now += 900
        listing = [
            ListedItem(number, mail.uidl, len(mail.octets))
            for number, mail in enumerate(self.mails, 1)
        ]
        items = list(self.tx.maildrop(ACCOUNT.id))
        todo = plan(listing, items, self.now, self.doubted)
        known = Deliveries(items, todo.speaking)
        if todo.mark:
            self.tx.mark_listing(ACCOUNT.id, todo.listed, self.now)
        lines = self.by_headers(listing, todo, items, known)
        lines = lines if cut is None else lines[:cut]
        doubted: frozenset[int] = frozenset()
        seen: frozenset[tuple[bytes | None, bytes]] = frozenset()
        for start in range(0, len(lines), batch):
            mails = [
                fetched(line, self.mails[answers.get(line.number, line.number) - 1].octets)
                for line in lines[start : start + batch]
            ]
            for each in mails:
                number = each.item.number
                delivery = self.mails[answers.get(number, number) - 1].delivery
                self.shown.setdefault(each.digest, delivery)
            settled = settle(self.tx.hand(), ACCOUNT, mails, known, self.seen, self.now)
            known.absorb(settled.known)
            doubted |= settled.doubted_items
            seen |= settled.doubted_bytes
        if cut is None:
            self.doubted, self.seen = doubted, seen
            asked = {line.number for line in lines}
            self.offered |= {
                mail.delivery
                for number, mail in enumerate(self.mails, 1)
                if number not in answers or number not in asked
            }
        else:
            self.doubted |= doubted
            self.seen |= seen
        self.fetches += len(lines)
        return len(lines)

    def check(self) -> None:
        stored = [self.shown[digest] for digest in self.tx.entries]
        assert len(stored) == len(set(stored)), "a delivery is shown twice"
        assert not set(stored) & self.expunged, "an expunged message came back"
        assert self.offered <= set(stored) | self.expunged, "a message is lost"


def message(delivery: int, body: int, *, size: int = 0) -> bytes:
    """Deliveries of one `body` share their fingerprint and came by different hops. The size is
    even and tells deliveries apart, but for one that is asked for."""
    octets = (
        b"Received: from relay-%d.example by mx.example; Mon, 2 Nov 2026 10:00:00 +0000\r\n"
        b"X-Padding: %s\r\n"
        b"Message-ID: <%d@example.org>\r\nDate: Mon, 2 Nov 2026 09:00:00 +0000\r\n"
        b"From: a@example.org\r\n\r\nbody %d"
    )
    bare = len(octets % (delivery, b"", body, body))
    return octets % (delivery, b"x" * ((size or 400 + 2 * delivery) - bare), body, body)


def moved(octets: bytes, delivery: int) -> bytes:
    """As a provider rewrites it when it moves house: a hop and a header more, an odd size."""
    if b"X-Moved" in octets:
        return octets
    return b"Received: from old by new; %05d\r\nX-Moved: yes.\r\n" % delivery + octets


class Maildrop(RuleBasedStateMachine):
    """Sizes differ from delivery to delivery, so that LIST can show that a UIDL was reused; where
    it cannot, the UIDL was away for a poll."""

    @initialize(count=st.integers(0, 30), top=st.booleans())
    def begin(self, count: int, top: bool) -> None:
        self.provider = Provider(top=top)
        self.uidls = 0
        self.deliveries = 0
        for _ in range(count):
            self.arrive()
        self.provider.poll()

    def room(self) -> bool:
        return len(self.provider.mails) < VERIFY_ITEMS

    def twins(self) -> bool:
        mails = self.provider.mails
        return len({mail.delivery for mail in mails}) < len(mails)

    def uidl(self) -> bytes:
        self.uidls += 1
        return b"u%d" % self.uidls

    def mail(self, uidl: bytes | None, *, body: int = 0, size: int = 0) -> Mail:
        self.deliveries += 1
        number = self.deliveries
        return Mail(number, message(number, body or number, size=size), uidl)

    @precondition(room)
    @rule()
    def arrive(self) -> None:
        self.provider.mails.append(self.mail(self.uidl()))

    @precondition(room)
    @rule()
    def arrive_without_uidl(self) -> None:
        self.provider.mails.append(self.mail(None))

    @precondition(lambda self: self.provider.mails and self.room())
    @rule(data=st.data())
    def arrive_by_another_route(self, data: st.DataObject) -> None:
        """A list copy beside the direct copy: same Message-ID, date, author and body."""
        twin = data.draw(st.sampled_from(self.provider.mails))
        body = int(twin.octets.rpartition(b" ")[2])
        self.provider.mails.append(self.mail(self.uidl(), body=body))

    @precondition(lambda self: self.provider.mails and self.room())
    @rule(data=st.data(), shared=st.booleans())
    def repeat(self, data: st.DataObject, shared: bool) -> None:
        """The very same bytes again, under the same UIDL or another one."""
        mail = data.draw(st.sampled_from(self.provider.mails))
        if b"X-Moved" not in mail.octets:
            again = replace(mail, uidl=mail.uidl if shared else self.uidl())
            self.provider.mails.append(again)

    @precondition(lambda self: self.provider.mails and self.room())
    @rule(data=st.data())
    def share_a_uidl(self, data: st.DataObject) -> None:
        mail = data.draw(st.sampled_from(self.provider.mails))
        self.provider.mails.append(self.mail(mail.uidl))

    @precondition(lambda self: self.provider.mails)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.provider.mails) - 1))
        del self.provider.mails[index]

    @precondition(lambda self: self.provider.mails)
    @rule(data=st.data())
    def reuse_a_uidl(self, data: st.DataObject) -> None:
        """Deleted, polled, and its UIDL is given to another message of the same size."""
        index = data.draw(st.integers(0, len(self.provider.mails) - 1))
        gone = self.provider.mails.pop(index)
        shared = any(mail.uidl == gone.uidl for mail in self.provider.mails)
        self.provider.poll()
        if gone.uidl is None or shared or len(self.provider.mails) == 0:
            return
        if b"X-Moved" not in gone.octets:
            self.provider.mails.append(self.mail(gone.uidl, size=len(gone.octets)))

    @rule()
    def reset_uidls(self) -> None:
        self.provider.mails = [
            replace(mail, uidl=self.uidl()) if mail.uidl is not None else mail
            for mail in self.provider.mails
        ]

    @rule()
    def uidls_are_positions(self) -> None:
        """Numbers shift under every deletion, and so do these UIDLs."""
        self.provider.mails = [
            replace(mail, uidl=b"%d" % number) for number, mail in enumerate(self.provider.mails, 1)
        ]

    @precondition(lambda self: not self.twins())
    @rule()
    def migrate(self) -> None:
        """New UIDLs, and every message gets a hop and a header of the new house."""
        self.provider.poll()
        self.provider.mails = [
            replace(mail, uidl=self.uidl(), octets=moved(mail.octets, mail.delivery))
            for mail in self.provider.mails
        ]

    @rule(chance=st.randoms(use_true_random=False))
    def shuffle(self, chance: random.Random) -> None:
        chance.shuffle(self.provider.mails)

    @rule()
    def outage(self) -> None:
        mails, self.provider.mails = self.provider.mails, []
        self.provider.poll()
        self.provider.mails = mails

    @precondition(lambda self: self.provider.tx.entries)
    @rule(data=st.data())
    def expunge(self, data: st.DataObject) -> None:
        digest = data.draw(st.sampled_from(self.provider.tx.entries))
        self.provider.tx.expunge(digest)
        self.provider.expunged.add(self.provider.shown[digest])

    @rule(cut=st.integers(0, 10), batch=st.integers(1, 5))
    def cut_poll(self, cut: int, batch: int) -> None:
        self.provider.poll(cut=cut, batch=batch)

    def told_apart(self) -> bool:
        """No message is there twice or was rewritten: one fault at a time."""
        mails = self.provider.mails
        rewritten = any(b"X-Moved" in mail.octets for mail in mails)
        return len(mails) > 1 and not (self.twins() or rewritten)

    @precondition(told_apart)
    @rule(data=st.data(), times=st.integers(1, 2))
    def wrong_answers(self, data: st.DataObject, times: int) -> None:
        """RETR of one message gives the body of another, once or twice."""
        numbers = st.integers(1, len(self.provider.mails))
        asked, given = data.draw(numbers), data.draw(numbers)
        for _ in range(times):
            self.provider.poll(wrong={asked: given})

    @rule(batch=st.integers(1, 5))
    def poll(self, batch: int) -> None:
        self.provider.poll(batch=batch)
        self.provider.check()

    @invariant()
    def nothing_is_doubled(self) -> None:
        provider = self.provider
        stored = [provider.shown[digest] for digest in provider.tx.entries]
        assert len(stored) == len(set(stored))
        assert not set(stored) & provider.expunged

    def teardown(self) -> None:
        """Polls come to rest: after three, only lines without UIDL are fetched."""
        if not hasattr(self, "provider"):
            return
        for _ in range(3):
            self.provider.poll()
        self.provider.check()
        blank = sum(1 for mail in self.provider.mails if mail.uidl is None)
        fetched = self.provider.poll()
        assert fetched <= blank if self.provider.top else fetched == blank


TestMaildrop = Maildrop.TestCase
TestMaildrop.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_wrong_answer_under_a_shared_uidl_loses_nothing() -> None:
    """What the histories found once: RETR of a new message gave the body of the one whose UIDL it
    shares, and the new one was taken for its twin."""
    drop = Maildrop()
    drop.provider, drop.uidls, drop.deliveries = Provider(), 0, 0
    drop.arrive()
    drop.arrive()
    drop.provider.poll()
    drop.provider.mails.append(drop.mail(drop.provider.mails[0].uidl))
    drop.provider.poll(wrong={3: 1})
    for _ in range(3):
        drop.provider.poll()
    drop.provider.check()
    assert len(drop.provider.tx.entries) == 3
