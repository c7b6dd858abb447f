"""When accounts are polled, by a clock that the test moves: nothing here waits for real time.

Long because every rule of the schedule has a history of its own.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest

from bridge.model import (
    Account,
    AccountId,
    AccountState,
    Endpoint,
    LoginId,
    PollReport,
    Secret,
    Security,
)
from bridge.sync.schedule import (
    BACKOFF_MOST,
    JITTER,
    REFUSED_LOGIN_SECONDS,
    Job,
    NoSuchAccount,
    PasswordProvider,
    Schedule,
)

INTERVAL = 900.0


@dataclass(order=True)
class Due:
    when: float
    order: int
    callback: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """A monotonic clock that stands until `advance`."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._due: list[Due] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> Due:
        due = Due(when, next(self._order), callback)
        heapq.heappush(self._due, due)
        return due

    async def advance(self, seconds: float) -> None:
        """Moves on, calls what is due in its order, and lets the polls run as far as they can."""
        end = self.now + seconds
        await settled()
        while self._due and self._due[0].when <= end:
            due = heapq.heappop(self._due)
            self.now = max(self.now, due.when)
            if not due.cancelled:
                due.callback()
            await settled()
        self.now = end

    @property
    def waiting(self) -> int:
        return sum(1 for due in self._due if not due.cancelled)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def secret() -> Secret:
    return Secret("s3cret")


async def other_secret() -> Secret:
    return Secret("n3w")


def job(address: str = "a@x", *, host: str = "pop.x", password: PasswordProvider = secret) -> Job:
    account = Account(AccountId(sum(address.encode())), address, LoginId(1), "INBOX")
    return Job(account, Endpoint(host, 995, Security.TLS, address), INTERVAL, password)


class Provider:
    """Answers polls. A poll of an address in `held` waits until `release`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.polls: list[tuple[float, str]] = []
        self.running: list[str] = []
        self.most = 0
        self.held: dict[str, asyncio.Event] = {}
        self.error_class = ""
        self.new = 0
        self.least_interval = 0
        self.left: list[int] = []
        self.cancelled = 0

    async def poll(
        self, account: Account, endpoint: Endpoint, password: PasswordProvider
    ) -> PollReport:
        self.polls.append((self.clock.time(), account.address))
        self.running.append(account.address)
        self.most = max(self.most, len(self.running))
        try:
            if account.address in self.held:
                await self.held[account.address].wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running.remove(account.address)
        if self.error_class == "crash":
            raise RuntimeError("a bug")
        error = "it failed" if self.error_class else ""
        return PollReport(
            account.address,
            new=self.new,
            error=error,
            error_class=self.error_class,
            least_interval=self.least_interval,
            left=self.left.pop() if self.left else 0,
        )

    def hold(self, *addresses: str) -> None:
        for address in addresses:
            self.held[address] = asyncio.Event()

    def release(self, address: str) -> None:
        self.held.pop(address).set()

    @property
    def times(self) -> list[float]:
        return [when for when, _ in self.polls]

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in itertools.pairwise(self.times)]


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def provider(clock: Clock) -> Provider:
    return Provider(clock)


@pytest.fixture
async def schedule(clock: Clock, provider: Provider) -> AsyncIterator[Schedule]:
    schedule = Schedule(provider.poll, clock=clock, chance=lambda: 0.0, sessions=5, per_host=2)
    yield schedule
    await schedule.stop()
    assert not clock.waiting


async def test_the_first_poll_comes_at_start_and_the_next_after_the_interval(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    schedule.update([job()])
    assert schedule.state("a@x") == "never polled"
    await clock.advance(0)
    assert provider.times == [1_000.0]
    assert schedule.state("a@x") == "up to date"
    assert schedule.next_poll("a@x") == INTERVAL
    await clock.advance(INTERVAL - 1)
    assert len(provider.polls) == 1
    assert schedule.next_poll("a@x") == 1
    await clock.advance(1)
    assert provider.gaps == [INTERVAL]


async def test_the_interval_gets_up_to_a_tenth_of_jitter_and_never_shrinks(
    clock: Clock, provider: Provider
) -> None:
    chances = iter([0.0, 1.0, 0.5])
    schedule = Schedule(provider.poll, clock=clock, chance=lambda: next(chances))
    schedule.update([job()])
    await clock.advance(INTERVAL * 2 * (1 + JITTER))
    assert provider.gaps == [INTERVAL, pytest.approx(INTERVAL * (1 + JITTER))]
    await schedule.stop()


async def test_an_interval_counts_from_the_end_of_a_poll(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    provider.hold("a@x")
    schedule.update([job()])
    await clock.advance(5_000)
    assert schedule.state("a@x") == "polling"
    assert schedule.next_poll("a@x") is None
    provider.release("a@x")
    await clock.advance(0)
    assert schedule.next_poll("a@x") == INTERVAL
    assert len(provider.polls) == 1


async def test_errors_back_off_to_six_hours(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    provider.error_class = "connect"
    schedule.update([job()])
    await clock.advance(48 * 3600)
    expected = [INTERVAL * 2**n for n in range(5)]  # 900 .. 14,400
    assert provider.gaps[:5] == expected
    assert set(provider.gaps[5:]) == {BACKOFF_MOST}
    assert schedule.state("a@x") == "needs attention"
    provider.error_class = ""
    await schedule.poll_now("a@x")
    assert schedule.next_poll("a@x") == INTERVAL


async def test_another_class_of_error_starts_anew(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    provider.error_class = "connect"
    schedule.update([job()])
    await clock.advance(INTERVAL * 3)
    provider.error_class = "temporary"
    await schedule.poll_now("a@x")
    assert schedule.next_poll("a@x") == INTERVAL
    assert schedule.state("a@x") == "waiting"


async def test_a_first_sync_that_breaks_but_brings_mail_does_not_back_off(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    provider.error_class, provider.new = "connect", 500
    schedule.update([job()])
    await clock.advance(INTERVAL * 5)
    assert provider.gaps == [INTERVAL] * 5


async def test_after_three_refused_logins_once_an_hour_at_most(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    provider.error_class = "auth"
    schedule.update([replace(job(), interval=60.0)])
    await clock.advance(24 * 3600)
    assert provider.gaps[:2] == [60.0, 120.0]
    assert min(provider.gaps[2:]) >= REFUSED_LOGIN_SECONDS
    assert schedule.state("a@x") == "needs attention"


async def test_a_poll_that_raises_is_reported_and_the_account_lives_on(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    provider.error_class = "crash"
    schedule.update([job()])
    await clock.advance(0)
    assert schedule.state("a@x") == "needs attention"
    provider.error_class = ""
    await clock.advance(INTERVAL)
    assert schedule.state("a@x") == "up to date"


async def test_sessions_are_bounded_per_host_and_in_all(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    jobs = [job(f"{n}@{host}", host=host) for host in ("one", "two", "three") for n in range(4)]
    provider.hold(*(each.account.address for each in jobs))
    schedule.update(jobs)
    await clock.advance(0)
    assert len(provider.running) == 5
    for host in ("one", "two", "three"):
        assert sum(address.endswith(host) for address in provider.running) <= 2
    assert schedule.state("3@three") == "waiting"
    while provider.running:
        provider.release(provider.running[0])
        await settled()
    assert sorted(address for _, address in provider.polls) == sorted(
        each.account.address for each in jobs
    )
    assert provider.most == 5


async def test_a_slow_host_does_not_hold_up_the_others(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    slow = [job(f"{n}@slow", host="slow") for n in range(9)]
    provider.hold(*(each.account.address for each in slow))
    schedule.update([*slow, job("a@fast", host="fast")])
    await clock.advance(0)
    assert schedule.state("a@fast") == "up to date"
    for _ in range(9):
        provider.release(provider.running[0])
        await settled()


async def test_poll_now_starts_at_once_and_moves_the_next_poll(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    schedule.update([job()])
    await clock.advance(INTERVAL / 2)
    provider.new = 3
    (report,) = await schedule.poll_now("a@x")
    assert report.new == 3
    await clock.advance(INTERVAL - 1)
    assert len(provider.polls) == 2
    await clock.advance(1)
    assert len(provider.polls) == 3


async def test_poll_now_joins_the_poll_under_way(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    provider.hold("a@x")
    schedule.update([job()])
    await clock.advance(0)
    waiters = [asyncio.create_task(schedule.poll_now(name)) for name in ("a@x", None, "a@x")]
    await settled()
    waiters[2].cancel()  # who loses patience does not stop the poll
    provider.new = 7
    provider.release("a@x")
    first, second = await waiters[0], await waiters[1]
    assert first[0] is second[0]
    assert first[0].new == 7
    assert len(provider.polls) == 1
    assert not provider.cancelled


async def test_poll_now_of_all_and_of_nobody(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    assert await schedule.poll_now() == []
    schedule.update([job("a@x"), job("b@x")])
    assert [report.address for report in await schedule.poll_now()] == ["a@x", "b@x"]
    with pytest.raises(NoSuchAccount, match="c@x"):
        await schedule.poll_now("c@x")
    with pytest.raises(NoSuchAccount):
        schedule.state("c@x")
    assert schedule.next_poll("c@x") is None


async def test_a_reload_disturbs_nobody_who_stays_the_same(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    provider.hold("busy@x")
    schedule.update([job("idle@x"), job("busy@x"), job("gone@x", host="other")])
    await clock.advance(100)
    schedule.update([job("idle@x", password=other_secret), job("busy@x"), job("new@x")])
    await clock.advance(0)
    assert schedule.next_poll("idle@x") == INTERVAL - 100
    assert provider.running == ["busy@x"]
    assert [address for _, address in provider.polls] == ["idle@x", "busy@x", "gone@x", "new@x"]
    with pytest.raises(NoSuchAccount):
        schedule.state("gone@x")
    provider.release("busy@x")
    await clock.advance(0)
    assert schedule.state("busy@x") == "up to date"
    await clock.advance(INTERVAL)
    assert not [name for when, name in provider.polls if name == "gone@x" and when > 1_000]


async def test_new_settings_are_tried_at_once(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    provider.error_class = "auth"
    schedule.update([job()])
    await clock.advance(6 * 3600)
    count = len(provider.polls)
    schedule.update([job()])
    await clock.advance(0)
    assert len(provider.polls) == count  # nothing changed: the pause stays
    provider.error_class = ""
    schedule.update([job(password=other_secret)])
    await clock.advance(0)
    assert len(provider.polls) == count + 1
    schedule.update([job(host="pop.y", password=other_secret)])
    await clock.advance(0)
    assert len(provider.polls) == count + 2
    schedule.update([replace(job(host="pop.y", password=other_secret), interval=60.0)])
    await clock.advance(0)
    assert len(provider.polls) == count + 2
    assert schedule.next_poll("a@x") == 60.0


async def test_settings_that_change_during_a_poll_count_right_after_it(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    provider.hold("a@x")
    provider.error_class = "connect"
    schedule.update([job()])
    await clock.advance(0)
    schedule.update([job(host="pop.y")])
    await settled()
    assert provider.running == ["a@x"]
    provider.release("a@x")
    await clock.advance(0)
    assert len(provider.polls) == 2


async def test_an_account_that_is_removed_during_its_poll_is_cancelled(
    schedule: Schedule, clock: Clock, provider: Provider
) -> None:
    provider.hold("a@x")
    schedule.update([job()])
    await clock.advance(0)
    asked = asyncio.create_task(schedule.poll_now("a@x"))
    await settled()
    schedule.update([])
    (report,) = await asked
    assert report.error
    assert provider.cancelled == 1


async def test_stop_cancels_and_waits(clock: Clock, provider: Provider) -> None:
    schedule = Schedule(provider.poll, clock=clock)
    provider.hold("a@x")
    schedule.update([job("a@x"), job("b@y", host="y")])
    await clock.advance(0)
    await schedule.stop()
    assert provider.cancelled == 1
    assert not provider.running
    assert not clock.waiting


async def test_reports_are_told(clock: Clock, provider: Provider) -> None:
    told: list[PollReport] = []
    schedule = Schedule(provider.poll, clock=clock, on_report=told.append)
    schedule.update([job()])
    await clock.advance(0)
    assert [report.address for report in told] == ["a@x"]
    await schedule.stop()


async def test_a_thousand_accounts_at_one_host_that_is_down_come_back_spread(
    clock: Clock, provider: Provider
) -> None:
    chances = itertools.cycle(n / 100 for n in range(100))
    schedule = Schedule(
        provider.poll, clock=clock, chance=lambda: next(chances), sessions=20, per_host=4
    )
    provider.error_class = "connect"
    schedule.update([job(f"{n}@x") for n in range(1_000)])
    while len(provider.polls) < 1_000:
        await clock.advance(0)
    assert provider.most <= 4
    first = len(provider.polls)
    await clock.advance(INTERVAL * (1 + JITTER))
    retries = [when for when, _ in provider.polls[first:]]
    assert len(retries) == 1_000
    assert len(set(retries)) >= 100
    await schedule.stop()


async def test_a_paused_account_is_left_alone_until_it_is_resumed(
    clock: Clock, provider: Provider, schedule: Schedule
) -> None:
    schedule.update([job()])
    await clock.advance(0)
    schedule.pause("a@x", paused=True)
    await clock.advance(10 * INTERVAL)
    assert len(provider.polls) == 1
    assert schedule.state("a@x") == "paused"
    assert schedule.next_poll("a@x") is None
    (report,) = await schedule.poll_now("a@x")
    assert (report.error, report.error_class) == ("a@x is paused", "busy")
    schedule.update([replace(job(), interval=60.0)])  # a new config changes nothing about it
    await clock.advance(10 * INTERVAL)
    assert len(provider.polls) == 1
    schedule.pause("a@x", paused=False)
    await clock.advance(0)
    assert len(provider.polls) == 2
    assert schedule.state("a@x") == "up to date"
    with pytest.raises(NoSuchAccount):
        schedule.pause("b@x", paused=True)


async def test_a_pause_cuts_the_poll_off_and_a_quick_resume_polls_again(
    clock: Clock, provider: Provider, schedule: Schedule
) -> None:
    provider.held["a@x"] = asyncio.Event()
    schedule.update([job()])
    await clock.advance(0)
    schedule.pause("a@x", paused=True)
    schedule.pause("a@x", paused=False)  # before the poll has ended
    await clock.advance(0)
    assert provider.cancelled == 1
    await clock.advance(0)
    assert len(provider.polls) == 2
    schedule.pause("a@x", paused=True)
    await clock.advance(INTERVAL)
    assert (provider.cancelled, len(provider.polls)) == (2, 2)


async def test_an_account_that_was_paused_before_the_start_is_not_polled(
    clock: Clock, provider: Provider, schedule: Schedule
) -> None:
    schedule.update([replace(job(), state=AccountState("a@x", paused=True))])
    await clock.advance(10 * INTERVAL)
    assert provider.polls == []
    assert schedule.state("a@x") == "paused"


@pytest.mark.parametrize("least", [0, 600])
async def test_a_first_sync_longer_than_a_session_goes_on_as_soon_as_the_provider_allows(
    clock: Clock, provider: Provider, schedule: Schedule, least: int
) -> None:
    provider.left, provider.least_interval = [5], least
    schedule.update([job()])
    await clock.advance(0)
    await clock.advance(least)
    assert provider.gaps == [least]
    assert schedule.next_poll("a@x") == INTERVAL
