"""SEARCH (RFC 3501 6.4.4), with RETURN (RFC 4731), SAVE (RFC 5182) and PARTIAL (RFC 9394).

What matches is found in `bridge.imap.finding`; here is what is answered, and what is saved.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain, compress

from bridge.imap.commands import context
from bridge.imap.finding import find
from bridge.imap.planes import ones, positions
from bridge.imap.protocol.numbers import format_ranges, part_of
from bridge.imap.protocol.responses import quoted, search_result
from bridge.imap.protocol.search import Key, ModSeq, Refused, Returns, Search, leaves
from bridge.imap.protocol.spelled import in_ranges, ordered_ranges, spelled
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.imap.view import View
from bridge.store.api import StoreError

_OFFERED_AS = {"SAVE": "SEARCHRES", "PARTIAL": "PARTIAL"}


async def run(session: Session, request: Request, value: Search | Refused) -> Reply:
    value = accepted(session, value)
    view, asked = session.selected, value.returns
    follow = context.begin(session, request, value) if asked is not None and asked.update else None
    found = await matching(session, value)
    if asked is not None:
        await answer(session, request, value, asked, found)
        if follow is not None:
            follow(found)
    else:
        numbers = spelled(numbers_of(view, request), found)
        modseq = modseq_of(view, value.key, found)
        await session.send_many(search_result(numbers, modseq))
    return Reply("SEARCH completed")


def accepted(session: Session, value: Search | Refused, extended: str = "ESEARCH") -> Search:
    """The search, if we read its charset and offer its options, those of RETURN under the name
    of `extended`. Raises BadCharset, Bad."""
    if isinstance(value, Refused):
        # RFC 5182 2.1: NO to a search with SAVE empties what was saved.
        session.selected.saved = array("I")
        raise value.error
    if value.returns is not None:
        session.require(extended, "option RETURN")
        for option in value.returns.options:
            session.require(_OFFERED_AS.get(option, extended), f"option {option}")
        if value.returns.context:
            session.require("CONTEXT=SEARCH", "option CONTEXT or UPDATE")
    return value


async def matching(session: Session, value: Search) -> bytes:
    """The messages of the view that match, as a mask."""
    view = session.selected
    if any(isinstance(leaf, ModSeq) for leaf in leaves(value.key)):
        # RFC 7162 3.1.5: a CONDSTORE enabling command
        session.enable_condstore()
    try:
        return await find(session, view, value.key)
    except StoreError:
        if value.returns is not None and "SAVE" in value.returns.options:
            view.saved = array("I")
        raise


def numbers_of(view: View, request: Request) -> Sequence[int]:
    """What the client calls the messages of the view."""
    return view.uids if request.uid else range(1, len(view.uids) + 1)


def modseq_of(view: View, key: Key, found: bytes) -> int | None:
    """The highest MODSEQ of what was found, if the search asked for MODSEQ (RFC 7162 3.1.5)."""
    if not any(isinstance(leaf, ModSeq) for leaf in leaves(key)):
        return None
    box = view.mailbox
    if view.uids is box.uids:
        return max(compress(box.modseqs, found), default=None)
    states = map(view.state, compress(view.uids, found))
    return max((state.modseq for state in states if state is not None), default=None)


async def answer(
    session: Session,
    request: Request,
    value: Search,
    asked: Returns,
    found: bytes,
    order: Sequence[int] | None = None,
) -> None:
    """The ESEARCH response (RFC 4731 3.1) for the mask of what was found, in the order of the
    mailbox, or in that of SORT (RFC 5267 3.1), given as positions. Saves it if asked to."""
    view = session.selected
    numbers = numbers_of(view, request)
    named: list[int] = []  # positions that the answer names one by one
    parts: list[Iterable[bytes]] = [[b"* ESEARCH (TAG %b)" % quoted(request.tag)]]
    if request.uid:
        parts.append([b" UID"])
    for option in asked.options:
        match option:
            case "MIN" | "MAX" if 1 in found:
                if order is None:
                    at = found.find(1) if option == "MIN" else found.rfind(1)
                else:
                    at = order[0] if option == "MIN" else order[-1]
                named.append(at)
                parts.append([b" %b %d" % (option.encode(), numbers[at])])
            case "ALL" if 1 in found:
                parts.append([b" ALL "])
                parts.append(
                    in_ranges(numbers, found) if order is None else ordered_ranges(numbers, order)
                )
            case "COUNT":
                parts.append([b" COUNT %d" % found.count(1)])
            case "PARTIAL":
                assert asked.partial is not None
                part = part_of(positions(found) if order is None else order, asked.partial)
                named += part
                shown = format_ranges(numbers[at] for at in part) or b"NIL"
                parts.append([b" PARTIAL (%d:%d %b)" % (*asked.partial, shown)])
    # RFC 5182 2.4, RFC 9394 3.2: with MIN, MAX, PARTIAL alone the search is about these only.
    all_of_it = {"COUNT", "ALL"} & set(asked.options) or asked.options == ("SAVE",)
    kept = found if all_of_it else ones(named, len(found))
    modseq = modseq_of(view, value.key, kept)
    if modseq is not None:
        parts.append([b" MODSEQ %d" % modseq])
    # RFC 5182 2.2, example 1: SAVE alone is answered by the tagged OK.
    if asked.options != ("SAVE",):
        await session.send_many(chain(*parts, (b"\r\n",)))
    if "SAVE" in asked.options:
        view.saved = array("I", compress(view.uids, kept))
