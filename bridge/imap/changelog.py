"""Which UIDs changed (or went) since a MODSEQ: the newest of them, in memory.

One group a change, however many entries it touched: a STORE of a whole mailbox is one array.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

LENGTH = 10_000  # UIDs that are remembered; older ones cost a scan, or a guess


class ChangeLog:
    """Complete for what came after `floor`."""

    def __init__(self) -> None:
        self.floor = 0
        self.count = 0  # UIDs
        self._groups: list[tuple[int, array[int]]] = []  # by MODSEQ, rising

    def add(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Takes (MODSEQ, UID) in their order, all of them above what is here."""
        for modseq, group in groupby(pairs, key=itemgetter(0)):
            self.add_group(modseq, array("I", [uid for _, uid in group]))

    def add_group(self, modseq: int, uids: array[int]) -> None:
        self._groups.append((modseq, uids))
        self.count += len(uids)
        if self.count <= 2 * LENGTH:
            return
        # Never the newest group: whoever is one change behind is told that change.
        drop = 0
        while self.count > LENGTH and drop < len(self._groups) - 1:
            self.floor = self._groups[drop][0]
            self.count -= len(self._groups[drop][1])
            drop += 1
        del self._groups[:drop]

    def since(self, modseq: int) -> Sequence[tuple[int, array[int]]]:
        """The groups after `modseq`, which is not below `floor`."""
        return self._groups[bisect_right(self._groups, modseq, key=itemgetter(0)) :]

    def pairs_since(self, modseq: int) -> Iterator[tuple[int, int]]:
        """(UID, MODSEQ), by MODSEQ."""
        for at, uids in self.since(modseq):
            for uid in uids:
                yield uid, at

    def forget(self, floor: int) -> None:
        """Empties it: from here on, what comes after `floor`."""
        self._groups.clear()
        self.count, self.floor = 0, floor
