"""One poll of one account: connect, list, plan, reconcile, fetch, store, delete, say what happened.

Rules:
- Nothing is sent to the provider but what reads; DELE only where the account's policy asks for it
  (`bridge.sync.deletes`), last of all.
- A batch of messages is one transaction: bytes, structure, item and entry become durable
  together (`bridge.sync.collect`, `bridge.sync.settle`). Fetching goes on while a batch commits.
- What known items could be is recognised by headers first (`bridge.sync.reconcile`).
- QUIT only if every message that the server gave in this session is settled; else the connection
  is dropped, so that no provider counts an unstored message as fetched.
- A message that fails is tried again later, on its own (`bridge.sync.poison`); the others go on.
  What is committed stays, whatever happens later.
- Every failure ends in a report with its class and an advice. Only cancellation passes through:
  what has arrived is committed first, then the connection is dropped without QUIT.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bridge import limits
from bridge.logs import get_logger
from bridge.model import (
    Account,
    AccountId,
    AccountState,
    Endpoint,
    KnownItem,
    ListedItem,
    MaildropFacts,
    Poison,
    PollReport,
    Progress,
    Secret,
    ServerDelete,
)
from bridge.pop3 import quirks
from bridge.pop3.client import Pop3Error, Pop3Session
from bridge.spool import Spool, ensure_room
from bridge.store.api import ReadTx, Store, WriteTx
from bridge.sync import backlog, deletes, migration, poison, quiet, short, stubs, trust
from bridge.sync.alerts import Alerts
from bridge.sync.collect import Collector, Tally, shielded
from bridge.sync.explain import NoPassword, explain, next_state, reset
from bridge.sync.headers import Unspoken
from bridge.sync.identity import Deliveries
from bridge.sync.memory import BROKEN_TOPS, BROKEN_WINDOWS, TOP_RESTS_SECONDS, Memory
from bridge.sync.pace import taught
from bridge.sync.plan import DAY, Alarm, Plan, in_full, plan
from bridge.sync.reconcile import BATCH, SUSPECTS, Match, count_resized, reconcile, reused
from bridge.sync.retention import FOREVER, Policy
from bridge.sync.settle import Line, forgettable

MANY = 100  # messages, all of them new: a provider that lists so many at a time may have more
_ODDITIES = 100  # sorts of them that are told for an account
TELL_SECONDS = 30.0  # between two lines of the log about one poll
_NOTICE_DAYS = 7  # that the state of an account tells of a thing that is over

PasswordProvider = Callable[[], Awaitable[Secret]]


@dataclass(slots=True)
class _Work:
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


class Poller:
    """Polls accounts into a store; many polls may run at once, one for each account.

    `wall` tells the time in seconds since the epoch; in `spool_dir` a large message waits for the
    store. `policies` says what may be deleted at the provider, by account: nothing by default.
    `on_login` is told the address of an account whose login at the provider worked, `on_listing`
    what its maildrop holds.
    """

    def __init__(self, store: Store, *, wall: Callable[[], float], spool_dir: Path) -> None:
        self.policies: Mapping[AccountId, Policy] = {}
        self.on_login: Callable[[str], None] = lambda address: None
        self.on_listing: Callable[[str, MaildropFacts], None] = lambda address, facts: None
        self.alerts = Alerts(store, wall=wall, folder=spool_dir)
        self._store = store
        self._wall = wall
        self._spool_dir = spool_dir
        self._memory: dict[AccountId, Memory] = {}
        self._states: dict[str, AccountState] | None = None
        self._told: dict[AccountId, set[str]] = {}
        self._running: dict[AccountId, asyncio.Lock] = {}
        self._tallies: dict[str, tuple[Tally, float]] = {}
        self._telling: dict[str, asyncio.TimerHandle] = {}

    async def poll(
        self, account: Account, endpoint: Endpoint, password: PasswordProvider
    ) -> PollReport:
        """Polls once and records the outcome in the store. Raises nothing but CancelledError."""
        async with self._running.setdefault(account.id, asyncio.Lock()):
            started = asyncio.get_running_loop().time()
            tally = Tally(doing="connecting")
            error = error_class = advice = ""
            log = get_logger(account=account.address)
            self._tallies[account.address] = (tally, started)
            self._tell_later(account)
            try:
                await self._session(account, endpoint, password, tally)
            except Exception as exc:
                before = await self._state(account)
                since = None if before.last_attempt is None else self._wall() - before.last_attempt
                tally.least_interval = max(tally.least_interval, taught(exc, since))
                error, error_class, advice = explain(
                    exc, account.address, endpoint, before, int(self._wall())
                )
                if error_class == "internal":
                    log.exception("poll failed")
            finally:
                self._telling.pop(account.address).cancel()
                del self._tallies[account.address]
            report = PollReport(
                address=account.address,
                listed=tally.listed,
                new=tally.new,
                relinked=tally.relinked,
                deleted=tally.deleted,
                failed=tally.failed,
                octets=tally.octets,
                seconds=asyncio.get_running_loop().time() - started,
                error=error,
                error_class=error_class,
                advice=advice,
                least_interval=tally.least_interval,
                left=tally.left,
                more=not error and tally.listed >= MANY and tally.new == tally.listed,
            )
            await self._record(account, report, tally, bearer=endpoint.bearer)
        if error:
            log.warning("poll failed", error=error, error_class=error_class, new=tally.new)
        elif tally.new or tally.relinked or tally.failed or tally.deleted:
            log.info(
                "poll",
                listed=tally.listed,
                new=tally.new,
                relinked=tally.relinked,
                deleted=tally.deleted,
                failed=tally.failed,
                octets=tally.octets,
                seconds=report.seconds,
            )
        return report

    async def preview(self, account: Account) -> Sequence[ServerDelete]:
        """What a poll would delete at the provider, by the last listing; asks nobody."""
        policy = self.policies.get(account.id, FOREVER)
        now = int(self._wall())
        return await self._store.read(lambda tx: deletes.preview(tx, account, policy, now))

    def _tell_on(self, account: Account) -> None:
        """How far a long poll is, in the log, again and again."""
        found = self.progress(account.address)
        if found is None:
            return
        left = found.seconds_left
        get_logger(account=account.address).info(
            "poll goes on",
            doing=found.doing,
            done=found.done,
            todo=found.todo,
            octets=found.octets,
            todo_octets=found.todo_octets,
            rate=round(found.rate),
            seconds_left=None if left is None else round(left),
        )
        self._tell_later(account)

    def _tell_later(self, account: Account) -> None:
        loop = asyncio.get_running_loop()
        self._telling[account.address] = loop.call_later(TELL_SECONDS, self._tell_on, account)

    def progress(self, address: str) -> Progress | None:
        """How far the poll under way is; None while there is none."""
        found = self._tallies.get(address)
        if found is None:
            return None
        tally, started = found
        return Progress(
            doing=tally.doing,
            done=tally.done,
            todo=tally.todo,
            octets=tally.octets,
            todo_octets=tally.todo_octets,
            seconds=asyncio.get_running_loop().time() - started,
        )

    # --- a session ------------------------------------------------------------------------

    async def _session(
        self, account: Account, endpoint: Endpoint, password: PasswordProvider, tally: Tally
    ) -> None:
        try:
            secret = await password()
        except Exception as exc:
            raise NoPassword(str(exc)) from exc
        memory = await self._recall(account)
        server = f"{endpoint.host}:{endpoint.port}"
        try:
            session = await Pop3Session.open(
                endpoint,
                secret,
                new_sink=lambda: Spool(self._spool_dir),
                pipelining=memory.pipelining,
                learnt=memory.learnt(server),
            )
        except Pop3Error as exc:
            if exc.in_window:
                self._learn(account, broken_windows=memory.broken_windows + 1)
            raise
        self.on_login(account.address)
        clean = False
        try:
            tally.least_interval = session.capabilities.login_delay or 0
            tally.doing = "reading the listing"
            listing = await session.listing()
            tally.listed = len(listing)
            self._oddities(account, session)
            if memory.uidls_lie:
                listing = trust.without_uidls(listing)
            self.on_listing(account.address, _facts(listing))
            known_for = quirks.of(endpoint.host)
            work = await self._plan(account, session, listing, tally)
            pops = known_for.pops_oldest and not endpoint.username.startswith("recent:")
            if pops and work.plan.fetch:
                self._learn(account, unnoted=True)
                await self._remember(account)
            if known_for.note and not memory.note_told and not tally.notice:
                tally.notice = f"{known_for.name}: {known_for.note}"
                self._learn(account, note_told=True)
            try:
                await self._fetch(work)
            finally:
                if work.plan.alarm is Alarm.RESET and tally.relinked and not tally.notice:
                    tally.notice = reset(tally.relinked, tally.relinked_unseen, self._wall())
            clean = not tally.unsettled
            if clean and not work.plan.alarm and not session.degraded:
                tally.doing = "deleting at the provider"
                policy = self.policies.get(account.id, FOREVER)
                if policy.deletes or work.memory.tracks_devices:
                    self._learn(account, tracks_devices=policy.after_device_delete is not None)
                    clean = False  # the rest ends the session by itself
                    await self._delete(work, policy)
                    self._learn(account, unnoted=False)
        except Pop3Error as exc:
            # Where many came through the window, it was not the window.
            if exc.in_window and tally.done < limits.POP3_WINDOW_COMMANDS:
                self._learn(account, broken_windows=self._memory[account.id].broken_windows + 1)
            raise
        finally:
            known = session.learnt
            self._learn(
                account, learnt_of=server, announced=known.pipelining, ahead=known.ahead or ""
            )
            if clean:
                # What QUIT answers changes nothing here: all is committed, nothing was deleted.
                with contextlib.suppress(Pop3Error):
                    if await session.quit():
                        self._learn(account, unnoted=False)
            else:
                await session.abort()
        if memory.broken_windows and tally.done:
            # Where windows broke again and again, one more chance, and the next break ends it.
            self._learn(account, broken_windows=0 if memory.pipelining else BROKEN_WINDOWS - 1)
        if session.gave_up_pipelining:
            self._learn(account, broken_windows=BROKEN_WINDOWS)

    async def _plan(
        self,
        account: Account,
        session: Pop3Session,
        listing: Sequence[ListedItem],
        tally: Tally,
    ) -> _Work:
        memory = self._memory[account.id]
        now = int(self._wall())

        policy = self.policies.get(account.id, FOREVER)
        wants_all = policy.deletes or memory.tracks_devices or session.degraded

        def look(tx: ReadTx) -> tuple[_Work, Sequence[int]]:
            called = "" if wants_all else quiet.name(listing)
            if called and called == memory.quiet and now < memory.quiet_until:
                known = Deliveries((), ())
                return _Work(
                    account,
                    session,
                    listing,
                    tally,
                    memory,
                    quiet.NOTHING,
                    (),
                    known,
                    {},
                    frozenset(),
                ), ()
            items = tx.maildrop(account.id, brief=True)
            again = short.due(memory.short, items)
            doubted = memory.items | again
            if memory.unnoted:
                doubted |= trust.unnoted(listing, items)
            todo = plan(listing, items, now, doubted, sizes_lie=memory.sizes_lie)
            probe = None
            if listing and listing[-1].number in todo.paired and memory.probed_at:
                probe = listing[-1] if now - memory.probed_at >= DAY else None
            # A poll without news needs nothing but the listing's side of what is known.
            wanted: Sequence[KnownItem] = ()
            if todo.fetch or todo.suspects or todo.forget or probe or again:
                items = wanted = tx.maildrop(account.id)
                todo = in_full(todo, items)
            known = Deliveries(wanted, todo.speaking)
            poisons = {(each.uidl, each.size): each for each in tx.poisons(account.id)}
            work = _Work(
                account, session, listing, tally, memory, todo, wanted, known, poisons, doubted
            )
            work.shorts = {(i.uidl, i.size): i.digest for i in items if i.id in again}
            work.probe = probe
            if not (again or probe or memory.items or memory.backlog or memory.alarm):
                work.quiet = called if quiet.is_settled(todo) else ""
            return work, forgettable(tx, todo.forget, now)

        work, forget = await self._store.read(look)
        todo = work.plan
        tally.stored = len(listing) if todo is quiet.NOTHING else len(todo.speaking)
        if todo is not quiet.NOTHING:
            until = now + quiet.LASTS if work.quiet else 0
            self._learn(account, quiet=work.quiet, quiet_until=until)
        self._tell(work, now)
        if work.probe is not None or not memory.probed_at:
            self._learn(account, probed_at=now)

        def note(tx: WriteTx) -> None:
            if todo.mark:
                tx.mark_listing(account.id, todo.listed, now)
            if forget:
                tx.forget_items(forget)

        if todo.mark or forget:
            await self._store.write(note)
        return work

    def _tell(self, work: _Work, now: int) -> None:
        """Alarms and announcements, in the log once each, and in the state of the account."""
        log = get_logger(account=work.account.address)
        alarm, without = work.plan.alarm, sum(1 for line in work.listing if line.uidl is None)
        if alarm is Alarm.RESET and without == len(work.listing):
            alarm = Alarm.NONE  # there is nothing to be known by
        if alarm and alarm.value != work.memory.alarm:
            log.warning("listing looks wrong", reason=alarm.value, listed=len(work.listing))
        if alarm is Alarm.EMPTY:
            work.tally.notice = (
                "The provider suddenly lists no messages at all. Nothing was removed here; it is "
                "looked at again at the next poll."
            )
        elif work.memory.uidls_lie:
            work.tally.notice = (
                "This server gives the ids of its messages to others later: mail is recognised "
                f"by its content, and the headers of {without} messages are read at each poll."
            )
        elif without and without == len(work.listing):
            work.tally.notice = (
                "This server gives no ids to its messages: mail is recognised by its content, and "
                f"the headers of {without} messages are read at each poll."
            )
        changes: dict[str, object] = {}
        if alarm.value != work.memory.alarm:
            changes["alarm"] = alarm.value
        if work.session.capabilities.expire == 0 and not work.memory.expire_told:
            # RFC 2449 6.7: EXPIRE 0 lets the server remove what was retrieved.
            changes["expire_told"] = True
            work.tally.notice = (
                "ATTENTION: this provider announces that it does NOT keep mail that was fetched "
                "(EXPIRE 0). The copy here may be the only one: back up data_dir."
            )
            log.error("the provider does not keep what was fetched", capability="EXPIRE 0")
        if changes:
            self._learn(work.account, **changes)

    def _oddities(self, account: Account, session: Pop3Session) -> None:
        """What the server gets wrong and we can bear, in the log once for each sort."""
        told = self._told.setdefault(account.id, set())
        for notice in session.notices:
            sort = re.sub(r"\d+", "N", notice)
            if sort not in told and len(told) < _ODDITIES:
                told.add(sort)
                get_logger(account=account.address).warning("the server is odd", notice=notice)

    # --- fetching ---------------------------------------------------------------------------

    async def _fetch(self, work: _Work) -> None:
        tally, account = work.tally, work.account
        lines = await self._reconcile(work)
        queue = poison.queue(lines, work.poisons, int(self._wall()))
        tally.failed += len(queue.paused)
        flow, start = backlog.order(queue.flow, work.listing, work.items, work.memory)
        if start and work.memory.backlog is None:
            first = await self._store.write(lambda tx: backlog.begin(tx, account))
            self._learn(account, backlog=first)
            await self._remember(account)
        tally.doing = "fetching"
        tally.todo = len(flow) + len(queue.alone)
        tally.todo_octets = sum(line.size or 0 for line in (*flow, *queue.alone))
        before = self._memory[account.id]
        if flow or queue.alone:
            ensure_room(self._spool_dir)
        collector = Collector(
            self._store, self._wall, account, work.session, work.known, tally,
            before.pairs, work.poisons, work.shorts,
        )  # fmt: skip
        whole = False
        try:
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
            self._learn(account, items=frozenset(doubts[0]), pairs=frozenset(doubts[1]))
            self._note_trust(work, collector)
            self._note_short(work, collector)
        if tally.refusal is not None and not tally.new and not tally.relinked:
            raise tally.refusal
        if self._memory[account.id].backlog is not None and not (tally.unsettled or tally.left):
            await self._end_backlog(work)

    async def _migrated(
        self, work: _Work, collector: Collector, lines: Sequence[ListedItem], until: float
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

    async def _note_failures(
        self, work: _Work, collector: Collector, *, alive: bool = True
    ) -> None:
        failures = [*collector.failures, *work.failures]
        if failures:
            session = work.session if alive and not self._tops_rest(work) else None
            now = int(self._wall())
            await stubs.note(self._store, work.account, session, work.poisons, failures, now)

    async def _flow(
        self, work: _Work, collector: Collector, lines: Sequence[ListedItem], until: float
    ) -> None:
        """The lines that make no trouble, as far as the time goes: an endless first sync is many
        sessions, so that a drop costs little. A line at which sessions break again and again is
        asked for alone from then on."""
        try:
            await collector.run(lines, until)
        except Pop3Error as exc:
            if exc.fatal and collector.asked:
                line = next(iter(collector.asked.values()))
                memory = self._memory[work.account.id]
                breaks = memory.breaks + 1 if memory.broke_at == poison.name(line) else 1
                if breaks >= poison.BREAKS:
                    work.failures.append(poison.Failure(line, str(exc), breaks=True))
                self._learn(work.account, broke_at=poison.name(line), breaks=breaks)
            raise
        if self._memory[work.account.id].breaks:
            self._learn(work.account, broke_at=None, breaks=0)

    async def _alone(self, work: _Work, collector: Collector, lines: Sequence[ListedItem]) -> None:
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

    async def _reconcile(self, work: _Work) -> Sequence[ListedItem]:
        """What is left to be fetched when headers have told what they can, and taking turns where
        nothing tells which lines are known."""
        lines = work.plan.fetch if self._tops_rest(work) else await self._by_headers(work)
        if work.items and any(line.uidl is None for line in lines):
            speaking = work.known.speaking()
            silent = [item for item in work.items if item.id not in speaking]
            turn = self._memory[work.account.id].turn
            chosen, turn = trust.take_turns(lines, silent, turn)
            work.tally.stored += len(lines) - len(chosen)
            self._learn(work.account, turn=turn)
            return chosen
        return lines

    async def _by_headers(self, work: _Work) -> Sequence[ListedItem]:
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
            turn = self._memory[work.account.id].turn
            start = turn % len(suspects)
            suspects = (*suspects[start:], *suspects[:start])[:SUSPECTS]
            self._learn(work.account, turn=turn + len(suspects))
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

    def _tops_rest(self, work: _Work) -> bool:
        return self._wall() < self._memory[work.account.id].top_rests_until

    def _note_broken_top(self, work: _Work, *, brought: bool) -> None:
        """A server that hangs up on TOP costs whole messages for a while, never a message."""
        memory = self._memory[work.account.id]
        breaks = 0 if brought else memory.top_breaks + 1
        self._learn(work.account, top_breaks=breaks)
        if breaks < BROKEN_TOPS:
            return
        until = int(self._wall()) + TOP_RESTS_SECONDS
        self._learn(work.account, top_breaks=BROKEN_TOPS - 1, top_rests_until=until)
        day = datetime.fromtimestamp(until, UTC).date().isoformat()
        work.tally.notice = (
            "This server breaks the connection when it is asked for headers alone (TOP), so "
            f"messages are fetched whole to be recognised. It is asked again on {day}."
        )
        log = get_logger(account=work.account.address)
        log.warning("TOP breaks the session, so it rests", until=day)

    async def _relink(self, work: _Work, matches: Sequence[Match]) -> None:
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
            self._learn(account, resized=self._memory[account.id].resized + resized)

    def _note_short(self, work: _Work, collector: Collector) -> None:
        memory = self._memory[work.account.id]
        if memory.sizes_inflate:
            return
        if short.is_habit(len(collector.short), len(collector.came)):
            self._learn(work.account, short=(), inflated=short.HABIT)
            return
        left, stayed = short.after(memory.short, collector.came, collector.short)
        self._learn(work.account, short=tuple(left), inflated=memory.inflated + stayed)
        if collector.short:
            work.tally.notice = work.tally.notice or short.notice(len(collector.short))

    def _note_trust(self, work: _Work, collector: Collector) -> None:
        """Lines whose UIDL was that of another message; and those that were fetched because of
        their size alone, and are what they were."""
        found = trust.reused(work.listing, work.items, work.moved | collector.others)
        probed = work.probe.number if work.probe is not None else None
        if trust.lost(found, len(work.listing), probed):
            get_logger(account=work.account.address).warning(
                "UIDLs go to other messages, so they are not believed", lines=len(found)
            )
            self._learn(work.account, uidls_lie=True)
        if not collector.unchanged:
            return
        resized = count_resized(work.plan, work.items, collector.unchanged)
        if resized:
            memory = self._memory[work.account.id]
            self._learn(work.account, resized=memory.resized + resized)

    async def _end_backlog(self, work: _Work) -> None:
        memory = replace(self._memory[work.account.id], backlog=None)

        def write(tx: WriteTx) -> None:
            backlog.end(tx, work.account, work.listing, self._memory[work.account.id])
            tx.remember(work.account.id, memory.dump())

        await shielded(self._store.write(write))
        self._memory[work.account.id] = memory

    async def _delete(self, work: _Work, policy: Policy) -> None:
        work.tally.deleted = await deletes.run(
            self._store, work.session, work.account, policy, work.listing, work.plan,
            int(self._wall()), sizes_inflate=self._memory[work.account.id].sizes_inflate,
        )  # fmt: skip

    # --- what is kept -----------------------------------------------------------------------

    async def _recall(self, account: Account) -> Memory:
        if account.id not in self._memory:
            text = await self._store.read(lambda tx: tx.memory(account.id))
            self._memory[account.id] = Memory.load(text)
        return self._memory[account.id]

    def _learn(self, account: Account, **changes: object) -> None:
        self._memory[account.id] = replace(self._memory[account.id], **changes)  # type: ignore[arg-type]  # fields by name

    async def _remember(self, account: Account) -> None:
        text = self._memory[account.id].dump()
        await self._store.write(lambda tx: tx.remember(account.id, text))

    # --- what a person reads ----------------------------------------------------------------

    async def _state(self, account: Account) -> AccountState:
        if self._states is None:
            states = await self._store.read(lambda tx: tx.account_states())
            self._states = {state.address: state for state in states}
        return self._states.get(account.address, AccountState(account.address))

    async def _record(
        self, account: Account, report: PollReport, tally: Tally, *, bearer: bool
    ) -> None:
        try:
            now = int(self._wall())
            memory = await self._recall(account)
            if tally.notice:
                memory = replace(memory, notice_until=now + _NOTICE_DAYS * DAY)
                self._memory[account.id] = memory
            before = await self._state(account)
            if report.error and before.last_success is None and memory.failing_since is None:
                memory = replace(memory, failing_since=now)
                self._memory[account.id] = memory
            if now >= memory.notice_until:
                before = replace(before, notice="")
            state = next_state(before, report, tally.stored, now, tally.notice)
            assert self._states is not None
            self._states[account.address] = state
            text = memory.dump()

            def write(tx: WriteTx) -> None:
                tx.record_poll(account.id, state)
                if tx.memory(account.id) != text:
                    tx.remember(account.id, text)

            await self._store.write(write)
            await self.alerts.look(account, state, since=memory.failing_since, bearer=bearer)
        except Exception as exc:
            # A full disk: the report itself still reaches whoever asked.
            get_logger(account=account.address).error("poll not recorded", error=str(exc))


def _facts(listing: Sequence[ListedItem]) -> MaildropFacts:
    ids = {item.uidl for item in listing if item.uidl is not None}
    return MaildropFacts(
        len(listing), sum(item.size or 0 for item in listing), len(ids) == len(listing)
    )
