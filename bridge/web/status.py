"""What the daemon says of itself: facts as values, their JSON, and their way back. Pure.

Rules: /livez and /readyz say one word, never a name or an address; the JSON of /status.json is
that of `popbridge status --json`; times are ISO 8601 in UTC; what a server said is data and only
ever printed through somebody who escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from bridge.model import AccountState, PollReport, Progress, ServerDelete

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
NEEDS_ATTENTION = "needs attention"


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """An account for a person: `state` is one of up to date, polling, waiting, needs attention,
    never polled; `next_poll` is in seconds since the epoch, None while nothing is planned.
    `progress` is of the poll under way, `waits` is why there is none, where that is of note."""

    account: AccountState
    state: str
    next_poll: int | None = None
    progress: Progress | None = None
    waits: str = ""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A device of a login; `last_seen` in seconds since the epoch."""

    login: str
    name: str
    last_seen: int | None


@dataclass(frozen=True, slots=True)
class Storage:
    """Octets: of the store, and free on the disk that it is on."""

    used: int
    free: int


@dataclass(frozen=True, slots=True)
class Status:
    """The daemon at one moment. `listening` are URLs (`imaps://0.0.0.0:1993`), `sessions` the
    IMAP connections that are open. `storage` is None where nobody can say."""

    version: str
    pid: int
    listening: Sequence[str]
    database_ok: bool
    sessions: int
    accounts: Sequence[AccountStatus]
    devices: Sequence[DeviceFacts] = ()
    storage: Storage | None = None

    @property
    def ready(self) -> bool:
        """IMAP listens and the database answers; whether every provider does is no part of it."""
        return self.database_ok and bool(self.listening)

    @property
    def needs_attention(self) -> bool:
        """Is there something that a person should look at?"""
        return not self.ready or any(each.state == NEEDS_ATTENTION for each in self.accounts)


def status_json(status: Status) -> dict[str, Json]:
    """The whole status; `status_of_json` reads it back."""
    return {
        "version": status.version,
        "pid": status.pid,
        "ready": status.ready,
        "needs_attention": status.needs_attention,
        "listening": list(status.listening),
        "database_ok": status.database_ok,
        "sessions": status.sessions,
        "accounts": [_account_json(each) for each in status.accounts],
        "devices": [
            {"login": each.login, "name": each.name, "last_seen": iso(each.last_seen)}
            for each in status.devices
        ],
        "storage": None
        if status.storage is None
        else {"used": status.storage.used, "free": status.storage.free},
    }


def _account_json(status: AccountStatus) -> dict[str, Json]:
    account = status.account
    return {
        "address": account.address,
        "state": status.state,
        "last_success": iso(account.last_success),
        "last_attempt": iso(account.last_attempt),
        "next_poll": iso(status.next_poll),
        "listed": account.listed,
        "stored": account.stored,
        "failures": account.failures,
        "error": account.error,
        "error_class": account.error_class,
        "advice": account.advice,
        "notice": account.notice,
        "least_interval": account.least_interval,
        "waits": status.waits,
        "progress": _progress_json(status.progress),
    }


def _progress_json(progress: Progress | None) -> Json:
    if progress is None:
        return None
    left = progress.seconds_left
    return {
        "doing": progress.doing,
        "done": progress.done,
        "todo": progress.todo,
        "bytes": progress.octets,
        "todo_bytes": progress.todo_octets,
        "seconds": round(progress.seconds, 3),
        "seconds_left": None if left is None else round(left),
    }


def delete_json(deleted: ServerDelete) -> dict[str, Json]:
    """A message that was, or would be, deleted at its provider. `uidl` is escaped as in Python,
    `sha256` names the message."""
    return {
        "address": deleted.address,
        "at": iso(deleted.at),
        "uidl": ascii(deleted.uidl)[2:-1],
        "size": deleted.size,
        "sha256": deleted.digest.hex(),
        "reason": deleted.reason,
        "outcome": deleted.outcome,
    }


def report_json(report: PollReport) -> dict[str, Json]:
    """What one poll did. `bytes` counts message bytes."""
    return {
        "address": report.address,
        "listed": report.listed,
        "new": report.new,
        "relinked": report.relinked,
        "deleted": report.deleted,
        "failed": report.failed,
        "left": report.left,
        "bytes": report.octets,
        "seconds": round(report.seconds, 3),
        "error": report.error,
        "error_class": report.error_class,
        "advice": report.advice,
    }


def status_of_json(said: Json) -> Status:
    """The way back of `status_json`. Raises ValueError when it is something else."""
    found = _Reader(said)
    return Status(
        version=found.text("version"),
        pid=found.number("pid"),
        listening=tuple(str(each) for each in found.items("listening")),
        database_ok=found.truth("database_ok"),
        sessions=found.number("sessions"),
        accounts=tuple(_account_of_json(_Reader(each)) for each in found.items("accounts")),
        devices=tuple(_device_of_json(_Reader(each)) for each in found.items("devices")),
        storage=None
        if (storage := found.maybe("storage")) is None
        else Storage(_Reader(storage).number("used"), _Reader(storage).number("free")),
    )


def _device_of_json(found: _Reader) -> DeviceFacts:
    return DeviceFacts(found.text("login"), found.text("name"), found.time("last_seen"))


def _account_of_json(found: _Reader) -> AccountStatus:
    account = AccountState(
        address=found.text("address"),
        last_success=found.time("last_success"),
        last_attempt=found.time("last_attempt"),
        listed=found.number("listed"),
        stored=found.number("stored"),
        failures=found.number("failures"),
        error=found.text("error"),
        error_class=found.text("error_class"),
        advice=found.text("advice"),
        notice=found.text("notice"),
        least_interval=found.number("least_interval"),
    )
    progress = found.maybe("progress")
    return AccountStatus(
        account,
        found.text("state"),
        found.time("next_poll"),
        None if progress is None else _progress_of_json(_Reader(progress)),
        found.text("waits"),
    )


def _progress_of_json(found: _Reader) -> Progress:
    return Progress(
        doing=found.text("doing"),
        done=found.number("done"),
        todo=found.number("todo"),
        octets=found.number("bytes"),
        todo_octets=found.number("todo_bytes"),
        seconds=found.real("seconds"),
    )


def reports_of_json(said: Json) -> Sequence[PollReport]:
    """The way back of a list of `report_json`. Raises ValueError when it is something else."""
    if not isinstance(said, list):
        raise ValueError("not a list of reports")
    return tuple(_report_of_json(_Reader(each)) for each in said)


def _report_of_json(found: _Reader) -> PollReport:
    return PollReport(
        address=found.text("address"),
        listed=found.number("listed"),
        new=found.number("new"),
        relinked=found.number("relinked"),
        deleted=found.number("deleted"),
        failed=found.number("failed"),
        left=found.number("left"),
        octets=found.number("bytes"),
        seconds=found.real("seconds"),
        error=found.text("error"),
        error_class=found.text("error_class"),
        advice=found.text("advice"),
    )


def iso(seconds: int | None) -> str | None:
    """1795788602 -> `2026-11-27T14:10:02Z`."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Reader:
    """Typed access to one JSON object; raises ValueError with the key that is not as it was."""

    def __init__(self, said: Json) -> None:
        if not isinstance(said, Mapping):
            raise ValueError("not an object")
        self._said = said

    def _wrong(self, key: str) -> ValueError:
        return ValueError(f"{key} is missing or not what it was")

    def text(self, key: str) -> str:
        value = self._said.get(key)
        if not isinstance(value, str):
            raise self._wrong(key)
        return value

    def number(self, key: str) -> int:
        value = self._said.get(key)
        if not isinstance(value, int):
            raise self._wrong(key)
        return value

    def real(self, key: str) -> float:
        value = self._said.get(key)
        if not isinstance(value, (int, float)):
            raise self._wrong(key)
        return float(value)

    def truth(self, key: str) -> bool:
        value = self._said.get(key)
        if not isinstance(value, bool):
            raise self._wrong(key)
        return value

    def maybe(self, key: str) -> Json:
        return self._said.get(key)

    def items(self, key: str) -> Sequence[Json]:
        value = self._said.get(key)
        if not isinstance(value, list):
            raise self._wrong(key)
        return value

    def time(self, key: str) -> int | None:
        if self._said.get(key) is None:
            return None
        return int(datetime.fromisoformat(self.text(key)).timestamp())
