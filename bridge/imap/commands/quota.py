"""GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208), and the check of those who add messages.

All mailboxes of a login share one quota root, "". Without `imap.quota` there is none: RFC 9208 3.2
lets a mailbox have no root, and its grammar has no list of no resources.

Rules: APPEND and COPY that end above a limit are undone with [OVERQUOTA]; mail that arrives from a
provider is never refused, nor is MOVE, which adds nothing. Limits come from the config alone.
"""

from __future__ import annotations

from bridge.imap.protocol.quota import GetQuota, GetQuotaRoot, SetQuota
from bridge.imap.replies import No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.model import Quota, Usage
from bridge.store.api import ReadTx

UNIT = 1024  # RFC 9208 5.1


async def get(session: Session, request: Request, value: GetQuota) -> Reply:
    await _show(session, value.root)
    return Reply("GETQUOTA completed")


async def get_root(session: Session, request: Request, value: GetQuotaRoot) -> Reply:
    name = session.mailbox_name(value.mailbox)
    if session.services.quota is None:
        session.send(b"* QUOTAROOT %s\r\n" % name)
    else:
        session.send(b'* QUOTAROOT %s ""\r\n' % name)
        await _show(session, b"")
    return Reply("GETQUOTAROOT completed")


async def set_limits(session: Session, request: Request, value: SetQuota) -> Reply:
    raise No("Limits are set by whoever runs this server", b"NOPERM")


async def _show(session: Session, root: bytes) -> None:
    quota, login = session.services.quota, session.signed_in.id
    if quota is None or root != b"":
        raise No("There is no such quota root", b"NONEXISTENT")
    usage = await session.services.store.read(lambda tx: tx.usage(login))
    session.send(b'* QUOTA "" (%s)\r\n' % resources(quota, usage))


def resources(quota: Quota, usage: Usage) -> bytes:
    """b"STORAGE 54 1000 MESSAGE 42 1000": only what is limited (RFC 9208 4.2.1)."""
    triplets = []
    if quota.octets is not None:
        triplets.append(b"STORAGE %d %d" % (-(-usage.octets // UNIT), quota.octets // UNIT))
    if quota.messages is not None:
        triplets.append(b"MESSAGE %d %d" % (usage.messages, quota.messages))
    return b" ".join(triplets)


def require_room(session: Session, tx: ReadTx) -> None:
    """Raises No [OVERQUOTA] (RFC 9208 4.3.1) where what this transaction added is too much."""
    quota = session.services.quota
    if quota is None:
        return
    usage = tx.usage(session.signed_in.id)
    if quota.octets is not None and usage.octets > quota.octets:
        raise No("There is no room left: delete some messages", b"OVERQUOTA")
    if quota.messages is not None and usage.messages > quota.messages:
        raise No("There are too many messages: delete some", b"OVERQUOTA")
