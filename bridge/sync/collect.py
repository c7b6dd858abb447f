"""Fetching and storing, both at once: from RETR to committed batches.

Rules:
- The first message is committed at once; then a batch waits until it is full, or for
  `limits.BATCH_SECONDS`, or until the last message is in. UIDs rise in the order of asking.
- A batch is one transaction (`bridge.sync.settle`); where the store refuses it, message by message.
- A message that fails is noted and the others go on. What arrived whole before a drop or a
  cancellation is committed too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from bridge import limits
from bridge.logs import get_logger
from bridge.mime.parser import scan
from bridge.model import Account, ListedItem, Octets, Poison, Structure
from bridge.pop3.client import Pop3Session, Retrieved
from bridge.spool import Spool
from bridge.store.api import Store, StoreFull, T
from bridge.sync import short
from bridge.sync.batches import Batches
from bridge.sync.identity import Deliveries
from bridge.sync.poison import Failure
from bridge.sync.scanning import Lost, ScanProcess
from bridge.sync.settle import Doubts, Fetched, Line, Settled, settle

_ON_LOOP = 256 * 1024  # octets of a message that is scanned on the event loop if it is plain
_ON_LOOP_HEADER = 16 * 1024  # of its header
_ON_LOOP_COMMENTS = 100  # parentheses in it
_ON_LOOP_MULTIPART = 64 * 1024  # octets of one with parts
_ON_LOOP_PARTS = 64  # lines of it that may be delimiters
_TURN_SECONDS = 0.004  # of the event loop, before others get theirs
_REFUSALS = 3  # messages in a row that the store refuses before the poll ends


@dataclass(slots=True)
class Tally:
    """What a poll did so far."""

    listed: int = 0
    stored: int = 0  # listed lines that are settled
    new: int = 0
    relinked: int = 0
    relinked_unseen: int = 0  # those of them that were not fetched: their headers told
    deleted: int = 0
    failed: int = 0
    octets: int = 0
    unsettled: int = 0  # messages that the server gave and that are not in the store
    refused: int = 0  # messages in a row that the store did not take
    refusal: Exception | None = None
    todo: int = 0  # lines to be fetched
    done: int = 0
    todo_octets: int = 0  # of them, by LIST
    doing: str = ""  # what takes the time, for a person
    least_interval: int = 0  # seconds between logins that this session taught
    left: int = 0  # lines for which there was no time in this session
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that came; `structure` is made while others come."""

    item: ListedItem
    spool: Spool
    octets: Octets
    digest: bytes
    structure: asyncio.Future[Structure]


@dataclass(slots=True)
class Collector:
    """Fetches lines of one session into the store. What it learns is in its last eight fields."""

    store: Store
    wall: Callable[[], float]
    account: Account
    session: Pop3Session
    known: Deliveries
    tally: Tally
    seen: Doubts = frozenset()
    poisons: Mapping[Line, Poison] = field(default_factory=dict)
    shorts: Mapping[Line, bytes] = field(default_factory=dict)
    sizes: Collection[int] = ()
    ensure_room: Callable[[], None] = lambda: None  # raises OSError where nothing more may come
    helper: ScanProcess | None = None
    came: list[int] = field(default_factory=list)  # sizes by LIST of what came
    short: list[ListedItem] = field(default_factory=list)  # what came shorter than that
    doubted_items: set[int] = field(default_factory=set)
    doubted_bytes: set[tuple[bytes | None, bytes]] = field(default_factory=set)
    unchanged: set[int] = field(default_factory=set)
    others: set[int] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)
    asked: dict[int, ListedItem] = field(default_factory=dict)  # and nothing came for them yet

    async def run(self, items: Sequence[ListedItem], until: float | None = None) -> None:
        """Raises Pop3Error, StoreError, OSError. What is left in `asked` after an error was not
        had, the first of it broke the session. What is not asked for `until` then, by the loop's
        clock, is counted in `tally.left`."""
        if not items:
            return
        self.asked = {item.number: item for item in items}
        queue: Batches[Arrived] = Batches()

        async def commit() -> None:
            async for batch in queue:
                try:
                    fetched = await self._scanned(batch)
                    if fetched:
                        await self._settle(fetched)
                    self.ensure_room()
                finally:
                    for each in batch:
                        each.spool.close()

        committer = asyncio.create_task(commit())
        committer.add_done_callback(lambda _: queue.stop())
        loop = asyncio.get_running_loop()
        turn = loop.time()
        try:
            async with aclosing(self.session.retrieve(items, until=until)) as retrieved:
                async for got in retrieved:
                    if loop.time() - turn > _TURN_SECONDS:  # many may come in one read
                        await asyncio.sleep(0)
                        turn = loop.time()
                    self.asked.pop(got.item.number, None)
                    self.tally.done += 1
                    arrived = self._take(got)
                    if arrived is not None and not await queue.put(arrived):
                        break  # the committer failed; its result says how
        finally:
            queue.end()
            try:
                await finished(committer)
            finally:
                await _dropped(queue.rest())
        committer.result()
        self.tally.left += len(self.asked)
        self.asked = {}

    def _take(self, got: Retrieved) -> Arrived | None:
        """A retrieved message, or None where it failed."""
        tally = self.tally
        if got.sink is None or got.error or got.too_large:
            tally.failed += 1
            if got.sink is not None:
                got.sink.close()
            if got.size and not got.too_large:  # it came, if not whole: it counts as fetched there
                tally.unsettled += 1
            said = got.error or "it is larger than popbridge takes"
            self.failures.append(Failure(got.item, said, lasting=got.too_large))
            get_logger(account=self.account.address).warning(
                "message not fetched",
                number=got.item.number,
                uidl=got.item.uidl,
                size=got.item.size,
                error=said,
            )
            return None
        spool = got.sink
        assert isinstance(spool, Spool)  # it came from our own `new_sink`
        tally.octets += got.size
        tally.unsettled += 1
        if got.item.size is not None:
            self.came.append(got.item.size)
        if short.is_short(got.item, got.size):
            self.short.append(got.item)
        try:
            octets = spool.finish()
            return Arrived(got.item, spool, octets, spool.sha256, self._structure(octets))
        except BaseException:
            spool.close()
            raise

    def _structure(self, octets: Octets) -> asyncio.Future[Structure]:
        """Where it takes long, or a helper is there, it is made elsewhere."""
        loop = asyncio.get_running_loop()
        if self.helper is not None and len(octets) <= _ON_LOOP:
            return self.helper.scan(octets[:])
        if not _is_plain(octets):
            return loop.run_in_executor(None, scan, octets)
        future: asyncio.Future[Structure] = loop.create_future()
        try:
            future.set_result(scan(octets))
        except Exception as exc:
            future.set_exception(exc)
        return future

    async def _scanned(self, batch: Sequence[Arrived]) -> Sequence[Fetched]:
        """The messages of a batch with their structures, but for those that have none. Raises
        OSError."""
        await self._wait(batch)
        fetched = []
        for each in batch:
            try:
                structure = await self._made(each)
            except OSError:
                raise
            except Exception:
                # One message that the scanner cannot bear must not stop the maildrop.
                self.tally.failed += 1
                get_logger(account=self.account.address).exception(
                    "message not read", uidl=each.item.uidl
                )
            else:
                fetched.append(Fetched(each.item, each.spool, each.octets, each.digest, structure))
        return fetched

    async def _wait(self, batch: Sequence[Arrived]) -> None:
        """Until all structures are made; a helper that takes too long is given up."""
        making = [each.structure for each in batch if not each.structure.done()]
        if making:
            within = None if self.helper is None else limits.SCAN_SECONDS
            await asyncio.wait(making, timeout=within)
        if self.helper is not None and not all(each.structure.done() for each in batch):
            self.helper.give_up()
            await asyncio.wait(making)

    async def _made(self, arrived: Arrived) -> Structure:
        try:
            return arrived.structure.result()
        except Lost:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(None, scan, arrived.octets)

    async def _settle(self, batch: Sequence[Fetched]) -> None:
        """Commits a batch; where the store refuses it, message by message."""
        now = int(self.wall())
        tally = self.tally
        try:
            settled: Settled = await self.store.write(
                lambda tx: settle(
                    tx,
                    self.account,
                    batch,
                    self.known,
                    self.seen,
                    now,
                    self.poisons,
                    self.shorts,
                    self.sizes,
                )
            )
        except StoreFull:
            raise
        except Exception as exc:
            if len(batch) == 1:
                tally.failed += 1
                tally.refused += 1
                tally.refusal = exc
                get_logger(account=self.account.address).warning(
                    "message not stored", uidl=batch[0].item.uidl, error=str(exc)
                )
                if tally.refused >= _REFUSALS:  # it is not this message, it is the store
                    raise
                return
            for fetched in batch:
                await self._settle([fetched])
            return
        if settled.mended:
            get_logger(account=self.account.address).warning(
                "damaged messages are whole again", messages=settled.mended
            )
        self.known.absorb(settled.known)
        self.doubted_items |= settled.doubted_items
        self.doubted_bytes |= settled.doubted_bytes
        self.unchanged |= settled.unchanged
        self.others |= settled.others
        for line in settled.mistaken:
            tally.failed += 1
            self.failures.append(Failure(line, "the server sends another message instead of it"))
        tally.refused = 0
        tally.new += settled.new
        tally.relinked += settled.relinked
        tally.stored += len(batch) - settled.doubts
        tally.unsettled -= len(batch) - settled.doubts


def _is_plain(octets: Octets) -> bool:
    """Whether scanning takes a few milliseconds at most: what takes longer does so off the event
    loop. 60 kB take 0.3 ms as text, and half a second as a thousand parts or comments."""
    size = len(octets)
    if size > _ON_LOOP:
        return False
    end = octets.find(b"\r\n\r\n", 0, _ON_LOOP_HEADER)
    if end < 0:
        return False
    header = octets[:end].lower()
    if header.count(b"(") > _ON_LOOP_COMMENTS:
        return False
    if b"multipart" not in header and b"message/" not in header:
        return True
    return size <= _ON_LOOP_MULTIPART and octets[:].count(b"\n--") <= _ON_LOOP_PARTS


async def _dropped(rest: Sequence[Arrived]) -> None:
    """Closes what nobody takes, once nobody looks at it any more."""
    try:
        made = asyncio.gather(*(each.structure for each in rest), return_exceptions=True)
        await finished(made)
    finally:
        for each in rest:
            each.spool.close()


async def whole(future: asyncio.Future[T]) -> T:
    """The result of `future`, which is finished before a cancellation is let through."""
    await finished(future)
    return future.result()


async def finished(future: asyncio.Future[T]) -> None:
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


async def shielded(work: Awaitable[T]) -> T:
    """Awaits `work` to its end, whatever is cancelled meanwhile."""
    return await whole(asyncio.ensure_future(work))
