"""An import: messages of a source go through the door in batches.

Rules:
- A batch is as large as one of a poll (`limits.BATCH_*`) and is committed before the next one is
  read: memory stays bounded, and a kill costs a batch of reading.
- A message over `limits.TRANSFER_MESSAGE` is not taken; its neighbours are.
- A message whose end is missing is taken and marked: `marks.TRUNCATED`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from bridge import limits
from bridge.model import Flag, Octets
from bridge.spool import Spool
from bridge.store.api import StoreFull
from bridge.transfer import forms
from bridge.transfer.door import Door, Folder, Offer
from bridge.transfer.marks import TRUNCATED, Marks
from bridge.transfer.sources import Found, Item, Left, Source
from bridge.transfer.tally import Tally


@dataclass(slots=True)
class Ready:
    """A message on its way: its bytes are in memory or in a file of ours."""

    where: str
    mailbox: str
    octets: Octets
    marks: Marks
    spool: Spool | None = None
    if_absent: bool = False
    settled: Callable[[], None] = lambda: None  # called once the store has it

    def close(self) -> None:
        if self.spool is not None:
            self.spool.close()


class Importer:
    """Takes ready messages, hands them over in batches, keeps the tally."""

    def __init__(self, door: Door, tally: Tally, *, dry: bool = False, seen: bool = False) -> None:
        self._door = door
        self._tally = tally
        self._dry = dry
        self._flags = int(Flag.SEEN) if seen else 0
        self._waiting: list[Ready] = []
        self._octets = 0
        self._would: set[tuple[str, bytes]] = set()  # a dry run: what would be there by now

    async def add(self, ready: Ready) -> None:
        marks = replace(ready.marks, flags=ready.marks.flags | self._flags)
        self._waiting.append(replace(ready, marks=marks))
        self._octets += len(ready.octets)
        if len(self._waiting) >= limits.BATCH_MESSAGES or self._octets >= limits.BATCH_OCTETS:
            await self.flush()

    async def flush(self) -> None:
        """Raises StoreFull; what is refused for other reasons is counted as failed."""
        waiting, self._waiting, self._octets = self._waiting, [], 0
        if not waiting:
            return
        try:
            offers = [
                Offer(each.mailbox, each.octets, each.marks, each.if_absent) for each in waiting
            ]
            outcomes = await self._door.take(offers, dry=self._dry)
            for ready, (word, why) in zip(waiting, outcomes, strict=True):
                if word == "failed":
                    self._tally.fail(ready.where, why)
                elif word == "done" and not (self._dry and self._twice(ready)):
                    self._tally.done += 1
                else:
                    self._tally.already += 1
                if word != "failed" and not self._dry:
                    ready.settled()
        finally:
            for ready in waiting:
                ready.close()
        self._tally.step()

    def _twice(self, ready: Ready) -> bool:
        key = ready.mailbox, forms.digest(ready.octets, forms.Form(((0, len(ready.octets)),)))
        if key in self._would:
            return True
        self._would.add(key)
        return False


async def import_files(
    door: Door,
    source: Source,
    tally: Tally,
    spool_dir: Path,
    *,
    dry: bool = False,
    seen: bool = False,
) -> None:
    """Imports all of a source. Raises StoreError when the store takes nothing more (it is full, or
    its daemon went away): what was counted as done is there."""
    importer = Importer(door, tally, dry=dry, seen=seen)
    if not dry:
        await door.make(
            Folder(source.named(name), use, name in source.manifest.subscribed)
            for name, use in source.manifest.special.items()
        )
    items = source.items()
    try:
        async with aclosing(_ready(items, source, tally, spool_dir)) as ready:
            async for each in ready:
                await importer.add(each)
        await importer.flush()
    except StoreFull:
        tally.note("the store is full: make room, then run it again; what is there stays")
        raise


async def _ready(
    items: Iterator[Item], source: Source, tally: Tally, spool_dir: Path
) -> AsyncGenerator[Ready, None]:
    """The messages of a source, each taken out of its file in a thread."""

    def following() -> list[Ready]:
        """Some messages: fewer hops to the thread, and the loop lives."""
        batch: list[Ready] = []
        octets = 0
        for item in items:
            ready = _take(item, source, tally, spool_dir)
            if ready is not None:
                batch.append(ready)
                octets += len(ready.octets)
            if len(batch) >= limits.BATCH_MESSAGES or octets >= limits.BATCH_OCTETS:
                break
        return batch

    while batch := await asyncio.to_thread(following):
        for number, each in enumerate(batch):
            try:
                yield each
            except GeneratorExit:
                for left in batch[number:]:
                    left.close()
                raise


def _take(item: Item, source: Source, tally: Tally, spool_dir: Path) -> Ready | None:
    if isinstance(item, Left):
        if item.failed:
            tally.seen += 1
            tally.fail(item.where, item.why)
        else:
            tally.skipped[item.why] += item.count
        return None
    tally.seen += 1
    size = sum(end - start for start, end in item.likely[0])
    tally.octets += size
    if size > limits.TRANSFER_MESSAGE:
        tally.fail(item.where, f"larger than popbridge takes ({size} octets)")
        return None
    if not size:
        tally.seen -= 1
        tally.skipped["empty"] += 1
        return None
    manifest = source.manifest.messages.get(item.mailbox, {})
    try:
        octets, digest, spool = materialised(item, manifest, spool_dir)
    except OSError as error:
        tally.fail(item.where, error.strerror or str(error))
        return None
    marks = marks_of(item, source, digest)
    if not item.ended and digest not in manifest:
        tally.truncated += 1
        tally.note(f"{item.where}: the file breaks off inside this message; it is marked")
    return Ready(item.where, source.named(item.mailbox), octets, marks, spool)


def materialised(
    item: Found, known: Collection[bytes], spool_dir: Path
) -> tuple[Octets, bytes, Spool]:
    """(octets, digest, what to close) of a message in the form that is chosen for it. Raises
    OSError."""
    form = forms.chosen(item.octets, item.likely, known)
    spool = Spool(spool_dir)
    try:
        for piece in forms.pieces(item.octets, form):
            spool.write(piece)
        return spool.finish(), spool.sha256, spool
    except BaseException:
        spool.close()
        raise


def marks_of(item: Found, source: Source, digest: bytes) -> Marks:
    """What the format says, and the manifest of what it could not carry."""
    marks = item.marks
    said = source.manifest.messages.get(item.mailbox, {}).get(digest)
    if said is None:
        return marks if item.ended else replace(marks, keywords=(*marks.keywords, TRUNCATED))
    # Flags may have been changed in the files since; a directory of .eml has none.
    flags = said.flags if source.format == "eml" else marks.flags
    return Marks(flags, said.keywords, said.date)
