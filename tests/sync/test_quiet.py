"""A listing that is the one of the last poll costs no comparison; nothing else is taken for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model import ListedItem
from bridge.sync import poll as poll_module
from bridge.sync import quiet
from bridge.sync.plan import plan
from bridge.sync.retention import DAY, Policy
from tests.support.pop3_server import Item, Pop3Server
from tests.sync.house import House, mail, maildrop, octets

LINES = st.lists(
    st.tuples(st.binary(min_size=1, max_size=4), st.none() | st.integers(1, 30)), max_size=5
)


def listing(lines: Sequence[tuple[bytes, int | None]]) -> list[ListedItem]:
    return [ListedItem(number, uidl, size) for number, (uidl, size) in enumerate(lines, 1)]


@given(LINES, LINES)
def test_two_listings_have_one_name_when_they_are_the_same(
    one: list[tuple[bytes, int | None]], other: list[tuple[bytes, int | None]]
) -> None:
    same = quiet.name(listing(one)) == quiet.name(listing(other))
    assert same == (one == other)


def test_an_empty_listing_and_one_without_ids_have_no_name() -> None:
    assert quiet.name([]) == ""
    assert quiet.name([ListedItem(1, b"a", 5), ListedItem(2, None, 5)]) == ""


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many lines each comparison had."""
    found: list[int] = []

    def counted(lines: Sequence[ListedItem], *more: Any, **named: Any) -> Any:
        found.append(len(lines))
        return plan(lines, *more, **named)

    monkeypatch.setattr(poll_module, "plan", counted)
    return found


async def test_what_did_not_change_is_compared_once_in_six_hours(
    house: House, compared: list[int]
) -> None:
    async with Pop3Server(maildrop(30)) as server:
        await house.poll(server)  # brings them
        await house.poll(server)  # finds all of them settled
        for _ in range(3):
            report = await house.poll(server)
            assert (report.error, report.listed, report.new) == ("", 30, 0)
            assert (await house.state()).stored == 30
        await house.reopened()
        await house.poll(server)
        assert compared == [30, 30]
        house.clock.now += quiet.LASTS
        await house.poll(server)
        await house.poll(server)
        assert compared == [30, 30, 30]
        server.items.append(Item(b"late", mail(99)))
        assert (await house.poll(server)).new == 1
        assert compared == [30, 30, 30, 31]
        assert await house.shown() == octets(server.items)


async def test_a_uidl_that_is_used_again_is_seen_by_its_size(house: House) -> None:
    async with Pop3Server(maildrop(5)) as server:
        for _ in range(3):
            await house.poll(server)
        server.items[2] = Item(b"u3", mail(300))
        assert (await house.poll(server)).new == 1


async def test_what_could_not_be_had_is_not_forgotten(house: House) -> None:
    items = maildrop(5)
    async with Pop3Server(items) as server:
        server.items[2] = Item(b"u3", items[2].octets, error=b"[SYS/TEMP] not now")
        for _ in range(3):
            await house.poll(server)
        server.items[2] = items[2]
        house.clock.now += DAY
        assert (await house.poll(server)).new == 1


async def test_who_deletes_at_the_provider_compares_each_time(
    house: House, compared: list[int]
) -> None:
    house.poller.policies = {house.account.id: Policy(days=90 * DAY)}
    async with Pop3Server(maildrop(3)) as server:
        for _ in range(4):
            await house.poll(server)
    assert compared == [3, 3, 3, 3]
