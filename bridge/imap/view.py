"""One session's picture of its selected mailbox: sequence number <-> UID.

Rules:
- A sequence number moves only when EXPUNGE was written, and EXPUNGE is written only where the
  table allows it (RFC 3501 7.4.1): until then an expunged message keeps its number.
- `uids` is what this client was told; while nothing is outstanding it is the mailbox's own
  array, not a copy.
- Once the client enabled IMAP4rev2 there is no \\Recent, and what is told of flags has a UID.
- Once the client asked for MODSEQ (RFC 7162) every FETCH carries UID and MODSEQ; once it enabled
  QRESYNC, VANISHED stands for EXPUNGE.
- Pure bookkeeping: no I/O, no clock. `updates` returns the bytes that the client must see.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from bridge.imap.ahead import Asked
from bridge.imap.mailboxes import Keywords, OpenMailbox, place, without
from bridge.imap.planes import mask_of, positions, runs
from bridge.imap.protocol.numbers import NumberSet, format_ranges
from bridge.imap.protocol.responses import flag_list, lines
from bridge.model import EntryState, EntryStates, Flag

_UNSEEN = bytes(not flags & Flag.SEEN for flags in range(256))
SYSTEM_FLAGS = int(Flag.ANSWERED | Flag.FLAGGED | Flag.DELETED | Flag.SEEN | Flag.DRAFT)


SLICE = 1_000  # changed messages that are put into words at once
Held: TypeAlias = OpenMailbox | EntryStates
"""What the states of entries are taken from: as they are, or as they were."""


class Facts(NamedTuple):
    """What is known of some messages: one element each, in the order of the mailbox. `flags` are
    as FETCH shows them: b"(\\\\Seen)"."""

    numbers: Sequence[int]
    uids: Sequence[int]
    flags: Sequence[bytes]
    modseqs: Sequence[int]

    def part(self, start: int, end: int) -> Facts:
        numbers, uids, flags, modseqs = self
        return Facts(numbers[start:end], uids[start:end], flags[start:end], modseqs[start:end])

    def those(self, wanted: Iterable[bool]) -> Facts:
        """The messages for which it is True."""
        chosen = [at for at, there in enumerate(wanted) if there]
        return Facts(
            [self.numbers[at] for at in chosen],
            [self.uids[at] for at in chosen],
            [self.flags[at] for at in chosen],
            [self.modseqs[at] for at in chosen],
        )


class View:
    """What one client knows of its mailbox."""

    def __init__(self, mailbox: OpenMailbox, *, read_only: bool) -> None:
        self.mailbox = mailbox
        self.read_only = read_only
        self.uids = mailbox.uids
        self._top = self.uids[-1] if self.uids else 0  # highest UID that the client was told
        self._told = mailbox.modseq
        self._gone: dict[int, int] = {}  # UID -> MODSEQ of what was expunged, not yet told
        self._modseq = self._vanished = self._rev2 = False  # what `tell` was asked for
        self._full = False  # whether keywords were refused
        self._own: dict[int, int] = {}  # UID -> MODSEQ of flags that were shown already
        self._silent: dict[int, set[int]] = {}  # MODSEQ of our own STORE -> what is told of it
        self._recent: list[tuple[int, int]] = []  # closed UID ranges, rising, not touching
        self._claimed = mailbox.row.first_recent - 1  # up to here \\Recent is given away
        self._keywords_told = len(mailbox.seen_keywords)
        self._shown = _Shown(mailbox.keywords)
        self._shown_recent = _Shown(mailbox.keywords, recent=True)
        self.asked: Asked | None = None  # the last FETCH of one message's octets
        self.saved = array("I")  # UIDs that "$" stands for, rising (RFC 5182)

    # --- numbers ------------------------------------------------------------------------

    def resolve(self, numbers: NumberSet, *, by_uid: bool) -> list[tuple[int, int]]:
        """Closed intervals of positions in `uids`, rising; what does not exist is left out."""
        if numbers.saved:
            # RFC 5182 2.1: the same messages, by UID or not
            found = [at for uid in self.saved if (at := place(self.uids, uid)) is not None]
            return list(runs(found))
        if not self.uids:
            return []
        if not by_uid:
            count = len(self.uids)
            return [
                (low - 1, min(high, count) - 1)
                for low, high in numbers.ranges(count)
                if low <= count
            ]
        out = []
        for low, high in numbers.ranges(self.uids[-1]):
            first, past = bisect_left(self.uids, low), bisect_right(self.uids, high)
            if first < past:
                out.append((first, past - 1))
        return out

    def uid_ranges(self, places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """The same intervals as UIDs. Exact: the store has no UID in between that is not ours."""
        return [(self.uids[first], self.uids[last]) for first, last in places]

    def sequence(self, uid: int) -> int | None:
        """The sequence number of a UID, or None."""
        at = place(self.uids, uid)
        return None if at is None else at + 1

    # --- MODSEQ -------------------------------------------------------------------------

    def tell(self, *, modseq: bool, vanished: bool, rev2: bool) -> None:
        """The client enabled CONDSTORE (`modseq`), QRESYNC (`vanished`) too, or IMAP4rev2."""
        self._modseq, self._vanished, self._rev2 = modseq, vanished, rev2

    @property
    def modseq(self) -> int:
        """The MODSEQ up to which the client has been told everything (HIGHESTMODSEQ)."""
        return min([self._told, *(modseq - 1 for modseq in self._gone.values())])

    # --- flags --------------------------------------------------------------------------

    def is_recent(self, uid: int) -> bool:
        at = bisect_right(self._recent, uid, key=itemgetter(0)) - 1
        return at >= 0 and uid <= self._recent[at][1]

    def recent_places(self) -> list[tuple[int, int]]:
        """Closed intervals of positions of what is \\Recent, rising."""
        found = (
            (bisect_left(self.uids, low), bisect_right(self.uids, high) - 1)
            for low, high in self._recent
        )
        return [(first, last) for first, last in found if first <= last]

    @property
    def unclaimed(self) -> bool:
        """Whether there are messages of which nobody asked yet who sees them as \\Recent."""
        return bool(self.mailbox.uids) and self.mailbox.uids[-1] > self._claimed

    def claim(self, first: int, last: int) -> None:
        """UIDs from `first` to `last` are \\Recent in this session, whether the mailbox that
        we know holds them already or not."""
        if self._recent and first <= self._recent[-1][1] + 1:
            first = self._recent.pop()[0]
        if first <= last:
            self._recent.append((first, last))
        self._claimed = max(self._claimed, last)

    def recent_count(self) -> int:
        return sum(
            bisect_right(self.uids, high) - bisect_left(self.uids, low)
            for low, high in self._recent
        )

    def state(self, uid: int) -> EntryState | None:
        """The entry as it is now, or None where it was expunged."""
        return _state(self.mailbox, uid)

    def facts(self, places: Sequence[tuple[int, int]], held: Held | None = None) -> Facts:
        """What is known of the messages at these intervals of positions, less those that were
        expunged; without a search where the view and the mailbox share their UIDs. `held` are the
        states at a moment before."""
        if held is None:
            held = self.mailbox
        if len(places) == 1 and self.uids is held.uids:
            return self._facts_of_run(held, *places[0])
        numbers: list[int] = []
        uids: list[int] = []
        flags: list[bytes] = []
        modseqs: list[int] = []
        for first, last in places:
            for at in range(first, last + 1):
                state = _state(held, self.uids[at])
                if state is not None:
                    numbers.append(at + 1)
                    uids.append(state.uid)
                    flags.append(self.flags(state))
                    modseqs.append(state.modseq)
        return Facts(numbers, uids, flags, modseqs)

    def _facts_of_run(self, held: Held, first: int, last: int) -> Facts:
        past = last + 1
        uids = self.uids[first:past]
        keys = zip(held.flags[first:past], held.keyword_sets[first:past], strict=True)
        flags = list(map(self._shown.__getitem__, keys))
        for low, high in () if self._rev2 else self.recent_places():
            for at in range(max(low, first), min(high, last) + 1):
                flags[at - first] = self._shown_recent[held.flags[at], held.keyword_sets[at]]
        return Facts(range(first + 1, past + 1), uids, flags, held.modseqs[first:past])

    def flags(self, state: EntryState) -> bytes:
        """As FETCH shows them: b"(\\\\Seen $Forwarded)"."""
        recent = bool(self._recent) and not self._rev2 and self.is_recent(state.uid)
        shown = self._shown_recent if recent else self._shown
        return shown[state.flags, state.keywords]

    def applicable(self) -> bytes:
        """The FLAGS response: every flag that this mailbox knows (RFC 3501 7.2.6)."""
        return flag_list(SYSTEM_FLAGS, tuple(self.mailbox.seen_keywords))

    def permanent(self) -> bytes:
        """PERMANENTFLAGS: all of them, and new keywords at will (RFC 3501 7.1)."""
        if self.read_only:
            return b"()"
        return self.applicable() if self._full else self.applicable()[:-1] + b" \\*)"

    def refuse_keywords(self) -> Iterator[bytes]:
        """No new keyword can be made any more: an IMAP4rev2 client is told (RFC 9051 7.1,
        PERMANENTFLAGS)."""
        if self._rev2 and not self._full:
            self._full = True
            yield b"* OK [PERMANENTFLAGS " + self.permanent() + b"] No more keywords\r\n"

    def first_unseen(self) -> int | None:
        """Sequence number of the first message without \\Seen."""
        if self.uids is self.mailbox.uids:
            at = self.mailbox.flags.translate(_UNSEEN).find(1)
            return None if at < 0 else at + 1
        for number, uid in enumerate(self.uids, 1):
            state = self.state(uid)
            if state is not None and not state.flags & Flag.SEEN:
                return number
        return None

    def untold(self) -> set[int]:
        """UIDs that other devices changed and this client was not told of yet."""
        return set(self.mailbox.changed_since(self._told))

    def silence(self, changed: Sequence[EntryState], foreign: set[int]) -> None:
        """Our own STORE: the client knows these flags already, except on `foreign` UIDs, where
        another device was there first (RFC 3501 6.4.6: told in spite of .SILENT)."""
        if changed:
            self._silent[changed[0].modseq] = foreign

    def told_flags(self, uids: Sequence[int], modseqs: Sequence[int]) -> None:
        """The client was just shown the flags of these UIDs as of these MODSEQs: `updates` need
        not repeat them."""
        if self._told >= self.mailbox.modseq:
            return
        # A MODSEQ of our own STORE of which nothing is told asks for no note of each message.
        news = {
            each for each in set(modseqs) if each > self._told and self._silent.get(each) != set()
        }
        if news:
            shown = zip(uids, modseqs, strict=True)
            self._own.update(each for each in shown if each[1] in news)

    # --- what the client must be told ---------------------------------------------------

    @property
    def behind(self) -> bool:
        """Whether the mailbox has moved on since the client was last told."""
        return self._told < self.mailbox.modseq or bool(self._gone)

    @property
    def top(self) -> int:
        """The highest UID that the client was told."""
        return self._top

    def expunged(self) -> Iterable[int]:
        """UIDs of what was expunged and still has its number for this client."""
        if self._told < self.mailbox.modseq:
            gone = self.mailbox.gone_since(self._told, self.uids)
            # Where the log is too short all that is missing comes again, as if gone just now.
            self._gone = {**dict(gone), **self._gone}
        return self._gone

    def updates(self, *, may_expunge: bool, with_uid: bool, flags: bool = True) -> Iterator[bytes]:
        """Everything outstanding, as untagged responses: EXPUNGE, EXISTS, RECENT, FLAGS, FETCH.

        What is told is settled now; what is long is put into words as it is taken, at most `SLICE`
        messages a piece. `with_uid` adds UID to FETCH, for clients in the middle of a UID command.
        Without `flags` (RFC 5465 5.1) changes of flags are kept for later, and MODSEQ with them.
        """
        box = self.mailbox
        with_uid = with_uid or self._rev2  # RFC 9051, Appendix E 21
        self.expunged()
        said: Iterator[bytes] = iter(())
        if may_expunge and self._gone:
            said = self._expunges()
        elif self._gone and self._vanished:
            # RFC 7162 3.2: a client that is cut off now must not think that it knows of these.
            # In each answer (section 6): any MODSEQ of this one would count more than that of
            # the last.
            held_back = b"* OK [HIGHESTMODSEQ %d] Expunges are held back\r\n" % self.modseq
            said = iter((held_back,))
        old_top = self._top
        said = chain(said, list(self._arrivals()))
        if flags and self._told < box.modseq:
            said = chain(said, self._flag_changes(old_top, with_uid))
            self._told = box.modseq
            self._own = {}
            self._silent.clear()
        return said

    def _expunges(self) -> Iterator[bytes]:
        places = positions(mask_of(self.uids, self._gone))
        self._gone = {}
        gone = [self.uids[at] for at in places]
        self.uids = without(self.uids, places)
        if self._vanished and places:
            return iter((b"* VANISHED " + format_ranges(gone) + b"\r\n",))
        # From the highest down, no number shifts under the next one.
        return (b"* %d EXPUNGE\r\n" % (at + 1) for at in reversed(places))

    def _arrivals(self) -> Iterator[bytes]:
        box = self.mailbox
        if box.uids and box.uids[-1] > self._top:
            new = box.uids[bisect_right(box.uids, self._top) :]
            self._top = new[-1]
            self.uids = self.uids + new
            yield self.size()
        if not self._gone:
            self.uids = box.uids  # equal by now; sharing saves the copy

    def size(self) -> bytes:
        """EXISTS, and RECENT beside it where the client knows \\Recent."""
        exists = b"* %d EXISTS\r\n" % len(self.uids)
        return exists if self._rev2 else exists + b"* %d RECENT\r\n" % self.recent_count()

    def new_keywords(self) -> Iterator[bytes]:
        """FLAGS and PERMANENTFLAGS, if there are keywords now that the client was not told of:
        it is told before it meets one in a FETCH (RFC 3501 7.2.6)."""
        if len(self.mailbox.seen_keywords) > self._keywords_told:
            self._keywords_told = len(self.mailbox.seen_keywords)
            yield b"* FLAGS " + self.applicable() + b"\r\n"
            yield b"* OK [PERMANENTFLAGS " + self.permanent() + b"] More keywords\r\n"

    def _flag_changes(self, old_top: int, with_uid: bool) -> Iterator[bytes]:
        box = self.mailbox
        changed = box.changed_since(self._told, self._silent)
        old = self.uids[: bisect_right(self.uids, old_top)]
        places = positions(mask_of(old, changed))
        held: Held = box
        if len(places) > SLICE:
            # It may move on before all is told: then a MODSEQ would count more than the next one.
            held = EntryStates(box.uids, bytes(box.flags), box.keyword_sets[:], box.modseqs[:])
        return chain(list(self.new_keywords()), self._told_of(places, held, self._own, with_uid))

    def _told_of(
        self, places: Sequence[int], held: Held, own: Mapping[int, int], with_uid: bool
    ) -> Iterator[bytes]:
        slices = [places[start : start + SLICE] for start in range(0, len(places), SLICE)]
        first = [self._lines_of(some, held, own, with_uid) for some in slices[:1]]
        rest = (self._lines_of(some, held, own, with_uid) for some in slices[1:])
        return chain(first, rest)

    def _lines_of(
        self, places: Sequence[int], held: Held, own: Mapping[int, int], with_uid: bool
    ) -> bytes:
        facts = self.facts(list(runs(places)), held)
        if own:
            facts = facts.those(
                own.get(u) != m for u, m in zip(facts.uids, facts.modseqs, strict=True)
            )
        return self.lines(facts, with_uid=with_uid)

    def lines(self, facts: Facts, *, with_uid: bool, flags: bool = True) -> bytes:
        """As `fetch`, for many at once."""
        forms = [b"FLAGS %b"] if flags else []
        columns: list[Sequence[object]] = [facts.flags] if flags else []
        if with_uid or self._modseq:
            forms.append(b"UID %d")
            columns.append(facts.uids)
        if self._modseq:
            forms.append(b"MODSEQ (%d)")
            columns.append(facts.modseqs)
        form = b"* %d FETCH (" + b" ".join(forms) + b")\r\n"
        return lines(form, facts.numbers, *columns)

    def fetch(self, number: int, state: EntryState, *, with_uid: bool, flags: bool = True) -> bytes:
        """`* 7 FETCH (FLAGS (\\Seen) UID 9 MODSEQ (12))`, with UID and MODSEQ where the client
        is to see them (RFC 7162 3.2.4)."""
        items = [b"FLAGS " + self.flags(state)] if flags else []
        if with_uid or self._modseq:
            items.append(b"UID %d" % state.uid)
        if self._modseq:
            items.append(b"MODSEQ (%d)" % state.modseq)
        return b"* %d FETCH (%b)\r\n" % (number, b" ".join(items))


def _state(held: Held, uid: int) -> EntryState | None:
    at = place(held.uids, uid)
    if at is None:
        return None
    return EntryState(uid, held.flags[at], held.keyword_sets[at], held.modseqs[at])


class _Shown(dict[tuple[int, int], bytes]):
    """(system flags, keyword set) -> the flags as they print. There are few."""

    def __init__(self, keywords: Keywords, *, recent: bool = False) -> None:
        super().__init__()
        self._keywords = keywords
        self._recent = recent

    def __missing__(self, key: tuple[int, int]) -> bytes:
        flags, number = key
        shown = self[key] = flag_list(flags, self._keywords[number], self._recent)
        return shown
