"""One poll of one account: connect, list, plan, fetch, store, delete, say what happened.

Rules:
- Nothing is sent to the provider but what reads; DELE only where the account's policy asks for it
  (`bridge.sync.deletes`), last of all.
- A batch of messages is one transaction: bytes, structure, item and entry become durable
  together (`bridge.sync.collect`, `bridge.sync.settle`). Fetching (`bridge.sync.fetch`) goes on
  while a batch commits.
- QUIT only if every message that the server gave in this session is settled; else the connection
  is dropped, so that no provider counts an unstored message as fetched.
- What is committed stays, whatever happens later.
- Every failure ends in a report with its class and an advice. Only cancellation passes through:
  what has arrived is committed first, then the connection is dropped without QUIT.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bridge.logs import get_logger
from bridge.model import (
    Account,
    AccountId,
    AccountState,
    Endpoint,
    KnownItem,
    ListedItem,
    MaildropFacts,
    PollReport,
    Progress,
    Secret,
    ServerDelete,
)
from bridge.pop3 import quirks
from bridge.pop3.client import Pop3Error, Pop3Session
from bridge.spool import Spool
from bridge.store.api import ReadTx, Store, StoreError, WriteTx
from bridge.sync import deletes, quiet, short, trust
from bridge.sync.alerts import Alerts
from bridge.sync.collect import Tally
from bridge.sync.explain import NoPassword, explain, next_state, reset
from bridge.sync.fetch import Fetcher, Work
from bridge.sync.identity import Deliveries
from bridge.sync.memory import BROKEN_WINDOWS, Memories
from bridge.sync.pace import taught
from bridge.sync.plan import DAY, Alarm, in_full, plan
from bridge.sync.retention import FOREVER, Policy
from bridge.sync.settle import forgettable

MANY = 100  # messages, all of them new: a provider that lists so many at a time may have more
_PROVED = 256  # messages that came, and commands may be sent ahead
_ODDITIES = 100  # sorts of them that are told for an account
TELL_SECONDS = 30.0  # between two lines of the log about one poll
_NOTICE_DAYS = 7  # that the state of an account tells of a thing that is over

PasswordProvider = Callable[[], Awaitable[Secret]]


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
        self._memories = Memories(store)
        self._fetcher = Fetcher(store, wall, spool_dir, self._memories)
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
                try:
                    before = await self._state(account)
                except StoreError:  # a disk that cannot be read: then nothing is known
                    before = AccountState(account.address)
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
        memory = await self._memories.recall(account)
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
                self._memories.learn(account, broken_windows=memory.broken_windows + 1)
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
                self._memories.learn(account, unnoted=True)
                await self._memories.remember(account)
            if known_for.note and not memory.note_told and not tally.notice:
                tally.notice = f"{known_for.name}: {known_for.note}"
                self._memories.learn(account, note_told=True)
            try:
                await self._fetcher.fetch(work)
            finally:
                if work.plan.alarm is Alarm.RESET and tally.relinked and not tally.notice:
                    tally.notice = reset(tally.relinked, tally.relinked_unseen, self._wall())
            clean = not tally.unsettled
            if clean and not work.plan.alarm and not session.degraded:
                tally.doing = "deleting at the provider"
                policy = self.policies.get(account.id, FOREVER)
                if policy.deletes or work.memory.tracks_devices:
                    self._memories.learn(
                        account, tracks_devices=policy.after_device_delete is not None
                    )
                    clean = False  # the rest ends the session by itself
                    await self._delete(work, policy)
                    self._memories.learn(account, unnoted=False)
        except Pop3Error as exc:
            # Where many came through the window, it was not the window.
            if exc.in_window and tally.done < _PROVED:
                self._memories.learn(
                    account, broken_windows=self._memories[account.id].broken_windows + 1
                )
            raise
        finally:
            known = session.learnt
            self._memories.learn(
                account, learnt_of=server, announced=known.pipelining, ahead=known.ahead or ""
            )
            if clean:
                # What QUIT answers changes nothing here: all is committed, nothing was deleted.
                with contextlib.suppress(Pop3Error):
                    if await session.quit():
                        self._memories.learn(account, unnoted=False)
            else:
                await session.abort()
        if memory.broken_windows and tally.done:
            # Where windows broke again and again, one more chance, and the next break ends it.
            self._memories.learn(
                account, broken_windows=0 if memory.pipelining else BROKEN_WINDOWS - 1
            )
        if session.gave_up_pipelining:
            self._memories.learn(account, broken_windows=BROKEN_WINDOWS)

    async def _plan(
        self,
        account: Account,
        session: Pop3Session,
        listing: Sequence[ListedItem],
        tally: Tally,
    ) -> Work:
        memory = self._memories[account.id]
        now = int(self._wall())

        policy = self.policies.get(account.id, FOREVER)
        wants_all = policy.deletes or memory.tracks_devices or session.degraded

        def look(tx: ReadTx) -> tuple[Work, Sequence[int]]:
            damaged = _to_mend(listing, tx.damaged_items(account.id))
            called = "" if wants_all or damaged else quiet.name(listing)
            if called and called == memory.quiet and now < memory.quiet_until:
                known = Deliveries((), ())
                return Work(
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
            doubted = memory.items | again | damaged
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
            work = Work(
                account, session, listing, tally, memory, todo, wanted, known, poisons, doubted
            )
            work.shorts = {(i.uidl, i.size): i.digest for i in items if i.id in again}
            work.probe = probe
            if not (again or probe or damaged or memory.items or memory.backlog or memory.alarm):
                work.quiet = called if quiet.is_settled(todo) else ""
            return work, forgettable(tx, todo.forget, now)

        work, forget = await self._store.read(look)
        todo = work.plan
        tally.stored = len(listing) if todo is quiet.NOTHING else len(todo.speaking)
        if todo is not quiet.NOTHING:
            until = now + quiet.LASTS if work.quiet else 0
            self._memories.learn(account, quiet=work.quiet, quiet_until=until)
        self._tell(work, now)
        if work.probe is not None or not memory.probed_at:
            self._memories.learn(account, probed_at=now)

        def note(tx: WriteTx) -> None:
            if todo.mark:
                tx.mark_listing(account.id, todo.listed, now)
            if forget:
                tx.forget_items(forget)

        if todo.mark or forget:
            await self._store.write(note)
        return work

    def _tell(self, work: Work, now: int) -> None:
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
            self._memories.learn(work.account, **changes)

    def _oddities(self, account: Account, session: Pop3Session) -> None:
        """What the server gets wrong and we can bear, in the log once for each sort."""
        told = self._told.setdefault(account.id, set())
        for notice in session.notices:
            sort = re.sub(r"\d+", "N", notice)
            if sort not in told and len(told) < _ODDITIES:
                told.add(sort)
                get_logger(account=account.address).warning("the server is odd", notice=notice)

    # --- the end of a session -----------------------------------------------------------

    async def _delete(self, work: Work, policy: Policy) -> None:
        work.tally.deleted = await deletes.run(
            self._store, work.session, work.account, policy, work.listing, work.plan,
            int(self._wall()), sizes_inflate=self._memories[work.account.id].sizes_inflate,
        )  # fmt: skip

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
            memory = await self._memories.recall(account)
            if tally.notice:
                memory = replace(memory, notice_until=now + _NOTICE_DAYS * DAY)
                self._memories.put(account, memory)
            before = await self._state(account)
            if report.error and before.last_success is None and memory.failing_since is None:
                memory = replace(memory, failing_since=now)
                self._memories.put(account, memory)
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


def _to_mend(listing: Sequence[ListedItem], damaged: Sequence[tuple[int, bytes]]) -> frozenset[int]:
    """Those of the damaged items that the provider still lists."""
    if not damaged:
        return frozenset()
    listed = {line.uidl for line in listing}
    return frozenset(number for number, uidl in damaged if uidl in listed)
