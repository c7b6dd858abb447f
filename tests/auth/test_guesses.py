"""How many passwords a guesser may try, and who is not locked out by that."""

from __future__ import annotations

import pytest

from bridge import limits
from bridge.auth import guesses
from bridge.auth.guesses import Guesses
from tests.support import figures


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def tried(guessed: Guesses, peer: str, login: str, times: int) -> int:
    """How many of so many guesses were looked at."""
    looked = 0
    for _ in range(times):
        if guessed.allows(peer, login):
            guessed.failed(peer, login)
            looked += 1
    return looked


@pytest.mark.case("I043")
def test_ten_thousand_from_one_address() -> None:
    clock = Clock()
    guessed = Guesses(clock)
    looked = 0
    for _ in range(10_000):  # within an hour
        looked += tried(guessed, "192.0.2.1", "alice", 1)
        clock.now += 0.36
    assert looked <= limits.GUESSES_PER_ADDRESS + 3600 / limits.GUESS_SECONDS
    assert guessed.allows("192.0.2.2", "alice")  # one address locks nobody out elsewhere
    figures.note("guesses", tried=10_000, looked_at=looked)


@pytest.mark.case("I043")
def test_a_thousand_addresses_at_one_login() -> None:
    clock = Clock()
    guessed = Guesses(clock)
    guessed.succeeded("192.0.2.1", "alice")
    looked = 0
    for number in range(10_000):
        address = f"198.51.{number % 1000 // 250}.{number % 250}"
        looked += tried(guessed, address, "alice", 1)
        clock.now += 0.36
    assert looked <= limits.GUESSES_PER_LOGIN + 3600 / limits.GUESS_SECONDS
    assert not guessed.allows("203.0.113.1", "alice")
    assert guessed.allows("192.0.2.1", "alice")  # from where alice has signed in before
    assert guessed.allows("203.0.113.1", "bob")
    figures.note("guesses", tried=10_000, looked_at=looked)


def test_a_place_that_is_known_has_a_count_of_its_own() -> None:
    guessed = Guesses(Clock())
    guessed.succeeded("192.0.2.1", "alice")
    assert tried(guessed, "192.0.2.1", "alice", 1000) == limits.GUESSES_PER_LOGIN
    assert guessed.allows("192.0.2.2", "alice")
    assert guessed.allows("192.0.2.1", "bob")


def test_a_name_that_nobody_has_is_counted_like_any_other() -> None:
    guessed = Guesses(Clock())
    looked = [tried(guessed, f"192.0.2.{number}", "nobody", 10) for number in range(100)]
    assert sum(looked) == limits.GUESSES_PER_LOGIN


def test_a_guess_is_forgiven_after_a_while() -> None:
    clock = Clock()
    guessed = Guesses(clock)
    most = limits.GUESSES_PER_ADDRESS
    assert tried(guessed, "2001:db8::1", "alice", 1000) == most
    assert tried(guessed, "2001:db8::2", "alice", 1000) == 0  # the same /64
    clock.now += 2 * limits.GUESS_SECONDS
    assert tried(guessed, "2001:db8::3", "alice", 1000) == 2
    clock.now += 1000 * limits.GUESS_SECONDS
    assert tried(guessed, "2001:db8::3", "alice", 1000) == most


def test_only_so_much_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "KEYS", 3)
    guessed = Guesses(Clock())
    for number in range(10):
        guessed.succeeded(f"192.0.2.{number}", "alice")
        guessed.failed(f"198.51.100.{number}", f"login {number}")
        guessed.failed(f"192.0.2.{number}", "alice")
    held = guessed._known, guessed._addresses, guessed._logins, guessed._places
    sizes = [len(each if isinstance(each, dict) else each._failures) for each in held]
    assert sizes == [3, 3, 3, 3]
