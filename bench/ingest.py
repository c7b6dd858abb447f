"""What does a message cost on its way in, stage by stage?

    python -m bench.ingest [--messages 2000]

Prints CPU microseconds a message of the `mixed` mailbox: its hash, its structure (one scan), the
store (rows, bytes, commits of 64 messages) and the text index, which follows in the background.
CPU time of the whole process, so that waiting for the disk does not count; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

from bench import corpus
from bridge import limits
from bridge.indexing import TextIndexer
from bridge.mime.parser import scan
from bridge.model import MailboxId, NewEntry, NewMessage
from bridge.store.api import WriteTx
from bridge.store.opening import open_store


class Stages:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - start


def add(tx: WriteTx, box: MailboxId, batch: list[NewMessage]) -> None:
    tx.add_entries(box, [NewEntry(tx.add_message(each), 1_700_000_000) for each in batch])


async def measure(folder: Path, count: int) -> tuple[Stages, int]:
    """The stages, and the octets of all messages."""
    stages, octets = Stages(), 0
    store = await open_store(folder, "sqlite")
    try:
        login = await store.write(lambda tx: tx.ensure_login("me@example.org"))
        box = (await store.read(lambda tx: tx.mailbox(login.id, "INBOX"))).id
        messages = corpus.messages(corpus.mixed, count)
        while raw := list(islice(messages, limits.BATCH_MESSAGES)):
            octets += sum(map(len, raw))
            with stages.stage("hash (SHA-256)"):
                digests = [hashlib.sha256(each).digest() for each in raw]
            with stages.stage("structure (one scan)"):
                structures = [scan(each) for each in raw]
            batch = list(map(NewMessage, raw, digests, structures))
            with stages.stage("store (rows, bytes, commit)"):
                await store.write(partial(add, box=box, batch=batch))
        indexer = TextIndexer(store)
        with stages.stage("text index, in the background"):
            while await indexer.step() is not None:
                pass
    finally:
        await store.close()
    return stages, octets


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ingest")
    parser.add_argument("--messages", type=int, default=2000)
    count = parser.parse_args().messages
    with tempfile.TemporaryDirectory() as folder:
        stages, octets = asyncio.run(measure(Path(folder) / "data", count))
    total = sum(stages.seconds.values())
    print(f"{count} messages of {octets / count / 1000:.1f} kB on average, CPU of a message:\n")
    print("| stage | µs | share |\n|---|---:|---:|")
    for name, seconds in stages.seconds.items():
        print(f"| {name} | {seconds / count * 1e6:.0f} | {seconds / total:.0%} |")
    print(f"| together | {total / count * 1e6:.0f} | |")


if __name__ == "__main__":
    main()
