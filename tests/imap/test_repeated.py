"""What clients say again and again: parsed once, listed from memory, answered in one write."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import limits
from bridge.bus import Bus
from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.list import matches
from bridge.imap.protocol.scanner import Scanner
from bridge.imap.rows import MailboxRows
from bridge.imap.table import TABLE, remembered
from bridge.store.api import ReadTx
from bridge.store.opening import open_store
from tests.support.endpoint import PASSWORD, Core


def test_a_command_is_parsed_once_word_for_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IMAP_PARSED", 2)
    monkeypatch.setattr(limits, "IMAP_PARSED_LINE", 10)
    parsed: list[bytes] = []

    def parse(scanner: Scanner) -> bytes:
        assert scanner.alone is not None
        parsed.append(scanner.alone)
        if b"?" in scanner.alone:
            raise ParseError("no")
        return scanner.alone

    read = remembered(parse)

    def ask(line: bytes, *, utf8: bool = False, rev2: bool = False) -> int:
        parsed.clear()
        assert read(Scanner([line], utf8=utf8, rev2=rev2)) == line
        return len(parsed)

    assert [ask(b" a"), ask(b" a")] == [1, 0]
    # The same octets mean another thing in another grammar.
    assert [ask(b" a", utf8=True), ask(b" a", rev2=True), ask(b" a", rev2=True)] == [1, 1, 0]
    assert ask(b" a") == 1  # only two are kept
    assert [ask(b" " * 11), ask(b" " * 11)] == [1, 1]  # none that is long
    for _ in range(2):
        parsed.clear()
        with pytest.raises(ParseError):
            read(Scanner([b"?"]))
        assert parsed == [b"?"]


def test_a_literal_is_never_kept() -> None:
    read = remembered(lambda scanner: scanner.string())
    assert read(Scanner([b"", b""], [b"one"])) == b"one"
    assert read(Scanner([b"", b""], [b"two"])) == b"two"


async def test_pipelined_commands_share_a_write(tmp_path: Path) -> None:
    async with Core(tmp_path) as core:
        client = await core.connect()
        await client.response()
        await client.command(f'a LOGIN alice "{PASSWORD}"')
        session = next(iter(core._tasks.values()))
        written: list[bytes] = []
        write = session.wire.write

        def count(*pieces: bytes) -> None:
            written.append(b"".join(pieces))
            write(*pieces)

        session.wire.write = count  # type: ignore[method-assign]
        lines = [f"b{number} STATUS INBOX (MESSAGES)\r\n" for number in range(50)]
        await client.send("".join(lines).encode())
        for number in range(50):
            assert await client.response() == ["* STATUS INBOX (MESSAGES 0)"]
            assert await client.response() == [f"b{number} OK STATUS completed"]
        # The first may have to look into the store.
        assert len(written) <= 2


async def test_an_answer_does_not_wait_for_the_next_command(tmp_path: Path) -> None:
    """What is said leaves as soon as the session waits for anything."""
    async with Core(tmp_path) as core:
        client = await core.connect()
        await client.response()
        await client.command(f'a LOGIN alice "{PASSWORD}"')
        session = next(iter(core._tasks.values()))
        at_the_store: list[bytes] = []
        write, read = session.wire.write, core.store.read
        written: list[bytes] = []

        def note(*pieces: bytes) -> None:
            written.append(b"".join(pieces))
            write(*pieces)

        session.wire.write = note  # type: ignore[method-assign]

        async def later(work: Callable[[ReadTx], object]) -> object:
            result = await read(work)
            at_the_store[:] = written
            return result

        core.store.read = later  # type: ignore[assignment, method-assign]
        await client.send(b"b NOOP\r\nc STATUS INBOX (RECENT)\r\n")
        while not str((await client.response())[0]).startswith("c "):
            pass
        assert at_the_store == [b"b OK NOOP completed\r\n"]


async def test_a_listing_is_read_once_and_again_after_each_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = Bus()
    store = await open_store(tmp_path)
    store.on_change = bus.publish
    try:
        rows = MailboxRows(store, bus)
        login = (await store.write(lambda tx: tx.ensure_login("alice"))).id
        first = await rows.listing(login)
        assert "INBOX" in first.mailboxes
        assert "INBOX" in first.subscribed
        assert await rows.listing(login) is first
        await store.write(lambda tx: tx.create_mailbox(login, "work"))
        assert "work" in (await rows.listing(login)).mailboxes
        await store.write(lambda tx: tx.subscribe(login, "work", True))
        assert "work" in (await rows.listing(login)).subscribed
        await store.write(lambda tx: tx.subscribe(login, "work", False))
        assert "work" not in (await rows.listing(login)).subscribed
        monkeypatch.setattr(limits, "ROWS_PER_LOGIN", 3)
        bus.publish([])
        await store.write(lambda tx: tx.delete_mailbox(login, "work"))
        assert await rows.listing(login) is not await rows.listing(login)
    finally:
        await store.close()


@given(st.text("aAiInNbBoOxX/*%", max_size=8), st.sampled_from(["/", "."]))
def test_a_pattern_is_what_it_says(pattern: str, delimiter: str) -> None:
    """The way of patterns with one wildcard, at the end, against that of all others."""
    anything, level = ".*", f"[^{re.escape(delimiter)}]*"
    expression = "".join(
        anything if each == "*" else level if each == "%" else re.escape(each) for each in pattern
    )
    for name in ("", "a", "a/b", "A", "ab", "x/a", "INBOX", "INBOX/a", "INBOXx", "INBO", "x.a"):
        inbox = name == "INBOX" or name.startswith("INBOX" + delimiter)
        # INBOX is matched in any case, and what lies below it as it is.
        found = any(
            re.fullmatch(expression, cased + name[5:], re.DOTALL)
            for cased in (_cases("INBOX") if inbox else [name[:5]])
        )
        assert matches(pattern, name, delimiter) == found, (pattern, name)


def _cases(word: str) -> list[str]:
    words = [""]
    for letter in word:
        words = [before + each for before in words for each in (letter, letter.lower())]
    return words


def test_no_password_is_kept() -> None:
    for name in ("LOGIN", "AUTHENTICATE"):
        cells = TABLE[name].run.__closure__
        assert cells is not None
        assert not any("remembered" in getattr(c.cell_contents, "__qualname__", "") for c in cells)
    cells = TABLE["STATUS"].run.__closure__
    assert cells is not None
    assert any("remembered" in getattr(c.cell_contents, "__qualname__", "") for c in cells)
