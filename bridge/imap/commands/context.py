"""Search contexts (RFC 5267 4.3): what a SEARCH with UPDATE found is kept up to date, and the
client told by ADDTO and REMOVEFROM, until CANCELUPDATE or until it leaves the mailbox.

Rules:
- Only messages that came or changed are looked at, however large the mailbox is.
- Where message numbers are told they are those of that moment: what is expunged goes before its
  EXPUNGE, what came is added after its EXISTS and FETCH.
- Refused with NOUPDATE: more than `limits.IMAP_CONTEXTS`, searches whose result changes with the
  clock (RFC 5032 3), and SORT.
"""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

from bridge import limits
from bridge.imap.commands.fetch import refuse_items, respond
from bridge.imap.finding import find, find_among
from bridge.imap.mailboxes import place, without
from bridge.imap.planes import runs
from bridge.imap.protocol.context import CancelUpdate
from bridge.imap.protocol.fetch import Item
from bridge.imap.protocol.numbers import NumberSet, format_ranges
from bridge.imap.protocol.responses import quoted, untagged
from bridge.imap.protocol.search import (
    All,
    And,
    HasFlag,
    HasKeyword,
    Key,
    ModSeq,
    Not,
    Numbers,
    Older,
    Or,
    Recent,
    Search,
    leaves,
)
from bridge.imap.replies import Bad, CommandError, No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session, log
from bridge.imap.view import View
from bridge.store.api import NoSuchMailbox, StoreError

TURN = 500  # changed messages that are looked at before other sessions have their turn


@dataclass(slots=True)
class Context:
    """One search that is kept up to date. `members` are the UIDs that the client holds, rising;
    `modseq` is how far the mailbox was looked at."""

    tag: bytes
    uid: bool
    key: Key
    items: tuple[Item, ...]
    members: array[int]
    modseq: int


class Follower:
    """The contexts of one session in its open mailbox."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.contexts: list[Context] = []

    def leaving(self, view: View, gone: Iterable[int]) -> Iterator[bytes]:
        """REMOVEFROM for UIDs whose EXPUNGE comes next (RFC 5267 4.3.4)."""
        for context in self.contexts:
            removed = [uid for uid in gone if place(context.members, uid) is not None]
            yield from _update(view, context, sorted(removed), ())

    async def follow(self, view: View, top: int) -> None:
        """Queues what changed in the results; messages above the UID `top` have just come."""
        for context in tuple(self.contexts):
            try:
                await self._look(context, view, top)
            except NoSuchMailbox:
                raise
            except StoreError as error:
                log.error("context given up", peer=self._session.wire.peer, error=str(error))
                self.contexts.remove(context)
                refuse(self._session, context.tag, "The messages could not be read")

    async def _look(self, context: Context, view: View, top: int) -> None:
        since, context.modseq = context.modseq, view.mailbox.modseq
        changed = list(view.mailbox.changed_since(since)) if since < context.modseq else []
        if view.uids and _has_star(context.key):
            # Whose UID "*" is may have changed with the last message.
            last = context.members[-1:].tolist()
            changed = sorted({*changed, view.uids[-1], top, *last})
        if len(changed) > TURN and _is_in_memory(context.key):
            found = await find(self._session, view, context.key)
            removed, added = await asyncio.to_thread(_difference, view.uids, found, context.members)
        else:
            removed, added = await self._among(context, view, changed)
        if context.items:
            came = [at for uid in added if uid > top and (at := place(view.uids, uid)) is not None]
            # A section that cannot be decoded is left out; the rest is told.
            with contextlib.suppress(CommandError):
                await respond(self._session, view, list(runs(came)), context.items)
        if len(removed) + len(added) <= TURN:
            told = _update(view, context, removed, added)
        else:
            told = await asyncio.to_thread(_update, view, context, removed, added)
        self._session.send(*told)

    async def _among(
        self, context: Context, view: View, changed: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """Which of these UIDs do not match any more, and which do now."""
        removed: list[int] = []
        added: list[int] = []
        for start in range(0, len(changed), TURN):
            if start:
                await asyncio.sleep(0)
            found = (place(view.uids, uid) for uid in changed[start : start + TURN])
            places = [at for at in found if at is not None]
            matching = set(await find_among(self._session, view, context.key, places))
            for at in places:
                uid = view.uids[at]
                if (at in matching) != (place(context.members, uid) is not None):
                    (added if at in matching else removed).append(uid)
        return removed, added


def _difference(uids: array[int], found: bytes, members: array[int]) -> tuple[list[int], list[int]]:
    """The UIDs of `members` that are not in the mask of what was found, and the other way round."""
    now = list(compress(uids, found))
    return sorted(set(members).difference(now)), sorted(set(now).difference(members))


def _update(
    view: View, context: Context, removed: Sequence[int], added: Sequence[int]
) -> tuple[bytes, ...]:
    """b'* ESEARCH (TAG "B01") UID REMOVEFROM (0 9) ADDTO (0 32768:32769)'; both are UIDs, rising.
    RFC 5267 4.3.3: position 0 leaves it to the client to keep them in order."""
    if not removed and not added:
        return ()
    parts = [b"* ESEARCH (TAG %b)" % quoted(context.tag)]
    if context.uid:
        parts.append(b"UID")
    for word, uids in ((b"REMOVEFROM", removed), (b"ADDTO", added)):
        numbers = uids if context.uid else [n for uid in uids if (n := view.sequence(uid))]
        if numbers:
            parts.append(b"%b (0 %b)" % (word, format_ranges(numbers)))
    places = [at for uid in removed if (at := place(context.members, uid)) is not None]
    context.members = _with(without(context.members, places), added)
    return (b" ".join(parts) + b"\r\n",)


def _with(uids: array[int], more: Iterable[int]) -> array[int]:
    """A copy with the rising `more` in their places."""
    out, start = array("I"), 0
    for uid in more:
        at = bisect_left(uids, uid, start)
        out.extend(uids[start:at])
        out.append(uid)
        start = at
    out.extend(uids[start:])
    return out


def _has_star(key: Key) -> bool:
    return any(isinstance(leaf, Numbers) and leaf.numbers.has_star for leaf in leaves(key))


def _is_in_memory(key: Key) -> bool:
    """Whether the open mailbox knows all that the search asks for."""
    known = All | HasFlag | HasKeyword | ModSeq | Numbers | Recent
    return all(isinstance(leaf, known) for leaf in leaves(key))


# --- commands ---------------------------------------------------------------------------


def begin(session: Session, request: Request, value: Search) -> Callable[[bytes], None]:
    """Called when the search begins; what it returns when it is answered, with the mask of what
    was found. Raises Bad where the tag has a context already (RFC 5267 4.3)."""
    view, asked = session.selected, value.returns
    held = session.follower.contexts if isinstance(session.follower, Follower) else []
    if any(context.tag == request.tag for context in held):
        raise Bad("The tag of a search with UPDATE is used again")
    items = asked.update.items if asked is not None and asked.update is not None else ()
    refuse_items(session, items)
    modseq, key = view.mailbox.modseq, fixed(value.key, view)

    def follow(found: bytes) -> None:
        if len(held) >= limits.IMAP_CONTEXTS:
            refuse(session, request.tag, f"There can be {limits.IMAP_CONTEXTS} at a time")
            return
        if any(isinstance(leaf, Older) for leaf in leaves(key)):
            refuse(session, request.tag, "Its result changes with the clock")
            return
        if not isinstance(session.follower, Follower):
            session.follower = Follower(session)
        members = array("I", compress(view.uids, found))
        session.follower.contexts.append(
            Context(request.tag, request.uid, key, items, members, modseq)
        )

    return follow


def fixed(key: Key, view: View) -> Key:
    """RFC 5267 4.3: message numbers, and "$", mean what they mean when the command comes."""
    match key:
        case And(keys):
            return And(tuple(fixed(inner, view) for inner in keys))
        case Or(left, right):
            return Or(fixed(left, view), fixed(right, view))
        case Not(inner):
            return Not(fixed(inner, view))
        case Numbers(numbers, uid) if not uid or numbers.saved:
            places = view.resolve(numbers, by_uid=uid)
            return Numbers(NumberSet(tuple(view.uid_ranges(places))), uid=True)
    return key


def refuse(session: Session, tag: bytes, why: str) -> None:
    """RFC 5267 4.3.1: all else that the search asked for is answered."""
    session.send(untagged(b"NO", why, b"NOUPDATE " + quoted(tag)))


async def cancel(session: Session, request: Request, value: CancelUpdate) -> Reply:
    held = session.follower.contexts if isinstance(session.follower, Follower) else []
    known = {context.tag for context in held}
    held[:] = [context for context in held if context.tag not in value.tags]
    if not known.issuperset(value.tags):
        raise No("There is no search of that tag to cancel")
    return Reply("No further updates")
