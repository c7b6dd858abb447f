"""The message in the INBOX of an account that needs its owner."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from bridge.auth import oauth
from bridge.auth.tokens import AccessToken, Grants
from bridge.model import AccountState, Endpoint, PollReport, Secret, Security
from bridge.store.api import StoreError, StoreFull
from bridge.sync.alerts import Disk, Facts, cause, words
from tests.support.identity_provider import IdentityProvider
from tests.support.pop3_server import Pop3Server
from tests.sync.house import House, mail, maildrop, octets
from tests.sync.test_poll import refusing

DAY = 86_400
ME = "me@example.org"


async def ours(house: House) -> list[bytes]:
    return [each for each in await house.shown() if b"popbridge@localhost" in each]


async def test_a_dead_password_is_told_once_and_the_note_goes_when_it_works(house: House) -> None:
    async with Pop3Server(maildrop(2)) as server:
        await house.poll(server)
        for failures in range(1, 8):
            await house.poll(server, "wrong")
            assert len(await ours(house)) == (failures >= 3)
            if failures == 5:
                await house.reopened()
        (note,) = await ours(house)
        assert b"Subject: popbridge cannot log in to me@example.org" in note
        assert b"Auto-Submitted: auto-generated" in note
        assert b"wrong" not in note.replace(b"went wrong", b"")
        await house.poll(server)
        assert await ours(house) == []
        assert await house.shown() == octets(server.items)


async def test_whoever_listens_hears_once_of_trouble_and_once_of_its_end(house: House) -> None:
    heard: list[tuple[str, str, str]] = []

    def hear(address: str, why: str, said: tuple[str, str, str]) -> None:
        heard.append((address, why, said[0]))

    async with Pop3Server(maildrop(1)) as server:
        for failures in range(5):
            house.poller.alerts.on_change = hear
            await house.poll(server, "wrong")
            if failures == 3:
                await house.reopened()
        assert heard == [(ME, "auth", f"popbridge cannot log in to {ME}")]
        house.poller.alerts.on_change = hear
        await house.poll(server)
        await house.poll(server)
        assert heard[1:] == [(ME, "", f"All is well again with {ME}")]


async def test_a_note_that_was_deleted_does_not_come_back(house: House) -> None:
    async with Pop3Server(maildrop(1)) as server:
        await house.poll(server)
        for _ in range(3):
            await house.poll(server, "wrong")
        await house.expunge(2)
        await house.reopened()
        await house.poll(server, "wrong")
        assert await ours(house) == []
        await house.poll(server)
        for _ in range(3):
            await house.poll(server, "wrong")
        assert len(await ours(house)) == 1


async def test_a_day_without_success_is_told_and_updated(house: House) -> None:
    async with Pop3Server(maildrop(1)) as server:
        await house.poll(server)
        server.greeting = b"-ERR [SYS/TEMP] come back later\r\n"
        house.clock.now += DAY - 1
        await house.poll(server)
        assert await ours(house) == []
        house.clock.now += 1
        await house.poll(server)
        (note,) = await ours(house)
        assert b"could be collected since 2027-01-15 08:00 UTC" in note.replace(b"=\r\n", b"")
        server.greeting = b"-ERR [SYS/PERM] this account is closed\r\n"
        await house.poll(server)
        (note,) = await ours(house)
        assert b"wants you to act" in note
        server.greeting = None
        await house.poll(server)
        assert await house.shown() == [mail(1)]


async def test_D001_a_disk_that_was_full_is_told_while_it_is(house: House) -> None:
    async with Pop3Server(maildrop(3)) as server:
        refusing(house, lambda n: StoreFull("the disk is full") if n == 1 else None)
        await house.poll(server)
        (note,) = await ours(house)
        assert b"cannot store mail" in note
        assert b"free some space" in note
        await house.poll(server)
        assert await house.shown() == octets(server.items)


async def test_a_store_that_takes_no_note_hurts_nobody(house: House) -> None:
    async with Pop3Server(maildrop(1)) as server:
        refusing(house, lambda _: StoreError("broken"))
        report = await house.poll(server)
        assert report.error_class == "store"


# --- what time and the world bring, between polls -------------------------------------------

PLENTY, LITTLE = Disk(100_000_000_000, 50_000_000_000), Disk(100_000_000_000, 1_900_000_000)


async def review(house: House) -> None:
    await house.poller.alerts.review({house.account.id})


async def test_a_disk_nearly_full_is_told_between_polls_once_and_does_not_flicker(
    house: House,
) -> None:
    disk = PLENTY
    house.poller.alerts.disk = lambda folder: disk
    async with Pop3Server(maildrop(2)) as server:
        await house.poll(server)
        await review(house)
        assert await ours(house) == []
        disk = LITTLE
        await review(house)
        await review(house)
        (note,) = await ours(house)
        assert b"Subject: The disk of popbridge is nearly full" in note
        assert b"1.9 of 100.0 GB are free" in note
        assert b"stays at the provider" in note.replace(b"=\r\n", b"")
        disk = Disk(100_000_000_000, 2_100_000_000)
        await house.poll(server)
        assert await ours(house) == [note]
        disk = Disk(100_000_000_000, 2_500_000_000)
        await house.poll(server)
        assert await ours(house) == []
        assert await house.shown() == octets(server.items)


async def test_a_small_disk_is_nearly_full_at_a_tenth(house: House) -> None:
    state = AccountState("me@example.org")
    for free, wanted in ((90, "disk"), (110, "")):
        assert cause(Facts(state, 0, disk=Disk(1_000_000_000, free * 1_000_000))) == wanted


async def test_a_day_of_failures_is_told_to_who_never_had_a_success(house: House) -> None:
    async with Pop3Server(greeting=b"-ERR [SYS/TEMP] come back later\r\n") as server:
        await house.poll(server)
        await house.reopened()
        house.clock.now += DAY - 1
        await house.poll(server)
        assert await ours(house) == []
        house.clock.now += 1
        await review(house)  # no poll was due, and the day is over all the same
        (note,) = await ours(house)
        assert b"could be collected since 2027-01-15 08:00 UTC" in note.replace(b"=\r\n", b"")


async def test_a_changed_certificate_is_told_with_both_fingerprints(house: House) -> None:
    leaf = trustme.CA().issue_cert("127.0.0.1")
    async with Pop3Server(security="tls", certificate=leaf) as server:
        endpoint = Endpoint(
            server.host, server.port, Security.TLS, server.username, fingerprint="AA:" * 31 + "AA"
        )

        async def password() -> Secret:
            return Secret(server.password)

        for told in (0, 1, 1):
            report = await house.poller.poll(house.account, endpoint, password)
            assert report.error_class == "tls"
            assert len(await ours(house)) == told
        (note,) = await ours(house)
        text = note.replace(b"=\r\n", b"")
        assert b"no safe connection" in text
        assert b"pinned SHA256:AA:AA" in text
        assert b"tls_fingerprint:" in text.replace(b"=3D", b"=")
        assert server.ledger.logins == 0


async def test_a_gone_account_gets_no_more_notes(house: House) -> None:
    async with Pop3Server(maildrop(1)) as server:
        await house.poll(server)
    house.poller.alerts.disk = lambda folder: LITTLE
    await house.poller.alerts.review(())
    assert await ours(house) == []


# --- sign-ins -------------------------------------------------------------------------------


async def sign_in(provider: IdentityProvider, grants: Grants) -> None:
    """As `popbridge account login` does it: by a code on another device."""
    client = provider.client()
    code = await oauth.start_device(client)
    provider.approve(code.user_code)

    async def at_once(seconds: float) -> None:
        pass

    grants.sign_in(ME, client, await oauth.await_device(client, code, sleep=at_once))


async def poll(
    house: House, provider: IdentityProvider, grants: Grants, server: Pop3Server
) -> PollReport:
    async def token() -> Secret:
        return AccessToken(grants, ME, provider.client())

    endpoint = Endpoint(server.host, server.port, Security.NONE, server.username, bearer=True)
    return await house.poller.poll(house.account, endpoint, token)


async def test_a_sign_in_that_ends_soon_is_told_and_renewing_it_takes_the_note_away(
    house: House, tmp_path: Path
) -> None:
    grants = Grants(tmp_path, wall=house.clock)

    async def ends(address: str) -> int | None:
        return grants.ends_at(address)

    house.poller.alerts.ends = ends
    drop = Pop3Server(maildrop(1), sasl=[b"XOAUTH2"])
    with IdentityProvider() as provider:
        async with drop as server:
            server.tokens = provider.live
            provider.refresh_lifetime = 7 * DAY  # as Google gives to an app in "testing"
            await sign_in(provider, grants)
            await poll(house, provider, grants, server)
            assert await ours(house) == []
            house.clock.now += 5 * DAY
            await review(house)
            (note,) = await ours(house)
            text = note.replace(b"=\r\n", b"")
            assert b"Subject: The sign-in of me@example.org ends on 2027-01-22" in text
            assert b"popbridge account login me@example.org" in text
            await sign_in(provider, grants)
            await poll(house, provider, grants, server)
            assert await ours(house) == []


async def test_X008_a_revoked_sign_in_is_told_and_the_provider_is_asked_three_times(
    house: House, tmp_path: Path
) -> None:
    grants = Grants(tmp_path, wall=house.clock)
    drop = Pop3Server(maildrop(1), sasl=[b"XOAUTH2"])
    with IdentityProvider() as provider:
        async with drop as server:
            server.tokens = provider.live
            await sign_in(provider, grants)
            await poll(house, provider, grants, server)
            provider.revoke()
            asked = len(provider.asked)
            for told in (0, 0, 1, 1, 1):
                house.clock.now += 3600
                await poll(house, provider, grants, server)
                assert len(await ours(house)) == told
            assert len(provider.asked) - asked == 3
            (note,) = await ours(house)
            text = note.replace(b"=\r\n", b"")
            assert b"needs you to sign in again for me@example.org" in text
            assert b"popbridge account login me@example.org" in text


@pytest.mark.parametrize("wanted", ["auth", "sign-in", "tls", "store", "permanent", "silent"])
def test_every_note_has_a_cause_and_a_next_step(wanted: str) -> None:
    state = AccountState("me@example.org", error="it broke", advice="mend it", last_success=7)
    title, said, advice = words(wanted, Facts(state, 0))
    assert title.rstrip(".") == title
    assert (said, advice) == ("it broke", "mend it")
