"""The text index: a search finds the same whatever the index has reached."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from bridge import limits
from bridge.imap.matching import Stored
from bridge.indexing import STALE, VERSION, TextIndexer
from bridge.mime.parser import scan
from bridge.mime.text import fold
from bridge.model import EntryRow, MailboxId, NewMessage
from bridge.store.api import ReadTx, Store, WriteTx
from bridge.store.opening import open_store
from bridge.store.sqlite import text_index
from tests.store.sqlite_only import execute

TEXTS = (
    "nothing to see",
    "Grüße aus Köln, Straße",
    "日本語のお知らせ",
    "한글 메일",
    'say "hello" AND (bye)',
    "a\0b and ab",
    "x" * 50 + "needle" + "y" * 50,
    "<p>bo<b>ld</b>face</p>",
    "percent % and \\ backslash * star",
    "",
)
NEEDLES = (
    "see", "grüße", "STRASSE", "köln,", "本", "日本", "お知らせ", "한", "글 메", "메",
    '"hello" and',
    "(bye)", "a", "ab", "xneedley", "bold", "boldface", "% and", "* star", "nowhere", "日曜", "ö",
    "subject", "text/plain",
)  # fmt: skip


class House:
    def __init__(self, store: Store, box: MailboxId) -> None:
        self.store = store
        self.box = box
        self.indexer = TextIndexer(store)

    async def add(self, *texts: str, subtype: str = "plain") -> None:
        octets = [
            f"Subject: s{number}\r\nContent-Type: text/{subtype}; charset=utf-8\r\n"
            f"Content-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n".encode()
            for number, text in enumerate(texts)
        ]

        def work(tx: WriteTx) -> None:
            for each in octets:
                digest = hashlib.sha256(each).digest()
                message = tx.add_message(NewMessage(each, digest, scan(each)))
                tx.add_entry(self.box, message, internaldate=1)

        await self.store.write(work)

    async def index(self) -> int:
        """Runs the indexer to its end: the number of its steps."""
        steps = 0
        while await self.indexer.step() is not None:
            steps += 1
        return steps

    async def may_hold(self, needle: str, version: str = VERSION) -> list[int] | None:
        found = await self.store.read(lambda tx: tx.may_hold(self.box, fold(needle), version))
        return None if found is None else sorted(found)

    async def holding(self, needle: str) -> list[int]:
        """UIDs whose texts hold the needle, by looking at each."""
        folded = fold(needle)
        everything = ((1, 1000),)

        def work(tx: ReadTx) -> list[int]:
            def octets(row: EntryRow) -> bytes:
                return tx.octets(row.message_id)

            rows = tx.rows(self.box, everything, ("header", "parts"))
            return [
                row.uid for row in rows if Stored(row, octets, frozenset({folded})).text_has(folded)
            ]

        return await self.store.read(work)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await open_store(tmp_path / "data", "sqlite")
    login = await store.write(lambda tx: tx.ensure_login("me@example.org"))
    box = await store.read(lambda tx: tx.mailbox(login.id, "INBOX"))
    yield House(store, box.id)
    await store.close()


async def test_every_message_that_holds_a_needle_is_named(house: House) -> None:
    """Before anything is indexed, half way, at the end, and with mail that came since."""
    await house.add(*TEXTS)
    await house.add(*TEXTS, subtype="html")

    async def check(exact: Sequence[str] = ()) -> None:
        for needle in NEEDLES:
            named, holding = await house.may_hold(needle), await house.holding(needle)
            assert named is None or set(named) >= set(holding), needle
            assert needle not in exact or named == holding, needle

    assert await house.may_hold("needle") is None
    await check()
    assert await house.indexer.step() is not None  # it is made for this version
    await check()
    assert await house.indexer.step() is not None
    await check()
    assert await house.may_hold("nowhere") == [17, 18, 19, 20]
    await house.index()
    await check(exact=("see", "日本", "本", "日曜", "한", "nowhere", "STRASSE"))
    assert await house.may_hold("nowhere") == []
    await house.add("needle")
    assert await house.may_hold("nowhere") == [21]
    await check()
    await house.index()
    await check(exact=("nowhere", "xneedley"))


@pytest.mark.parametrize("needle", ["", "a", "ab", "ö", "aö", "\ud800bcd", "ab\0cd"])
def test_needles_that_the_index_says_nothing_about(needle: str) -> None:
    assert text_index.query(needle) is None


async def test_too_much_text_is_looked_into_every_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TEXT_INDEXED", 200)
    await house.add("short", "long " * 100, "short too")
    await house.index()
    assert await house.may_hold("nowhere") == [2]
    assert await house.may_hold("short") == [1, 2, 3]


async def test_another_version_makes_it_anew(house: House) -> None:
    await house.add("one", "two")
    await house.index()
    assert await house.may_hold("one", "other") is None
    await house.store.write(lambda tx: tx.index_texts({}, "other", STALE))
    assert await house.may_hold("one") is None
    assert await house.index() > 0
    assert await house.may_hold("one") == [1]


async def test_purged_messages_leave_the_index_when_it_is_made_anew(house: House) -> None:
    await house.add(*(f"secret {number}" for number in range(8)))
    await house.index()
    await house.store.write(lambda tx: tx.expunge(house.box, ((1, 6),), only_deleted=False))
    assert await house.store.write(lambda tx: tx.purge(2**40)) == 6
    await house.store.write(lambda tx: tx.index_texts({}, VERSION, 3))
    assert await house.may_hold("secret") == [7, 8]
    await house.index()
    assert await house.may_hold("secret") == [7, 8]


async def test_without_fts5_every_message_is_looked_at(house: House) -> None:
    await execute(house.store, "DROP TABLE message_text")
    await house.add("one")
    assert await house.index() == 0
    assert await house.may_hold("one") is None
