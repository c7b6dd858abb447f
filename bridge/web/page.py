"""What the page shows, from facts: rows with one word, a reason and one button. Pure.

Rules: one word an account; a reason and exactly one button where it is not green; everything
that peers said stays text in a field of its own, for the template to escape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bridge.web import words
from bridge.web.status import NEEDS_ATTENTION, AccountStatus, DeviceFacts, Json, Status, iso
from bridge.web.words import Language

Mark = Literal["good", "busy", "idle", "bad"]
_REASONS = ("auth", "busy", "connect", "tls", "store")


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What the page must know beside an account's state. `login_by` says what it logs in
    with: the password in a `file` that we may write, `oauth`, or one that stands `elsewhere`."""

    host: str
    login_by: Literal["file", "oauth", "elsewhere"] = "elsewhere"
    login: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the log: `account` is empty where it is about none."""

    at: int
    level: str
    account: str
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the first screen shows, and the metrics."""

    status: Status
    accounts: Mapping[str, AccountFacts] = field(default_factory=dict)
    events: Sequence[Event] = ()
    certificate_end: int | None = None


@dataclass(frozen=True, slots=True)
class Button:
    """`action` is a path of the site; a `get` one only leads to a form."""

    action: str
    label: str
    get: bool = False


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One account for the template. `anchor` is fit for an id; `said` is what a server said."""

    anchor: str
    address: str
    mark: Mark
    word: str
    reason: str
    said: str
    numbers: str
    checks: str
    percent: int | None
    button: Button | None
    more: Sequence[Button]


@dataclass(frozen=True, slots=True)
class DeviceRow:
    anchor: str
    login: str
    name: str
    seen: str


@dataclass(frozen=True, slots=True)
class EventRow:
    when: str
    level: str
    account: str
    text: str


@dataclass(frozen=True, slots=True)
class Screen:
    """The first screen. `moving` says that something is under way: look again soon."""

    headline: str
    mark: Mark
    moving: bool
    accounts: Sequence[AccountRow]
    devices: Sequence[DeviceRow]
    storage: str
    connections: str
    events: Sequence[EventRow]


def screen(facts: Facts, language: Language, now: int) -> Screen:
    """The first screen of the page, in one language."""
    status = facts.status
    rows = [
        _account_row(index, each, facts.accounts.get(each.account.address), language, now)
        for index, each in enumerate(status.accounts)
    ]
    moving = any(row.mark == "busy" for row in rows)
    key: str
    mark: Mark
    if not status.database_ok:
        key, mark = "database silent", "bad"
    elif any(row.mark == "bad" for row in rows):
        key, mark = "needs a look", "bad"
    elif not rows:
        key, mark = "no accounts", "idle"
    elif moving:
        key, mark = "fetching mail", "busy"
    else:
        key, mark = "all well", "good"
    storage = status.storage
    return Screen(
        headline=words.say(language, key),
        mark=mark,
        moving=moving,
        accounts=rows,
        devices=[
            _device_row(index, each, language, now) for index, each in enumerate(status.devices)
        ],
        storage=""
        if storage is None
        else words.say(
            language,
            "used",
            used=words.size(language, storage.used),
            free=words.size(language, storage.free),
        ),
        connections=words.say(
            language, "connections", count=words.number(language, status.sessions)
        ),
        events=[_event_row(each, language, now) for each in facts.events],
    )


def event_json(event: Event) -> dict[str, Json]:
    """One line of the log, for programs."""
    return {
        "at": iso(event.at),
        "level": event.level,
        "account": event.account,
        "text": event.text,
    }


def event_rows(events: Sequence[Event], language: Language, now: int) -> list[EventRow]:
    return [_event_row(each, language, now) for each in events]


def _event_row(event: Event, language: Language, now: int) -> EventRow:
    return EventRow(words.moment(language, event.at, now), event.level, event.account, event.text)


def _device_row(index: int, device: DeviceFacts, language: Language, now: int) -> DeviceRow:
    seen = (
        words.say(language, "never seen")
        if device.last_seen is None
        else words.say(language, "last seen", when=words.moment(language, device.last_seen, now))
    )
    return DeviceRow(f"device-{index}", device.login, device.name, seen)


def _account_row(
    index: int, status: AccountStatus, facts: AccountFacts | None, language: Language, now: int
) -> AccountRow:
    account = status.account
    facts = facts or AccountFacts(host=account.address.rpartition("@")[2])
    mark, word, percent = _word(status, language)
    button, more = _buttons(status, facts, language)
    return AccountRow(
        anchor=f"account-{index}",
        address=account.address,
        mark=mark,
        word=word,
        reason=_reason(status, facts, language),
        said=_said(status),
        numbers=_numbers(status, language),
        checks=_checks(status, language, now),
        percent=percent,
        button=button,
        more=more,
    )


def _word(status: AccountStatus, language: Language) -> tuple[Mark, str, int | None]:
    progress = status.progress
    if status.state == "polling":
        if progress is None or not progress.todo:
            return "busy", words.say(language, "polling"), None
        percent = min(100, 100 * progress.done // progress.todo)
        first = status.account.last_success is None
        key = "first sync" if first else "fetching"
        return "busy", words.say(language, key, percent=percent), percent
    marks: Mapping[str, Mark] = {"up to date": "good", NEEDS_ATTENTION: "bad"}
    return marks.get(status.state, "idle"), words.say(language, status.state), None


def _reason(status: AccountStatus, facts: AccountFacts, language: Language) -> str:
    """Why it is not green, in the page's language; empty where it is."""
    account = status.account
    if status.progress is not None and status.progress.done and account.last_success is None:
        return words.say(language, "readable early")
    if not account.error or status.state in ("polling", "up to date", "paused"):
        return ""
    key = account.error_class if account.error_class in _REASONS else "other"
    if key == "auth" and facts.login_by == "oauth":
        key = "auth oauth"
    return words.say(language, f"why {key}", host=facts.host)


def _said(status: AccountStatus) -> str:
    """What is known in words that are not the page's own."""
    account = status.account
    if status.state == "polling":
        return ""
    if account.error:
        return "; ".join(filter(None, (account.error, account.advice)))
    return account.notice or status.waits


def _numbers(status: AccountStatus, language: Language) -> str:
    account, progress = status.account, status.progress
    if progress is not None and progress.todo:
        parts = [
            words.say(
                language,
                "of messages",
                done=words.number(language, progress.done),
                todo=words.number(language, progress.todo),
            )
        ]
        if progress.rate:
            parts.append(f"{words.size(language, int(progress.rate))}/s")
        if progress.seconds_left is not None and progress.seconds_left >= 1:
            left = words.span(language, progress.seconds_left)
            parts.append(words.say(language, "left", left=left))
        return " · ".join(parts)
    if account.last_success is None:
        return ""
    return " · ".join(
        words.say(language, key, count=words.number(language, count))
        for key, count in (("on server", account.listed), ("kept here", account.stored))
    )


def _checks(status: AccountStatus, language: Language, now: int) -> str:
    account = status.account
    parts = []
    if account.last_success is not None:
        when = words.moment(language, account.last_success, now)
        parts.append(words.say(language, "last check", when=when))
    if status.next_poll is not None:
        when = words.moment(language, status.next_poll, now)
        parts.append(words.say(language, "next check", when=when))
    return " · ".join(parts)


def _buttons(
    status: AccountStatus, facts: AccountFacts, language: Language
) -> tuple[Button | None, Sequence[Button]]:
    """The one button that helps, and what else may be asked for."""

    def button(action: str, key: str, *, get: bool = False) -> Button:
        return Button(action, words.say(language, key), get)

    check = button("/accounts/check", "check now")
    password = button("/accounts/password", "fix password", get=True)
    sign_in = button("/accounts/sign-in", "sign in again", get=True)
    pause = button("/accounts/pause", "pause")
    if status.state == "paused":
        return button("/accounts/resume", "resume"), ()
    test = button("/accounts/test", "test")
    renew = {"oauth": [sign_in], "file": [password], "elsewhere": []}[facts.login_by]
    if status.state in ("polling", "up to date"):
        return None, [*([check] if status.state == "up to date" else []), test, *renew, pause]
    if status.account.error_class == "auth" and renew and status.account.error:
        return renew[0], [check, test, pause]
    return check, [test, *renew, pause]
