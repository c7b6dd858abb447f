"""One poll of one account: connect, list, plan, fetch, store, say what happened.

Rules:
- Nothing is sent to the provider but what reads: not one DELE.
- A batch of messages is one transaction: bytes, structure, item and entry become durable
  together. Identity is decided inside it, against what the store has then, so that neither a
  crash nor a second poll can double a message. Fetching goes on while a batch commits.
- The first message is committed at once; then a batch waits until it is full, or for
  `limits.BATCH_SECONDS`, or until the last message is in. UIDs rise in listing order.
- QUIT only if every message that the server gave in this session is settled; else the connection
  is dropped, so that no provider counts an unstored message as fetched.
- A message that fails (the server refuses it, the store refuses it) is counted and tried again
  at the next poll; the others go on. What is committed stays, whatever happens later.
- Every failure ends in a report with its class and an advice. Only cancellation passes through:
  the write under way finishes first, then the connection is dropped without QUIT.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bridge import limits
from bridge.logs import get_logger
from bridge.mime.parser import scan
from bridge.model import (
    Account,
    AccountId,
    AccountState,
    Endpoint,
    ListedItem,
    Mailbox,
    NewMessage,
    Octets,
    PollReport,
    Secret,
    Structure,
)
from bridge.pop3.client import Pop3Error, Pop3Session, Retrieved
from bridge.spool import Spool
from bridge.store.api import NoSuchMailbox, ReadTx, Store, StoreError, StoreFull, T, WriteTx
from bridge.sync.identity import Deliveries, Doubtful, New, Ours, Rewritten, same_transport
from bridge.sync.plan import DAY, Plan, plan

_SCAN_ON_LOOP = 64 * 1024  # octets; scanning more takes longer than the event loop may stand still
_HEADER_READ = 64 * 1024  # octets of a stored message that are read for its Received fields
_TURN_SECONDS = 0.004  # of the event loop, before others get theirs
_BROKEN_WINDOWS = 2  # sessions, and commands are no longer sent ahead
_REFUSALS = 3  # messages in a row that the store refuses before the poll ends
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

PasswordProvider = Callable[[], Awaitable[Secret]]
Doubts = frozenset[tuple[bytes | None, bytes]]


class _NoPassword(Exception):
    """The password could not be had; nobody tried to log in."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A message between the provider and the store."""

    item: ListedItem
    spool: Spool
    octets: Octets
    digest: bytes
    structure: Structure


@dataclass(frozen=True, slots=True)
class Settled:
    """What a transaction did with a batch."""

    known: Deliveries
    new: int
    relinked: int
    doubted_items: frozenset[int]
    doubted_bytes: Doubts

    @property
    def doubts(self) -> int:
        return len(self.doubted_bytes)


@dataclass(slots=True)
class _Tally:
    """What a poll did so far."""

    listed: int = 0
    stored: int = 0  # listed lines that are settled
    new: int = 0
    relinked: int = 0
    failed: int = 0
    octets: int = 0
    unsettled: int = 0  # messages that the server gave and that are not in the store
    refused: int = 0  # messages in a row that the store did not take
    refusal: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Memory:
    """What the next poll of an account should know, and the store need not: after a restart it
    costs a fetch or two."""

    items: frozenset[int] = frozenset()  # to be fetched again
    bytes: Doubts = frozenset()  # (UIDL, digest) that were in doubt
    broken_windows: int = 0  # sessions that broke with several commands outstanding


class Poller:
    """Polls accounts into a store; many polls may run at once, one for each account.

    `wall` tells the time in seconds since the epoch; in `spool_dir` a large message waits for the
    store.
    """

    def __init__(self, store: Store, *, wall: Callable[[], float], spool_dir: Path) -> None:
        self._store = store
        self._wall = wall
        self._spool_dir = spool_dir
        self._memory: dict[AccountId, _Memory] = {}
        self._states: dict[str, AccountState] | None = None
        self._running: dict[AccountId, asyncio.Lock] = {}

    async def poll(
        self, account: Account, endpoint: Endpoint, password: PasswordProvider
    ) -> PollReport:
        """Polls once and records the outcome in the store. Raises nothing but CancelledError."""
        async with self._running.setdefault(account.id, asyncio.Lock()):
            started = asyncio.get_running_loop().time()
            tally = _Tally()
            error = error_class = advice = ""
            log = get_logger(account=account.address)
            try:
                await self._session(account, endpoint, password, tally)
            except Exception as exc:
                error, error_class, advice = explain(exc, account.address, endpoint)
                if error_class == "internal":
                    log.exception("poll failed")
            report = PollReport(
                address=account.address,
                listed=tally.listed,
                new=tally.new,
                relinked=tally.relinked,
                failed=tally.failed,
                octets=tally.octets,
                seconds=asyncio.get_running_loop().time() - started,
                error=error,
                error_class=error_class,
                advice=advice,
            )
            await self._record(account, report, tally)
        if error:
            log.warning("poll failed", error=error, error_class=error_class, new=tally.new)
        elif tally.new or tally.relinked or tally.failed:
            log.info(
                "poll",
                listed=tally.listed,
                new=tally.new,
                relinked=tally.relinked,
                failed=tally.failed,
                octets=tally.octets,
                seconds=report.seconds,
            )
        return report

    async def _session(
        self, account: Account, endpoint: Endpoint, password: PasswordProvider, tally: _Tally
    ) -> None:
        try:
            secret = await password()
        except Exception as exc:
            raise _NoPassword(str(exc)) from exc
        memory = self._memory.setdefault(account.id, _Memory())
        session = await Pop3Session.open(
            endpoint,
            secret,
            new_sink=lambda: Spool(self._spool_dir),
            pipelining=memory.broken_windows < _BROKEN_WINDOWS,
        )
        clean = False
        try:
            listing = await session.listing()
            tally.listed = len(listing)
            todo, known = await self._plan(account, listing)
            tally.stored = len(todo.speaking)
            if todo.fetch:
                await self._collect(account, session, todo.fetch, known, tally)
            clean = not tally.unsettled
        except Pop3Error as exc:
            if exc.in_window:
                memory = self._memory[account.id]
                self._memory[account.id] = replace(memory, broken_windows=memory.broken_windows + 1)
            raise
        finally:
            if clean:
                # What QUIT answers changes nothing here: all is committed, nothing was deleted.
                with contextlib.suppress(Pop3Error):
                    await session.quit()
            else:
                await session.abort()

    async def _plan(
        self, account: Account, listing: Sequence[ListedItem]
    ) -> tuple[Plan, Deliveries]:
        memory = self._memory[account.id]
        now = int(self._wall())

        def look(tx: ReadTx) -> tuple[Plan, Deliveries]:
            items = tx.maildrop(account.id)
            todo = plan(listing, items, now, memory.items)
            # A poll without news needs no index over what is known.
            return todo, Deliveries(items if todo.fetch else (), todo.speaking)

        todo, known = await self._store.read(look)
        if todo.alarm:
            get_logger(account=account.address).warning(
                "listing looks wrong", reason=todo.alarm.value, listed=len(listing)
            )

        def note(tx: WriteTx) -> None:
            if todo.mark:
                tx.mark_listing(account.id, todo.listed, now)
            if todo.forget:
                tx.forget_items(todo.forget)

        if todo.mark or todo.forget:
            await self._write(note)
        return todo, known

    # --- from the provider into the store ---------------------------------------------------

    async def _collect(
        self,
        account: Account,
        session: Pop3Session,
        items: Sequence[ListedItem],
        known: Deliveries,
        tally: _Tally,
    ) -> None:
        """Fetches `items` and commits them in batches, both at once."""
        queue = _Queue()
        before = self._memory[account.id]
        items_in_doubt: set[int] = set()
        bytes_in_doubt: set[tuple[bytes | None, bytes]] = set()

        async def commit() -> None:
            async for batch in queue:
                try:
                    for settled in await self._settle(account, batch, known, before.bytes, tally):
                        items_in_doubt.update(settled.doubted_items)
                        bytes_in_doubt.update(settled.doubted_bytes)
                finally:
                    for fetched in batch:
                        fetched.spool.close()

        committer = asyncio.create_task(commit())
        committer.add_done_callback(lambda _: queue.stop())
        whole = False
        loop = asyncio.get_running_loop()
        turn = loop.time()
        try:
            async for got in session.retrieve(items):
                if loop.time() - turn > _TURN_SECONDS:  # many may come in one read
                    await asyncio.sleep(0)
                    turn = loop.time()
                fetched = await self._take(got, account, tally)
                if fetched is not None and not await queue.put(fetched):
                    break  # the committer failed; its result says how
            whole = True
        except asyncio.CancelledError:
            committer.cancel()
            raise
        finally:
            queue.end()
            try:
                # What arrived whole before the connection broke is committed too.
                await _finished(committer)
            finally:
                queue.clear()
                if not whole:  # then what was in doubt before still is
                    items_in_doubt |= before.items
                    bytes_in_doubt |= before.bytes
                self._memory[account.id] = replace(
                    before, items=frozenset(items_in_doubt), bytes=frozenset(bytes_in_doubt)
                )
        committer.result()
        if tally.refusal is not None and not tally.new and not tally.relinked:
            raise tally.refusal

    async def _take(self, got: Retrieved, account: Account, tally: _Tally) -> Fetched | None:
        """A retrieved message with its structure, or None where it failed."""
        if got.sink is None or got.error or got.too_large:
            tally.failed += 1
            if got.sink is not None:
                got.sink.close()
            if got.size and not got.too_large:  # it came, if not whole: it counts as fetched there
                tally.unsettled += 1
            get_logger(account=account.address).warning(
                "message not fetched",
                number=got.item.number,
                uidl=got.item.uidl,
                size=got.item.size,
                error=got.error,
            )
            return None
        spool = got.sink
        assert isinstance(spool, Spool)  # it came from our own `new_sink`
        tally.octets += got.size
        tally.unsettled += 1
        try:
            octets = spool.finish()
            if len(octets) > _SCAN_ON_LOOP:
                loop = asyncio.get_running_loop()
                structure = await _whole(loop.run_in_executor(None, scan, octets))
            else:
                structure = scan(octets)
            return Fetched(got.item, spool, octets, spool.sha256, structure)
        except BaseException as exc:
            spool.close()
            if not isinstance(exc, Exception) or isinstance(exc, OSError):
                raise
            # One message that the scanner cannot bear must not stop the maildrop.
            tally.failed += 1
            get_logger(account=account.address).exception("message not read", uidl=got.item.uidl)
            return None

    async def _settle(
        self,
        account: Account,
        batch: Sequence[Fetched],
        known: Deliveries,
        seen: Doubts,
        tally: _Tally,
    ) -> Sequence[Settled]:
        """Commits a batch; where the store refuses it, message by message."""
        now = int(self._wall())
        try:
            outcomes = [await self._write(lambda tx: settle(tx, account, batch, known, seen, now))]
        except StoreFull:
            raise
        except Exception as exc:
            if len(batch) == 1:
                tally.failed += 1
                tally.refused += 1
                tally.refusal = exc
                get_logger(account=account.address).warning(
                    "message not stored", uidl=batch[0].item.uidl, error=str(exc)
                )
                if tally.refused >= _REFUSALS:  # it is not this message, it is the store
                    raise
                return ()
            singly: list[Settled] = []
            for fetched in batch:
                singly.extend(await self._settle(account, [fetched], known, seen, tally))
            return singly
        for settled in outcomes:
            known.absorb(settled.known)
            tally.refused = 0
            tally.new += settled.new
            tally.relinked += settled.relinked
            tally.stored += len(batch) - settled.doubts
            tally.unsettled -= len(batch) - settled.doubts
        return outcomes

    async def _write(self, work: Callable[[WriteTx], T]) -> T:
        """A write that a cancellation waits for: what it works on must stay until it is done."""
        return await _whole(asyncio.ensure_future(self._store.write(work)))

    # --- what a person reads ----------------------------------------------------------------

    async def _record(self, account: Account, report: PollReport, tally: _Tally) -> None:
        try:
            if self._states is None:
                states = await self._store.read(lambda tx: tx.account_states())
                self._states = {state.address: state for state in states}
            state = next_state(
                self._states.get(account.address, AccountState(account.address)),
                report,
                tally.stored,
                int(self._wall()),
            )
            self._states[account.address] = state
            await self._write(lambda tx: tx.record_poll(account.id, state))
        except Exception as exc:
            # A full disk: the report itself still reaches whoever asked.
            get_logger(account=account.address).error("poll not recorded", error=str(exc))


def settle(
    tx: WriteTx,
    account: Account,
    batch: Sequence[Fetched],
    known: Deliveries,
    seen: Doubts,
    now: int,
) -> Settled:
    """The transaction of a batch. Leaves `known` alone, so that it may run again."""
    draft = known.draft()
    fresh = False
    mailbox: Mailbox | None = None
    new = relinked = 0
    doubted_items: set[int] = set()
    doubted_bytes: set[tuple[bytes | None, bytes]] = set()
    for fetched in batch:
        item, digest, structure = fetched.item, fetched.digest, fetched.structure
        pair = (item.uidl, digest)
        verdict = draft.recognise(item, digest, structure.fingerprint, confirmed=pair in seen)
        if not fresh and isinstance(verdict, New | Rewritten) and tx.message_by_digest(digest):
            # Another account has these bytes, or this one does since the poll began.
            draft = Deliveries(tx.maildrop(account.id), draft.speaking())
            fresh = True
            verdict = draft.recognise(item, digest, structure.fingerprint, confirmed=pair in seen)
        if isinstance(verdict, Rewritten):
            verdict = next(
                (ours for ours in verdict.candidates if _rewritten(tx, ours.digest, structure)),
                New(),
            )
        if isinstance(verdict, Doubtful):
            doubted_items.update(verdict.items)
            doubted_bytes.add(pair)
            continue
        if isinstance(verdict, Ours):
            delivery, item_id = verdict.digest, verdict.item_id
        else:
            delivery, item_id = digest, None
            if mailbox is None:
                mailbox = _arrivals(tx, account)
            message = tx.add_message(NewMessage(fetched.octets, digest, structure))
            tx.add_entry(mailbox.id, message, internaldate=internaldate(structure, now))
            new += 1
        if item_id is None:
            item_id = tx.settle_item(account.id, item, delivery, structure.fingerprint, now)
            relinked += isinstance(verdict, Ours)
        else:
            tx.relink_item(item_id, item, now)
        draft.settle(item, item_id, delivery, structure.fingerprint)
    return Settled(draft, new, relinked, frozenset(doubted_items), frozenset(doubted_bytes))


def _arrivals(tx: WriteTx, account: Account) -> Mailbox:
    """Where the account's mail arrives; made again when a device deleted it."""
    try:
        return tx.mailbox(account.login_id, account.mailbox)
    except NoSuchMailbox:
        return tx.create_mailbox(account.login_id, account.mailbox)


def _rewritten(tx: ReadTx, digest: bytes, structure: Structure) -> bool:
    message = tx.message_by_digest(digest)
    if message is None:
        return True  # a tombstone without its bytes: what was expunged stays expunged
    return same_transport(tx.octets(message, 0, _HEADER_READ), structure.header[:_HEADER_READ])


def internaldate(structure: Structure, now: int) -> int:
    """When the message arrived (RFC 3501 2.3.3): Received, else Date, else now; never before
    1970 and never later than tomorrow."""
    for instant in (structure.received_at, structure.sent_at):
        if instant is not None and 0 < instant <= now + DAY:
            return instant
    return now


def next_state(before: AccountState, report: PollReport, stored: int, now: int) -> AccountState:
    """The account's state after a poll. A poll that failed says nothing about the maildrop."""
    if report.error:
        return replace(
            before,
            last_attempt=now,
            listed=report.listed or before.listed,
            stored=stored or before.stored,
            failures=before.failures + 1,
            error=report.error,
            error_class=report.error_class,
            advice=report.advice,
        )
    return AccountState(
        address=before.address,
        last_success=now,
        last_attempt=now,
        listed=report.listed,
        stored=stored,
    )


def explain(exc: Exception, address: str, endpoint: Endpoint) -> tuple[str, str, str]:
    """A failure as (what happened, its class, what to do next)."""
    match exc:
        case Pop3Error():
            return str(exc), exc.kind, exc.advice
        case _NoPassword():
            return (
                f"the password of {address} could not be had: {exc}",
                "auth",
                "look at password, password_file or password_command of the account in the config",
            )
        case StoreFull():
            return (
                f"mail of {address} cannot be stored: {exc}",
                "store",
                "free some space on the disk of data_dir; polling goes on by itself",
            )
        case StoreError():
            return (
                f"mail of {address} cannot be stored: {exc}",
                "store",
                "look into the log of popbridge; the mail is still at the provider",
            )
        case OSError() if exc.errno in _NO_SPACE:
            return (
                f"mail of {address} cannot be stored: {exc.strerror}",
                "store",
                "free some space on the disk of data_dir; polling goes on by itself",
            )
        case OSError():
            return (
                f"polling {address} failed: {exc}",
                "connect",
                f"see whether {endpoint.host}:{endpoint.port} can be reached from here",
            )
        case _:
            return (
                f"polling {address} failed inside popbridge: {type(exc).__name__}",
                "internal",
                "this is a mistake in popbridge: please report the lines of the log; "
                "nothing is lost, the next poll tries again",
            )


class _Queue:
    """Messages that wait for their commit, handed over in batches; one reader, one writer."""

    def __init__(self) -> None:
        self._waiting: list[Fetched] = []
        self._octets = 0
        self._first = True
        self._ended = False
        self._stopped = False
        self._news = asyncio.Event()  # for the reader
        self._room = asyncio.Event()  # for the writer

    async def put(self, fetched: Fetched) -> bool:
        """Waits for room. False when the reader is gone; the message is closed then."""
        while self._full() and not self._stopped:
            self._room.clear()
            try:
                await self._room.wait()
            except asyncio.CancelledError:
                fetched.spool.close()
                raise
        if self._stopped:
            fetched.spool.close()
            return False
        self._waiting.append(fetched)
        self._octets += len(fetched.octets)
        self._news.set()
        return True

    def end(self) -> None:
        """No more messages come."""
        self._ended = True
        self._news.set()

    def stop(self) -> None:
        """Nobody takes messages any more."""
        self._stopped = True
        self._room.set()

    def clear(self) -> None:
        for fetched in self._waiting:
            fetched.spool.close()
        self._waiting.clear()

    def __aiter__(self) -> _Queue:
        return self

    async def __anext__(self) -> Sequence[Fetched]:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            await self._more()
        if not self._first:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.BATCH_SECONDS):
                    while not self._full() and not self._ended:
                        await self._more()
        self._first = False
        batch, self._waiting, self._octets = self._waiting, [], 0
        self._room.set()
        return batch

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _full(self) -> bool:
        return len(self._waiting) >= limits.BATCH_MESSAGES or self._octets >= limits.BATCH_OCTETS


async def _whole(future: asyncio.Future[T]) -> T:
    """The result of `future`, which is finished before a cancellation is let through."""
    await _finished(future)
    return future.result()


async def _finished(future: asyncio.Future[T]) -> None:
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        if not future.cancelled():
            future.exception()  # seen: nobody else will ask for it
        raise cancelled
