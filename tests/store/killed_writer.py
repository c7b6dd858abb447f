"""A process that writes to a store until it is killed, and says on stdout what is acknowledged.

One JSON line before each operation ("try") and one after ("done"); four tasks at once, so that
commits are shared. `tests/store/test_kill.py` starts it, kills it, and compares.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from pathlib import Path

from bridge.model import Flag, ListedItem, LoginId, MailboxId
from bridge.store.api import Store, WriteTx
from bridge.store.opening import open_store
from bridge.store.sqlite import engine
from tests.support.messages import new_message, raw_message

TASKS = 4
engine.CHECKPOINT_PAGES = 50  # so that kills hit checkpoints too


def say(**what: object) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


async def write(store: Store, login: LoginId, task: int, seed: int) -> None:
    """Works in a mailbox of its own, on the UIDs that it knows."""
    rng = random.Random(seed)
    name = f"task{task}"

    def opened(tx: WriteTx) -> tuple[MailboxId, int]:
        if not any(box.name == name for box in tx.mailboxes(login)):
            tx.create_mailbox(login, name)
        box = tx.mailbox(login, name)
        account = tx.ensure_account(f"{name}@example.org", login, name)
        return box.id, account.id

    box, _ = await store.write(opened)
    account = next(
        a for a in await store.read(lambda tx: tx.accounts()) if a.address.startswith(name + "@")
    )
    uids = [state.uid for state in await store.read(lambda tx: tx.entry_states(box))]
    for step in range(10**9):
        what = rng.choice(["add", "add", "add", "flag", "expunge"])
        if what == "add" or not uids:
            text = f"{task} {seed} {step}"
            message = new_message(raw_message(text, rng.choice([300, 9_000, 60_000])))
            item = ListedItem(step + 1, text.encode(), None)
            say(op="try", what="add", box=name, digest=message.digest.hex())

            def add(tx: WriteTx, message=message, item=item) -> int:  # type: ignore[no-untyped-def]  # defaults say it
                state = tx.add_entry(box, tx.add_message(message), internaldate=1)
                fingerprint = message.structure.fingerprint
                tx.settle_item(account.id, item, message.digest, fingerprint, 1)
                return state.uid

            uid = await store.write(add)
            uids.append(uid)
            say(op="done", what="add", box=name, uid=uid, digest=message.digest.hex())
        elif what == "flag":
            uid, flags = rng.choice(uids), rng.randrange(32) & ~Flag.DELETED
            say(op="try", what="flag", box=name, uid=uid, flags=flags)

            def flag(tx: WriteTx, uid: int = uid, flags: int = flags) -> int:
                tx.store_flags(box, [(uid, uid)], "replace", flags)
                return tx.mailbox_by_id(box).highestmodseq

            modseq = await store.write(flag)
            say(op="done", what="flag", box=name, uid=uid, flags=flags, modseq=modseq)
        else:
            uid = uids.pop(rng.randrange(len(uids)))
            say(op="try", what="expunge", box=name, uid=uid)

            def expunge(tx: WriteTx, uid: int = uid) -> None:
                tx.expunge(box, [(uid, uid)], only_deleted=False)

            await store.write(expunge)
            say(op="done", what="expunge", box=name, uid=uid)


async def main(data_dir: Path, seed: int) -> None:
    store = await open_store(data_dir)
    login = (await store.write(lambda tx: tx.ensure_login("me"))).id
    await asyncio.gather(*(write(store, login, task, seed * 10 + task) for task in range(TASKS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
