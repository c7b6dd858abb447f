"""Annotations, special uses and usage, as the contract in `bridge.store.api` has them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bridge import limits
from bridge.model import Change, Flag, MailboxId, SpecialUse, Usage
from bridge.store.api import NoSuchMailbox, TooMany
from tests.store.conftest import EVERY, Home


async def annotate(home: Home, mailbox: MailboxId | None, **values: bytes | None) -> None:
    given = {f"/private/{name}": value for name, value in values.items()}
    await home.store.write(lambda tx: tx.set_metadata(home.login.id, mailbox, given))


async def noted(home: Home, mailbox: MailboxId | None) -> Mapping[str, bytes]:
    return await home.store.read(lambda tx: tx.metadata(home.login.id, mailbox))


async def test_annotations_are_set_replaced_and_removed(home: Home) -> None:
    inbox, sent = (await home.mailbox()).id, (await home.mailbox("Sent")).id
    await annotate(home, inbox, a=b"one", b=b"\0\xff", c=b"")
    await annotate(home, inbox, a=b"two", b=None, d=None)
    await annotate(home, None, a=b"of the server")
    assert await noted(home, inbox) == {"/private/a": b"two", "/private/c": b""}
    assert await noted(home, None) == {"/private/a": b"of the server"}
    assert await noted(home, sent) == {}


async def test_annotations_follow_their_mailbox(home: Home) -> None:
    made = await home.create("a/b")
    await annotate(home, made.id, note=b"x")
    await home.rename("a", "z")
    assert await noted(home, (await home.mailbox("z/b")).id) == {"/private/note": b"x"}
    await home.delete("z/b")
    again = await home.create("z/b")
    assert await noted(home, again.id) == {}
    assert await noted(home, made.id) == {}


async def test_renaming_inbox_copies_its_annotations(home: Home) -> None:
    inbox = (await home.mailbox()).id
    await annotate(home, inbox, note=b"x")
    await home.rename("INBOX", "old")
    assert await noted(home, inbox) == {"/private/note": b"x"}
    assert await noted(home, (await home.mailbox("old")).id) == {"/private/note": b"x"}


async def test_annotations_of_another_login(home: Home) -> None:
    other = await home.store.write(lambda tx: tx.ensure_login("other"))
    inbox = (await home.mailbox()).id
    await annotate(home, inbox, note=b"x")
    await annotate(home, None, note=b"x")
    assert await home.store.read(lambda tx: tx.metadata(other.id, inbox)) == {}
    assert await home.store.read(lambda tx: tx.metadata(other.id, None)) == {}
    with pytest.raises(NoSuchMailbox):
        await home.store.write(lambda tx: tx.set_metadata(other.id, inbox, {"/shared/a": b""}))


async def test_annotations_are_capped(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "METADATA_ENTRIES", 2)
    monkeypatch.setattr(limits, "METADATA_VALUE", 10)
    monkeypatch.setattr(limits, "METADATA_OCTETS", 15)
    inbox, sent = (await home.mailbox()).id, (await home.mailbox("Sent")).id
    await annotate(home, inbox, a=b"0123456789", b=b"")
    before = await noted(home, inbox)
    for values in ({"a": b"", "c": b""}, {"b": b"0" * 11}, {"b": b"0" * 6}):
        with pytest.raises(TooMany):
            await annotate(home, inbox, **values)
    with pytest.raises(TooMany):
        await annotate(home, sent, a=b"0" * 6)
    assert await noted(home, inbox) == before
    await annotate(home, inbox, b=None, c=b"01234")
    assert await noted(home, inbox) == {"/private/a": b"0123456789", "/private/c": b"01234"}
    await annotate(home, inbox, a=b"012345678")


async def test_a_special_use_has_one_mailbox(home: Home) -> None:
    made = await home.create("Gesendet")
    home.told.clear()
    await home.store.write(lambda tx: tx.set_special_use(made.id, SpecialUse.SENT))
    assert home.told == [[Change(home.login.id, None, 0)]]
    assert (await home.mailbox("Gesendet")).special_use == SpecialUse.SENT
    assert (await home.mailbox("Sent")).special_use is None
    assert (await home.mailbox("Junk")).special_use == SpecialUse.JUNK
    await home.store.write(lambda tx: tx.set_special_use(made.id, None))
    assert (await home.mailbox("Gesendet")).special_use is None
    other = await home.store.write(lambda tx: tx.ensure_login("other"))
    theirs = await home.store.read(lambda tx: tx.mailbox(other.id, "Sent"))
    assert theirs.special_use == SpecialUse.SENT
    with pytest.raises(NoSuchMailbox):
        await home.store.write(lambda tx: tx.set_special_use(MailboxId(999), None))


async def test_usage_counts_every_entry_of_the_login(home: Home) -> None:
    other = await home.store.write(lambda tx: tx.ensure_login("other"))
    assert await home.store.read(lambda tx: tx.usage(home.login.id)) == Usage(0, 0)
    await home.add(message=home.message(300))
    await home.add("Sent", times=2, message=home.message(500))
    sizes = [(await home.mailbox(name)).octets for name in ("INBOX", "Sent")]
    assert await home.store.read(lambda tx: tx.usage(home.login.id)) == Usage(sum(sizes), 3)
    assert await home.store.read(lambda tx: tx.usage(other.id)) == Usage(0, 0)


async def test_deleted_octets(home: Home) -> None:
    await home.add(message=home.message(300))
    await home.add(flags=Flag.DELETED | Flag.SEEN, message=home.message(500))
    inbox = await home.mailbox()
    (kept,) = await home.store.read(lambda tx: tx.rows(inbox.id, ((1, 1),)))
    deleted = await home.store.read(lambda tx: tx.deleted_octets(inbox.id))
    assert deleted == inbox.octets - kept.size
    await home.store.write(lambda tx: tx.store_flags(inbox.id, EVERY, "add", Flag.DELETED))
    assert await home.store.read(lambda tx: tx.deleted_octets(inbox.id)) == inbox.octets
    await home.store.write(lambda tx: tx.expunge(inbox.id))
    assert await home.store.read(lambda tx: tx.deleted_octets(inbox.id)) == 0
