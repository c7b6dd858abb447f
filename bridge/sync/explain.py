"""A poll in words: what happened, its class, what to do next; and the state of its account. Pure.

Rules: a refused login soon after one that worked is first taken for "too soon" or "switched off",
not for a wrong password; a provider's text comes escaped, as `Pop3Error` has it.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from datetime import UTC, datetime

from bridge.model import AccountState, Endpoint, PollReport
from bridge.pop3.client import Pop3Error
from bridge.store.api import StoreError, StoreFull

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_DISK = "free some space on the disk of data_dir; polling goes on by itself"


class NoPassword(Exception):
    """The password could not be had; nobody tried to log in."""


def explain(
    exc: Exception, address: str, endpoint: Endpoint, before: AccountState, now: int
) -> tuple[str, str, str]:
    """A failure as (what happened, its class, what to do next)."""
    match exc:
        case Pop3Error() if exc.kind == "auth" and doubtful_refusal(before):
            return (
                f"{exc}; but a login worked {span(now - (before.last_success or now))} ago",
                "auth",
                "The password may well be right: it was asked too soon, or POP3 was switched off "
                f"at the provider. It is tried again after a pause. Else: {exc.advice}",
            )
        case Pop3Error():
            return str(exc), exc.kind, exc.advice
        case NoPassword():
            return (
                f"the password of {address} could not be had: {exc}",
                "auth",
                "look at password, password_file or password_command of the account in the config",
            )
        case StoreFull():
            return f"mail of {address} cannot be stored: {exc}", "store", _DISK
        case StoreError():
            return (
                f"mail of {address} cannot be stored: {exc}",
                "store",
                "look into the log of popbridge; the mail is still at the provider",
            )
        case OSError() if exc.errno in _NO_SPACE:
            return f"mail of {address} cannot be stored: {exc.strerror}", "store", _DISK
        case OSError():
            return (
                f"polling {address} failed: {exc}",
                "connect",
                f"see whether {endpoint.host}:{endpoint.port} can be reached from here",
            )
        case _:
            return (
                f"polling {address} failed inside popbridge: {type(exc).__name__}",
                "internal",
                "this is a mistake in popbridge: please report the lines of the log; "
                "nothing is lost, the next poll tries again",
            )


def doubtful_refusal(before: AccountState) -> bool:
    """Whether a refused login is the first after one that worked."""
    return before.last_success is not None and before.error_class != "auth"


def span(seconds: int) -> str:
    """`12 s`, `3 min`, `2 h`, `5 days`."""
    for unit, name in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name}"
    return f"{max(seconds, 0)} s"


def reset(found: int, unseen: int, now: float) -> str:
    """The notice of a provider that gave new UIDLs to `found` known messages; `unseen` of them
    were not fetched."""
    day = datetime.fromtimestamp(now, UTC).date().isoformat()
    again = found - unseen
    how = (
        "their headers: none was fetched again"
        if not again
        else f"their content: {again} were fetched once more"
    )
    return (
        f"On {day} the provider gave new ids to {found} messages. They were recognised by {how}, "
        "none is shown twice."
    )


def next_state(
    before: AccountState, report: PollReport, stored: int, now: int, notice: str = ""
) -> AccountState:
    """The account's state after a poll. A poll that failed says nothing about the maildrop."""
    least = report.least_interval or before.least_interval
    if report.error:
        return replace(
            before,
            last_attempt=now,
            listed=report.listed or before.listed,
            stored=stored or before.stored,
            failures=before.failures + 1 if report.error_class == before.error_class else 1,
            error=report.error,
            error_class=report.error_class,
            advice=report.advice,
            notice=notice or before.notice,
            least_interval=least,
        )
    return AccountState(
        address=before.address,
        last_success=now,
        last_attempt=now,
        listed=report.listed,
        stored=stored,
        notice=notice or before.notice,
        least_interval=least,
    )
