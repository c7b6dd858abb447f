"""Flags, keyword sets and MODSEQs of entries as they lie on disk: a block for 256 UIDs.

    flags     an octet a UID; ABSENT where no entry has it
    keywords  the numbers of keyword sets, 4 octets a UID, or 4 octets for all of the block
    modseqs   MODSEQs, 8 octets a UID, or 8 octets for all of the block

So a STORE of a whole mailbox rewrites a row for 256 messages, and no step of it looks at messages
one by one. A *mask* selects entries of a block: 255 for each that is meant, else 0.

Rules: pure; numbers are little-endian; what a column says where no entry is does not count.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import compress
from typing import NamedTuple

from bridge.model import EntryStates, Flag
from bridge.store.api import StoreOp, UidRanges

SPAN = 256
ABSENT = 255
NOBODY = b"\xff" * SPAN  # the flags of a block without entries
_KEYWORD, _MODSEQ = 4, 8  # octets of a number

_THERE = bytes([255] * ABSENT + [0])  # flags -> mask
_UNSEEN = bytes([not flags & Flag.SEEN for flags in range(ABSENT)] + [0])
_DELETED = bytes([255 if flags & Flag.DELETED else 0 for flags in range(ABSENT)] + [0])
_CHANGED = bytes([0] + [255] * 255)  # difference -> mask
_ALL = b"\xff" * SPAN
_RUN = re.compile(b"\xff++")


class Block(NamedTuple):
    """The entries with the UIDs from `number` * SPAN on."""

    number: int
    flags: bytes
    keywords: bytes
    modseqs: bytes

    @property
    def there(self) -> bytes:
        """The mask of all entries."""
        return self.flags.translate(_THERE)

    @property
    def deleted(self) -> bytes:
        """The mask of the entries with \\Deleted."""
        return self.flags.translate(_DELETED)

    def newer(self, since: int) -> bytes:
        """The mask of the entries whose MODSEQ is greater than `since`."""
        if len(self.modseqs) == _MODSEQ:
            newer = int.from_bytes(self.modseqs, "little") > since
            return self.there if newer else bytes(SPAN)
        mask = bytes(map(since.__lt__, _numbers("Q", self.modseqs))).translate(_CHANGED)
        return both(mask, self.there)

    def counts(self) -> tuple[int, int, int]:
        """(entries, those without \\Seen, those with \\Deleted)."""
        absent = self.flags.count(ABSENT)
        unseen = self.flags.translate(_UNSEEN).count(1)
        return SPAN - absent, unseen, self.deleted.count(255)

    def changed(
        self, mask: bytes, op: StoreOp, flags: int, sets: Callable[[int], int] | None
    ) -> tuple[Block, bytes]:
        """STORE for the entries of `mask`: the block with other flags and keyword sets (`sets`
        says what becomes of one; None: nothing), and the mask of those that really changed."""
        new = _blend(self.flags, self.flags.translate(_translation(op, flags)), mask)
        changed = _xor(self.flags, new).translate(_CHANGED)
        keywords = self.keywords
        if sets is not None:
            keywords, other = self._other_sets(mask, sets)
            changed = _either(changed, other)
        return self._replace(flags=new, keywords=keywords), changed

    def _other_sets(self, mask: bytes, sets: Callable[[int], int]) -> tuple[bytes, bytes]:
        """(keywords, the mask of the entries whose set is another one)."""
        if len(self.keywords) == _KEYWORD:
            old = int.from_bytes(self.keywords, "little")
            if (new := sets(old)) == old:
                return self.keywords, bytes(SPAN)
            return _put(self.keywords, mask, self.there, _octets(new, _KEYWORD)), mask
        numbers = _numbers("I", self.keywords)
        become = {old: sets(old) for old in sorted(set(compress(numbers, mask)))}
        other = bytearray(SPAN)
        for at in compress(range(SPAN), mask):
            old = numbers[at]
            if become[old] != old:
                numbers[at] = become[old]
                other[at] = 255
        return packed(_column(numbers), _KEYWORD), bytes(other)

    def stamped(self, mask: bytes, modseq: int) -> Block:
        """The entries of `mask` have this MODSEQ."""
        stamp = _octets(modseq, _MODSEQ)
        return self._replace(modseqs=_put(self.modseqs, mask, self.there, stamp))

    def without(self, mask: bytes) -> Block:
        """The entries of `mask` are gone."""
        return self._replace(flags=_either(self.flags, mask))

    def with_entries(self, at: int, flags: bytes, keywords: Sequence[int], modseq: int) -> Block:
        """New entries from position `at` on, `modseq` for all of them."""
        count = len(flags)
        first = self.flags == NOBODY
        kept = self.flags[:at] + flags + self.flags[at + count :]
        if len(sets := set(keywords)) == 1:
            column = _fill(self.keywords, at, count, _octets(sets.pop(), _KEYWORD), first)
        else:
            numbers = _numbers("I", _whole(self.keywords, _KEYWORD))
            numbers[at : at + count] = array("I", keywords)
            column = packed(_column(numbers), _KEYWORD)
        modseqs = _fill(self.modseqs, at, count, _octets(modseq, _MODSEQ), first)
        return Block(self.number, kept, column, modseqs)


def empty(number: int) -> Block:
    return Block(number, NOBODY, bytes(_KEYWORD), bytes(_MODSEQ))


def both(one: bytes, other: bytes) -> bytes:
    """The mask of what is in both."""
    return (int.from_bytes(one, "little") & int.from_bytes(other, "little")).to_bytes(
        SPAN, "little"
    )


def but(one: bytes, other: bytes) -> bytes:
    """The mask of what is in one and not in the other."""
    return both(one, other.translate(_INVERSE))


_INVERSE = bytes(range(255, -1, -1))


def select(blocks: Iterable[Block], uids: UidRanges) -> Iterator[tuple[Block, bytes]]:
    """Those of the (rising) blocks that have entries with these UIDs, each with their mask."""
    at, end = 0, len(uids)
    for block in blocks:
        base = block.number * SPAN
        while at < end and uids[at][1] < base:
            at += 1
        if at == end:
            return
        mask = block.there
        if not (uids[at][0] <= base and base + SPAN - 1 <= uids[at][1]):
            asked = bytearray(SPAN)
            for low, high in _overlapping(uids, at, base):
                asked[low : high + 1] = b"\xff" * (high + 1 - low)
            mask = both(mask, bytes(asked))
        if 255 in mask:
            yield block, mask


def _overlapping(uids: UidRanges, at: int, base: int) -> Iterator[tuple[int, int]]:
    """The ranges from `at` on as far as they are in the block, as positions."""
    while at < len(uids) and uids[at][0] < base + SPAN:
        low, high = uids[at]
        yield max(low - base, 0), min(high - base, SPAN - 1)
        at += 1


def states(chosen: Iterable[tuple[Block, bytes]]) -> EntryStates:
    """The entries of the masks."""
    uids, flags = array("I"), bytearray()
    keywords, modseqs = array("I"), array("Q")
    for block, mask in chosen:
        base, whole = block.number * SPAN, mask == _ALL
        count = mask.count(255)
        some = range(base, base + SPAN)
        uids.extend(some if whole else compress(some, mask))
        flags += block.flags if whole else bytes(compress(block.flags, mask))
        for column, width, into in (
            (block.keywords, _KEYWORD, keywords),
            (block.modseqs, _MODSEQ, modseqs),
        ):
            if len(column) == width:
                into.extend(_numbers(into.typecode, column * count))
            else:
                several = _numbers(into.typecode, column)
                into.extend(several if whole else compress(several, mask))
    return EntryStates(uids, bytes(flags), keywords, modseqs)


def ranges(chosen: Iterable[tuple[Block, bytes]]) -> list[tuple[int, int]]:
    """The UIDs of the masks, as closed intervals."""
    found: list[tuple[int, int]] = []
    for block, mask in chosen:
        for run in _RUN.finditer(mask):
            first, last = block.number * SPAN + run.start(), block.number * SPAN + run.end() - 1
            if found and found[-1][1] == first - 1:
                first = found.pop()[0]
            found.append((first, last))
    return found


def spans(uids: UidRanges) -> list[tuple[int, int]]:
    """The numbers of the blocks of these UIDs, as closed intervals."""
    found: list[tuple[int, int]] = []
    for low, high in uids:
        first, last = low // SPAN, high // SPAN
        if found and first <= found[-1][1] + 1:
            first, last = found[-1][0], max(last, found.pop()[1])
        found.append((first, last))
    return found


def packed(column: bytes, width: int) -> bytes:
    """The numbers of a block, once where they are all the same."""
    return column[:width] if column == column[:width] * SPAN else column


def _whole(column: bytes, width: int) -> bytes:
    return column * SPAN if len(column) == width else column


def _fill(column: bytes, at: int, count: int, number: bytes, first: bool) -> bytes:
    """The column with this number for `count` entries from position `at` on, which are the
    `first` of the block or not."""
    if first or column == number:
        return number
    width = len(number)
    whole = _whole(column, width)
    return whole[: at * width] + number * count + whole[(at + count) * width :]


def _put(column: bytes, mask: bytes, there: bytes, number: bytes) -> bytes:
    """The column with this number for the entries of `mask`."""
    if mask == there or column == number:
        return number
    width = len(number)
    new = bytearray(_whole(column, width))
    for run in _RUN.finditer(mask):
        first, end = run.span()
        new[first * width : end * width] = number * (end - first)
    return packed(bytes(new), width)


@lru_cache(maxsize=128)
def _translation(op: StoreOp, flags: int) -> bytes:
    """Old flags -> new ones; what is absent stays so."""
    table = {
        "add": (old | flags for old in range(ABSENT)),
        "remove": (old & ~flags for old in range(ABSENT)),
        "replace": (flags for _ in range(ABSENT)),
    }[op]
    return bytes([*table, ABSENT])


def _blend(old: bytes, new: bytes, mask: bytes) -> bytes:
    return _xor(old, both(_xor(old, new), mask))


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "little") ^ int.from_bytes(other, "little")).to_bytes(
        SPAN, "little"
    )


def _either(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "little") | int.from_bytes(other, "little")).to_bytes(
        SPAN, "little"
    )


def _octets(number: int, width: int) -> bytes:
    return number.to_bytes(width, "little")


def _numbers(typecode: str, column: bytes) -> array[int]:
    numbers = array(typecode)
    numbers.frombytes(column)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _column(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


class Gathered:
    """An aggregate for the migration that makes blocks out of rows: SQL calls it with (width,
    position, number) of each entry and gets the column; width 1 is that of flags."""

    def __init__(self) -> None:
        self._width = 1
        self._numbers: dict[int, int] = {}

    def step(self, width: int, position: int, number: int) -> None:
        self._width = width
        self._numbers[position] = number

    def finalize(self) -> bytes:
        width = self._width
        if width == 1:
            return bytes(self._numbers.get(at, ABSENT) for at in range(SPAN))
        some = next(iter(self._numbers.values()))
        column = b"".join(_octets(self._numbers.get(at, some), width) for at in range(SPAN))
        return packed(column, width)
