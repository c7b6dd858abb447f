"""How many wrong passwords are borne: so many at once, then one a minute, from one address and at
one login.

Rules:
- Counted by the name that was said, whether anybody has it or not: what happens tells nothing.
- The password of a device is 130 random bits, which nobody guesses: it is looked at always. So is
  the login's own from where it was right before, under a count of that place alone: whoever
  guesses from elsewhere does not lock its owner out.
- Bounded memory: what was not heard of for the longest time is forgotten first.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from bridge import limits
from bridge.auth.throttle import network

KEYS = 10_000  # addresses, logins, and places where a login was right before


class _Counts:
    """Failures by whatever is counted, one forgiven after each `limits.GUESS_SECONDS`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def of(self, key: Hashable) -> float:
        count, last = self._failures.get(key, (0.0, 0.0))
        return max(0.0, count - (self._clock() - last) / limits.GUESS_SECONDS)

    def add(self, key: Hashable) -> None:
        self._failures[key] = self.of(key) + 1, self._clock()
        self._failures.move_to_end(key)
        if len(self._failures) > KEYS:
            self._failures.popitem(last=False)


class Guesses:
    """Who may still try the password of a login. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._addresses, self._logins = _Counts(clock), _Counts(clock)
        self._places = _Counts(clock)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def allows(self, peer: str, login: str) -> bool:
        """Whether a password of the login itself is looked at, from this address, now."""
        place = network(peer), login
        if place in self._known:
            return self._places.of(place) < limits.GUESSES_PER_LOGIN
        return (
            self._addresses.of(place[0]) < limits.GUESSES_PER_ADDRESS
            and self._logins.of(login) < limits.GUESSES_PER_LOGIN
        )

    def failed(self, peer: str, login: str) -> None:
        """A password was looked at, and wrong."""
        place = network(peer), login
        if place in self._known:
            self._places.add(place)
        else:
            self._addresses.add(place[0])
            self._logins.add(login)

    def succeeded(self, peer: str, login: str) -> None:
        place = network(peer), login
        self._known[place] = None
        self._known.move_to_end(place)
        if len(self._known) > KEYS:
            self._known.popitem(last=False)
