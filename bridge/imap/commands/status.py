"""STATUS (RFC 3501 6.3.10): every figure is kept by the store, none is counted here."""

from __future__ import annotations

from bridge.imap.protocol.responses import mailbox_name
from bridge.imap.protocol.status import Status
from bridge.imap.replies import Bad, Reply
from bridge.imap.session import Request, Session
from bridge.model import Mailbox


async def run(session: Session, request: Request, value: Status) -> Reply:
    login = session.signed_in.id
    row = await session.services.store.read(lambda tx: tx.mailbox(login, value.mailbox))
    session.send(status_response(row, value.items))
    return Reply("STATUS completed")


def status_response(row: Mailbox, items: tuple[str, ...]) -> bytes:
    """b'* STATUS name (MESSAGES 3 ...)'. Raises Bad for an item that we do not have."""
    facts = {
        "MESSAGES": row.messages,
        "RECENT": max(0, row.uidnext - row.first_recent) if row.messages else 0,
        "UIDNEXT": row.uidnext,
        "UIDVALIDITY": row.uidvalidity,
        "UNSEEN": row.unseen,
    }
    unknown = [item for item in items if item not in facts]
    if unknown:
        raise Bad(f"STATUS has no item {unknown[0][:40]}")
    pairs = " ".join(f"{item} {facts[item]}" for item in items).encode()
    return b"* STATUS " + mailbox_name(row.name) + b" (" + pairs + b")\r\n"
