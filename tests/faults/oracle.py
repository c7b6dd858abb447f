"""The oracle: what must be there, and what an independent client and the database file show.

Rules:
- Every message has octets of its own, so that its SHA-256 names it. What the providers ever
  offered and nobody moved is in INBOX, exactly once, without flags.
- A message that a device works on belongs to that device alone, from its first command on. Of
  each device one command at most is unanswered when the daemon dies: what is there afterwards is
  exactly what was acknowledged, or that and the whole of the unanswered command.
- What was seen once stays: nothing changes but by a command of the devices.
- UIDs rise and never name two messages, UIDVALIDITY stays, UIDNEXT and HIGHESTMODSEQ never fall;
  INBOX alone may be renumbered, once, where a first sync brought the newest messages first: then
  it has another UIDVALIDITY, and every message and flag that it had.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bridge.store.migrate import load as load_schema
from bridge.store.opening import DATABASE
from bridge.store.sqlite.check import faults as faults_of_database
from tests.faults.device import Flags, Seen

Place = tuple[str, int]  # mailbox, UID
Entry = tuple[bytes, Flags]  # SHA-256 of the octets, flags
Arrival = tuple[str, bytes, Flags]  # mailbox, SHA-256, flags: an entry whose UID is not known yet
INBOX = "INBOX"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a command does when it is done, all of it or nothing. `added` is in UID order."""

    removed: frozenset[Place] = frozenset()
    changed: Mapping[Place, Flags] = field(default_factory=dict)
    added: Sequence[Arrival] = ()
    created: str | None = None


@dataclass(slots=True)
class Holding:
    """The entries of one device's messages as far as it knows, and its unanswered command."""

    entries: dict[Place, Entry] = field(default_factory=dict)
    pending: Effect | None = None

    def acknowledged(self, uids: Sequence[int]) -> None:
        """The pending command was answered OK, what it added got these UIDs."""
        assert self.pending is not None
        done, self.pending = self.pending, None
        self.entries = self._after(done)
        for (mailbox, digest, flags), uid in zip(done.added, uids, strict=True):
            self.entries[mailbox, uid] = (digest, flags)

    def explains(self, there: Mapping[Place, Entry]) -> bool:
        """Whether what is there is the state before or after the pending command."""
        if there == self.entries:
            return True
        if self.pending is None:
            return False
        after = self._after(self.pending)
        if any(there.get(place) != entry for place, entry in after.items()):
            return False
        rest = [(box, *there[box, uid]) for box, uid in there.keys() - after.keys()]
        return Counter(rest) == Counter(self.pending.added)

    def _after(self, effect: Effect) -> dict[Place, Entry]:
        """Without what it adds."""
        kept = {place: it for place, it in self.entries.items() if place not in effect.removed}
        for place, flags in effect.changed.items():
            kept[place] = (kept[place][0], flags)
        return kept


class Oracle:
    """Collects what does not fit into `faults`; `lost` and `doubled` are digests."""

    def __init__(self, holdings: int, *, renumberings: int = 0) -> None:
        self._renumberings = self._row_renumberings = renumberings
        self.holdings = [Holding() for _ in range(holdings)]
        self.offered: set[bytes] = set()
        self.owner: dict[bytes, int] = {}  # number of the holding
        self.mailboxes: set[str] = {INBOX}
        self.faults: list[str] = []
        self.lost: set[bytes] = set()
        self.doubled: set[bytes] = set()
        self._uids: dict[tuple[str, int], bytes] = {}
        self._gone: set[Place] = set()
        self._seen: dict[str, Seen] = {}
        self._rows: dict[int, tuple[int, int, int]] = {}

    def is_expunged(self, digest: bytes) -> bool:
        """Whether a device expunged every entry of the message, perhaps by its unanswered
        command."""
        if digest not in self.owner:
            return False
        holding = self.holdings[self.owner[digest]]
        if (pending := holding.pending) is None:
            return all(each != digest for each, _ in holding.entries.values())
        after = [each for each, _ in holding._after(pending).values()]
        return digest not in (*after, *(each for _, each, _ in pending.added))

    # --- over IMAP ----------------------------------------------------------------------

    def compare(self, seen: Mapping[str, Seen], *, complete: bool = False) -> None:
        """Judges what a client sees after a restart; from now on that is what must stay.

        `complete`: a poll is over, so that everything that was offered must be there.
        """
        self._identifiers(seen)
        there: dict[Place, Entry] = {
            (name, uid): entry for name, box in seen.items() for uid, entry in box.entries.items()
        }
        self._new_mail(there)
        for holding in self.holdings:
            if holding.pending is not None and holding.pending.created in seen:
                assert holding.pending.created is not None
                self.mailboxes.add(holding.pending.created)
        for name in self.mailboxes - seen.keys():
            self.faults.append(f"mailbox {name} is gone")
        for number, holding in enumerate(self.holdings):
            mine = {place: it for place, it in there.items() if self.owner.get(it[0]) == number}
            if not holding.explains(mine):
                self._explain(number, holding, mine)
            holding.entries, holding.pending = mine, None
        if complete:
            missing = self.offered - self.owner.keys()
            if missing:
                self.lost |= missing
                self.faults.append(f"{len(missing)} offered messages never came")

    def _identifiers(self, seen: Mapping[str, Seen]) -> None:
        for name, box in seen.items():
            before = self._seen.get(name)
            if before is not None and box.uidvalidity > before.uidvalidity and name == INBOX:
                before = self._renumbered(before, box)
            if before is not None and box.uidvalidity != before.uidvalidity:
                self.faults.append(f"{name}: UIDVALIDITY {before.uidvalidity} -> {box.uidvalidity}")
            if before is not None and box.uidnext < before.uidnext:
                self.faults.append(f"{name}: UIDNEXT {before.uidnext} -> {box.uidnext}")
            for uid, (digest, _) in box.entries.items():
                if self._uids.setdefault((name, uid), digest) != digest:
                    self.faults.append(f"{name}: UID {uid} shows two messages")
                if (name, uid) in self._gone:
                    self.faults.append(f"{name}: UID {uid} came back")
                if before is not None and uid not in before.entries and uid < before.uidnext:
                    self.faults.append(f"{name}: UID {uid} is new and below UIDNEXT of before")
            if before is not None:
                self._gone |= {(name, uid) for uid in before.entries.keys() - box.entries.keys()}
            self._seen[name] = box if before is None else _merged(before, box)

    def _renumbered(self, before: Seen, now: Seen) -> Seen | None:
        """None where this is the renumbering that INBOX may have: from here on its messages are
        known by their new UIDs."""
        if not self._renumberings:
            return before
        self._renumberings -= 1
        self._uids = {place: digest for place, digest in self._uids.items() if place[0] != INBOX}
        self._gone = {place for place in self._gone if place[0] != INBOX}
        uids: dict[bytes, list[int]] = {}
        for uid, (digest, _) in sorted(now.entries.items(), reverse=True):
            uids.setdefault(digest, []).append(uid)
        for holding in self.holdings:
            moved: dict[Place, Entry] = {}
            for (name, uid), entry in holding.entries.items():
                # What is not there any more keeps a place that nothing has: it is missed.
                found = uids.get(entry[0]) if name == INBOX else None
                new = (found.pop() if found else -uid) if name == INBOX else uid
                moved[name, new] = entry
            holding.entries = moved
        return None

    def _new_mail(self, there: Mapping[Place, Entry]) -> None:
        """Mail that nobody saw before: offered, in INBOX, once. It is given to a device."""
        new: dict[bytes, list[Place]] = {}
        for place, (digest, flags) in there.items():
            if digest in self.owner:
                continue
            new.setdefault(digest, []).append(place)
            if digest not in self.offered:
                self.faults.append(f"{place}: a message that nobody offered")
            elif place[0] != INBOX or flags:
                self.faults.append(f"{place}: new mail with flags {set(flags)}")
        for digest, places in sorted(new.items()):
            if len(places) > 1:
                self.doubled.add(digest)
                self.faults.append(f"new mail is there {len(places)} times: {places}")
            number = digest[0] % len(self.holdings)
            self.owner[digest] = number
            for place in places:
                self.holdings[number].entries[place] = there[place]

    def _explain(self, number: int, holding: Holding, mine: Mapping[Place, Entry]) -> None:
        wanted = Counter(digest for digest, _ in holding.entries.values())
        got = Counter(digest for digest, _ in mine.values())
        self.lost |= set(wanted - got)
        self.doubled |= set(got - wanted)
        missing = [place for place in holding.entries if place not in mine]
        extra = [place for place in mine if place not in holding.entries]
        other = [p for p, entry in mine.items() if holding.entries.get(p, entry) != entry]
        self.faults.append(
            f"device {number}: missing {missing[:5]} extra {extra[:5]} changed {other[:5]}; "
            f"unanswered: {holding.pending}"
        )

    # --- on disk ------------------------------------------------------------------------

    def examine(self, data: Path, scratch: Path) -> None:
        """Judges the database file of a daemon that is dead, on a copy: the next daemon shall
        find it as the dead one left it, with its log to be recovered."""
        copy = copied(data, scratch)
        if copy is None:
            return  # it died before it made one
        db = sqlite3.connect(copy)
        try:
            if not is_upgraded(db):
                return  # it died between two migrations, before there was any mail
            self.faults += faults_of_database(db)
            rows = db.execute("SELECT id, uidvalidity, uidnext, highestmodseq FROM mailbox")
            self._counters(rows.fetchall())
        finally:
            db.close()

    def _counters(self, rows: Iterable[tuple[int, int, int, int]]) -> None:
        now = {number: (validity, uid, modseq) for number, validity, uid, modseq in rows}
        for number, before in self._rows.items():
            after = now.get(number)
            if after is None and self._row_renumberings and len(now) == len(self._rows):
                self._row_renumberings -= 1  # a new row took the place of the old one
                continue
            if after is None or after[0] != before[0] or after[1] < before[1]:
                self.faults.append(f"mailbox {number}: {before} -> {after}")
            elif after[2] < before[2]:
                self.faults.append(f"mailbox {number}: HIGHESTMODSEQ fell: {before} -> {after}")
        self._rows = now


def copied(data: Path, scratch: Path) -> Path | None:
    """The database with its log, in `scratch`; None where there is none."""
    copy = scratch / DATABASE
    for suffix in ("", "-wal"):
        Path(f"{copy}{suffix}").unlink(missing_ok=True)
        if Path(f"{data / DATABASE}{suffix}").exists():
            shutil.copyfile(f"{data / DATABASE}{suffix}", f"{copy}{suffix}")
    return copy if copy.exists() else None


def is_upgraded(db: sqlite3.Connection) -> bool:
    """Whether all migrations were run."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'mailbox'").fetchone():
        return False
    ((schema,),) = db.execute("SELECT value FROM meta WHERE key = 'schema'").fetchall()
    return int(schema) == len(load_schema("bridge.store.sqlite"))


def _merged(before: Seen, now: Seen) -> Seen:
    """The newer one. Mail may come between EXAMINE and FETCH: UIDNEXT is what the entries show."""
    highest = max(now.entries, default=0)
    return Seen(now.uidvalidity, max(before.uidnext, now.uidnext, highest + 1), now.entries)
