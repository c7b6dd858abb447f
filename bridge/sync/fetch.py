"""Fetching in one session: what headers tell first, then the flow, then what made trouble.

Rules:
- What known items could be is recognised by headers first (`bridge.sync.reconcile`); a server that
  hangs up on TOP is left alone with it for a while.
- A message that fails is tried again later, on its own (`bridge.sync.poison`); the others go on.
- What was in doubt stays in doubt until a whole pass settled it.
- What was learnt about the server is noted whatever happens to the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bridge import limits
from bridge.logs import get_logger
from bridge.model import Account, KnownItem, ListedItem, Poison
from bridge.pop3.client import Pop3Error, Pop3Session
from bridge.spool import ensure_room
from bridge.store.api import Store, WriteTx
from bridge.sync import backlog, migration, poison, short, stubs, trust
from bridge.sync.collect import Collector, Tally, shielded
from bridge.sync.headers import Unspoken
from bridge.sync.identity import Deliveries
from bridge.sync.memory import BROKEN_TOPS, TOP_RESTS_SECONDS, Memories, Memory
from bridge.sync.plan import Alarm, Plan
from bridge.sync.reconcile import BATCH, SUSPECTS, Match, count_resized, reconcile, reused
from bridge.sync.scanning import ScanProcess
from bridge.sync.settle import Line


@dataclass(slots=True)
class Work:
    """One session's values: the plan, and what it works on."""

    account: Account
    session: Pop3Session
    listing: Sequence[ListedItem]
    tally: Tally
    memory: Memory
    plan: Plan
    items: Sequence[KnownItem]  # all that is known; empty where nothing is to be fetched
    known: Deliveries
    poisons: Mapping[Line, Poison]
    doubted: frozenset[int]  # items whose lines are fetched again
    shorts: Mapping[Line, bytes] = field(default_factory=dict)
    quiet: str = ""  # the name of the listing, where it asks for nothing
    probe: ListedItem | None = None  # looked at although nothing speaks against it
    moved: set[int] = field(default_factory=set)  # numbers of lines with the UIDL of another one
    failures: list[poison.Failure] = field(default_factory=list)


class Fetcher:
    """Fetches what a plan asks for into the store; one for all accounts, as the poller is."""

    def __init__(
        self, store: Store, wall: Callable[[], float], spool_dir: Path, memories: Memories
    ) -> None:
        self._store = store
        self._wall = wall
        self._spool_dir = spool_dir
        self._memories = memories
        self._scanning = False  # a process helps with one maildrop at a time

    async def fetch(self, work: Work) -> None:
        tally, account = work.tally, work.account
        lines = await self._reconcile(work)
        queue = poison.queue(lines, work.poisons, int(self._wall()))
        tally.failed += len(queue.paused)
        flow, start = backlog.order(queue.flow, work.listing, work.items, work.memory)
        if start and work.memory.backlog is None:
            first = await self._store.write(lambda tx: backlog.begin(tx, account))
            self._memories.learn(account, backlog=first)
            await self._memories.remember(account)
        tally.doing = "fetching"
        tally.todo = len(flow) + len(queue.alone)
        tally.todo_octets = sum(line.size or 0 for line in (*flow, *queue.alone))
        before = self._memories[account.id]
        if flow or queue.alone:
            ensure_room(self._spool_dir)
        collector = Collector(
            self._store, self._wall, account, work.session, work.known, tally,
            before.pairs, work.poisons, work.shorts,
            {line.size for line in work.listing if line.size is not None},
            partial(ensure_room, self._spool_dir),
        )  # fmt: skip
        whole = False
        try:
            async with self._helper(len(flow)) as collector.helper:
                try:
                    until = asyncio.get_running_loop().time() + limits.POP3_FETCH_SECONDS
                    flow = await self._migrated(work, collector, flow, until)
                    await self._flow(work, collector, flow, until)
                    await self._alone(work, collector, () if tally.left else queue.alone)
                    whole = True
                except Pop3Error as exc:
                    await self._note_failures(work, collector, alive=not exc.fatal)
                    raise
                await self._note_failures(work, collector)
        finally:
            doubts = collector.doubted_items, collector.doubted_bytes
            if not whole:  # then what was in doubt before still is
                doubts[0].update(before.items)
                doubts[1].update(before.pairs)
            self._memories.learn(account, items=frozenset(doubts[0]), pairs=frozenset(doubts[1]))
            self._note_trust(work, collector)
            self._note_short(work, collector)
        if tally.refusal is not None and not tally.new and not tally.relinked:
            raise tally.refusal
        if self._memories[account.id].backlog is not None and not (tally.unsettled or tally.left):
            await self._end_backlog(work)

    @asynccontextmanager
    async def _helper(self, messages: int) -> AsyncIterator[ScanProcess | None]:
        """Where so many come, a process that scans them; for one maildrop at a time."""
        if messages < limits.SCAN_APART or self._scanning:
            yield None
            return
        self._scanning = True
        try:
            helper = await ScanProcess.start()
            try:
                yield helper
            finally:
                if helper is not None:
                    await shielded(helper.close())
        finally:
            self._scanning = False

    async def _migrated(
        self, work: Work, collector: Collector, lines: Sequence[ListedItem], until: float
    ) -> Sequence[ListedItem]:
        """Links lines by their sizes where nothing but the UIDLs is new, and bodies prove it;
        returns what is left to be fetched."""
        if work.plan.alarm is not Alarm.RESET:
            return lines
        paired = migration.by_size(lines, work.listing, work.items)
        if not paired:
            return lines
        fetched, linked = migration.sample(lines, paired)
        await self._flow(work, collector, fetched, until)
        right = all(
            work.known.is_settled(line, paired[line.number].digest)
            for line in fetched
            if line.number in paired
        )
        if not right or work.tally.left or work.tally.failed:
            return linked
        for start in range(0, len(linked), BATCH):
            matches = [(line, paired[line.number]) for line in linked[start : start + BATCH]]
            await shielded(self._relink(work, matches))
        work.tally.todo -= len(linked)
        return ()

    async def _note_failures(self, work: Work, collector: Collector, *, alive: bool = True) -> None:
        failures = [*collector.failures, *work.failures]
        if failures:
            session = work.session if alive and not self._tops_rest(work) else None
            now = int(self._wall())
            await stubs.note(self._store, work.account, session, work.poisons, failures, now)

    async def _flow(
        self, work: Work, collector: Collector, lines: Sequence[ListedItem], until: float
    ) -> None:
        """The lines that make no trouble, as far as the time goes: an endless first sync is many
        sessions, so that a drop costs little. A line at which sessions break again and again is
        asked for alone from then on."""
        try:
            await collector.run(lines, until)
        except Pop3Error as exc:
            if exc.fatal and collector.asked:
                line = next(iter(collector.asked.values()))
                memory = self._memories[work.account.id]
                breaks = memory.breaks + 1 if memory.broke_at == poison.name(line) else 1
                if breaks >= poison.BREAKS:
                    work.failures.append(poison.Failure(line, str(exc), breaks=True))
                self._memories.learn(work.account, broke_at=poison.name(line), breaks=breaks)
            raise
        if self._memories[work.account.id].breaks:
            self._memories.learn(work.account, broke_at=None, breaks=0)

    async def _alone(self, work: Work, collector: Collector, lines: Sequence[ListedItem]) -> None:
        """One by one, after everything else. One that breaks the session ends it, and no more."""
        for line in lines:
            before = work.poisons.get(poison.name(line))
            subject = ""
            if before is not None and before.stub is None and not self._tops_rest(work):
                try:
                    subject = await stubs.subject(work.session, line)
                except Pop3Error:
                    self._note_broken_top(work, brought=False)
                    raise
            try:
                await collector.run([line])
            except Pop3Error as exc:
                if not exc.fatal:
                    raise
                if line.number in collector.asked or not collector.failures:
                    work.tally.failed += 1
                    work.failures.append(poison.Failure(line, str(exc), subject=subject))
                work.tally.unsettled += 1
                return
            if collector.failures and collector.failures[-1].line is line and subject:
                collector.failures[-1] = replace(collector.failures[-1], subject=subject)

    async def _reconcile(self, work: Work) -> Sequence[ListedItem]:
        """What is left to be fetched when headers have told what they can, and taking turns where
        nothing tells which lines are known."""
        lines = work.plan.fetch if self._tops_rest(work) else await self._by_headers(work)
        if work.items and any(line.uidl is None for line in lines):
            speaking = work.known.speaking()
            silent = [item for item in work.items if item.id not in speaking]
            turn = self._memories[work.account.id].turn
            chosen, turn = trust.take_turns(lines, silent, turn)
            work.tally.stored += len(lines) - len(chosen)
            self._memories.learn(work.account, turn=turn)
            return chosen
        return lines

    async def _by_headers(self, work: Work) -> Sequence[ListedItem]:
        """The TOP pass."""
        todo, tally = work.plan, work.tally
        lines = todo.fetch
        if work.items and lines:
            unspoken = Unspoken(work.listing, work.items, todo.speaking, work.doubted)
            tally.doing = "comparing headers"

            async def matched(matches: Sequence[Match]) -> None:
                await shielded(self._relink(work, matches))

            before = tally.relinked
            try:
                lines = await reconcile(work.session, lines, unspoken, matched)
            except Pop3Error:
                self._note_broken_top(work, brought=tally.relinked > before)
                raise
        if suspects := todo.suspects:
            turn = self._memories[work.account.id].turn
            start = turn % len(suspects)
            suspects = (*suspects[start:], *suspects[:start])[:SUSPECTS]
            self._memories.learn(work.account, turn=turn + len(suspects))
        if work.probe is not None and work.probe not in suspects:
            suspects = (*suspects, work.probe)
        if suspects:
            try:
                other = await reused(work.session, suspects, lambda n: todo.paired[n].headers)
            except Pop3Error:
                self._note_broken_top(work, brought=False)
                raise
            work.moved.update(line.number for line in other)
            lines = sorted((*lines, *other), key=lambda line: line.number)
        return lines

    def _tops_rest(self, work: Work) -> bool:
        return self._wall() < self._memories[work.account.id].top_rests_until

    def _note_broken_top(self, work: Work, *, brought: bool) -> None:
        """A server that hangs up on TOP costs whole messages for a while, never a message."""
        memory = self._memories[work.account.id]
        breaks = 0 if brought else memory.top_breaks + 1
        self._memories.learn(work.account, top_breaks=breaks)
        if breaks < BROKEN_TOPS:
            return
        until = int(self._wall()) + TOP_RESTS_SECONDS
        self._memories.learn(work.account, top_breaks=BROKEN_TOPS - 1, top_rests_until=until)
        day = datetime.fromtimestamp(until, UTC).date().isoformat()
        work.tally.notice = (
            "This server breaks the connection when it is asked for headers alone (TOP), so "
            f"messages are fetched whole to be recognised. It is asked again on {day}."
        )
        log = get_logger(account=work.account.address)
        log.warning("TOP breaks the session, so it rests", until=day)

    async def _relink(self, work: Work, matches: Sequence[Match]) -> None:
        now = int(self._wall())
        account = work.account

        def write(tx: WriteTx) -> Sequence[int]:
            ids = []
            for line, item in matches:
                if item.uidl == line.uidl:
                    tx.relink_item(item.id, line, now)
                    ids.append(item.id)
                else:
                    ids.append(
                        tx.settle_item(
                            account.id, line, item.digest, item.fingerprint, now,
                            headers=item.headers,
                        )
                    )  # fmt: skip
            return ids

        ids = await self._store.write(write)
        resized = 0
        for (line, item), number in zip(matches, ids, strict=True):
            work.known.settle(line, number, item.digest, item.fingerprint)
            work.tally.stored += 1
            work.tally.relinked += number != item.id
            work.tally.relinked_unseen += number != item.id
            if number != item.id:
                work.moved.add(line.number)
            resized += number == item.id and line.size != item.size
        if resized:
            self._memories.learn(account, resized=self._memories[account.id].resized + resized)

    def _note_short(self, work: Work, collector: Collector) -> None:
        memory = self._memories[work.account.id]
        if memory.sizes_inflate:
            return
        if short.is_habit(len(collector.short), len(collector.came)):
            self._memories.learn(work.account, short=(), inflated=short.HABIT)
            return
        left, stayed = short.after(memory.short, collector.came, collector.short)
        self._memories.learn(work.account, short=tuple(left), inflated=memory.inflated + stayed)
        if collector.short:
            work.tally.notice = work.tally.notice or short.notice(len(collector.short))

    def _note_trust(self, work: Work, collector: Collector) -> None:
        """Lines whose UIDL was that of another message; and those that were fetched because of
        their size alone, and are what they were."""
        found = trust.reused(work.listing, work.items, work.moved | collector.others)
        probed = work.probe.number if work.probe is not None else None
        if trust.lost(found, len(work.listing), probed):
            get_logger(account=work.account.address).warning(
                "UIDLs go to other messages, so they are not believed", lines=len(found)
            )
            self._memories.learn(work.account, uidls_lie=True)
        if not collector.unchanged:
            return
        resized = count_resized(work.plan, work.items, collector.unchanged)
        if resized:
            memory = self._memories[work.account.id]
            self._memories.learn(work.account, resized=memory.resized + resized)

    async def _end_backlog(self, work: Work) -> None:
        memory = replace(self._memories[work.account.id], backlog=None)

        def write(tx: WriteTx) -> None:
            backlog.end(tx, work.account, work.listing, self._memories[work.account.id])
            tx.remember(work.account.id, memory.dump())

        await shielded(self._store.write(write))
        self._memories.put(work.account, memory)
