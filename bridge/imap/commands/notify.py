"""NOTIFY (RFC 5465): the client is told at any time, of its mailbox as it asked, and of all others.

What is told of the selected mailbox is the session's `watch`; here is what is told of the others.
A client hears of its own changes too: the bus does not say whose they are, and RFC 5465 5 only
asks to leave them out, while to lose another device's change would be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bridge.imap.commands.fetch import refuse_items, respond
from bridge.imap.commands.list import inferred
from bridge.imap.commands.status import Figures, read_figures, status_response
from bridge.imap.names import always_told, composed, list_response
from bridge.imap.notifications import (
    Annotated,
    Listed,
    News,
    Picture,
    Status,
    Wanted,
    first_statuses,
    news,
)
from bridge.imap.planes import runs
from bridge.imap.protocol.fetch import Item, Simple
from bridge.imap.protocol.notify import Group, Notify
from bridge.imap.protocol.responses import astring
from bridge.imap.replies import CommandError, Reply
from bridge.imap.seams import Request, Watch
from bridge.imap.session import Session
from bridge.imap.view import View
from bridge.model import Change, Mailbox, MailboxId
from bridge.store.api import NoSuchMailbox, ReadTx

_OF_ANNOTATIONS = frozenset({"MAILBOXMETADATACHANGE", "SERVERMETADATACHANGE"})


async def run(session: Session, request: Request, value: Notify) -> Reply:
    groups = tuple(
        replace(group, names=(*group.names, *(composed(session, name) for name in group.names)))
        for group in value.groups or ()
    )
    chosen = next((group for group in groups if group.filter.startswith("SELECTED")), None)
    items = chosen.items if chosen is not None else ()
    refuse_items(session, items)
    # RFC 5465 3.1: an implicit NOOP, whatever is to be told from now on
    session.set_watch(Watch(), None)
    await session.sync(may_expunge=True, with_uid=False)
    if Simple("MODSEQ") in items:
        session.enable_condstore()
    teller = Teller(session, groups, items) if value.groups is not None else None
    session.set_watch(_watch(chosen), teller)
    if teller is not None:
        await teller.begin(status=value.status)
    return Reply("NOTIFY completed")


def _watch(group: Group | None) -> Watch:
    """RFC 5465 3.1: without a group of its own the selected mailbox stands still."""
    events = group.events if group is not None else frozenset()
    return Watch(
        messages="MESSAGENEW" in events,
        flags="FLAGCHANGE" in events,
        immediate=group is not None and group.filter == "SELECTED",
    )


class Teller:
    """Compares what the client was told of a login with what is there now."""

    def __init__(self, session: Session, groups: Sequence[Group], items: Sequence[Item]) -> None:
        self._session = session
        self._items = items
        self._wanted = Wanted(groups)
        self._picture = Picture()
        self._all = False  # whether more than the counts of some mailboxes may have changed
        self._stale: set[MailboxId] = set()
        login = session.signed_in.id
        bus = session.services.bus
        self.close = bus.subscribe(login, None, self._notice) if self._wanted.events else _nothing

    def _notice(self, change: Change) -> None:
        if change.mailbox_id is None:
            self._all = True
        else:
            self._stale.add(change.mailbox_id)
        self._session.activity.set()

    async def begin(self, *, status: bool) -> None:
        """Takes the picture that later ones are compared with; with `status` tells it."""
        if not self._wanted.events:
            return
        self._picture = await self._read_all()
        if status:
            await self._send(list(first_statuses(self._picture, self._wanted, self._selected)))

    @property
    def _selected(self) -> MailboxId | None:
        view = self._session.view
        return None if view is None else view.mailbox.id

    async def tell(self) -> None:
        """Queues what is new in the mailboxes that are not selected."""
        if not self._all and not self._stale:
            return
        old = self._picture
        now = await self._read_all() if self._all else await self._read_some()
        self._picture = now
        condstore = "CONDSTORE" in self._session.enabled
        selected = self._selected
        await self._send(list(news(old, now, self._wanted, selected=selected, condstore=condstore)))

    async def tell_new(self, view: View, top: int) -> None:
        """FETCH of the messages above the UID `top`, but for those that this client made."""
        made = self._session.made
        places = [at for at, uid in enumerate(view.uids) if uid > top and uid not in made]
        if not self._items or not places:
            return
        try:
            await respond(self._session, view, list(runs(places)), self._items)
        except CommandError:
            return  # a section that cannot be decoded; the rest was told

    # --- pictures -----------------------------------------------------------------------

    async def _read_all(self) -> Picture:
        login = self._session.signed_in.id
        annotated = bool(self._wanted.events & _OF_ANNOTATIONS)

        def work(tx: ReadTx) -> Picture:
            return Picture(
                {row.id: row for row in tx.mailboxes(login)},
                frozenset(tx.subscriptions(login)),
                tx.annotation_hashes(login) if annotated else {},
            )

        self._all = False
        self._stale.clear()
        return await self._session.services.store.read(work)

    async def _read_some(self) -> Picture:
        """The same, where only these mailboxes changed: they are few, of perhaps thousands."""
        stale = tuple(self._stale)
        self._stale.clear()
        store = self._session.services.store
        try:
            rows = await store.read(lambda tx: [tx.mailbox_by_id(box) for box in stale])
        except NoSuchMailbox:
            return await self._read_all()
        old = self._picture
        mailboxes = {**old.mailboxes, **{row.id: row for row in rows}}
        return Picture(mailboxes, old.subscribed, old.annotations)

    # --- responses ----------------------------------------------------------------------

    async def _send(self, told: Sequence[News]) -> None:
        if not told:
            return

        def work(tx: ReadTx) -> list[Figures]:
            return [read_figures(tx, e.row, e.items) for e in told if isinstance(e, Status)]

        figures = iter(await self._session.services.store.read(work))
        rows = {row.name: row for row in self._picture.mailboxes.values()}
        above = inferred(rows) if any(isinstance(each, Listed) for each in told) else set()
        lines = []
        for each in told:
            if isinstance(each, Status):
                name = self._session.mailbox_name(each.row.name)
                lines.append(status_response(name, each.items, next(figures)))
            elif isinstance(each, Listed):
                lines.append(self._listed(each, rows.get(each.name), each.name in above))
            else:
                lines.append(self._annotated(each))
        await self._session.send_many(lines)

    def _listed(self, told: Listed, row: Mailbox | None, has_children: bool) -> bytes:
        words = [*([] if row is not None else ["\\NonExistent"]), *always_told(row, has_children)]
        if told.name in self._picture.subscribed:
            words.append("\\Subscribed")
        return list_response(self._session, told.name, words, old=told.was)

    def _annotated(self, told: Annotated) -> bytes:
        name = self._session.mailbox_name(told.mailbox) if told.mailbox else b'""'
        entries = b" ".join(astring(entry.encode()) for entry in told.entries)
        return b"* METADATA " + name + b" " + entries + b"\r\n"


def _nothing() -> None:
    """Ends a subscription that there is none of."""
