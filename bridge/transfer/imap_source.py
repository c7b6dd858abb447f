"""Another IMAP account as the source of an import: folders, flags, keywords, dates.

Rules:
- Mailboxes are only examined (RFC 3501 6.3.2) and peeked at: nothing changes there.
- A journal says which UIDs the store has already, so that a run that was stopped goes on where it
  was, and a later one fetches what is new alone.
- A mailbox that shows messages of others (RFC 6154 2: \\Flagged, \\Important) is left out; of
  \\All comes, last, what no other mailbox had.
- A connection that is lost is made anew, `TRIES` times without progress.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from bridge import limits
from bridge.model import Secret
from bridge.spool import Spool
from bridge.transfer import imap_wire
from bridge.transfer.door import Door, Folder
from bridge.transfer.imap_client import ImapClient, ImapError, Server
from bridge.transfer.imap_names import ALL, NOT_MAILBOXES, VIEWS, Listed, Names
from bridge.transfer.imap_push import TRIES, PushStopped
from bridge.transfer.imap_reading import digest_of, fetched, names
from bridge.transfer.imap_wire import BadResponse, Response, number, pairs
from bridge.transfer.importing import Importer, Ready
from bridge.transfer.journal import Journal
from bridge.transfer.marks import Marks, keywords
from bridge.transfer.tally import Tally


class Puller:
    """One import from one account. `mailbox` is where it goes below, None: the same names."""

    def __init__(
        self,
        door: Door,
        server: Server,
        password: Secret,
        journal: Journal,
        tally: Tally,
        spool_dir: Path,
        *,
        mailbox: str | None = None,
        dry: bool = False,
        seen: bool = False,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._door = door
        self._server = server
        self._password = password
        self._journal = journal
        self._tally = tally
        self._spool_dir = spool_dir
        self._mailbox = mailbox
        self._dry = dry
        self._importer = Importer(door, tally, dry=dry, seen=seen)
        self._pause = pause
        self._client: ImapClient | None = None
        self._done: set[str] = set()  # mailboxes that are through
        self._failed: set[tuple[str, int]] = set()
        self._counted: set[tuple[str, int]] = set()

    async def run(self) -> None:
        """Raises PushStopped, StoreError."""
        tries = 0
        try:
            while True:
                before = len(self._counted)
                try:
                    await self._session()
                    return
                except (ImapError, BadResponse) as error:
                    await self._importer.flush()
                    if isinstance(error, ImapError) and not error.lost:
                        raise PushStopped(str(error)) from None
                    tries = 1 if len(self._counted) > before else tries + 1
                    if tries >= TRIES:
                        raise PushStopped(f"{error}; run it again") from None
                    await self._pause(min(2.0**tries, 60.0))
        finally:
            self._journal.flush()

    async def _session(self) -> None:
        client = ImapClient(self._server, lambda: Spool(self._spool_dir))
        try:
            await client.connect(self._password)
            found = await names(client)
            uses = {
                each.special_use: each.name
                for each in await self._door.folders()
                if each.special_use is not None
            }
            chosen = [
                each
                for each in found.mailboxes.values()
                if not each.attributes & (NOT_MAILBOXES | VIEWS) and each.name not in self._done
            ]
            for each in sorted(chosen, key=lambda each: (ALL in each.attributes, each.name)):
                await self._pull(client, found, each, uses)
                await self._importer.flush()
                self._done.add(each.name)
            await client.logout()
        finally:
            client.close()

    async def _pull(
        self, client: ImapClient, found: Names, each: Listed, uses: dict[str, str]
    ) -> None:
        everything = ALL in each.attributes
        here = uses.get("\\Archive", "Archive") if everything else found.here(each, uses)
        if self._mailbox is not None:
            here = self._mailbox if here == "INBOX" else f"{self._mailbox}/{here}"
        self._tally.doing = f"{each.name} of {self._server}"
        self._tally.step()
        if not self._dry and not everything:
            await self._door.make([Folder(here, each.use)])
        validity = 0

        def note(response: Response) -> None:
            nonlocal validity
            if response.code == b"UIDVALIDITY":
                validity = number(response.argument)

        client.untagged = note
        await client.command(b"EXAMINE " + imap_wire.mailbox(each.name))
        client.untagged = lambda _: None
        sizes: dict[int, int] = {}
        async for response in client.fetch(b"UID FETCH 1:* (UID RFC822.SIZE)"):
            if response.kind == b"FETCH":
                items = pairs(response.tokens[2])
                sizes[number(items.get(b"UID"))] = number(items.get(b"RFC822.SIZE"))
        known = self._journal.known(each.name, validity)
        wanted = []
        for uid, size in sizes.items():
            fresh = (each.name, uid) not in self._counted
            self._counted.add((each.name, uid))
            self._tally.seen += fresh
            if uid in known:
                self._tally.already += fresh
            elif size > limits.TRANSFER_MESSAGE:
                if fresh:
                    self._tally.fail(f"{each.name} UID {uid}", f"too large ({size} octets)")
            else:
                wanted.append(uid)
        async for uid, items, octets in fetched(client, wanted, sizes, bytes_too=True):
            if not len(octets):
                self._tally.fail(f"{each.name} UID {uid}", "the server gave no octets for it")
                continue
            spool = Spool(self._spool_dir)
            for at in range(0, len(octets), limits.CHUNK):
                spool.write(octets[at : at + limits.CHUNK])
            whole = spool.finish()
            flags, words = imap_wire.flags(items.get(b"FLAGS"))
            marks = Marks(flags, keywords(words), imap_wire.date(items.get(b"INTERNALDATE")))
            settled = partial(
                self._journal.add, each.name, validity, uid, digest_of(whole), sure=True
            )
            where = f"{each.name} UID {uid}"
            await self._importer.add(Ready(where, here, whole, marks, spool, everything, settled))
