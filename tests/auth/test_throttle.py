"""Who guesses passwords waits longer and longer, up to a cap."""

from __future__ import annotations

import itertools

from bridge import limits
from bridge.auth import throttle
from bridge.auth.throttle import LoginThrottle


def test_the_wait_doubles_up_to_its_cap_and_is_forgiven() -> None:
    guessed = LoginThrottle(lambda: 0.0)
    waits = [guessed.failed("192.0.2.1") for _ in range(40)]
    assert waits[0] == limits.IMAP_FAILED_LOGIN_DELAY
    most = limits.IMAP_FAILED_LOGIN_DELAY_MOST
    assert all(after == min(2 * before, most) for before, after in itertools.pairwise(waits))
    assert waits[-1] == most
    assert guessed.failed("192.0.2.2") == limits.IMAP_FAILED_LOGIN_DELAY
    guessed.succeeded("192.0.2.1")
    assert guessed.failed("192.0.2.1") == limits.IMAP_FAILED_LOGIN_DELAY


def test_an_hour_of_quiet_is_forgiven() -> None:
    now = [0.0]
    guessed = LoginThrottle(lambda: now[0])
    assert guessed.failed("a") < guessed.failed("a")
    now[0] += throttle.FORGIVEN_SECONDS
    assert guessed.failed("a") == limits.IMAP_FAILED_LOGIN_DELAY


def test_only_so_many_addresses_are_remembered() -> None:
    guessed = LoginThrottle(lambda: 0.0)
    guessed.failed("first")
    for number in range(throttle.ADDRESSES):
        guessed.failed(f"peer {number}")
    assert guessed.failed("first") == limits.IMAP_FAILED_LOGIN_DELAY
    assert guessed.failed(f"peer {number}") == 2 * limits.IMAP_FAILED_LOGIN_DELAY
