"""When accounts are polled: at their interval, politely, and a bounded number at once.

Rules:
- Time is the loop's monotonic clock: a wall clock that jumps neither stops polls nor starts a
  storm. The first poll comes at start, the next one an interval and up to 10 % after the last
  one ended.
- Two logins at one account are never closer than the provider's minimum (`bridge.sync.pace`, CAPA
  LOGIN-DELAY, what errors taught), whoever asks, and also after a restart.
- Errors back off: the interval doubles with each failure in a row of one class, up to 6 hours.
  A poll that brought mail before it failed counts as the first failure. After 3 refused logins
  in a row an account is tried once per hour at most, until its settings change. A maildrop that
  somebody else has open is tried again soon; what only a person can mend, once a day.
- At most `sessions` polls run at once, and `per_host` of them at one host; the others queue.
- A first sync that is longer than a session goes on as soon as the minimum allows.
- An account is polled once at a time: whoever asks while a poll is under way gets its report.
  An explicit poll overrides our own interval and back-off; a device that looks at its INBOX has
  its accounts polled as soon as the minimum allows, unless they are failing.
- An account that a person paused is left alone until it is resumed; its poll under way is cut off.
- An account that waits costs a timer, not a task.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from bridge.logs import get_logger
from bridge.model import Account, AccountState, Endpoint, LoginId, PollReport, Secret
from bridge.sync import pace
from bridge.sync.explain import span

JITTER = 0.1
BACKOFF_MOST = 6 * 3600.0
REFUSED_LOGINS = 3
REFUSED_LOGIN_SECONDS = 3600.0
DOUBTFUL_SECONDS = 900.0  # after the first refusal that follows a success: maybe it was too soon
PERMANENT_SECONDS = 24 * 3600.0
IN_USE_SECONDS = 120.0  # doubles up to the interval
INTEREST_LEAST_SECONDS = 60.0  # since the last login: Courier announces LOGIN-DELAY 10
INTEREST_SECONDS = (
    600.0  # since the last login, where no minimum is known; also while there is more
)

PasswordProvider = Callable[[], Awaitable[Secret]]
Poll = Callable[[Account, Endpoint, PasswordProvider], Awaitable[PollReport]]
StateWord = Literal["polling", "waiting", "up to date", "needs attention", "never polled", "paused"]


class Timer(Protocol):
    """A call that can be taken back, as asyncio.TimerHandle."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What the schedule needs of an event loop's clock."""

    def time(self) -> float: ...
    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer: ...


class NoSuchAccount(LookupError):
    """No account of that address is in the config."""


@dataclass(frozen=True, slots=True)
class Job:
    """An account to be polled every `interval` seconds.

    Two jobs with equal `password` providers are taken for unchanged settings.
    """

    account: Account
    endpoint: Endpoint
    interval: float
    password: PasswordProvider
    state: AccountState | None = None  # as the store has it when the daemon starts


@dataclass(slots=True, eq=False)
class _Lane:
    """One account's place in the schedule."""

    job: Job
    timer: Timer | None = None
    due: float | None = None
    task: asyncio.Task[PollReport] | None = None
    in_session: bool = False
    again: bool = False  # its settings changed while it was polled
    last: PollReport | None = None
    failures: int = 0  # in a row, of one class
    least: float = 0.0  # seconds between logins, as the provider told or taught
    attempted: float | None = None  # when the last login was tried
    paused: bool = False
    doubtful: bool = False  # a login was refused, the first after one that worked


@dataclass(slots=True)
class _Slots:
    """Who may hold a POP3 session."""

    everywhere: asyncio.Semaphore
    per_host: int
    hosts: dict[str, asyncio.Semaphore] = field(default_factory=dict)

    def at(self, host: str) -> asyncio.Semaphore:
        return self.hosts.setdefault(host.lower(), asyncio.Semaphore(self.per_host))


class Schedule:
    """Polls jobs by `poll` (that is `Poller.poll`) until `stop`. Made inside a running loop.

    `clock` and `chance` (a number from 0 to 1) are the loop's clock and `random.random` outside
    tests. `on_report` hears of every poll that ended.
    """

    def __init__(
        self,
        poll: Poll,
        *,
        sessions: int = 20,
        per_host: int = 4,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
        on_report: Callable[[PollReport], None] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._poll = poll
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._chance = chance
        self._on_report = on_report
        self._wall = wall
        self._slots = _Slots(asyncio.Semaphore(sessions), per_host)
        self._lanes: dict[str, _Lane] = {}
        self._leaving: set[asyncio.Task[PollReport]] = set()
        self._stopped = False

    def update(self, jobs: Iterable[Job]) -> None:
        """Takes these jobs and no others. A new account, and one whose settings changed, is
        polled at once; an unchanged one is not disturbed; a poll under way ends as it began,
        but for that of an account which is gone: it is cancelled."""
        wanted = {job.account.address: job for job in jobs}
        for address in self._lanes.keys() - wanted.keys():
            self._drop(self._lanes.pop(address))
        for address, job in wanted.items():
            lane = self._lanes.get(address)
            if lane is None:
                lane = self._lanes[address] = _Lane(job)
                lane.paused = job.state is not None and job.state.paused
                self._plan(lane, self._resume(lane))
                continue
            before, lane.job = lane.job, job
            if _changed(before, job, lane.last):
                lane.failures = 0
                if lane.task is None:
                    self._plan(lane, self._too_soon(lane))
                else:
                    lane.again = True
            elif lane.task is None and before.interval != job.interval:
                self._plan(lane, self._pause(lane))

    async def poll_now(self, address: str | None = None) -> Sequence[PollReport]:
        """Polls one account, or all, at once; joins what is under way. Raises NoSuchAccount.

        One whose provider does not allow it yet is not polled: its report says when it may be.
        A caller that is cancelled leaves the polls running.
        """
        if address is None:
            lanes = list(self._lanes.values())
        elif address in self._lanes:
            lanes = [self._lanes[address]]
        else:
            raise NoSuchAccount(f"there is no account {address}; the config names the accounts")
        early = {
            id(lane): self._early(lane)
            for lane in lanes
            if lane.task is None and (lane.paused or self._too_soon(lane) > 0)
        }
        tasks = {id(lane): self._begin(lane) for lane in lanes if id(lane) not in early}
        if tasks:
            await asyncio.wait(tasks.values())
        reports = []
        for lane in lanes:
            if id(lane) in early:
                reports.append(early[id(lane)])
            elif (task := tasks[id(lane)]).cancelled():
                reports.append(_interrupted(lane.job.account.address))
            else:
                reports.append(task.result())
        return reports

    def pause(self, address: str, *, paused: bool) -> None:
        """Leaves the account alone, or polls it again as soon as its provider allows. Raises
        NoSuchAccount."""
        lane = self._lanes.get(address)
        if lane is None:
            raise NoSuchAccount(f"there is no account {address}; the config names the accounts")
        if lane.paused == paused:
            return
        lane.paused = paused
        if paused:
            self._unplan(lane)
            if lane.task is not None:
                lane.task.add_done_callback(lambda _: self._resumed(lane))
                lane.task.cancel()
        else:
            self._resumed(lane)

    def _resumed(self, lane: _Lane) -> None:
        idle = lane.task is None and lane.due is None
        if idle and not self._stopped and self._lanes.get(lane.job.account.address) is lane:
            self._plan(lane, self._too_soon(lane))

    def interest(self, login: LoginId) -> None:
        """A device looks at the INBOX of this login: its accounts are polled as soon as their
        providers allow it."""
        for lane in self._lanes.values():
            if lane.job.account.login_id != login or lane.due is None or lane.attempted is None:
                continue
            if lane.last is not None and lane.last.error:
                continue
            known = self._least(lane)
            wanted = INTEREST_LEAST_SECONDS if known else INTEREST_SECONDS
            least = max(known, min(wanted, lane.job.interval))
            when = max(self._clock.time(), lane.attempted + least)
            if when < lane.due:
                self._plan(lane, when - self._clock.time())

    def next_poll(self, address: str) -> float | None:
        """Seconds until the next poll; None while one runs or for an unknown account."""
        lane = self._lanes.get(address)
        if lane is None or lane.due is None:
            return None
        return max(0.0, lane.due - self._clock.time())

    def state(self, address: str) -> StateWord:
        """One word for the account. Raises NoSuchAccount.

        waiting: in the queue for a session, or for the next try after a passing trouble.
        """
        lane = self._lanes.get(address)
        if lane is None:
            raise NoSuchAccount(f"there is no account {address}; the config names the accounts")
        if lane.paused:
            return "paused"
        if lane.in_session:
            return "polling"
        if lane.task is not None:
            return "waiting"
        if lane.last is None:
            return "never polled"
        if not lane.last.error:
            return "up to date"
        passing = lane.doubtful or lane.last.error_class in ("busy", "connect", "temporary")
        return "waiting" if passing and lane.failures < 3 else "needs attention"

    def why(self, address: str) -> str:
        """Why the account waits, for a person; empty while it does not, or for no reason of
        note."""
        lane = self._lanes.get(address)
        if lane is None or lane.in_session:
            return ""
        if lane.task is not None:
            return "waits until another account's session ends"
        if lane.last is not None and lane.last.error:
            return f"waits after failure {lane.failures}" if lane.failures else ""
        if self._least(lane) > lane.job.interval:
            return f"its provider wants {span(int(self._least(lane)))} between two logins"
        return ""

    async def stop(self) -> None:
        """Ends the schedule: no new poll, and those under way are cancelled and waited for."""
        self._stopped = True
        for lane in self._lanes.values():
            self._drop(lane)
        self._lanes.clear()
        if self._leaving:
            await asyncio.wait(self._leaving)

    # --- inside -----------------------------------------------------------------------------

    def _begin(self, lane: _Lane) -> asyncio.Task[PollReport]:
        """The poll of this lane that runs, or a new one."""
        if lane.task is None:
            self._unplan(lane)
            lane.task = asyncio.create_task(
                self._run(lane), name=f"poll {lane.job.account.address}"
            )
        return lane.task

    async def _run(self, lane: _Lane) -> PollReport:
        address = lane.job.account.address
        try:
            async with AsyncExitStack() as slots:
                # The host's slot first: a queue at one host shall not hold up the others.
                await slots.enter_async_context(self._slots.at(lane.job.endpoint.host))
                await slots.enter_async_context(self._slots.everywhere)
                job = lane.job
                lane.in_session, lane.again = True, False
                lane.attempted = self._clock.time()
                report = await self._poll(job.account, job.endpoint, job.password)
        except Exception as exc:
            get_logger(account=address).exception("poll failed")
            report = PollReport(
                address,
                error=f"polling {address} failed inside popbridge: {type(exc).__name__}",
                error_class="internal",
                advice="this is a mistake in popbridge: please report the lines of the log",
            )
        finally:
            lane.in_session = False
            lane.task = None
        self._note(lane, report)
        if not self._stopped and self._lanes.get(address) is lane:
            self._plan(lane, self._too_soon(lane) if lane.again else self._pause(lane))
        if self._on_report is not None:
            self._on_report(report)
        return report

    # --- how soon ---------------------------------------------------------------------------

    def _least(self, lane: _Lane) -> float:
        """Seconds between two logins that the provider wants."""
        return max(lane.least, float(pace.minimum(lane.job.endpoint.host)))

    def _too_soon(self, lane: _Lane) -> float:
        """Seconds until the provider's minimum allows a login."""
        if lane.attempted is None:
            return 0.0
        return max(0.0, lane.attempted + self._least(lane) - self._clock.time())

    def _early(self, lane: _Lane) -> PollReport:
        if lane.paused:
            address = lane.job.account.address
            return PollReport(
                address,
                error=f"{address} is paused",
                error_class="busy",
                advice=f"poll it again: popbridge account resume {address}",
            )
        left = self._too_soon(lane)
        at = datetime.fromtimestamp(self._wall() + left).strftime("%H:%M:%S")
        host = lane.job.endpoint.host
        return PollReport(
            lane.job.account.address,
            error=f"{host} allows one login in {span(int(self._least(lane)))}, and the last was "
            f"{span(int(self._least(lane) - left))} ago",
            error_class="busy",
            advice=f"it may be polled again at {at}, and is by itself soon after",
        )

    def _resume(self, lane: _Lane) -> float:
        """Takes over what the store knows of a new lane; seconds until its first poll."""
        state = lane.job.state
        if state is None:
            return 0.0
        lane.least = float(state.least_interval)
        if state.last_attempt is None:
            return 0.0
        since = max(0.0, self._wall() - state.last_attempt)
        lane.attempted = self._clock.time() - since
        if state.error_class:
            lane.failures = state.failures
            lane.last = PollReport(
                state.address,
                error=state.error,
                error_class=state.error_class,
                advice=state.advice,
            )
        stopped = state.error_class == "permanent" or (
            state.error_class == "auth" and state.failures >= REFUSED_LOGINS
        )
        wanted = self._pause(lane) if stopped else self._least(lane)
        return max(0.0, wanted - since)

    def _note(self, lane: _Lane, report: PollReport) -> None:
        worked = lane.last is not None and not lane.last.error
        lane.doubtful = report.error_class == "auth" and worked
        lane.least = float(report.least_interval or lane.least)
        if not report.error:
            lane.failures = 0
        elif report.new or lane.last is None or lane.last.error_class != report.error_class:
            lane.failures = 1
        else:
            lane.failures += 1
        if lane.again:  # it was polled with settings that count no more
            lane.failures = 0
        lane.last = report

    def _pause(self, lane: _Lane) -> float:
        """Seconds until the next poll of this lane."""
        pause = lane.job.interval
        if lane.last is not None and lane.last.left and not lane.last.error:
            pause = 0.0  # as soon as the provider's minimum allows
        error_class = lane.last.error_class if lane.last is not None else ""
        doublings = 2.0 ** min(lane.failures - 1, 20) if lane.failures > 1 else 1.0
        if error_class == "busy" and IN_USE_SECONDS * doublings < pause:
            pause = IN_USE_SECONDS * doublings
        elif lane.failures > 1:
            pause = max(pause, min(pause * doublings, BACKOFF_MOST))
        elif lane.last is not None and lane.last.more:
            pause = min(pause, INTEREST_SECONDS)
        if lane.doubtful:
            pause = max(pause, DOUBTFUL_SECONDS)
        if error_class == "auth" and lane.failures >= REFUSED_LOGINS:
            pause = max(pause, REFUSED_LOGIN_SECONDS)
        if error_class == "permanent":
            pause = max(pause, PERMANENT_SECONDS)
        return max(pause, self._least(lane)) * (1.0 + JITTER * self._chance())

    def _plan(self, lane: _Lane, pause: float) -> None:
        self._unplan(lane)
        if lane.paused:
            return
        lane.due = self._clock.time() + pause

        def due() -> None:
            self._begin(lane)

        lane.timer = self._clock.call_at(lane.due, due)

    def _unplan(self, lane: _Lane) -> None:
        if lane.timer is not None:
            lane.timer.cancel()
        lane.timer = lane.due = None

    def _drop(self, lane: _Lane) -> None:
        self._unplan(lane)
        if lane.task is not None:
            self._leaving.add(lane.task)
            lane.task.add_done_callback(self._leaving.discard)
            lane.task.cancel()


def _changed(before: Job, after: Job, last: PollReport | None) -> bool:
    """Whether the settings are new, so that what failed may work now."""
    if (before.account, before.endpoint) != (after.account, after.endpoint):
        return True
    # The providers of one unchanged password may differ from reload to reload, so that they
    # count only where a password was refused.
    return last is not None and last.error_class == "auth" and before.password != after.password


def _interrupted(address: str) -> PollReport:
    return PollReport(
        address,
        error=f"the poll of {address} was interrupted: popbridge stops, or the account is gone",
        error_class="internal",
        advice="poll again when popbridge runs",
    )
