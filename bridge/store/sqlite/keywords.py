"""Keywords as interned sets: an entry carries the number of a set, not names.

Rules: RFC 3501 2.3.2 keywords are atoms and compare without case; the first spelling that the
store saw is the one that it shows. Belongs to the writer's thread; after a rollback it forgets all
and reads again, because what it learnt may be undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bridge import limits
from bridge.store.api import StoreError, TooMany


def folded(keywords: Iterable[str]) -> dict[str, str]:
    """Lower case -> first spelling given. Raises StoreError or TooMany for what is no keyword."""
    found: dict[str, str] = {}
    for keyword in keywords:
        if len(keyword) > limits.KEYWORD_NAME:
            raise TooMany(f"A keyword may have {limits.KEYWORD_NAME} characters.")
        if not (keyword.isascii() and keyword.isprintable() and keyword and " " not in keyword):
            raise StoreError("A keyword consists of printable ASCII characters without spaces.")
        found.setdefault(keyword.lower(), keyword)
    return found


class KeywordSets:
    """The sets that the database holds, by number and by content."""

    def __init__(self) -> None:
        self._members: dict[int, frozenset[str]] = {}
        self._numbers: dict[frozenset[str], int] = {}
        self._spelling: dict[str, str] = {}
        self.last = -1  # the highest number learnt

    def forget(self) -> None:
        """After a rollback."""
        self._members.clear()
        self._numbers.clear()
        self._spelling.clear()
        self.last = -1

    def learn(self, sets: Mapping[int, tuple[str, ...]]) -> None:
        """Takes sets over from the database."""
        for number, names in sets.items():
            members = frozenset(name.lower() for name in names)
            self._members[number] = members
            self._numbers[members] = number
            self.last = max(self.last, number)
            for name in names:
                self._spelling.setdefault(name.lower(), name)

    def members(self, number: int) -> frozenset[str]:
        """The keywords of a set in lower case."""
        return self._members[number]

    def number(self, members: frozenset[str]) -> int | None:
        """The set with exactly these members."""
        return self._numbers.get(members)

    def spell(self, given: Mapping[str, str], members: frozenset[str]) -> tuple[str, ...]:
        """The members as the store spells them, sorted; `given` spells those that are new."""
        return tuple(
            self._spelling.get(member) or given.get(member, member) for member in sorted(members)
        )
