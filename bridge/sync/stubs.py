"""What is written down about messages that could not be had, and the stubs shown for them.

Rules: row and stub are one transaction; a stub stands where the account's mail arrives, once; when
the message comes, the stub goes in the very transaction that brings it (`bridge.sync.settle`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bridge.mime.parser import scan
from bridge.model import Account, ListedItem, NewMessage, Poison
from bridge.pop3.client import Pop3Error, Pop3Session
from bridge.store.api import Store, WriteTx
from bridge.sync import notices, poison
from bridge.sync.settle import Line, arrivals, internaldate


async def note(
    store: Store,
    account: Account,
    session: Pop3Session | None,
    poisons: Mapping[Line, Poison],
    failures: Sequence[poison.Failure],
    now: int,
) -> None:
    """Notes the failures of a session; `session` is None when it is gone."""
    rows: list[tuple[Poison, NewMessage | None]] = []
    for failure in failures:
        line = failure.line
        row = poison.failed(poisons.get(poison.name(line)), failure, now)
        message = None
        if poison.wants_stub(row):
            title = failure.subject
            if not title and session is not None:
                with contextlib.suppress(Pop3Error):  # the stub says it without a subject
                    title = await subject(session, line)
            message = new_message(
                notices.stub(
                    account.address,
                    now=now,
                    size=line.size,
                    uidl=line.uidl,
                    said=failure.said,
                    subject=title,
                )
            )
            row = replace(row, stub=message.digest)
        rows.append((row, message))

    def write(tx: WriteTx) -> None:
        for row, message in rows:
            tx.note_poison(account.id, row)
            if message is not None:
                show(tx, account, message, now)

    await store.write(write)


def show(tx: WriteTx, account: Account, message: NewMessage, now: int) -> None:
    """A message of ours, where the account's mail arrives."""
    box = arrivals(tx, account)
    tx.add_entry(box.id, tx.add_message(message), internaldate=internaldate(message.structure, now))


def new_message(octets: bytes) -> NewMessage:
    return NewMessage(octets, hashlib.sha256(octets).digest(), scan(octets))


async def subject(session: Pop3Session, line: ListedItem) -> str:
    """The subject by TOP; empty where it cannot be had. Raises Pop3Error when the session is
    gone."""
    try:
        return scan(await session.top(line.number)).base_subject
    except Pop3Error as error:
        if error.fatal:
            raise
        return ""
