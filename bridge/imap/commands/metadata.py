"""GETMETADATA and SETMETADATA (RFC 5464): notes of clients on mailboxes and on the server.

Rules:
- A mailbox belongs to one login, so its /shared entries are as private as its /private ones; they
  are kept apart all the same. Server entries are kept by login: /private ones can be set, /shared
  ones, which all logins would see, cannot.
- "/private/specialuse" is the mailbox's special use (RFC 6154 4): setting it moves the use here.
- Values are octets: what is no plain string comes back as a literal, with NULs as literal8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bridge import limits
from bridge.imap import names
from bridge.imap.commands.create import special_use
from bridge.imap.protocol.metadata import GetMetadata, SetMetadata
from bridge.imap.protocol.responses import astring, literal, string
from bridge.imap.replies import No, Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.model import SpecialUse
from bridge.store.api import ReadTx, TooMany, WriteTx

SPECIAL_USE = "/private/specialuse"
_USES = {use.value.lower(): use.value for use in SpecialUse}


async def get(session: Session, request: Request, value: GetMetadata) -> Reply:
    stored = await session.services.store.read(lambda tx: _stored(session, tx, value.mailbox))
    found = dict(chosen(value, stored))
    sizes = [len(each) for each in found.values() if each is not None]
    most = value.max_size
    over = max((size for size in sizes if most is not None and size > most), default=0)
    pairs = [
        astring(name.encode()) + b" " + _shown(each)
        for name, each in found.items()
        if most is None or each is None or len(each) <= most
    ]
    if pairs:
        name = session.mailbox_name(value.mailbox) if value.mailbox else b'""'
        session.send(b"* METADATA " + name + b" (" + b" ".join(pairs) + b")\r\n")
    # RFC 5464 4.2.1: the size of the biggest that was left out.
    code = b"METADATA LONGENTRIES %d" % over if over else None
    return Reply("GETMETADATA completed", code)


def _stored(session: Session, tx: ReadTx, mailbox: str) -> Mapping[str, bytes]:
    login = session.signed_in.id
    if not mailbox:
        return tx.metadata(login, None)
    row = names.mailbox(session, tx, mailbox)
    found = dict(tx.metadata(login, row.id))
    if row.special_use is not None:
        found[SPECIAL_USE] = row.special_use.value.encode()
    return found


def chosen(value: GetMetadata, stored: Mapping[str, bytes]) -> Iterator[tuple[str, bytes | None]]:
    """Each entry asked for, None where it has no value, and those below it as DEPTH says."""
    for name in value.entries:
        folded = name.lower()
        if folded in stored or not value.depth:
            yield name, stored.get(folded)
        if not value.depth:
            continue
        below = folded + "/"
        for other in sorted(stored):
            if other.startswith(below) and other.count("/", len(below)) < value.depth:
                yield other, stored[other]


def _shown(octets: bytes | None) -> bytes:
    if octets is None:
        return b"NIL"
    return b"~" + literal(octets) if b"\0" in octets else string(octets)


async def set_values(session: Session, request: Request, value: SetMetadata) -> Reply:
    login = session.signed_in.id
    values = dict(value.values)
    if not value.mailbox and any(name.startswith("/shared/") for name in values):
        raise No("All who sign in here would see it; nobody may set it", b"NOPERM")
    if any(len(octets or b"") > limits.METADATA_VALUE for octets in values.values()):
        # RFC 5464 4.3
        raise No("The value is too large", b"METADATA MAXSIZE %d" % limits.METADATA_VALUE)
    changes_use = bool(value.mailbox) and SPECIAL_USE in values
    use = _special_use(values.pop(SPECIAL_USE)) if changes_use else None

    def work(tx: WriteTx) -> None:
        box = names.mailbox(session, tx, value.mailbox).id if value.mailbox else None
        if values:
            tx.set_metadata(login, box, values)
        if changes_use and box is not None:
            tx.set_special_use(box, use)

    try:
        await session.services.store.write(work)
    except TooMany as error:
        raise No(str(error), b"METADATA TOOMANY") from None
    return Reply("SETMETADATA completed")


def _special_use(octets: bytes | None) -> SpecialUse | None:
    """RFC 6154 4: checked as CREATE checks it. Raises No [USEATTR]."""
    words = (octets or b"").decode("ascii", "replace").split()
    return special_use([_USES.get(name.lower(), name) for name in words])
