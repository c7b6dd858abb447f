"""LIST and LSUB (RFC 3501 6.3.8, 6.3.9), LIST-EXTENDED (RFC 5258) with SPECIAL-USE (RFC 6154),
LIST-STATUS (RFC 5819), LIST-MYRIGHTS (RFC 8440) and CHILDREN (RFC 3348).

Rules:
- Names, subscriptions and every STATUS are of one instant: of one read transaction, or of what is
  in memory since the last change.
- A level that has mailboxes below it and is none itself is \\Noselect to LIST as RFC 3501 has it,
  \\NonExistent to the extended form.
- \\HasChildren, \\HasNoChildren and special uses are always told: both RFCs let us, and clients
  that do not ask for them look at them all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace

from bridge.imap.commands.acl import my_rights_response
from bridge.imap.commands.status import (
    MOVING,
    Figures,
    read_figures,
    require_items,
    row_response,
    status_response,
)
from bridge.imap.names import always_told, composed, list_response
from bridge.imap.protocol.list import List, matches
from bridge.imap.replies import Reply
from bridge.imap.rows import Listing
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.model import Mailbox
from bridge.store.api import ReadTx

DELIMITER = "/"
MANY = 500  # names that are held against patterns on the event loop


@dataclass(frozen=True, slots=True)
class Found:
    """What there is; `figures` are STATUS by name where the rows do not tell it."""

    listing: Listing
    figures: Mapping[str, Figures] | None

    @property
    def mailboxes(self) -> Mapping[str, Mailbox]:
        return self.listing.mailboxes

    @property
    def subscribed(self) -> Set[str]:
        return self.listing.subscribed


@dataclass(frozen=True, slots=True)
class Shown:
    """One LIST response. `child_info` are the criteria that something below `name` satisfies
    (RFC 5258 3.5); `chosen` is False where that is the only reason to show it."""

    name: str
    attributes: tuple[str, ...]
    child_info: tuple[str, ...] = ()
    chosen: bool = True


async def run(session: Session, request: Request, value: List) -> Reply:
    login = session.signed_in.id
    # RFC 3501 6.3.8: an empty mailbox name asks for the delimiter and the root. RFC 5258 3: the
    # extended form ignores it.
    if request.name == "LIST" and not value.extended and value.patterns == ("",):
        session.send(b'* LIST (\\Noselect) "/" ""\r\n')
        return Reply("LIST completed")
    if value.extended:
        require_options(session, value)
    # RFC 9051 5.1: a pattern may be written in any normal form, too.
    patterns = dict.fromkeys((*value.patterns, *(composed(session, p) for p in value.patterns)))
    reference = composed(session, value.reference)
    value = replace(value, reference=reference, patterns=tuple(patterns))

    if MOVING.isdisjoint(value.status_items):
        found = Found(await session.services.mailboxes.rows.listing(login), None)
    else:

        def work(tx: ReadTx) -> Found:
            listing = Listing.read(tx, login)
            items = value.status_items
            rows = listing.mailboxes.values()
            return Found(listing, {row.name: read_figures(tx, row, items) for row in rows})

        found = await session.services.store.read(work)
    choose = extended if value.extended else lsub if request.name == "LSUB" else plain
    if max(len(found.mailboxes), len(found.subscribed)) * len(patterns) > MANY:
        # So many names are chosen and sorted while the event loop goes on.
        shown = await asyncio.to_thread(choose, value, found)
    else:
        shown = choose(value, found)
    await session.send_many(_responses(session, request.name, value, shown, found))
    return Reply(f"{request.name} completed")


def require_options(session: Session, value: List) -> None:
    """Raises Bad for what this login is not offered."""
    session.require("LIST-EXTENDED", "extended LIST")
    if "SPECIAL-USE" in value.select_options | value.return_options:
        session.require("SPECIAL-USE", "option SPECIAL-USE")
    if "MYRIGHTS" in value.return_options:
        session.require("LIST-MYRIGHTS", "option MYRIGHTS")
    if value.status_items:
        session.require("LIST-STATUS", "option STATUS")
        require_items(session, value.status_items)


def _responses(
    session: Session, command: str, value: List, shown: Iterable[Shown], found: Found
) -> Iterator[bytes]:
    for each in shown:
        yield list_response(
            session, each.name, each.attributes, command=command, child_info=each.child_info
        )
        # RFC 8440 3, RFC 5819 2: of selectable mailboxes that satisfy the criteria themselves.
        if not each.chosen or each.name not in found.mailboxes:
            continue
        name = session.mailbox_name(each.name)
        if "MYRIGHTS" in value.return_options:
            yield my_rights_response(name)
        if value.status_items:
            if found.figures is None:
                yield row_response(name, value.status_items, found.mailboxes[each.name])
            else:
                yield status_response(name, value.status_items, found.figures[each.name])


# --- which names, with which attributes -------------------------------------------------


def plain(value: List, found: Found, *, subscribed_only: bool = False) -> list[Shown]:
    """LIST of RFC 3501."""
    names = found.subscribed if subscribed_only else found.mailboxes
    parents = inferred(names)
    shown = []
    for name in _matching({*names, *parents}, value):
        # RFC 3501 6.3.9: "%" on a level that only leads to subscribed names gives \\Noselect.
        if subscribed_only and name not in names and "%" not in value.patterns[0]:
            continue
        row = found.mailboxes.get(name)
        here = () if row is not None and name in names else ("\\Noselect",)
        shown.append(Shown(name, (*here, *always_told(row, name in parents))))
    return shown


def lsub(value: List, found: Found) -> list[Shown]:
    """LSUB of RFC 3501."""
    return plain(value, found, subscribed_only=True)


def extended(value: List, found: Found) -> list[Shown]:
    """LIST of RFC 5258. REMOTE asks for what we do not have, and changes nothing."""
    subscribed = "SUBSCRIBED" in value.select_options
    special = "SPECIAL-USE" in value.select_options
    recursive = "RECURSIVEMATCH" in value.select_options
    criteria = tuple(
        option for option in ("SUBSCRIBED", "SPECIAL-USE") if option in value.select_options
    )
    satisfying = set(found.subscribed if subscribed else found.mailboxes)
    if special:
        satisfying = {
            name
            for name in satisfying
            if name in found.mailboxes and found.mailboxes[name].special_use is not None
        }
    parents, above = inferred(found.mailboxes), inferred(satisfying)
    matching = _matching(satisfying | above, value)
    # RFC 5258 3.3, 3.5: a name that does not satisfy the criteria is shown only for something
    # below it that does and that the pattern does not reach: with CHILDINFO where that was asked
    # for, else (example 11) only a level that is no mailbox.
    leading = inferred(satisfying.difference(matching)) if recursive or not criteria else set()
    shown = []
    for name in matching:
        if name not in satisfying and name not in leading:
            continue
        row = found.mailboxes.get(name)
        attributes = [] if row is not None else ["\\NonExistent"]
        attributes += always_told(row, name in parents)
        if name in found.subscribed and (subscribed or "SUBSCRIBED" in value.return_options):
            attributes.append("\\Subscribed")
        child_info = criteria if recursive and name in above else ()
        shown.append(Shown(name, tuple(attributes), child_info, name in satisfying))
    return shown


def _matching(names: Iterable[str], value: List) -> list[str]:
    """Those that match one of the patterns, INBOX first, then by name."""
    # RFC 5258 3: an empty pattern beside others is ignored.
    patterns = [value.reference + pattern for pattern in value.patterns if pattern]
    found = [name for name in names if any(matches(pattern, name) for pattern in patterns)]
    return sorted(found, key=lambda name: (name != "INBOX", name.casefold()))


def inferred(names: Iterable[str]) -> set[str]:
    """Every level above one of the names."""
    parents = set()
    for name in names:
        while DELIMITER in name:
            name = name.rpartition(DELIMITER)[0]
            if name in parents:
                break
            parents.add(name)
    return parents
