"""The one table: every command's name, grammar, behaviour, and the law that it is under.

Adding a command is a row here, a value and grammar in `protocol/`, a behaviour in `commands/`,
a transcript in the tests. CAPABILITY is computed from the table. `may_expunge` is False where
RFC 3501 7.4.1 forbids EXPUNGE: FETCH, STORE and SEARCH by sequence number; and for SELECT, whose
EXISTS should still be true when it ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TypeVar

from bridge import limits
from bridge.imap.commands import (
    acl,
    append,
    authenticate,
    capability,
    close,
    compress,
    context,
    copy,
    create,
    delete,
    enable,
    expunge,
    fetch,
    idle,
    list,
    login,
    logout,
    metadata,
    namespace,
    noop,
    notify,
    quota,
    rename,
    replace,
    search,
    select,
    sort,
    starttls,
    status,
    store,
    subscribe,
    thread,
    unauthenticate,
)
from bridge.imap.commands import id as identify
from bridge.imap.protocol import acl as acl_grammar
from bridge.imap.protocol import append as append_grammar
from bridge.imap.protocol import authenticate as authenticate_grammar
from bridge.imap.protocol import bare
from bridge.imap.protocol import compress as compress_grammar
from bridge.imap.protocol import context as context_grammar
from bridge.imap.protocol import copy as copy_grammar
from bridge.imap.protocol import create as create_grammar
from bridge.imap.protocol import delete as delete_grammar
from bridge.imap.protocol import enable as enable_grammar
from bridge.imap.protocol import expunge as expunge_grammar
from bridge.imap.protocol import fetch as fetch_grammar
from bridge.imap.protocol import id as id_grammar
from bridge.imap.protocol import list as list_grammar
from bridge.imap.protocol import login as login_grammar
from bridge.imap.protocol import metadata as metadata_grammar
from bridge.imap.protocol import notify as notify_grammar
from bridge.imap.protocol import quota as quota_grammar
from bridge.imap.protocol import rename as rename_grammar
from bridge.imap.protocol import replace as replace_grammar
from bridge.imap.protocol import search as search_grammar
from bridge.imap.protocol import select as select_grammar
from bridge.imap.protocol import sort as sort_grammar
from bridge.imap.protocol import status as status_grammar
from bridge.imap.protocol import store as store_grammar
from bridge.imap.protocol import subscribe as subscribe_grammar
from bridge.imap.protocol import thread as thread_grammar
from bridge.imap.protocol.scanner import Scanner
from bridge.imap.replies import Reply
from bridge.imap.seams import ANY, SIGNED_IN, Request, State
from bridge.imap.session import Row, Session

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
    until_rev2: bool = False,
    announced: bool = True,
    repeated: bool = False,
) -> Row:
    """A row: grammar and behaviour speak of the same value, whatever it is. What clients send again
    and again, word for word, is `repeated`: its meaning is kept. Not where a password is in it."""
    read = remembered(parse) if repeated else parse

    async def call(session: Session, request: Request, scanner: Scanner) -> Reply | None:
        return await run(session, request, read(scanner))

    return Row(name, call, states, rfc, may_expunge, capability, until_rev2, announced)


def remembered(parse: Callable[[Scanner], V]) -> Callable[[Scanner], V]:
    """The same, which parses equal octets once. Values are immutable: sessions may share them."""

    @lru_cache(maxsize=limits.IMAP_PARSED)
    def parsed(line: bytes, utf8: bool, rev2: bool) -> V:
        return parse(Scanner((line,), utf8=utf8, rev2=rev2))

    def read(scanner: Scanner) -> V:
        line = scanner.alone
        if line is None or len(line) > limits.IMAP_PARSED_LINE:
            return parse(scanner)
        return parsed(line, scanner.utf8, scanner.rev2)

    return read


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
        capability="AUTH=SCRAM-SHA-256-PLUS AUTH=SCRAM-SHA-256 AUTH=PLAIN SASL-IR",
    ),
    row("LOGIN", login_grammar.parse, login.run, NEW, "3501 6.2.3"),
    row("NAMESPACE", bare.parse, namespace.run, SIGNED_IN, "2342", capability="NAMESPACE"),
    row(
        "ENABLE",
        enable_grammar.parse,
        enable.run,
        SIGNED_IN,
        "5161",
        capability="ENABLE CONDSTORE QRESYNC UTF8=ACCEPT IMAP4rev2",
    ),
    row(
        "SELECT",
        select_grammar.parse,
        select.run,
        SIGNED_IN,
        "3501 6.3.1",
        may_expunge=False,
        repeated=True,
    ),
    row("EXAMINE", select_grammar.parse, select.run, SIGNED_IN, "3501 6.3.2", may_expunge=False),
    row(
        "CREATE",
        create_grammar.parse,
        create.run,
        SIGNED_IN,
        "3501 6.3.3",
        capability="CREATE-SPECIAL-USE",
    ),
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
        capability="LIST-EXTENDED SPECIAL-USE CHILDREN LIST-STATUS LIST-MYRIGHTS",
        repeated=True,
    ),
    row(
        "LSUB",
        list_grammar.parse_lsub,
        list.run,
        SIGNED_IN,
        "3501 6.3.9",
        until_rev2=True,
        repeated=True,
    ),
    row(
        "STATUS",
        status_grammar.parse,
        status.run,
        SIGNED_IN,
        "3501 6.3.10",
        capability="STATUS=SIZE",
        repeated=True,
    ),
    row(
        "APPEND",
        append_grammar.parse,
        append.run,
        SIGNED_IN,
        "3501 6.3.11",
        capability="APPENDLIMIT MULTIAPPEND",
    ),
    row(
        "GETQUOTA",
        quota_grammar.parse_root,
        quota.get,
        SIGNED_IN,
        "9208 4.1.1",
        capability="QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE",
    ),
    row(
        "GETQUOTAROOT",
        quota_grammar.parse_mailbox,
        quota.get_root,
        SIGNED_IN,
        "9208 4.1.2",
        capability="QUOTA",
    ),
    row(
        "SETQUOTA",
        quota_grammar.parse_set,
        quota.set_limits,
        SIGNED_IN,
        "9208 4.1.3",
        capability="QUOTA",
    ),
    row(
        "GETMETADATA",
        metadata_grammar.parse_get,
        metadata.get,
        SIGNED_IN,
        "5464 4.2",
        capability="METADATA",
    ),
    row(
        "SETMETADATA",
        metadata_grammar.parse_set,
        metadata.set_values,
        SIGNED_IN,
        "5464 4.3",
        capability="METADATA",
    ),
    row(
        "MYRIGHTS",
        acl_grammar.parse_mailbox,
        acl.my_rights,
        SIGNED_IN,
        "4314 3.5",
        capability="ACL",
        announced=False,
    ),
    row(
        "GETACL",
        acl_grammar.parse_mailbox,
        acl.get,
        SIGNED_IN,
        "4314 3.3",
        capability="ACL",
        announced=False,
    ),
    row(
        "SETACL",
        acl_grammar.parse_set,
        acl.set_rights,
        SIGNED_IN,
        "4314 3.1",
        capability="ACL",
        announced=False,
    ),
    row(
        "DELETEACL",
        acl_grammar.parse_identifier,
        acl.delete,
        SIGNED_IN,
        "4314 3.2",
        capability="ACL",
        announced=False,
    ),
    row(
        "LISTRIGHTS",
        acl_grammar.parse_identifier,
        acl.list_rights,
        SIGNED_IN,
        "4314 3.4",
        capability="ACL",
        announced=False,
    ),
    row(
        "COMPRESS",
        compress_grammar.parse,
        compress.run,
        SIGNED_IN,
        "4978",
        capability="COMPRESS=DEFLATE",
    ),
    row(
        "UNAUTHENTICATE",
        bare.parse,
        unauthenticate.run,
        SIGNED_IN,
        "8437",
        capability="UNAUTHENTICATE",
    ),
    row("IDLE", bare.parse, idle.run, SIGNED_IN, "2177", capability="IDLE"),
    row("NOTIFY", notify_grammar.parse, notify.run, SIGNED_IN, "5465", capability="NOTIFY"),
    row("CHECK", bare.parse, noop.run, SELECTED, "3501 6.4.1", until_rev2=True),
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
    row(
        "SEARCH",
        search_grammar.parse,
        search.run,
        SELECTED,
        "3501 6.4.4",
        may_expunge=False,
        capability="ESEARCH SEARCHRES WITHIN PARTIAL INPROGRESS",
        repeated=True,
    ),
    row(
        "CANCELUPDATE",
        context_grammar.parse,
        context.cancel,
        SELECTED,
        "5267 4.3.5",
        capability="CONTEXT=SEARCH",
    ),
    row("UID SEARCH", search_grammar.parse, search.run, SELECTED, "3501 6.4.8", repeated=True),
    row(
        "SORT",
        sort_grammar.parse,
        sort.run,
        SELECTED,
        "5256 3",
        may_expunge=False,
        capability="SORT SORT=DISPLAY ESORT",
        repeated=True,
    ),
    row("UID SORT", sort_grammar.parse, sort.run, SELECTED, "5256 3", repeated=True),
    row(
        "THREAD",
        thread_grammar.parse,
        thread.run,
        SELECTED,
        "5256 3",
        may_expunge=False,
        capability="THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS",
        repeated=True,
    ),
    row("UID THREAD", thread_grammar.parse, thread.run, SELECTED, "5256 3", repeated=True),
    row(
        "FETCH",
        fetch_grammar.parse,
        fetch.run,
        SELECTED,
        "3501 6.4.5",
        may_expunge=False,
        capability="BINARY PREVIEW SAVEDATE OBJECTID",
    ),
    row("UID FETCH", fetch_grammar.parse, fetch.run, SELECTED, "3501 6.4.8"),
    row("STORE", store_grammar.parse, store.run, SELECTED, "3501 6.4.6", may_expunge=False),
    row("UID STORE", store_grammar.parse, store.run, SELECTED, "3501 6.4.8"),
    row("COPY", copy_grammar.parse, copy.run, SELECTED, "3501 6.4.7"),
    row("UID COPY", copy_grammar.parse, copy.run, SELECTED, "3501 6.4.8"),
    row("MOVE", copy_grammar.parse, copy.run, SELECTED, "6851", capability="MOVE"),
    row("UID MOVE", copy_grammar.parse, copy.run, SELECTED, "6851"),
    row("REPLACE", replace_grammar.parse, replace.run, SELECTED, "8508", capability="REPLACE"),
    row("UID REPLACE", replace_grammar.parse, replace.run, SELECTED, "8508"),
)


def _gates(entry: Row) -> tuple[str, ...]:
    """The first capability of the row, unless it is one of RFC 3501, which is always there.
    "UID MOVE" goes with MOVE."""
    plain = entry.name.removeprefix("UID ")
    return tuple(
        each.capability.split()[0]
        for each in ROWS
        if each.name in (entry.name, plain)
        and each.capability is not None
        and not each.rfc.startswith("3501")
    )


TABLE = {entry.name: dataclasses.replace(entry, gates=_gates(entry)) for entry in ROWS}
