"""Who may hold a connection when there are not enough for all."""

from __future__ import annotations

import pytest

from bridge import limits
from bridge.imap import slots
from bridge.imap.slots import Slots


class Holder:
    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.gone = False

    def give_way(self) -> None:
        self.gone = True


class House:
    def __init__(self) -> None:
        self.now = 0.0
        self.slots = Slots(lambda: self.now)

    def comes(self, peer: str, *, signs_in: bool = False) -> Holder | None:
        holder = Holder(peer)
        if self.slots.take(holder):
            return None
        if signs_in:
            self.slots.signed_in(holder)
        return holder


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(limits, "IMAP_CONNECTIONS", 20)
    monkeypatch.setattr(limits, "IMAP_CONNECTIONS_PER_ADDRESS", 5)
    return House()


@pytest.mark.case("I029")
def test_the_last_tenth_is_for_who_signed_in_before(house: House) -> None:
    phone = house.comes("192.0.2.1", signs_in=True)
    assert phone is not None
    house.slots.leave(phone)
    strangers = [house.comes(f"198.51.100.{number}") for number in range(30)]
    assert sum(each is not None for each in strangers) == 18
    assert house.comes("192.0.2.1", signs_in=True) is not None
    assert house.comes("192.0.2.1") is not None
    assert house.comes("192.0.2.1") is None  # there are no more


@pytest.mark.case("I029")
def test_who_does_not_sign_in_gives_way(house: House) -> None:
    first = house.comes("198.51.100.0")
    assert first is not None
    signed_in = [house.comes(f"192.0.2.{number}", signs_in=True) for number in range(10)]
    for number in range(1, 8):
        assert house.comes(f"198.51.100.{number}") is not None
    house.now = limits.IMAP_GIVE_WAY_SECONDS - 1
    assert house.comes("203.0.113.1") is None
    house.now += 1
    assert house.comes("203.0.113.1") is not None
    assert first.gone
    for number in range(2, 9):
        assert house.comes(f"203.0.113.{number}") is not None
    assert house.comes("203.0.113.9") is None
    assert all(each is not None and not each.gone for each in signed_in)


@pytest.mark.case("I029")
@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
    ],
)
def test_one_address(house: House, one: str, other: str, alike: bool) -> None:
    for _ in range(5):
        assert house.comes(one) is not None
    assert (house.comes(other) is None) is alike


def test_one_of_the_same_address_gives_way_to_a_newcomer(house: House) -> None:
    other = house.comes("198.51.100.9")
    mine = [house.comes("192.0.2.1") for _ in range(5)]
    assert house.comes("192.0.2.1") is None
    house.now = limits.IMAP_GIVE_WAY_SECONDS
    assert house.comes("192.0.2.1") is not None
    assert [each is not None and each.gone for each in mine] == [True, False, False, False, False]
    assert other is not None
    assert not other.gone


def test_leaving_twice_counts_once_and_nothing_is_kept(house: House) -> None:
    holder = house.comes("192.0.2.1", signs_in=True)
    assert holder is not None
    for _ in range(2):
        house.slots.leave(holder)
    house.slots.signed_in(holder)
    held = house.slots
    assert (held._taken, held._strangers, held._addresses) == ({}, {}, {})


def test_only_so_many_addresses_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "KNOWN", 3)
    house = House()
    for number in range(10):
        assert house.comes(f"192.0.2.{number}", signs_in=True) is not None
    assert len(house.slots._known) == 3
