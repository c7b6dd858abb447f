"""Early logins 0: the provider's minimum counts, whoever asks, and also after a restart."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from bridge.model import AccountState, LoginId
from bridge.pop3.client import Pop3Error
from bridge.sync import pace
from bridge.sync.schedule import (
    DOUBTFUL_SECONDS,
    IN_USE_SECONDS,
    INTEREST_SECONDS,
    PERMANENT_SECONDS,
    REFUSED_LOGIN_SECONDS,
    Job,
    Schedule,
)
from tests.support.pop3_server import Pop3Server
from tests.sync.house import House, maildrop
from tests.sync.test_schedule import INTERVAL, Clock, Provider, job

EPOCH = 1_800_000_000
WEB_DE = "pop3.web.de"


class World:
    """A clock that the loop and the wall share, a provider, and a schedule that may restart."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.provider = Provider(self.clock)
        self.schedule = self.fresh()

    def wall(self) -> float:
        return EPOCH + self.clock.time()

    def fresh(self) -> Schedule:
        return Schedule(self.provider.poll, clock=self.clock, chance=lambda: 0.0, wall=self.wall)

    async def restart(self, *jobs: Job) -> None:
        await self.schedule.stop()
        self.schedule = self.fresh()
        self.schedule.update(jobs)
        await self.clock.advance(0)

    def early(self, minimum: float) -> int:
        """The oracle: logins that came before the minimum."""
        return sum(gap < minimum for gap in self.provider.gaps)


@pytest.fixture
async def world() -> World:
    return World()


def after(world: World, **changes: object) -> AccountState:
    state = AccountState("a@x", last_success=int(world.wall()), last_attempt=int(world.wall()))
    return replace(state, **changes)  # type: ignore[arg-type]  # fields by name


async def test_a_short_interval_yields_to_the_table(world: World) -> None:
    eager = replace(job(host=WEB_DE), interval=60.0)
    world.schedule.update([eager])
    await world.clock.advance(4 * 3600)
    assert len(world.provider.polls) == 4 * 4 + 1
    assert world.early(900) == 0
    assert "15 min between two logins" in world.schedule.why("a@x")


async def test_an_announced_login_delay_counts(world: World) -> None:
    world.provider.least_interval = 1800
    world.schedule.update([job()])
    await world.clock.advance(6 * 3600)
    assert world.early(1800) == 0
    assert len(world.provider.polls) == 13


async def test_an_explicit_poll_yields_to_a_minimum_and_says_when(world: World) -> None:
    world.schedule.update([job(host=WEB_DE)])
    await world.clock.advance(300)
    (report,) = await world.schedule.poll_now("a@x")
    assert report.error_class == "busy"
    assert report.error == "pop3.web.de allows one login in 15 min, and the last was 5 min ago"
    assert "may be polled again at" in report.advice
    assert len(world.provider.polls) == 1
    assert world.schedule.state("a@x") == "up to date"
    await world.clock.advance(600)
    assert len(world.provider.polls) == 2


async def test_an_explicit_poll_overrides_our_own_interval(world: World) -> None:
    world.schedule.update([job()])
    await world.clock.advance(5)
    (report,) = await world.schedule.poll_now("a@x")
    assert report.error == ""
    assert len(world.provider.polls) == 2


async def test_a_restart_logs_in_no_sooner(world: World) -> None:
    world.schedule.update([job(host=WEB_DE)])
    await world.clock.advance(100)
    for _ in range(5):
        state = after(world, last_attempt=int(EPOCH + world.provider.times[-1]))
        await world.restart(replace(job(host=WEB_DE), state=state))
        await world.clock.advance(100)
    await world.clock.advance(1000)
    assert world.early(899) == 0
    assert len(world.provider.polls) == 2


async def test_what_was_learnt_counts_after_a_restart(world: World) -> None:
    state = after(world, least_interval=3600)
    world.schedule.update([replace(job(), state=state)])
    await world.clock.advance(3590)
    assert world.provider.polls == []
    await world.clock.advance(20)
    assert len(world.provider.polls) == 1


async def test_without_a_minimum_a_restart_polls_at_once(world: World) -> None:
    world.schedule.update([replace(job(), state=after(world))])
    await world.clock.advance(0)
    assert len(world.provider.polls) == 1


async def test_the_breaker_outlives_restarts(world: World) -> None:
    state = after(world, failures=3, error="refused", error_class="auth")
    for _ in range(5):
        await world.restart(replace(job(), state=state))
        assert world.schedule.state("a@x") == "needs attention"
        await world.clock.advance(600)
    assert world.provider.polls == []
    await world.clock.advance(REFUSED_LOGIN_SECONDS)
    assert world.provider.times[0] == 1_000.0 + REFUSED_LOGIN_SECONDS


async def test_a_person_may_try_a_new_password_at_once(world: World) -> None:
    state = after(world, failures=3, error="refused", error_class="auth")
    world.schedule.update([replace(job(), state=state)])
    (report,) = await world.schedule.poll_now("a@x")
    assert report.error == ""


async def test_the_first_refusal_after_a_success_is_doubted(world: World) -> None:
    world.schedule.update([replace(job(), interval=60.0)])
    await world.clock.advance(0)
    world.provider.error_class = "auth"
    await world.clock.advance(60)
    assert world.schedule.state("a@x") == "waiting"
    await world.clock.advance(DOUBTFUL_SECONDS - 1)
    assert len(world.provider.polls) == 2
    await world.clock.advance(1)
    assert world.schedule.state("a@x") == "needs attention"
    await world.clock.advance(24 * 3600)
    logins = len(world.provider.polls)
    assert logins <= 3 + 24
    assert world.provider.gaps[-1] >= REFUSED_LOGIN_SECONDS


async def test_what_only_a_person_can_mend_is_tried_once_a_day(world: World) -> None:
    world.provider.error_class = "permanent"
    world.schedule.update([job()])
    await world.clock.advance(PERMANENT_SECONDS * 3)
    assert len(world.provider.polls) == 4
    assert all(gap >= PERMANENT_SECONDS for gap in world.provider.gaps)


async def test_a_maildrop_in_use_is_waited_for(world: World) -> None:
    world.provider.error_class = "busy"
    world.schedule.update([job()])
    await world.clock.advance(2 * 3600)
    gaps = world.provider.gaps
    assert gaps[:3] == [IN_USE_SECONDS, 2 * IN_USE_SECONDS, 4 * IN_USE_SECONDS]
    assert all(earlier <= later for earlier, later in itertools.pairwise(gaps))


async def test_also_then_the_minimum_counts(world: World) -> None:
    world.provider.error_class = "busy"
    world.schedule.update([job(host=WEB_DE)])
    await world.clock.advance(3 * 3600)
    assert world.early(900) == 0


async def test_new_settings_are_tried_at_once_but_not_too_soon(world: World) -> None:
    world.schedule.update([job(host=WEB_DE)])
    await world.clock.advance(60)
    changed = job(host=WEB_DE)
    changed = replace(changed, endpoint=replace(changed.endpoint, port=1995))
    world.schedule.update([changed])
    await world.clock.advance(800)
    assert len(world.provider.polls) == 1
    await world.clock.advance(60)
    assert len(world.provider.polls) == 2
    assert world.early(900) == 0


# --- a device looks -----------------------------------------------------------------------


async def test_a_device_that_looks_gets_a_poll_as_soon_as_it_is_polite(world: World) -> None:
    world.schedule.update([job()])
    await world.clock.advance(INTEREST_SECONDS - 100)
    for _ in range(50):
        world.schedule.interest(LoginId(1))
    await world.clock.advance(99)
    assert len(world.provider.polls) == 1
    await world.clock.advance(1)
    assert len(world.provider.polls) == 2
    world.schedule.interest(LoginId(7))
    assert world.schedule.next_poll("a@x") == INTERVAL


async def test_a_device_that_looks_all_day_causes_no_early_login(world: World) -> None:
    world.schedule.update([job(host=WEB_DE), job("b@y", host="pop.y")])
    for _ in range(24 * 60):
        world.schedule.interest(LoginId(1))
        await world.clock.advance(60)
    for address, minimum in (("a@x", 900), ("b@y", INTEREST_SECONDS)):
        times = [when for when, who in world.provider.polls if who == address]
        assert all(later - earlier >= minimum for earlier, later in itertools.pairwise(times))


async def test_a_device_that_looks_at_a_patient_server_polls_once_a_minute(world: World) -> None:
    """Courier announces LOGIN-DELAY 10."""
    world.provider.least_interval = 10
    world.schedule.update([job()])
    for _ in range(60):
        world.schedule.interest(LoginId(1))
        await world.clock.advance(10)
    assert len(world.provider.polls) == 11
    assert world.early(60) == 0


async def test_a_device_that_looks_does_not_hammer_what_fails(world: World) -> None:
    world.provider.error_class = "auth"
    world.schedule.update([job()])
    for _ in range(6 * 60):
        world.schedule.interest(LoginId(1))
        await world.clock.advance(60)
    assert len(world.provider.polls) <= 9


# --- what a provider teaches ----------------------------------------------------------------


def busy(text: str) -> Pop3Error:
    return Pop3Error("busy", f"pop.x refused the login of me: {text}")


@pytest.mark.parametrize(
    ("error", "since", "seconds"),
    [
        (busy("Exceeded the login limit for a 15 minute period. Reduce the frequency"), 60, 900),
        (busy("[LOGIN-DELAY] minimum time between mail checks violation"), 60, 900),
        (busy("too many logins, wait 300 seconds"), 60, 300),
        (busy("[IN-USE] Do you have another POP session running?"), 60, 0),
        (Pop3Error("connect", "pop.x closed the connection"), 30, 60),
        (Pop3Error("connect", "pop.x closed the connection"), 600, 0),
        (Pop3Error("connect", "pop.x closed the connection"), None, 0),
        (Pop3Error("auth", "too many wrong passwords"), 10, 0),
        (ValueError("15 minutes"), 10, 0),
    ],
)
def test_what_a_failure_teaches(error: Exception, since: float | None, seconds: int) -> None:
    assert pace.taught(error, since) == seconds


@pytest.mark.parametrize(
    ("host", "seconds"),
    [
        ("pop3.web.de", 900),
        ("POP.GMAIL.COM.", 600),
        ("outlook.office365.com", 900),
        ("ssl0.ovh.net", 60),
        ("notovh.net", 0),
        ("pop.example.org", 0),
    ],
)
def test_the_tables(host: str, seconds: int) -> None:
    assert pace.minimum(host) == seconds


async def test_a_rate_limit_is_learnt_and_kept(house: House) -> None:
    limit = b"-ERR Exceeded the login limit for a 15 minute period.\r\n"
    async with Pop3Server(maildrop(1), replies={b"PASS": limit}) as server:
        report = await house.poll(server)
        assert (report.error_class, report.least_interval) == ("busy", 900)
        assert (await house.state()).least_interval == 900
        await house.reopened()
        server.replies.clear()
        await house.poll(server)
        assert (await house.state()).least_interval == 900


async def test_an_announced_delay_is_in_the_state(house: House) -> None:
    async with Pop3Server(maildrop(1), extra_capabilities=[b"LOGIN-DELAY 1200"]) as server:
        assert (await house.poll(server)).least_interval == 1200
        assert (await house.state()).least_interval == 1200
        server.extra_capabilities = [b"LOGIN-DELAY 300"]
        await house.poll(server)
        assert (await house.state()).least_interval == 300


async def test_a_cut_connection_within_a_minute_raises_the_interval(house: House) -> None:
    async with Pop3Server(maildrop(1)) as server:
        await house.poll(server)
        server.hang_up = {b"CAPA"}
        house.clock.now += 30
        assert (await house.poll(server)).least_interval == 60
        assert (await house.state()).least_interval == 60


async def test_a_refusal_soon_after_a_success_is_put_that_way(house: House) -> None:
    async with Pop3Server(maildrop(1)) as server:
        await house.poll(server)
        house.clock.now += 360
        report = await house.poll(server, "nope")
        assert "but a login worked 6 min ago" in report.error
        assert "switched off" in report.advice
        report = await house.poll(server, "nope")
        assert "but a login worked" not in report.error


@pytest.mark.parametrize(
    ("text", "error_class"),
    [
        (b"-ERR [IN-USE] another session\r\n", "busy"),
        (b"-ERR [LOGIN-DELAY] too soon\r\n", "busy"),
        (b"-ERR [SYS/TEMP] later\r\n", "temporary"),
        (b"-ERR [SYS/PERM] closed\r\n", "permanent"),
        (b"-ERR [AUTH] no\r\n", "auth"),
        (b"-ERR <script>\x1b[2J" + b"x" * 5000 + b"\r\n", "auth"),
    ],
)
async def test_codes_and_words(house: House, text: bytes, error_class: str) -> None:
    async with Pop3Server(maildrop(1), replies={b"PASS": text}) as server:
        report = await house.poll(server)
        assert report.error_class == error_class
        assert "\x1b" not in report.error
        assert len(report.error) < 400
        state = await house.state()
        assert (state.error_class, state.failures) == (error_class, 1)
