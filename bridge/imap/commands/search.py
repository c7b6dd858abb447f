"""SEARCH (RFC 3501 6.4.4), with RETURN (RFC 4731), SAVE (RFC 5182) and PARTIAL (RFC 9394).

What matches is found in `bridge.imap.finding`; here is what is answered, and what is saved.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from bridge.imap.commands import context
from bridge.imap.finding import find
from bridge.imap.protocol.numbers import format_ranges, part_of
from bridge.imap.protocol.responses import quoted, search_result
from bridge.imap.protocol.search import Key, ModSeq, Refused, Returns, Search, leaves
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.imap.view import View
from bridge.store.api import StoreError

_OFFERED_AS = {"SAVE": "SEARCHRES", "PARTIAL": "PARTIAL"}


async def run(session: Session, request: Request, value: Search | Refused) -> Reply:
    value = accepted(session, value)
    asked = value.returns
    follow = context.begin(session, request, value) if asked is not None and asked.update else None
    found = await matching(session, value)
    if asked is not None:
        answer(session, request, value, asked, found)
        if follow is not None:
            follow(found)
    else:
        numbers = numbered(session.selected, request, found)
        session.send(search_result(numbers, modseq_of(session.selected, value.key, found)))
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


async def matching(session: Session, value: Search) -> list[int]:
    """Positions in the view of the messages that match, rising."""
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


def numbered(view: View, request: Request, found: Iterable[int]) -> list[int]:
    """What the client calls the messages at these positions."""
    uids = view.uids
    return [uids[at] for at in found] if request.uid else [at + 1 for at in found]


def modseq_of(view: View, key: Key, found: Iterable[int]) -> int | None:
    """The highest MODSEQ of what was found, if the search asked for MODSEQ (RFC 7162 3.1.5)."""
    if not any(isinstance(leaf, ModSeq) for leaf in leaves(key)):
        return None
    states = (view.state(view.uids[at]) for at in found)
    return max((state.modseq for state in states if state is not None), default=None)


def answer(
    session: Session, request: Request, value: Search, asked: Returns, found: Sequence[int]
) -> None:
    """The ESEARCH response (RFC 4731 3.1) for what was found, in the order of the search: that
    of the mailbox, or of SORT (RFC 5267 3.1). Saves it if asked to."""
    view = session.selected
    named: list[int] = []  # positions that the answer names one by one
    parts = [b"* ESEARCH (TAG %b)" % quoted(request.tag)]
    if request.uid:
        parts.append(b"UID")
    for option in asked.options:
        chosen: Sequence[int] = ()
        match option:
            case "MIN":
                chosen = found[:1]
            case "MAX":
                chosen = found[-1:]
            case "ALL":
                chosen = found
            case "COUNT":
                parts.append(b"COUNT %d" % len(found))
            case "PARTIAL":
                assert asked.partial is not None
                chosen = part_of(found, asked.partial)
                numbers = format_ranges(numbered(view, request, chosen)) or b"NIL"
                parts.append(b"PARTIAL (%d:%d %b)" % (*asked.partial, numbers))
        if chosen and option != "PARTIAL":
            numbers = format_ranges(numbered(view, request, chosen))
            parts.append(b"%b %b" % (option.encode(), numbers))
        named += chosen
    # RFC 5182 2.4, RFC 9394 3.2: with MIN, MAX, PARTIAL alone the search is about these only.
    all_of_it = {"COUNT", "ALL"} & set(asked.options) or asked.options == ("SAVE",)
    kept = found if all_of_it else sorted(set(named))
    modseq = modseq_of(view, value.key, kept)
    if modseq is not None:
        parts.append(b"MODSEQ %d" % modseq)
    # RFC 5182 2.2, example 1: SAVE alone is answered by the tagged OK.
    if asked.options != ("SAVE",):
        session.send(b" ".join(parts) + b"\r\n")
    if "SAVE" in asked.options:
        view.saved = array("I", [view.uids[at] for at in sorted(kept)])
