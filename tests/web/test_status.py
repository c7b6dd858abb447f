"""The facts of the daemon: what counts as ready, and JSON there and back."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model import AccountState, PollReport, Progress
from bridge.web.status import (
    AccountStatus,
    DeviceFacts,
    Status,
    Storage,
    iso,
    report_json,
    reports_of_json,
    status_json,
    status_of_json,
)

GOOD = Status("1.0", 42, ("imap://127.0.0.1:1143",), True, 3, ())
seconds = st.none() | st.integers(0, 4_000_000_000)
counts = st.integers(0, 10**9)
accounts = st.builds(
    AccountStatus,
    st.builds(
        AccountState,
        address=st.text(),
        last_success=seconds,
        last_attempt=seconds,
        listed=counts,
        stored=counts,
        failures=counts,
        error=st.text(),
        error_class=st.text(),
        advice=st.text(),
        notice=st.text(),
        least_interval=counts,
    ),
    st.sampled_from(["up to date", "polling", "waiting", "needs attention", "never polled"]),
    seconds,
    st.none() | st.builds(Progress, st.text(), counts, counts, counts, counts, st.just(2.5)),
    st.text(),
)
statuses = st.builds(
    Status,
    st.text(),
    counts,
    st.lists(st.text()).map(tuple),
    st.booleans(),
    counts,
    st.lists(accounts).map(tuple),
    st.lists(st.builds(DeviceFacts, st.text(), st.text(), seconds)).map(tuple),
    st.none() | st.builds(Storage, counts, counts),
)


def test_ready_needs_a_listener_and_a_database() -> None:
    assert GOOD.ready
    assert not dataclasses.replace(GOOD, database_ok=False).ready
    assert not dataclasses.replace(GOOD, listening=()).ready


@pytest.mark.parametrize(
    ("state", "attention"),
    [
        ("up to date", False),
        ("polling", False),
        ("waiting", False),
        ("never polled", False),
        ("needs attention", True),
    ],
)
def test_what_needs_attention(state: str, attention: bool) -> None:
    account = AccountStatus(AccountState("me@gmx.de"), state)
    found = dataclasses.replace(GOOD, accounts=(account,))
    assert found.needs_attention is attention
    assert found.ready
    assert dataclasses.replace(found, database_ok=False).needs_attention


def test_the_json_of_an_account() -> None:
    state = AccountState("me@gmx.de", 1795788602, None, 20, 19, 1, "no", "auth", "look")
    status = dataclasses.replace(GOOD, accounts=(AccountStatus(state, "waiting", 1795789502),))
    (account,) = json.loads(json.dumps(status_json(status)))["accounts"]
    assert account == {
        "address": "me@gmx.de",
        "state": "waiting",
        "last_success": "2026-11-27T14:10:02Z",
        "last_attempt": None,
        "next_poll": "2026-11-27T14:25:02Z",
        "listed": 20,
        "stored": 19,
        "failures": 1,
        "error": "no",
        "error_class": "auth",
        "advice": "look",
        "notice": "",
        "least_interval": 0,
        "waits": "",
        "progress": None,
    }


@given(statuses)
def test_status_there_and_back(status: Status) -> None:
    """Whatever the status, its JSON text read back is the same status."""
    assert status_of_json(json.loads(json.dumps(status_json(status)))) == status


@given(
    st.lists(
        st.builds(
            PollReport,
            st.text(), counts, counts, counts, counts, counts, counts,
            st.integers(0, 10**6).map(float), st.text(), st.text(), st.text(),
        )
    )
)  # fmt: skip
def test_reports_there_and_back(reports: list[PollReport]) -> None:
    """Whatever the reports, their JSON text read back are the same reports."""
    said = json.loads(json.dumps([report_json(each) for each in reports]))
    assert list(reports_of_json(said)) == reports


@pytest.mark.parametrize(
    "said",
    [None, 1, [], {}, {"version": 1}, {**status_json(GOOD), "pid": "x"},
     {**status_json(GOOD), "accounts": [{}]}, {**status_json(GOOD), "listening": "x"}],
)  # fmt: skip
def test_what_is_no_status(said: object) -> None:
    with pytest.raises(ValueError, match=r"not an object|missing"):
        status_of_json(said)  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize("said", [None, {}, [1], [{}]])
def test_what_are_no_reports(said: object) -> None:
    with pytest.raises(ValueError, match=r"not a|missing"):
        reports_of_json(said)  # type: ignore[arg-type]  # the point of the test


def test_iso() -> None:
    assert iso(0) == "1970-01-01T00:00:00Z"
    assert iso(None) is None
