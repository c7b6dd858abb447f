"""The store against a plain model, in any order of operations.

Invariants: entries, flags, keywords and UIDs are those of the model; a UID is never given twice
under one UIDVALIDITY; MODSEQ and UIDNEXT never shrink; what changed since any MODSEQ is told by
`entry_states` and `expunged`; the counts are those of a recount; all holds across a reopening.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.model import Copied, Flag, LoginId, Mailbox, MailboxId, Stored
from bridge.store.api import ReadTx, Store, StoreOp, UidRanges, WriteTx
from bridge.store.opening import open_store
from tests.store.conftest import recount
from tests.support.messages import new_message, raw_message

T = TypeVar("T")

names = st.sampled_from(["INBOX", "Trash", "a", "a/b", "a/b/c", "b"])
flags = st.integers(0, 31)
keywords = st.sets(st.sampled_from(["$a", "$b", "$c"]))
ops: st.SearchStrategy[StoreOp] = st.sampled_from(["add", "remove", "replace"])
messages = st.integers(0, 5)


@st.composite
def ranges(draw: st.DrawFn) -> UidRanges:
    """Rising and disjoint, over UIDs that are there and that are not."""
    uids = sorted(draw(st.sets(st.integers(1, 40), max_size=8)))
    if draw(st.booleans()):
        return [(1, 2**32 - 1)]
    pairs = [(low, high) for low, high in zip(uids[::2], uids[1::2], strict=False)]
    return pairs if draw(st.booleans()) else [(uid, uid) for uid in uids]


@dataclass
class Entry:
    message: int
    flags: int
    keywords: frozenset[str]
    internaldate: int


@dataclass
class Box:
    uidvalidity: int
    uidnext: int = 1
    modseq: int = 1
    entries: dict[int, Entry] = field(default_factory=dict)
    seen: dict[int, dict[int, Entry]] = field(default_factory=dict)  # MODSEQ -> entries then

    def chosen(self, uids: UidRanges) -> list[int]:
        return [u for u in sorted(self.entries) if any(low <= u <= high for low, high in uids)]


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.data_dir = Path(self.directory.name)
        self.runner = asyncio.Runner()
        self.store: Store = self.run(open_store(self.data_dir))
        self.login: LoginId = self.write(lambda tx: tx.ensure_login("me")).id
        self.other: LoginId = self.write(lambda tx: tx.ensure_login("other")).id
        self.shown: dict[str, int] = {}  # name -> the highest UIDVALIDITY that it showed
        self.model: dict[str, Box] = {}
        for box in self.read(lambda tx: tx.mailboxes(self.login)):
            self.model[box.name] = Box(box.uidvalidity)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def read(self, work: Callable[[ReadTx], T]) -> T:
        return self.run(self.store.read(work))

    def write(self, work: Callable[[WriteTx], T]) -> T:
        return self.run(self.store.write(work))

    def box(self, name: str) -> Mailbox:
        return self.read(lambda tx: tx.mailbox(self.login, name))

    def box_id(self, name: str) -> MailboxId:
        return self.box(name).id

    # --- rules --------------------------------------------------------------------------

    @rule(name=names, message=messages, flags=flags, keywords=keywords, date=st.integers(0, 99))
    def add(self, name: str, message: int, flags: int, keywords: set[str], date: int) -> None:
        if name not in self.model:
            return
        new = new_message(raw_message(str(message), 200 + message))

        def work(tx: WriteTx) -> int:
            box = tx.mailbox(self.login, name).id
            found = tx.add_message(new)
            return tx.add_entry(box, found, flags=flags, keywords=keywords, internaldate=date).uid

        box = self.model[name]
        assert self.write(work) == box.uidnext
        box.entries[box.uidnext] = Entry(message, flags, frozenset(keywords), date)
        box.uidnext += 1

    @rule(
        name=names,
        uids=ranges(),
        op=ops,
        flags=flags,
        keywords=keywords,
        back=st.none() | st.integers(-1, 6),
    )
    def store_flags(
        self,
        name: str,
        uids: UidRanges,
        op: StoreOp,
        flags: int,
        keywords: set[str],
        back: int | None,
    ) -> None:
        if name not in self.model:
            return
        box = self.model[name]
        mailbox = self.box_id(name)
        modseqs = {s.uid: s.modseq for s in self.read(lambda tx: tx.entry_states(mailbox))}
        since = None if back is None else max(0, box.modseq - back)

        def work(tx: WriteTx) -> Stored:
            return tx.store_flags(mailbox, uids, op, flags, keywords, since)

        stored = self.write(work)
        changed, modified = [], []
        for uid in box.chosen(uids):
            entry = box.entries[uid]
            if since is not None and modseqs[uid] > since:
                modified.append(uid)
                continue
            given = frozenset(keywords)
            after = {
                "add": (entry.flags | flags, entry.keywords | given),
                "remove": (entry.flags & ~flags, entry.keywords - given),
                "replace": (flags, given),
            }[op]
            if after != (entry.flags, entry.keywords):
                changed.append(uid)
                box.entries[uid] = Entry(entry.message, *after, entry.internaldate)
        assert [state.uid for state in stored.changed] == changed
        assert list(stored.modified) == modified
        assert len({state.modseq for state in stored.changed}) == (1 if changed else 0)

    @rule(source=names, uids=ranges(), to=names, move=st.booleans())
    def copy(self, source: str, uids: UidRanges, to: str, move: bool) -> None:
        if source not in self.model or to not in self.model:
            return
        ids = self.box_id(source), self.box_id(to)

        def work(tx: WriteTx) -> Copied:
            return (tx.move if move else tx.copy)(ids[0], uids, ids[1])

        copied = self.write(work)
        old, new = self.model[source], self.model[to]
        chosen = old.chosen(uids)
        assert list(copied.source_uids) == chosen
        assert list(copied.target_uids) == list(range(new.uidnext, new.uidnext + len(chosen)))
        assert copied.uidvalidity == new.uidvalidity
        for uid in chosen:
            new.entries[new.uidnext] = old.entries[uid]
            new.uidnext += 1
            if move:
                del old.entries[uid]

    @rule(name=names, uids=st.none() | ranges(), only_deleted=st.booleans())
    def expunge(self, name: str, uids: UidRanges | None, only_deleted: bool) -> None:
        if name not in self.model or (uids is None and not only_deleted):
            return
        box, mailbox = self.model[name], self.box_id(name)
        gone = [
            uid
            for uid in box.chosen(((1, 2**32),) if uids is None else uids)
            if not only_deleted or box.entries[uid].flags & Flag.DELETED
        ]
        found = self.write(lambda tx: tx.expunge(mailbox, uids, only_deleted=only_deleted))
        assert list(found) == gone
        for uid in gone:
            del box.entries[uid]

    @rule(name=names)
    def create(self, name: str) -> None:
        if name in self.model:
            return
        self.write(lambda tx: tx.create_mailbox(self.login, name))
        levels = name.split("/")
        for depth in range(1, len(levels) + 1):
            made = "/".join(levels[:depth])
            if made not in self.model:
                self.model[made] = Box(self.box(made).uidvalidity)

    @rule(name=names)
    def delete(self, name: str) -> None:
        if name in self.model and name != "INBOX":
            self.write(lambda tx: tx.delete_mailbox(self.login, name))
            del self.model[name]

    @rule(name=names, to=names)
    def rename(self, name: str, to: str) -> None:
        tree = [n for n in self.model if n == name or n.startswith(name + "/")]
        taken = {n for n in self.model if n == to or n.startswith(to + "/")} - set(tree)
        renamed = {n: to + n[len(name) :] for n in tree}
        if name == "INBOX" and to not in self.model:
            self.create(to)
            self.delete(to)
            self.write(lambda tx: tx.rename_mailbox(self.login, name, to))
            self.model[to] = Box(self.box(to).uidvalidity)
            inbox = self.model["INBOX"]
            for uid in sorted(inbox.entries):
                self.model[to].entries[self.model[to].uidnext] = inbox.entries.pop(uid)
                self.model[to].uidnext += 1
            return
        if (
            not tree
            or name == "INBOX"
            or to in self.model
            or to.startswith(name + "/")
            or taken & set(renamed.values())
        ):
            return
        self.write(lambda tx: tx.rename_mailbox(self.login, name, to))
        moved = {renamed[n]: self.model.pop(n) for n in tree}
        self.model.update(moved)
        levels = to.split("/")
        for depth in range(1, len(levels)):
            parent = "/".join(levels[:depth])
            if parent not in self.model:
                self.model[parent] = Box(self.box(parent).uidvalidity)
        for new_name, box in moved.items():
            # UIDVALIDITY is kept unless the name has shown a higher one
            uidvalidity = self.box(new_name).uidvalidity
            if uidvalidity != box.uidvalidity:
                assert self.shown.get(new_name, 0) > box.uidvalidity
            box.uidvalidity = uidvalidity

    @rule()
    def purge(self) -> None:
        self.write(lambda tx: tx.purge(2**40))

    @rule(keywords=keywords)
    def fail(self, keywords: set[str]) -> None:
        """A job that did all kinds of things and then raises leaves no trace."""

        def work(tx: WriteTx) -> None:
            inbox = tx.mailbox(self.login, "INBOX").id
            message = tx.add_message(new_message(raw_message("never")))
            tx.add_entry(inbox, message, keywords=keywords, internaldate=0)
            tx.store_flags(inbox, [(1, 99)], "add", Flag.SEEN, keywords)
            tx.expunge(inbox, [(1, 99)], only_deleted=False)
            tx.rename_mailbox(self.login, "INBOX", "never")
            raise ZeroDivisionError

        try:
            self.write(work)
        except ZeroDivisionError:
            return
        raise AssertionError("the job's error did not arrive")

    @rule()
    def reopen(self) -> None:
        self.run(self.store.close())
        self.store = self.run(open_store(self.data_dir))

    # --- invariants ---------------------------------------------------------------------

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def agrees(self) -> None:
        boxes = self.read(lambda tx: tx.mailboxes(self.login))
        assert {box.name for box in boxes} == set(self.model)
        sets = {0: (), **self.read(lambda tx: tx.keyword_sets())}
        for box in boxes:
            model = self.model[box.name]
            assert (box.uidvalidity, box.uidnext) == (model.uidvalidity, model.uidnext)
            assert self.shown.get(box.name, 0) <= box.uidvalidity
            self.shown[box.name] = box.uidvalidity
            self._entries_agree(box, model, sets)
        others = self.read(lambda tx: tx.mailboxes(self.other))
        assert {(box.messages, box.highestmodseq) for box in others} == {(0, 1)}

    def _entries_agree(self, box: Mailbox, model: Box, sets: dict[int, tuple[str, ...]]) -> None:
        rows = self.read(lambda tx: tx.rows(box.id, [(1, 2**32 - 1)]))
        states = self.read(lambda tx: tx.entry_states(box.id))
        assert {
            state.uid: Entry(
                row.size - 200, state.flags, frozenset(sets[state.keywords]), row.internaldate
            )
            for state, row in zip(states, rows, strict=True)
        } == model.entries
        assert [row.uid for row in rows] == sorted(model.entries)
        assert box.messages == len(model.entries)
        assert box.unseen == sum(1 for e in model.entries.values() if not e.flags & Flag.SEEN)
        assert box.deleted == sum(1 for e in model.entries.values() if e.flags & Flag.DELETED)
        assert box.octets == sum(200 + e.message for e in model.entries.values())
        # MODSEQ never shrinks, and rises when anything is different from what it showed
        assert box.highestmodseq >= model.modseq
        model.modseq = box.highestmodseq
        assert model.seen.setdefault(model.modseq, dict(model.entries)) == model.entries
        for since in list(model.seen)[-3:]:
            before = dict(model.seen[since])
            gone, changed = self._told(box.id, since)
            for uid in gone:
                before.pop(uid, None)
            for uid in changed:
                before[uid] = model.entries[uid]
            assert before == model.entries

    def _told(self, mailbox: MailboxId, since: int) -> tuple[list[int], list[int]]:
        """The UIDs that went and those that changed since a MODSEQ."""
        return self.read(
            lambda tx: (
                [uid for uid, _ in tx.expunged(mailbox, since)],
                [state.uid for state in tx.entry_states(mailbox, since)],
            )
        )

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        self.run(self.store.close())
        self.runner.close()
        problems = recount(self.data_dir)
        self.directory.cleanup()
        assert problems == []


StoreMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestStore = StoreMachine.TestCase
