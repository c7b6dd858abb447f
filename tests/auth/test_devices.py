"""Devices: their passwords, who is told of changes, when they were seen; over a real store."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge import limits
from bridge.auth import devices as module
from bridge.auth.devices import Devices, NoSuchDevice, checked_name, find, new_password
from bridge.auth.passwords import Passwords, SignedIn, hash_password
from bridge.model import Secret
from bridge.store.api import DeviceExists, Store, TooMany
from bridge.store.opening import DATABASE, open_store

ME = "me@gmx.de"


class Session:
    """Remembers why it was stopped."""

    def __init__(self) -> None:
        self.why = ""

    def stop(self, why: str) -> None:
        self.why = why


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(tmp_path / "data")
    yield opened
    await opened.close()


async def kept(store: Store) -> dict[str, int | None]:
    """Name -> last seen, as the store has it."""
    return {each.name: each.last_seen for each in await store.read(lambda tx: tx.devices())}


def test_a_password_has_128_bits_and_can_be_read_aloud() -> None:
    made = {new_password().reveal() for _ in range(1000)}
    assert len(made) == 1000
    for each in made:
        assert re.fullmatch(r"([a-km-np-z2-9]{5}-){4}[a-km-np-z2-9]{6}", each)
    assert len(module._LETTERS) ** 26 >= 2**128
    assert len(set(module._LETTERS)) == 32


async def test_a_device_signs_in_however_its_password_is_typed(store: Store) -> None:
    devices = await Devices.open(store, Clock())
    device, password = await devices.add(ME, " Anna's phone ")
    assert (device.name, device.login, device.last_seen) == ("Anna's phone", ME, None)
    found = Passwords({ME: None, "you": Secret("x")}, devices.known, salt_key=devices.salt_key)
    right = SignedIn(ME, device.id)
    typed = password.reveal()
    for form in (typed, typed.upper(), typed.replace("-", ""), typed.replace("-", " ")):
        assert await found.verify(ME, Secret(form)) == right
    assert await found.verify("you", password) is None
    assert await found.verify("nobody", password) is None
    assert await found.verify(ME, Secret(typed[:-1])) is None
    found.close()


async def test_it_goes_beside_the_password_of_the_config(store: Store) -> None:
    devices = await Devices.open(store, Clock())
    device, password = await devices.add(ME, "phone")
    for verifier in (Secret("own"), hash_password(Secret("own"))):
        found = Passwords({ME: verifier}, devices.known, salt_key=devices.salt_key)
        assert await found.verify(ME, password) == SignedIn(ME, device.id)
        assert await found.verify(ME, Secret("own")) == SignedIn(ME)
        found.replace({})  # the login left the config
        assert await found.verify(ME, password) is None
        found.replace({ME: verifier})
        assert await found.verify(ME, password) == SignedIn(ME, device.id)
        found.close()


async def test_nothing_on_disk_is_the_password(store: Store, tmp_path: Path) -> None:
    devices = await Devices.open(store, Clock())
    device, password = await devices.add(ME, "phone")
    text = password.reveal()
    await store.close()
    on_disk = (tmp_path / "data" / DATABASE).read_bytes()
    assert b"phone" in on_disk  # the row is there
    assert text.encode() not in on_disk
    assert text.replace("-", "").encode() not in on_disk
    assert text not in repr(device) + repr(device.proof)
    assert device.proof.digest.hex() not in repr(device)


async def test_who_is_told(store: Store) -> None:
    devices = await Devices.open(store, Clock())
    told: list[list[str]] = []
    devices.on_change = lambda known: told.append([each.name for each in known])
    await devices.add(ME, "phone")
    await devices.add("you", "tablet")
    await devices.revoke("phone")
    await devices.look()
    assert told == [["phone"], ["phone", "tablet"], ["tablet"]]
    assert [each.device.name for each in devices.states("you")] == ["tablet"]
    assert devices.states(ME) == []


async def test_revoking_ends_its_sessions_and_no_others(store: Store) -> None:
    devices = await Devices.open(store, Clock())
    phone, _ = await devices.add(ME, "phone")
    tablet, _ = await devices.add(ME, "tablet")
    sessions = [Session() for _ in range(4)]
    for device, session in zip((phone.id, phone.id, tablet.id, None), sessions, strict=True):
        devices.enter(device, session)
    assert [each.connections for each in devices.states()] == [2, 1]
    await devices.revoke("phone")
    why = "The password of this device was revoked"
    assert [each.why for each in sessions] == [why, why, "", ""]
    devices.leave(phone.id, sessions[0])
    late = Session()  # proved its password a moment before
    devices.enter(phone.id, late)
    assert late.why == why


async def test_what_another_node_revokes_is_out_at_the_next_look(store: Store) -> None:
    devices = await Devices.open(store, Clock())
    phone, _ = await devices.add(ME, "phone")
    session = Session()
    devices.enter(phone.id, session)
    await store.write(lambda tx: tx.revoke_device(phone.id))
    await devices.look()
    assert session.why
    assert module.LOOK_SECONDS <= 60


async def test_last_seen_is_written_lazily_and_told_at_once(store: Store) -> None:
    clock = Clock()
    devices = await Devices.open(store, clock)
    phone, _ = await devices.add(ME, "phone")
    session = Session()
    devices.enter(phone.id, session)
    await devices.look()
    first = int(clock.now)
    assert await kept(store) == {"phone": first}
    clock.now += 100
    devices.leave(phone.id, session)
    await devices.look()
    assert await kept(store) == {"phone": first}  # 100 s are not worth a write
    assert devices.states()[0].device.last_seen == first + 100
    clock.now += 1000
    devices.enter(phone.id, session)
    clock.now += 1000
    await devices.look()
    assert await kept(store) == {"phone": first + 2100}  # connected: it is there now
    devices.leave(phone.id, session)
    clock.now += 5
    await devices.close()
    assert await kept(store) == {"phone": first + 2100}


async def test_names(store: Store) -> None:
    devices = await Devices.open(store, Clock())
    phone, _ = await devices.add(ME, "phone")
    with pytest.raises(DeviceExists, match=f"{ME} has a device named phone already"):
        await devices.add(ME, "phone")
    other, _ = await devices.add("you", "phone")
    with pytest.raises(NoSuchDevice, match=r"several logins have .* \(me@gmx.de, you\)"):
        find(devices.known, "phone", None)
    assert find(devices.known, "phone", "you") == other
    with pytest.raises(NoSuchDevice, match="no device named tablet; there are: phone, phone"):
        await devices.revoke("tablet")
    long = "x" * limits.DEVICE_NAME
    assert checked_name(long) == long
    for bad in ("", " ", long + "x", "a\nb", "a\x1b[2J"):
        with pytest.raises(ValueError, match="a device wants a name of 1 to 100 characters"):
            checked_name(bad)
    assert phone.id != other.id


async def test_devices_are_capped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DEVICES_PER_LOGIN", 2)
    devices = await Devices.open(store, Clock())
    await devices.add(ME, "1")
    await devices.add(ME, "2")
    with pytest.raises(TooMany, match=r"me@gmx\.de has 2 devices; revoke one"):
        await devices.add(ME, "3")
    await devices.add("you", "3")


async def test_the_salts_stay(store: Store) -> None:
    first = await Devices.open(store, Clock())
    again = await Devices.open(store, Clock())
    assert first.salt_key == again.salt_key
    assert len(first.salt_key) == 32
