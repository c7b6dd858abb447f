"""What was imported: how an import finds what POP3 brought, and a poll what was imported."""

from __future__ import annotations

from bridge.model import Account, ListedItem
from tests.store.conftest import Home
from tests.support.messages import new_message, raw_message


async def account(home: Home) -> Account:
    return await home.store.write(lambda tx: tx.ensure_account("me@gmx.de", home.login.id, "INBOX"))


async def test_where_a_message_is_shown_to_a_login(home: Home) -> None:
    message = new_message(raw_message("one"))
    other = await home.store.write(lambda tx: tx.ensure_login("other"))
    await home.add(message=message)
    await home.add("Archive", message=message)
    number = await home.store.read(lambda tx: tx.message_by_digest(message.digest))
    assert number is not None
    inbox, archive = await home.mailbox(), await home.mailbox("Archive")
    assert await home.store.read(lambda tx: tx.shown(home.login.id, number)) == [
        (inbox.id, 1),
        (archive.id, 1),
    ]
    assert await home.store.read(lambda tx: tx.shown(other.id, number)) == []


async def test_deliveries_are_found_by_digest_and_by_fingerprint_of_one_login(home: Home) -> None:
    owner = await account(home)
    other = await home.store.write(lambda tx: tx.ensure_login("other"))
    one, two, alike = b"1" * 32, b"2" * 32, b"f" * 32
    await home.store.write(
        lambda tx: tx.settle_item(owner.id, ListedItem(1, b"u", 9), one, alike, 1000)
    )

    async def found(digest: bytes, fingerprint: bytes) -> list[tuple[bytes, str]]:
        return list(
            await home.store.read(lambda tx: tx.deliveries(home.login.id, digest, fingerprint))
        )

    assert await found(one, alike) == [(one, "INBOX")]
    assert await found(two, alike) == [(one, "INBOX")]
    assert await found(one, b"x" * 32) == [(one, "INBOX")]
    assert await found(two, b"x" * 32) == []
    assert await home.store.read(lambda tx: tx.deliveries(other.id, one, alike)) == []


async def test_an_import_is_awaited_while_it_is_shown_and_not_claimed(home: Home) -> None:
    message = new_message(raw_message("one"))
    login, digest, fingerprint = home.login.id, message.digest, message.structure.fingerprint

    async def awaited(by: bytes = digest) -> list[bytes]:
        return list(await home.store.read(lambda tx: tx.awaited(login, by, fingerprint)))

    await home.store.write(
        lambda tx: tx.note_import(login, digest, "inbox", fingerprint, awaited=True)
    )
    assert await awaited() == []  # nothing shows it
    await home.add(message=message)
    assert await awaited() == [digest]
    assert await awaited(b"x" * 32) == [digest]
    assert await home.store.read(lambda tx: tx.imports(login, digest)) == ["INBOX"]
    await home.store.write(lambda tx: tx.claim_import(login, digest))
    assert await awaited() == []
    assert await home.store.read(lambda tx: tx.imports(login, digest)) == ["INBOX"]
    await home.store.write(
        lambda tx: tx.note_import(login, digest, "INBOX", fingerprint, awaited=True)
    )
    assert await awaited() == []  # what was claimed stays so
