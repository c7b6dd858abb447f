"""Messages: stored once, byte for byte, in chunks; purged when nobody shows them."""

from __future__ import annotations

import mmap
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import limits
from bridge.model import MessageId, Structure
from bridge.store.api import ReadTx, StoreDamaged, StoreError
from bridge.store.sqlite.write import _storable
from tests.store.conftest import EVERY, Home
from tests.store.sqlite_only import execute
from tests.support.messages import new_message


async def only_message(home: Home, name: str = "INBOX") -> MessageId:
    box = (await home.mailbox(name)).id
    (row,) = await home.store.read(lambda tx: tx.rows(box, EVERY))
    return row.message_id


async def test_the_same_bytes_are_stored_once(home: Home) -> None:
    message = home.message(5000)
    await home.add(message=message)
    await home.add("Trash", message=message)
    await home.add(message=message)
    assert (await home.mailbox()).messages == 2
    found = await home.store.read(lambda tx: tx.message_by_digest(message.digest))
    assert found == await only_message(home, "Trash")
    assert await execute(home.store, "SELECT count(*) FROM message") == [(1,)]
    assert await home.store.read(lambda tx: tx.message_by_digest(b"?" * 32)) is None


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 35])
async def test_any_slice_across_chunks(
    home: Home, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """octets(start, end) is octets[start:end], wherever the chunks begin."""
    monkeypatch.setattr(limits, "CHUNK", 10)
    content = bytes(range(65, 65 + size))
    await home.add(message=new_message(content))
    message = await only_message(home)
    ends = [*range(size + 2), None, 2**32]

    def every_slice(tx: ReadTx) -> dict[tuple[int, int | None], bytes]:
        return {
            (start, end): tx.octets(message, start, end)
            for start in [*range(size + 2), 2**32]
            for end in ends
        }

    for (start, end), found in (await home.store.read(every_slice)).items():
        assert found == content[start:end], (start, end)


async def test_a_later_chunk_size_reads_what_an_earlier_one_wrote(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHUNK", 7)
    message = home.message(500)
    await home.add(message=message)
    monkeypatch.setattr(limits, "CHUNK", 64)
    number = await only_message(home)
    assert await home.store.read(lambda tx: tx.octets(number)) == message.octets
    assert await home.store.read(lambda tx: tx.octets(number, 13, 65)) == message.octets[13:65]


async def test_bytes_from_a_map_are_cut_chunk_by_chunk(home: Home) -> None:
    content = b"Subject: big\r\n\r\n" + bytes(range(256)) * (limits.CHUNK * 2 // 256) + b"end"
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            new = new_message(content)
            from_disk = type(new)(mapped, new.digest, new.structure)  # type: ignore[arg-type]  # typeshed: mmap.find takes int, bytes.find any index
            await home.add(message=from_disk)
    number = await only_message(home)
    assert await home.store.read(lambda tx: tx.octets(number)) == content
    assert await execute(home.store, "SELECT count(*) FROM message_chunk") == [(3,)]


async def test_octets_of_a_message_that_is_gone(home: Home) -> None:
    with pytest.raises(StoreError, match="gone"):
        await home.store.read(lambda tx: tx.octets(MessageId(4711)))


async def test_a_missing_chunk_is_an_error_not_a_short_message(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D008."""
    monkeypatch.setattr(limits, "CHUNK", 100)
    message = home.message(450)
    await home.add(message=message)
    number = await only_message(home)
    await execute(home.store, "DELETE FROM message_chunk WHERE start = 100")
    with pytest.raises(StoreDamaged, match="damaged"):
        await home.store.read(lambda tx: tx.octets(number))
    with pytest.raises(StoreDamaged, match="damaged"):
        await home.store.read(lambda tx: tx.octets(number, 150, 160))
    with pytest.raises(StoreDamaged, match="damaged"):  # nothing of it is taken for mail
        await home.store.read(lambda tx: tx.octets(number, 0, 99))
    await execute(
        home.store, "INSERT INTO message_chunk VALUES (?, 100, ?)", number, message.octets[100:200]
    )


async def test_text_that_has_no_utf8_costs_its_text_not_the_message(home: Home) -> None:
    new = home.message()
    s = new.structure
    odd = Structure(
        s.envelope, s.bodystructure, s.body, s.header, s.header_size, s.parts, s.fingerprint,
        None, None, None, "lone \udc80", "nul \0", "\ud83d",
    )  # fmt: skip
    await home.add(message=type(new)(new.octets, new.digest, odd))
    assert await execute(home.store, "SELECT base_subject, message_id, preview FROM message") == [
        ("lone ?", "nul \0", "?")
    ]


@given(st.text(st.characters()))
def test_storable_text_has_utf8_and_is_otherwise_unchanged(text: str) -> None:
    """Whatever str comes, UTF-8 exists for the result, and valid text passes as it is."""
    assert _storable(text).encode().decode() == _storable(text)
    if not any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        assert _storable(text) == text


async def test_purge_takes_what_nobody_shows_and_only_when_old(home: Home) -> None:
    kept, lost = home.message(), home.message()
    await home.add(message=kept)
    await home.add("Trash", message=kept)
    await home.add(message=lost)
    inbox = (await home.mailbox()).id
    lost_at = int(home.clock.time)
    await home.store.write(lambda tx: tx.expunge(inbox, EVERY, only_deleted=False))
    home.clock.time += 100
    assert await home.store.write(lambda tx: tx.purge(lost_at)) == 0
    assert await home.store.read(lambda tx: tx.message_by_digest(lost.digest))
    assert await home.store.write(lambda tx: tx.purge(lost_at + 1)) == 1
    assert await home.store.read(lambda tx: tx.message_by_digest(lost.digest)) is None
    assert await home.store.read(lambda tx: tx.message_by_digest(kept.digest))


async def test_a_message_that_comes_back_is_not_purged(home: Home) -> None:
    message = home.message()
    await home.add(message=message)
    inbox = (await home.mailbox()).id
    await home.store.write(lambda tx: tx.expunge(inbox, EVERY, only_deleted=False))
    await home.add("Trash", message=message)
    assert await home.store.write(lambda tx: tx.purge(int(home.clock.time) + 99)) == 0
    number = await only_message(home, "Trash")
    assert await home.store.read(lambda tx: tx.octets(number)) == message.octets


async def test_a_message_without_any_entry_is_purged(home: Home) -> None:
    message = home.message()
    number = await home.store.write(lambda tx: tx.add_message(message))
    assert await home.store.write(lambda tx: tx.purge(int(home.clock.time) + 1)) == 1
    with pytest.raises(StoreError, match="gone"):
        await home.store.read(lambda tx: tx.octets(number))


async def test_purge_is_bounded(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [home.message(1000) for _ in range(7)]
    await home.store.write(lambda tx: [tx.add_message(message) for message in messages])
    future = int(home.clock.time) + 1
    assert await home.store.write(lambda tx: tx.purge(future, most=2)) == 2
    monkeypatch.setattr("bridge.store.sqlite.write._PURGE_OCTETS", 2500)
    assert await home.store.write(lambda tx: tx.purge(future)) == 2
    monkeypatch.setattr("bridge.store.sqlite.write._PURGE_OCTETS", 1)
    assert await home.store.write(lambda tx: tx.purge(future)) == 1


async def test_a_purged_id_is_never_given_again(home: Home) -> None:
    """Another login's message must not come to stand behind an id that a session remembers."""
    first = await home.store.write(lambda tx: tx.add_message(home.message()))
    await home.store.write(lambda tx: tx.purge(int(home.clock.time) + 1))
    second = await home.store.write(lambda tx: tx.add_message(home.message()))
    assert second > first
