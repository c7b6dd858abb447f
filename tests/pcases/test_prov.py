"""Models of providers: Gmail, QQ, web.de, those that pop, and OAuth that ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.auth.oauth import Tokens
from bridge.auth.tokens import AccessToken, Grants
from bridge.discovery.providers import of_host
from bridge.model import Secret
from bridge.pop3 import quirks
from bridge.store.api import Store, StoreFull, T, WriteTx
from bridge.sync import pace
from bridge.sync.poll import Poller
from bridge.sync.retention import Policy
from tests.pcases.home import ADDRESS, DAY, INTERVAL, Home, mail, maildrop
from tests.support.identity_provider import IdentityProvider
from tests.support.pop3_server import Pop3Server

HOUR = 3600.0
PER_SESSION = 250


async def test_P101_Gmail_gives_the_oldest_250_and_pops_them(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Session after session until nothing is left, as soon as it is polite; a session that is
    cut, or a daemon that is killed, loses nothing."""
    items = maildrop(900)
    options: dict[str, Any] = {"lists_only": PER_SESSION, "pops_retrieved": True}
    gmail = quirks.of("pop.gmail.com")
    assert gmail.pops_oldest
    monkeypatch.setattr(pace, "minimum", lambda host: gmail.least_interval)
    monkeypatch.setattr(quirks, "of", lambda host, greeting=b"": gmail)
    async with Pop3Server(items, **options) as server:
        await home.schedule(server)
        server.cut_after = 40_000  # in the middle of the first session: nothing is popped
        await home.clock.run(1)
        assert len(server.items) == 900
        stored = len(await home.shown())
        assert 0 < stored < PER_SESSION
        server.cut_after = None
        server.hang_up = {b"QUIT"}  # all 250 are known now, and still they are the oldest
        await home.clock.run(INTERVAL)
        assert len(await home.shown()) == PER_SESSION
        assert len(server.items) == 900
        server.hang_up = set()
        await home.restart()
        before = len(server.ledger.sessions)
        await home.clock.run(HOUR)  # every 10 minutes while there is more
        assert len(server.ledger.sessions) - before >= 4
        assert server.items == []
        assert len(server.ledger.popped) == 900
        assert max(server.ledger.retrieved.values()) <= 3  # once for each session without QUIT
        shown = await home.check(server, least=600)
        assert len(shown) == 900


async def test_P102_Gmail_deletes_its_copy_and_the_disk_is_full(home: Home) -> None:
    class Full:
        def __init__(self, store: Store) -> None:
            self._store, self.read, self.writes = store, store.read, 0

        async def write(self, work: Callable[[WriteTx], T]) -> T:
            def counted(tx: WriteTx) -> T:
                true: Any = tx.add_message

                def add(message: Any) -> Any:
                    if message.octets[:] == mail(7):
                        raise StoreFull("the disk is full")
                    return true(message)

                setattr(tx, "add_message", add)  # noqa: B010  # mypy takes no method for a value
                try:
                    return work(tx)
                finally:
                    delattr(tx, "add_message")

            return await self._store.write(counted)

    store: Any = Full(home.store)
    await home.account()
    home.poller = Poller(store, wall=home.clock.wall, spool_dir=home.folder)
    async with Pop3Server(maildrop(20), pops_retrieved=True) as server:
        report = await home.poll(server)
        assert report.error_class == "store"
        assert "free some space" in report.advice
        assert not server.ledger.sessions[-1].quit
        assert len(server.items) == 20
        # Those that a batch had committed before the disk was full are not asked for again.
        stored = server.items[: report.new]
        assert len(stored) < 7
        await home.restart()
        assert (await home.poll(server)).error == ""
        assert server.items == stored
        await home.check(server)


async def test_P103_Gmails_recent_mode_slides(home: Home) -> None:
    """Thirty days of mail, a few each day; what leaves the window is not deleted, and the whole
    maildrop that comes back on a switch in the settings is not fetched again."""
    home.policies[(await home.account()).id] = Policy(after_device_delete=DAY)
    items = maildrop(130)
    async with Pop3Server() as server:
        for day in range(100):
            server.items = items[max(0, day - 30) : day + 30]
            assert (await home.poll(server)).error == ""
            home.clock.now += DAY
        assert server.ledger.retrieved.total() == 129
        server.items = items
        for _ in range(6):
            await home.poll(server)
            home.clock.now += DAY
        assert server.ledger.retrieved.total() == 130
        assert server.ledger.count(b"DELE") == 0
        await home.check(server)


async def test_P104_Gmail_lists_ones_own_sent_mail(home: Home) -> None:
    """The copy in Sent and the copy that a list or oneself sends back are two deliveries; the same
    copy under two labels is one."""
    sent = mail(1).replace(b"From: a@example.org", b"From: " + ADDRESS.encode())
    back = b"Received: from list by mx; Mon, 2 Nov 2026 10:00:01 +0000\r\n" * 2 + sent
    async with Pop3Server([(b"sent", sent), (b"label", sent), (b"back", back)]) as server:
        for _ in range(4):
            assert (await home.poll(server)).error == ""
        assert (await home.poll(server)).octets == 0
        assert await home.check(server) == [sent, back]


async def test_P105_a_provider_that_deletes_what_was_retrieved(home: Home) -> None:
    """The store has the only copy: it is on disk before QUIT, and the status says so, loudly."""
    async with Pop3Server(
        maildrop(30), pops_retrieved=True, extra_capabilities=[b"EXPIRE 0"]
    ) as server:
        server.hang_up = {b"RETR 20"}
        assert (await home.poll(server)).error_class == "connect"
        assert len(server.items) == 30
        server.hang_up = set()
        report = await home.poll(server)
        assert report.error == ""
        assert len(server.items) == 19  # retrieved before the drop: known, and not asked for again
        assert "may be the only one" in (await home.state()).notice
        await home.restart()
        assert len(await home.check(server)) == 30
        assert len(server.ledger.popped) >= 11


async def test_P106_QQ_lists_the_last_thirty_days(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = quirks.of
    monkeypatch.setattr(quirks, "of", lambda host, greeting=b"": true("pop.qq.com", greeting))
    async with Pop3Server(maildrop(30)) as server:
        await home.poll(server)
        assert "30 days" in (await home.state()).notice
        for day in range(40):
            server.items = maildrop(30, b"u", day + 2)
            assert (await home.poll(server)).new == 1
            home.clock.now += DAY
        assert server.ledger.count(b"DELE") == 0
        assert len(await home.check(server)) == 70


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as running:
        yield running


@pytest.mark.parametrize("end", ["expired", "revoked"])
async def test_P107_a_token_that_ends(
    home: Home, tmp_path: Path, provider: IdentityProvider, end: str
) -> None:
    """Renewed once; where the sign-in was taken back, the account waits for its owner, who is
    told how to sign in again. A password is never tried instead."""
    _, said = provider._give(None)
    given = Tokens(Secret(str(said["access_token"])), Secret(str(said["refresh_token"])), 3600)
    grants = Grants(tmp_path)
    grants.sign_in(ADDRESS, provider.client(), given)
    token = AccessToken(grants, ADDRESS, provider.client())
    options: dict[str, Any] = {"username": ADDRESS, "security": "tls"}
    async with Pop3Server(maildrop(5), **options, sasl=[b"PLAIN", b"XOAUTH2"]) as server:
        server.tokens = provider.live
        server.hang_up = {b"RETR 3"}
        await home.poll(server, password=token, bearer=True)
        server.hang_up = set()
        if end == "revoked":  # in the middle of the first sync
            provider.revoke()
        provider.live.clear()
        attempts = len(server.ledger.attempts)
        report = await home.poll(server, password=token, bearer=True)
        if end == "expired":
            assert (report.error, report.new) == ("", 3)
            assert len(server.ledger.attempts) == attempts + 2  # refused, renewed
        else:
            assert report.error_class == "auth"
            assert f"popbridge account login {ADDRESS}" in report.advice
            for _ in range(2):
                home.clock.now += HOUR
                await home.poll(server, password=token, bearer=True)
            assert len(await home.notes()) == 1
            assert len(server.ledger.attempts) <= attempts + 3
        assert server.ledger.count(b"PASS") == server.ledger.count(b"USER") == 0
        assert not any(b"PLAIN" in line for line in server.ledger.commands)
        if end == "expired":
            await home.check(server)


async def test_P108_web_de_every_twelve_minutes(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polled every minute by the config, its minimum counts, whoever asks; and it is told."""
    web_de = of_host("pop3.web.de")
    assert web_de is not None
    assert web_de.least_interval >= 720
    monkeypatch.setattr(pace, "minimum", lambda host: 720)
    async with Pop3Server(maildrop(3)) as server:
        schedule = await home.schedule(server, interval=60.0)
        for hour in range(6):
            await home.clock.run(HOUR / 2)
            (report,) = await schedule.poll_now(ADDRESS)
            if report.error:
                assert "allows one login in 12 min" in report.error
                assert "may be polled again at" in report.advice
            assert "12 min between two logins" in schedule.why(ADDRESS)
            server.items += maildrop(1, b"v", 10 + hour)
        await home.restart()
        await home.clock.run(HOUR)
        assert len(server.ledger.attempts) > 15
        await home.check(server, least=720)
