"""The one table: every command's name, grammar, behaviour, and the law that it is under.

Adding a command is a row here, a value and grammar in `protocol/`, a behaviour in `commands/`,
a transcript in the tests. CAPABILITY is computed from the table. `may_expunge` is False where
RFC 3501 7.4.1 forbids EXPUNGE: FETCH, STORE and SEARCH by sequence number; and for SELECT, whose
EXISTS should still be true when it ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from bridge.imap.commands import (
    append,
    authenticate,
    capability,
    close,
    copy,
    create,
    delete,
    expunge,
    fetch,
    idle,
    list,
    login,
    logout,
    namespace,
    noop,
    rename,
    search,
    select,
    starttls,
    status,
    store,
    subscribe,
)
from bridge.imap.commands import id as identify
from bridge.imap.protocol import append as append_grammar
from bridge.imap.protocol import authenticate as authenticate_grammar
from bridge.imap.protocol import bare
from bridge.imap.protocol import copy as copy_grammar
from bridge.imap.protocol import create as create_grammar
from bridge.imap.protocol import delete as delete_grammar
from bridge.imap.protocol import expunge as expunge_grammar
from bridge.imap.protocol import fetch as fetch_grammar
from bridge.imap.protocol import id as id_grammar
from bridge.imap.protocol import list as list_grammar
from bridge.imap.protocol import login as login_grammar
from bridge.imap.protocol import rename as rename_grammar
from bridge.imap.protocol import search as search_grammar
from bridge.imap.protocol import select as select_grammar
from bridge.imap.protocol import status as status_grammar
from bridge.imap.protocol import store as store_grammar
from bridge.imap.protocol import subscribe as subscribe_grammar
from bridge.imap.protocol.scanner import Scanner
from bridge.imap.replies import Reply
from bridge.imap.session import ANY, SIGNED_IN, Request, Row, Session, State

V = TypeVar("V")


def row(
    name: str,
    parse: Callable[[Scanner], V],
    run: Callable[[Session, Request, V], Awaitable[Reply | None]],
    states: State,
    rfc: str,
    *,
    may_expunge: bool = True,
    capability: str | None = None,
) -> Row:
    """A row: grammar and behaviour speak of the same value, whatever it is."""

    async def call(session: Session, request: Request, scanner: Scanner) -> Reply | None:
        return await run(session, request, parse(scanner))

    return Row(name, call, states, rfc, may_expunge, capability)


NEW, SELECTED = State.NOT_AUTHENTICATED, State.SELECTED

ROWS = (
    row("CAPABILITY", bare.parse, capability.run, ANY, "3501 6.1.1"),
    row("NOOP", bare.parse, noop.run, ANY, "3501 6.1.2"),
    row("LOGOUT", bare.parse, logout.run, ANY, "3501 6.1.3"),
    row("ID", id_grammar.parse, identify.run, ANY, "2971", capability="ID"),
    row("STARTTLS", bare.parse, starttls.run, NEW, "3501 6.2.1", capability="STARTTLS"),
    row(
        "AUTHENTICATE",
        authenticate_grammar.parse,
        authenticate.run,
        NEW,
        "3501 6.2.2",
        capability="AUTH=PLAIN SASL-IR",
    ),
    row("LOGIN", login_grammar.parse, login.run, NEW, "3501 6.2.3"),
    row("NAMESPACE", bare.parse, namespace.run, SIGNED_IN, "2342", capability="NAMESPACE"),
    row("SELECT", select_grammar.parse, select.run, SIGNED_IN, "3501 6.3.1", may_expunge=False),
    row("EXAMINE", select_grammar.parse, select.run, SIGNED_IN, "3501 6.3.2", may_expunge=False),
    row("CREATE", create_grammar.parse, create.run, SIGNED_IN, "3501 6.3.3"),
    row("DELETE", delete_grammar.parse, delete.run, SIGNED_IN, "3501 6.3.4"),
    row("RENAME", rename_grammar.parse, rename.run, SIGNED_IN, "3501 6.3.5"),
    row("SUBSCRIBE", subscribe_grammar.parse, subscribe.run, SIGNED_IN, "3501 6.3.6"),
    row("UNSUBSCRIBE", subscribe_grammar.parse, subscribe.run, SIGNED_IN, "3501 6.3.7"),
    row(
        "LIST",
        list_grammar.parse,
        list.run,
        SIGNED_IN,
        "3501 6.3.8",
        capability="SPECIAL-USE CHILDREN",
    ),
    row("LSUB", list_grammar.parse, list.run, SIGNED_IN, "3501 6.3.9"),
    row("STATUS", status_grammar.parse, status.run, SIGNED_IN, "3501 6.3.10"),
    row("APPEND", append_grammar.parse, append.run, SIGNED_IN, "3501 6.3.11"),
    row("IDLE", bare.parse, idle.run, SIGNED_IN, "2177", capability="IDLE"),
    row("CHECK", bare.parse, noop.run, SELECTED, "3501 6.4.1"),
    row("CLOSE", bare.parse, close.run, SELECTED, "3501 6.4.2"),
    row("UNSELECT", bare.parse, close.run, SELECTED, "3691", capability="UNSELECT"),
    row("EXPUNGE", bare.parse, expunge.run, SELECTED, "3501 6.4.3"),
    row(
        "UID EXPUNGE",
        expunge_grammar.parse,
        expunge.run_uid,
        SELECTED,
        "4315 2.1",
        capability="UIDPLUS",
    ),
    row("SEARCH", search_grammar.parse, search.run, SELECTED, "3501 6.4.4", may_expunge=False),
    row("UID SEARCH", search_grammar.parse, search.run, SELECTED, "3501 6.4.8"),
    row("FETCH", fetch_grammar.parse, fetch.run, SELECTED, "3501 6.4.5", may_expunge=False),
    row("UID FETCH", fetch_grammar.parse, fetch.run, SELECTED, "3501 6.4.8"),
    row("STORE", store_grammar.parse, store.run, SELECTED, "3501 6.4.6", may_expunge=False),
    row("UID STORE", store_grammar.parse, store.run, SELECTED, "3501 6.4.8"),
    row("COPY", copy_grammar.parse, copy.run, SELECTED, "3501 6.4.7"),
    row("UID COPY", copy_grammar.parse, copy.run, SELECTED, "3501 6.4.8"),
    row("MOVE", copy_grammar.parse, copy.run, SELECTED, "6851", capability="MOVE"),
    row("UID MOVE", copy_grammar.parse, copy.run, SELECTED, "6851"),
)

TABLE = {entry.name: entry for entry in ROWS}
