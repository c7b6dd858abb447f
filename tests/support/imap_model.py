"""What a mail server must do to flags and UIDs, in dictionaries, for tests to compare with.

    house = House({"INBOX": 1, "Archive": 2})         # name -> UIDVALIDITY
    done = house.store("INBOX", [1, 2], "+", {"\\\\Seen"})
    done.modified                                     # UIDs that failed UNCHANGEDSINCE

Rules: no I/O, nothing of the server's own code. The model does not know which MODSEQ the server
gives to a change, only that it is greater than all before; it writes a provisional one, and the
test brings the server's own with `adopt`.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Entry:
    """`content` names the octets of the message."""

    flags: frozenset[str]
    content: int
    modseq: int


@dataclass(slots=True)
class Box:
    """A mailbox. `changed` and `gone` are what happened since the last `House.adopt`, with the
    provisional MODSEQ of each."""

    uidvalidity: int
    uidnext: int = 1
    highest: int = 0
    entries: dict[int, Entry] = field(default_factory=dict)
    changed: dict[int, int] = field(default_factory=dict)
    gone: dict[int, int] = field(default_factory=dict)

    def copy(self) -> Box:
        out = copy.copy(self)
        out.entries = {uid: copy.copy(entry) for uid, entry in self.entries.items()}
        out.changed, out.gone = dict(self.changed), dict(self.gone)
        return out


@dataclass(frozen=True, slots=True)
class Done:
    """What the server must answer. `pairs` are (source UID, target UID) of COPY and MOVE, or
    (0, UID) of APPEND."""

    modified: frozenset[int] = frozenset()
    pairs: tuple[tuple[int, int], ...] = ()
    gone: frozenset[int] = frozenset()
    target: str = ""


class House:
    """All mailboxes of one login."""

    def __init__(self, boxes: Mapping[str, int]) -> None:
        self.boxes = {name: Box(validity) for name, validity in boxes.items()}
        self._tick = 0

    def fork(self) -> House:
        out = House({})
        out.boxes = {name: box.copy() for name, box in self.boxes.items()}
        out._tick = self._tick
        return out

    def _next(self) -> int:
        """A provisional MODSEQ, greater than all that there is."""
        self._tick += 1
        return max(box.highest for box in self.boxes.values()) + self._tick

    # --- commands -----------------------------------------------------------------------

    def store(
        self,
        name: str,
        uids: Iterable[int],
        op: str,
        flags: Iterable[str],
        unchanged_since: int | None = None,
    ) -> Done:
        box, modseq, names = self.boxes[name], self._next(), frozenset(flags)
        modified = set()
        for uid in uids:
            entry = box.entries.get(uid)
            if entry is None:
                continue
            if unchanged_since is not None and entry.modseq > unchanged_since:
                modified.add(uid)
                continue
            after = {"+": entry.flags | names, "-": entry.flags - names, "": names}[op]
            if after != entry.flags:
                box.entries[uid] = Entry(after, entry.content, modseq)
                box.changed[uid] = modseq
        return Done(modified=frozenset(modified))

    def append(self, name: str, flags: Iterable[str], contents: Sequence[int]) -> Done:
        modseq = self._next()
        uids = [self._add(name, Entry(frozenset(flags), each, modseq)) for each in contents]
        return Done(pairs=tuple((0, uid) for uid in uids), target=name)

    def copy(self, name: str, uids: Iterable[int], target: str, *, move: bool = False) -> Done:
        box, modseq = self.boxes[name], self._next()
        pairs = []
        for uid in sorted(set(uids) & set(box.entries)):
            entry = box.entries[uid]
            pairs.append((uid, self._add(target, Entry(entry.flags, entry.content, modseq))))
        gone = self._remove(box, [uid for uid, _ in pairs]) if move else frozenset()
        return Done(pairs=tuple(pairs), gone=gone, target=target)

    def expunge(self, name: str, uids: Iterable[int] | None = None) -> Done:
        box = self.boxes[name]
        chosen = set(box.entries) if uids is None else set(uids) & set(box.entries)
        return Done(
            gone=self._remove(box, [uid for uid in chosen if "\\Deleted" in box.entries[uid].flags])
        )

    def _add(self, name: str, entry: Entry) -> int:
        box = self.boxes[name]
        uid = box.uidnext
        box.uidnext += 1
        box.entries[uid] = entry
        box.changed[uid] = entry.modseq
        return uid

    def _remove(self, box: Box, uids: Sequence[int]) -> frozenset[int]:
        modseq = self._next()
        for uid in uids:
            del box.entries[uid]
            box.changed.pop(uid, None)
            box.gone[uid] = modseq
        return frozenset(uids)

    # --- comparing with the server ------------------------------------------------------

    def faults(self, name: str, truth: Truth) -> list[str]:
        """Where the server's state is not the model's; empty where it is."""
        box = self.boxes[name]
        out = []

        def differ(what: str, ours: object, theirs: object) -> None:
            if ours != theirs:
                out.append(f"{name}: {what}: the model has {ours}, the server {theirs}")

        differ("UIDVALIDITY", box.uidvalidity, truth.uidvalidity)
        differ("UIDNEXT", box.uidnext, truth.uidnext)
        differ(
            "flags",
            {uid: sorted(entry.flags) for uid, entry in box.entries.items()},
            {uid: sorted(state[0]) for uid, state in truth.entries.items()},
        )
        differ(
            "messages",
            {uid: entry.content for uid, entry in box.entries.items()},
            {uid: state[2] for uid, state in truth.entries.items()},
        )
        if out:
            return out
        modseqs = {uid: state[1] for uid, state in truth.entries.items()}
        for uid, entry in box.entries.items():
            if uid not in box.changed:
                differ(f"MODSEQ of the unchanged {uid}", entry.modseq, modseqs[uid])
            elif not box.highest < modseqs[uid] <= truth.highest:
                out.append(
                    f"{name}: UID {uid} changed, its MODSEQ {modseqs[uid]} is not between "
                    f"{box.highest} and {truth.highest}"
                )
        for uid in box.gone:
            told = truth.gone.get(uid)
            if told is None or not box.highest < told <= truth.highest:
                out.append(f"{name}: UID {uid} was expunged, remembered with MODSEQ {told}")
        if truth.complete:
            differ("expunged", set(box.gone), set(truth.gone))
        # What came later in the model has the greater MODSEQ on the server.
        order = sorted(
            (provisional, modseqs[uid] if uid in modseqs else truth.gone.get(uid, 0))
            for uid, provisional in (*box.changed.items(), *box.gone.items())
        )
        for before, after in itertools.pairwise(order):
            if truth.complete and before[0] < after[0] and not before[1] < after[1]:
                out.append(f"{name}: MODSEQ {after[1]} came after {before[1]}")
        if box.changed or box.gone:
            if truth.highest <= box.highest:
                out.append(f"{name}: HIGHESTMODSEQ stayed at {truth.highest} after a change")
        else:
            differ("HIGHESTMODSEQ without a change", box.highest, truth.highest)
        return out

    def adopt(self, name: str, truth: Truth) -> None:
        """Takes over the server's MODSEQs, after `faults` found nothing."""
        box = self.boxes[name]
        for uid, entry in box.entries.items():
            entry.modseq = truth.entries[uid][1]
        box.highest = truth.highest
        box.changed.clear()
        box.gone.clear()


@dataclass(frozen=True, slots=True)
class Truth:
    """What the store holds of a mailbox: UID -> (flags, MODSEQ, content); UID -> MODSEQ of what
    was expunged since the last look. `complete` says that `gone` holds nothing else (the store
    remembers that far)."""

    uidvalidity: int
    uidnext: int
    highest: int
    entries: Mapping[int, tuple[frozenset[str], int, int]]
    gone: Mapping[int, int]
    complete: bool
