"""Mailbox names between a client and the store, and the LIST response that tells of one.

Rules:
- A client that writes names in UTF-8 may write them in any normal form (RFC 9051 5.1): what it
  makes is kept in Net-Unicode's form, NFC, and found again by either. A mailbox whose name is kept
  in another form, because a client made it in modified UTF-7, is found by just that form first.
- Where the name differs from the one given, an IMAP4rev2 client is told by LIST with OLDNAME
  (RFC 9051 6.3.9.7).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from bridge.imap.session import Session
from bridge.model import LoginId, Mailbox
from bridge.store.api import NoSuchMailbox, ReadTx


def composed(session: Session, name: str) -> str:
    """The name that is made of it (RFC 5198 2)."""
    return unicodedata.normalize("NFC", name) if session.utf8 else name


def stored(session: Session, tx: ReadTx, name: str) -> str:
    """The name as the store has it, if it does."""
    login = session.signed_in.id
    other = composed(session, name)
    return name if other == name or _is_there(tx, login, name) else other


def _is_there(tx: ReadTx, login: LoginId, name: str) -> bool:
    try:
        tx.mailbox(login, name)
    except NoSuchMailbox:
        return tx.has_children(login, name)
    return True


def mailbox(session: Session, tx: ReadTx, name: str) -> Mailbox:
    """The mailbox that the client names. Raises NoSuchMailbox."""
    return tx.mailbox(session.signed_in.id, stored(session, tx, name))


# --- LIST responses ---------------------------------------------------------------------


def always_told(row: Mailbox | None, has_children: bool) -> tuple[str, ...]:
    """RFC 3348 3, RFC 6154 2."""
    children = "\\HasChildren" if has_children else "\\HasNoChildren"
    if row is None or row.special_use is None:
        return (children,)
    return (children, row.special_use.value)


def list_response(
    session: Session,
    name: str,
    attributes: Sequence[str],
    *,
    command: str = "LIST",
    child_info: Sequence[str] = (),
    old: str | None = None,
) -> bytes:
    """b'* LIST (\\\\HasChildren) "/" work ("CHILDINFO" ("SUBSCRIBED"))'; `old` is the name before,
    or the name that was given, for OLDNAME."""
    line = f'* {command} ({" ".join(attributes)}) "/" '.encode() + session.mailbox_name(name)
    items = []
    if child_info:
        criteria = " ".join(f'"{option}"' for option in child_info)
        items.append(f'"CHILDINFO" ({criteria})'.encode())
    if old is not None:
        # RFC 5465 5.4, RFC 9051 6.3.9.7
        items.append(b'"OLDNAME" (' + session.mailbox_name(old) + b")")
    return line + (b" (" + b" ".join(items) + b")" if items else b"") + b"\r\n"


def listed(session: Session, tx: ReadTx, row: Mailbox, old: str | None = None) -> bytes:
    """The LIST response of a mailbox that is there, with accurate attributes (RFC 9051 6.3.2)."""
    attributes = always_told(row, tx.has_children(row.login_id, row.name))
    if tx.is_subscribed(row.login_id, row.name):
        attributes += ("\\Subscribed",)
    return list_response(session, row.name, attributes, old=None if old == row.name else old)


def renaming(session: Session, tx: ReadTx, given: str, row: Mailbox) -> tuple[bytes, ...]:
    """What an IMAP4rev2 client is told where the mailbox that it named is not called so."""
    return (listed(session, tx, row, given),) if session.rev2 and row.name != given else ()
