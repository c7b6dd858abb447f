"""Deleting at the provider: the last thing of a session, where the account's policy asks for it.

Rules:
- What `bridge.sync.retention` names is read back from the store and hashed before anything is
  said; what does not verify stays.
- The audit is written before the first DELE, and what it says is decided again in that very
  transaction: a message that a device took back meanwhile is left alone.
- DELE, then QUIT: nothing comes after. A QUIT that is not confirmed leaves "asked" in the audit;
  what is still there is listed again, and asked again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from bridge import limits
from bridge.logs import get_logger
from bridge.model import Account, ListedItem, Retained, ServerDelete
from bridge.pop3.client import Pop3Error, Pop3Session
from bridge.store.api import ReadTx, Store, StoreError, WriteTx
from bridge.sync.plan import Plan
from bridge.sync.retention import Devices, Due, Policy, devices, due, unique
from bridge.sync.short import is_short

_PIECE = 1024 * 1024  # octets of a message that are in memory while it is read back


async def run(
    store: Store,
    session: Pop3Session,
    account: Account,
    policy: Policy,
    listing: Sequence[ListedItem],
    plan: Plan,
    now: int,
    *,
    sizes_inflate: bool = False,
) -> int:
    """Deletes what is due and ends the session with QUIT. Returns how many the server confirmed.
    Raises Pop3Error when the session is lost before QUIT, StoreError."""
    speaking = {number: item.id for number, item in plan.paired.items()}
    spoken = unique(listing, speaking, plan.listed)

    def decide(tx: ReadTx) -> Sequence[Due]:
        items, watched = tx.retained(account.id), tx.watched(account.id)
        return due(policy, listing, spoken, items, now, watched)

    def look(tx: ReadTx) -> tuple[Devices, Sequence[Due]]:
        items, watched = tx.retained(account.id), tx.watched(account.id)
        found = due(policy, listing, spoken, items, now, watched)
        return devices(policy, items), found

    marks, found = await store.read(look)
    if marks.deleted or marks.restored:
        await store.write(
            lambda tx: tx.mark_deleted(account.id, marks.deleted, marks.restored, now)
        )
    proved = await _proved(store, account, found, sizes_inflate=sizes_inflate)

    def audit(tx: WriteTx) -> tuple[Sequence[Due], Sequence[int]]:
        still = [each for each in decide(tx) if each.item.id in proved]
        return still, tx.log_deletes([_row(account, each, now, "asked") for each in still])

    doomed, ids = await store.write(audit) if proved else ((), ())
    refused: list[int] = []
    for each, number in zip(doomed, ids, strict=True):
        try:
            await session.delete(each.line.number)
        except Pop3Error as error:
            if error.fatal:
                raise
            refused.append(number)
    log = get_logger(account=account.address)
    try:
        await session.quit()
    except Pop3Error as error:
        log.warning("deletes not confirmed", asked=len(doomed), error=str(error))
        return 0
    gone = [number for number in ids if number not in refused]
    if ids:
        await store.write(lambda tx: _outcomes(tx, gone, refused))
        log.info("deleted at the provider", deleted=len(gone), refused=len(refused))
    return len(gone)


def preview(tx: ReadTx, account: Account, policy: Policy, now: int) -> Sequence[ServerDelete]:
    """What is due by the last listing, outcome "planned"."""
    items = tx.retained(account.id)
    listing = [ListedItem(number, i.uidl, i.size) for number, i in enumerate(items, 1)]
    spoken = {number: item.id for number, item in enumerate(items, 1)}
    found = due(policy, listing, spoken, items, now, tx.watched(account.id))
    return [_row(account, each, now, "planned") for each in found]


async def _proved(
    store: Store, account: Account, found: Sequence[Due], *, sizes_inflate: bool
) -> set[int]:
    """The items whose bytes are in the store as they came, as far as one poll reads back; without
    those that may not be whole, by the size of LIST."""
    proved: set[int] = set()
    octets = 0
    for each in found:
        octets += each.line.size or 0
        if proved and octets > limits.DELETE_READ_BACK:
            break
        item = each.item
        size = await store.read(lambda tx, item=item: _verified(tx, item))  # type: ignore[misc]  # a default binds the loop's value
        if size is not None and (sizes_inflate or not is_short(each.line, size)):
            proved.add(item.id)
        elif size is None:
            get_logger(account=account.address).error(
                "a stored message does not verify, so it stays at the provider",
                uidl=item.uidl,
                digest=item.digest.hex(),
            )
    return proved


def _verified(tx: ReadTx, item: Retained) -> int | None:
    """The octets of the stored message, or None where they are not what came."""
    if item.message_id is None:
        return None
    content = hashlib.sha256()
    start = 0
    try:
        while piece := tx.octets(item.message_id, start, start + _PIECE):
            content.update(piece)
            start += len(piece)
    except StoreError:
        return None
    return start if content.digest() == item.digest else None


def _row(account: Account, each: Due, now: int, outcome: str) -> ServerDelete:
    return ServerDelete(
        address=account.address,
        at=now,
        uidl=each.line.uidl or b"",
        size=each.line.size,
        digest=each.item.digest,
        reason=each.reason,
        outcome=outcome,
    )


def _outcomes(tx: WriteTx, gone: Sequence[int], refused: Sequence[int]) -> None:
    tx.set_outcome(gone, "done")
    tx.set_outcome(refused, "refused")
