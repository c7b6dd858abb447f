"""What an imported message becomes in the store: is it there, and where does it belong?

Rules:
- The same bytes in the same mailbox of a login are one entry, however often they are imported.
- What an account of the login brought by POP3, and the person had filed elsewhere before, goes
  where the person had it: the entry moves out of the mailbox where mail arrives. It gets the flags
  and keywords that the import knows.
- A message that the POP3 side brought with other headers (`same_copy`: one fingerprint, one
  journey) is that message; the bytes that are stored stay.
- What was imported once and is shown anywhere is left alone: a device may have read, marked and
  moved it since. What is shown nowhere comes back: an import never loses a message.
- A later poll finds what was imported by the note that is left here (`WriteTx.note_import`).

`decide` reads, `place` acts on it in the same transaction; a dry run decides only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.model import LoginId, Mailbox, MailboxId, NewMessage, SpecialUse
from bridge.store.api import NoSuchMailbox, ReadTx, WriteTx
from bridge.sync.identity import same_copy
from bridge.sync.settle import internaldate
from bridge.transfer.marks import Marks

_HEADER = 64 * 1024  # octets that are looked at for the journey of a message
_WAY_BELOW = {use.value: use for use in SpecialUse}


@dataclass(frozen=True, slots=True)
class Decision:
    """`digest` names the message that the store has or gets; `entry` the one to be marked or
    moved. "known": imported before; "there": by POP3 or a device, and now marked; "filed": by
    POP3, and now moved."""

    kind: Literal["new", "known", "there", "filed"]
    digest: bytes
    entry: tuple[MailboxId, int] | None = None


def decide(
    tx: ReadTx, login: LoginId, message: NewMessage, mailbox: str, if_absent: bool = False
) -> Decision:
    """`if_absent`: a message that is shown anywhere is left where it is."""
    if if_absent:
        stored = tx.message_by_digest(message.digest)
        if stored is not None and tx.shown(login, stored):
            return Decision("known", message.digest)
    found = _decide(tx, login, message.digest, message, mailbox)
    if found is not None:
        return found
    header = message.structure.header[:_HEADER]
    fingerprint = message.structure.fingerprint
    for digest, _ in tx.deliveries(login, message.digest, fingerprint):
        stored = None if digest == message.digest else tx.message_by_digest(digest)
        if stored is not None and same_copy(tx.octets(stored, 0, _HEADER), header):
            found = _decide(tx, login, digest, message, mailbox)
            # A copy that lies elsewhere is of other bytes: it is no reason not to add these.
            if found is not None and found.kind != "new":
                return found
    return Decision("new", message.digest)


def _decide(
    tx: ReadTx, login: LoginId, digest: bytes, message: NewMessage, mailbox: str
) -> Decision | None:
    """None: this login shows no message with this digest."""
    stored = tx.message_by_digest(digest)
    shown = () if stored is None else tx.shown(login, stored)
    if not shown:
        return None
    imported = tx.imports(login, digest)
    if mailbox in imported:
        return Decision("known", digest)
    names = {box: tx.mailbox_by_id(box).name for box, _ in shown}
    for box, uid in shown:
        if names[box] == mailbox:
            return Decision("there", digest, (box, uid))
    fingerprint = message.structure.fingerprint
    arrived = {box for found, box in tx.deliveries(login, digest, fingerprint) if found == digest}
    for box, uid in shown:
        if names[box] in arrived and names[box] not in imported:
            return Decision("filed", digest, (box, uid))
    return Decision("new", digest)


def place(
    tx: WriteTx,
    login: LoginId,
    message: NewMessage,
    mailbox: str,
    marks: Marks,
    decision: Decision,
    now: int,
) -> None:
    """Does what was decided, and notes it. Raises StoreError."""
    digest = decision.digest
    if decision.kind == "known":
        return
    target = made(tx, login, mailbox)
    if decision.kind == "new":
        date = internaldate(message.structure, now) if marks.date is None else marks.date
        number = tx.add_message(message)
        tx.add_entry(
            target.id, number, flags=marks.flags, keywords=marks.keywords, internaldate=date
        )
        digest = message.digest
    elif decision.entry is not None:
        box, uid = decision.entry
        if decision.kind == "filed":
            moved = tx.move(box, ((uid, uid),), target.id)
            box, uid = target.id, moved.target_uids[0]
        if marks.flags or marks.keywords:
            tx.store_flags(box, ((uid, uid),), "add", marks.flags, marks.keywords)
    fingerprint = message.structure.fingerprint
    delivered = any(found == digest for found, _ in tx.deliveries(login, digest, fingerprint))
    tx.note_import(login, digest, mailbox, fingerprint, awaited=not delivered)


def made(
    tx: WriteTx, login: LoginId, name: str, use: str | None = None, *, subscribed: bool = True
) -> Mailbox:
    """The mailbox, made and subscribed when missing, with its special use where no other mailbox
    has that."""
    special = _WAY_BELOW.get(use or "")
    try:
        return tx.mailbox(login, name)
    except NoSuchMailbox:
        if special in {each.special_use for each in tx.mailboxes(login)}:
            special = None
        box = tx.create_mailbox(login, name, special)
        if subscribed:
            tx.subscribe(login, box.name, True)
        return box
