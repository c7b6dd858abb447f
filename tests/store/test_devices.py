"""Devices and secrets in the store, whatever the engine."""

from __future__ import annotations

import pytest

from bridge.model import DeviceId, DeviceProof
from bridge.store.api import DeviceExists
from bridge.store.opening import open_store
from tests.store.conftest import Home

PROOF = DeviceProof(b"\1" * 32, b"\2" * 32, b"\3" * 32)


async def test_what_went_in_comes_out_in_order(home: Home) -> None:
    other = await home.store.write(lambda tx: tx.ensure_login("you"))
    added = ((home.login.id, "phone"), (other.id, "phone"), (home.login.id, "ä"))
    made = await home.store.write(
        lambda tx: [tx.add_device(login, name, PROOF, 7) for login, name in added]
    )
    assert await home.store.read(lambda tx: tx.devices()) == made
    assert [(each.login, each.name, each.created) for each in made] == [
        ("me@example.org", "phone", 7),
        ("you", "phone", 7),
        ("me@example.org", "ä", 7),
    ]
    assert {each.proof for each in made} == {PROOF}


async def test_a_name_is_there_once_a_login(home: Home) -> None:
    await home.store.write(lambda tx: tx.add_device(home.login.id, "phone", PROOF, 7))
    with pytest.raises(DeviceExists):
        await home.store.write(lambda tx: tx.add_device(home.login.id, "phone", PROOF, 8))
    assert len(await home.store.read(lambda tx: tx.devices())) == 1


async def test_an_id_never_names_another(home: Home) -> None:
    first = await home.store.write(lambda tx: tx.add_device(home.login.id, "phone", PROOF, 7))
    await home.store.write(lambda tx: tx.revoke_device(first.id))
    second = await home.store.write(lambda tx: tx.add_device(home.login.id, "phone", PROOF, 7))
    assert second.id > first.id
    await home.store.write(lambda tx: tx.see_devices({first.id: 9, second.id: 8, DeviceId(77): 1}))
    assert [each.last_seen for each in await home.store.read(lambda tx: tx.devices())] == [8]


async def test_a_secret_is_the_first_that_was_kept(home: Home) -> None:
    assert await home.store.write(lambda tx: tx.ensure_secret("a", b"1")) == b"1"
    assert await home.store.write(lambda tx: tx.ensure_secret("a", b"2")) == b"1"
    assert await home.store.write(lambda tx: tx.ensure_secret("b", b"2")) == b"2"
    await home.store.close()
    again = await open_store(home.data_dir)
    assert await again.write(lambda tx: tx.ensure_secret("a", b"3")) == b"1"
    await again.close()
