"""Migration: all that a login has is pushed to another IMAP server, and compared there.

For each mailbox: survey (what is there already?), push what is missing, survey again, compare.
The second survey is also the first of a connection that was made anew, so that a server may drop us
at any octet: what it took is found by its bytes, and nothing is sent twice.

Rules:
- What lies there is ours when its bytes are. Servers change some (Cyrus 3.6 puts X for octets over
  127 in a header, Dovecot 2.3 CRLF for LF): then the date that we gave and what names the message
  in its header decide.
- Only messages that could be ours, by size or date, are fetched to be compared; a journal keeps
  what was seen, for UIDs never change their bytes.
- A server may go on taking what was on its way when a connection broke or a run was killed, after
  the next survey has looked. So at the end what came since the push began (the base, in the
  journal) and is there once too often is removed again.
- A NO for one message is its failure and the others go on; [OVERQUOTA] ends the push; a server that
  asks for patience gets it. A connection that brings nothing `TRIES` times in a row is given up.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from bridge.imap.protocol.numbers import format_ranges
from bridge.model import Secret, Sink
from bridge.transfer import imap_wire
from bridge.transfer.door import Door, Folder, Kept, all_entries
from bridge.transfer.imap_client import Appending, ImapClient, ImapError, Server
from bridge.transfer.imap_names import NOT_MAILBOXES, Names
from bridge.transfer.imap_reading import digest_of, fetched, names, naming
from bridge.transfer.imap_wire import BadResponse, Response, number, pairs
from bridge.transfer.journal import Journal
from bridge.transfer.tally import Tally

TRIES = 6
_LATE_SECONDS = 1.0
_COMMANDS = 32  # APPENDs that wait for their answer
_OCTETS = 4 * 1024 * 1024  # of them
_BATCH = 32  # messages of one MULTIAPPEND
_BATCH_OCTETS = 512 * 1024
_PATIENCE = (b"UNAVAILABLE", b"INUSE", b"LIMIT", b"SERVERBUG", b"THROTTLED")


class PushStopped(Exception):
    """The push cannot go on; the text says why and what to do."""


@dataclass(slots=True)
class Remote:
    """A mailbox there: what its messages are, by UID."""

    name: str
    validity: int = 0
    uidnext: int = 0
    total: int = 0
    all_keywords: bool = True
    keywords: frozenset[str] = frozenset()
    messages: dict[int, bytes] = field(default_factory=dict)  # UID -> digest of ours


@dataclass(slots=True)
class _Job:
    """A mailbox on its way."""

    folder: Folder
    entries: Sequence[Kept]
    base: int  # what the tally had done before
    first: set[int] | None = None  # UIDs that the first survey found there
    missing: int = 0  # after the first survey
    single: set[int] = field(default_factory=set)  # UIDs that go alone: a batch with them failed
    refused: set[int] = field(default_factory=set)  # for good


class Pusher:
    """`pause` waits between tries; `most` are messages a second, 0 any number."""

    def __init__(
        self,
        door: Door,
        server: Server,
        password: Secret,
        journal: Journal,
        tally: Tally,
        new_sink: Callable[[], Sink],
        *,
        most: float = 0.0,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._door = door
        self._server = server
        self._password = password
        self._journal = journal
        self._tally = tally
        self._new_sink = new_sink
        self._most = most
        self._pause = pause
        self._patience = 0
        self._due = 0.0  # when the next message may go
        self._client: ImapClient | None = None
        self._names = Names({})

    async def run(self, *, dry: bool = False) -> None:
        """Pushes everything. Raises PushStopped, StoreError."""
        folders = list(await self._door.folders())
        self._tally.todo = sum(each.messages for each in folders)
        try:
            for folder in folders:
                if folder.special_use is None or folder.messages:
                    self._tally.doing = f"{folder.name} -> {self._server}"
                    entries = [each async for each in all_entries(self._door, folder.name)]
                    self._tally.seen += len(entries)
                    await self._mailbox(_Job(folder, entries, self._tally.done), dry=dry)
        finally:
            self._journal.flush()
            if self._client is not None:
                await self._client.logout()

    async def _mailbox(self, job: _Job, *, dry: bool) -> None:
        tries, left, why = 0, len(job.entries) + 1, "the server takes them and does not show them"
        while True:
            try:
                client = await self._connected()
                remote = await self._opened(client, job.folder, dry=dry)
                if remote is None:  # a dry run, and the mailbox is not there
                    self._tally.done += len(job.entries)
                    return
                if job.first is None and self._base(remote) is not None:
                    await self._pause(_LATE_SECONDS)  # a run was cut: what was on its way arrives
                await self._survey(client, remote, job)
                missing = _missing(job, remote)
                if job.first is None:
                    job.first, job.missing = set(remote.messages), len(missing)
                    self._tally.already += len(job.entries) - len(missing)
                self._tally.done = job.base + job.missing - len(job.refused)
                if dry:
                    return
                self._tally.done -= len(missing)
                if not missing:
                    await self._compare(client, remote, job)
                    if self._base(remote) is not None:
                        await self._remove_doubles(client, remote, job)
                        self._journal.set_base(remote.name, remote.validity, None)
                    break
                if self._base(remote) is None:
                    self._journal.set_base(remote.name, remote.validity, remote.uidnext)
                if len(missing) < left:
                    tries, left = 0, len(missing)
                if tries >= TRIES:
                    text = f"{left} messages do not arrive in {remote.name}: {why}; run it again"
                    raise PushStopped(text)
                tries += 1
                await self._append(client, remote, job, missing)
            except (ImapError, BadResponse) as error:
                if isinstance(error, ImapError) and not error.lost:
                    self._give_up(job, error)
                    return
                why = str(error)
                if self._client is None or job.first is None:
                    tries += 1
                self._drop()
                if tries >= TRIES:
                    raise PushStopped(f"{why}; tried {TRIES} times, run it again") from None
                await self._pause(min(2.0**tries, 60.0))
        self._tally.failed += len(job.refused)
        self._tally.step()

    def _give_up(self, job: _Job, error: ImapError) -> None:
        """The server refuses this mailbox; the others go on."""
        already = 0 if job.first is None else len(job.entries) - job.missing
        sent = self._tally.done - job.base
        self._tally.failed += len(job.entries) - already - sent
        self._tally.note(f"{job.folder.name}: {self._server} refused the mailbox: {error}")
        self._tally.step()

    # --- the connection -----------------------------------------------------------------

    async def _connected(self) -> ImapClient:
        if self._client is not None:
            return self._client
        client = ImapClient(self._server, self._new_sink)
        try:
            await client.connect(self._password)
            self._names = await names(client)
        except BaseException as error:
            client.close()
            if isinstance(error, ImapError) and not error.lost:
                raise PushStopped(str(error)) from None
            raise
        self._client = client
        return client

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    # --- what is there ------------------------------------------------------------------

    async def _opened(self, client: ImapClient, folder: Folder, *, dry: bool) -> Remote | None:
        """The mailbox there, selected; made when missing."""
        remote = Remote(self._names.there(folder.name, folder.special_use))
        quoted = imap_wire.mailbox(remote.name)
        listed = self._names.mailboxes.get(remote.name)
        missing = listed is None or bool(listed.attributes & NOT_MAILBOXES)
        if missing and remote.name != "INBOX":
            if dry:
                return None
            try:
                await client.command(b"CREATE " + quoted)
            except ImapError as error:
                if error.lost or error.code != b"ALREADYEXISTS":  # RFC 5530 3
                    raise
            if folder.subscribed:
                await client.command(b"SUBSCRIBE " + quoted)
            self._names = await names(client)

        def note(response: Response) -> None:
            if response.code == b"UIDVALIDITY":
                remote.validity = number(response.argument)
            elif response.code == b"UIDNEXT":
                remote.uidnext = number(response.argument)
            elif response.code == b"PERMANENTFLAGS":
                words = response.argument.strip(b"()").split()
                remote.all_keywords = b"\\*" in words
                remote.keywords = frozenset(word.decode("latin-1").lower() for word in words)

        client.untagged = note
        await client.command((b"EXAMINE " if dry else b"SELECT ") + quoted)
        client.untagged = lambda _: None
        return remote

    async def _survey(self, client: ImapClient, remote: Remote, job: _Job) -> None:
        """Finds out what of ours is there; fetches what may be ours and is not known yet."""
        known = self._journal.known(remote.name, remote.validity)
        sizes: dict[int, int] = {}
        dates: dict[int, int | None] = {}
        async for response in client.fetch(b"UID FETCH 1:* (UID RFC822.SIZE INTERNALDATE)"):
            if response.kind == b"FETCH":
                items = pairs(response.tokens[2])
                uid = number(items.get(b"UID"))
                sizes[uid] = number(items.get(b"RFC822.SIZE"))
                dates[uid] = imap_wire.date(items.get(b"INTERNALDATE"))
        ours = {each.digest for each in job.entries}
        wanted = {each.size for each in job.entries}
        unknown = [uid for uid in sizes if uid not in known]
        likely = [uid for uid in unknown if sizes[uid] in wanted]
        others = [uid for uid in unknown if sizes[uid] not in wanted]
        foreign: dict[int, bytes] = {}
        async for uid, _, octets in fetched(client, likely, sizes, bytes_too=True):
            digest = digest_of(octets)
            if digest in ours:
                self._journal.add(remote.name, remote.validity, uid, digest, sure=True)
            else:
                foreign[uid] = digest
        remote.messages = {uid: each.digest for uid, each in known.items() if uid in sizes}
        remote.total = len(sizes)
        remote.uidnext = max(remote.uidnext, *(uid + 1 for uid in sizes), 1)
        await self._changed(client, remote, job, {uid: dates[uid] for uid in (*others, *foreign)})
        for uid, digest in foreign.items():
            if uid not in known:  # it need not be looked at again
                self._journal.add(remote.name, remote.validity, uid, digest, sure=True)
        self._journal.flush()

    async def _changed(
        self, client: ImapClient, remote: Remote, job: _Job, others: dict[int, int | None]
    ) -> None:
        """Of messages there with bytes that are not ours, those that were: the server changed them.
        They have the date that we gave, to the second, and what names a message in its header."""
        missing = {each.uid: each for each in _missing(job, remote)}
        due = {each.marks.date for each in missing.values()}
        doubtful = [uid for uid, date in others.items() if date in due]
        if not doubtful:
            return
        named: dict[tuple[int | None, bytes], list[bytes]] = {}
        dated = set(others.values())
        uids = [uid for uid, each in missing.items() if each.marks.date in dated]
        async for uid, octets in self._door.fetch(job.folder.name, uids):
            key = missing[uid].marks.date, naming(octets)
            named.setdefault(key, []).append(missing[uid].digest)
        async for uid, _, octets in fetched(client, doubtful, {}, bytes_too=True):
            digests = named.get((others[uid], naming(octets)), [])
            if digests:
                digest = digests.pop(0)
                self._journal.add(remote.name, remote.validity, uid, digest, sure=True)
                remote.messages[uid] = digest
                self._tally.skipped["there, and changed by the server"] += 1

    # --- the way there ------------------------------------------------------------------

    async def _append(
        self, client: ImapClient, remote: Remote, job: _Job, missing: Sequence[Kept]
    ) -> None:
        """Sends all that is missing; what became of it is for the next survey to find."""
        by_uid = {each.uid: each for each in missing}
        waiting: deque[tuple[bytes, list[Kept]]] = deque()
        several = b"MULTIAPPEND" in client.capabilities
        under_way: Appending | None = None
        batch: list[Kept] = []

        async def ended() -> None:
            nonlocal under_way, batch
            if under_way is not None:
                await under_way.end()
                waiting.append((under_way.tag, batch))
                under_way, batch = None, []

        async def settled(commands: int, octets: int) -> None:
            while len(waiting) > commands or _octets(waiting) > octets:
                await self._settle(client, remote, job, *waiting.popleft())

        async for uid, octets in self._door.fetch(job.folder.name, list(by_uid)):
            entry = by_uid[uid]
            await self._leisurely()
            alone = not several or uid in job.single or len(octets) > _BATCH_OCTETS
            if alone:
                await ended()
            if under_way is None:
                await settled(_COMMANDS - 1, _OCTETS)
                under_way = client.begin()
                await under_way.mailbox(remote.name)
            marks = entry.marks
            words = [
                word
                for word in marks.keywords
                if remote.all_keywords or word.lower() in remote.keywords
            ]
            batch.append(entry)
            await under_way.message(octets, marks.flags, words, marks.date)
            full = len(batch) >= _BATCH or sum(e.size for e in batch) >= _BATCH_OCTETS
            if alone or full or under_way.refused:
                await ended()
        await ended()
        await settled(0, 0)
        self._journal.flush()

    async def _settle(
        self, client: ImapClient, remote: Remote, job: _Job, tag: bytes, batch: Sequence[Kept]
    ) -> None:
        try:
            answer = await client.result(tag)
        except ImapError as error:
            if error.lost:
                raise
            await self._refused(error, remote, job, batch)
            return
        self._patience = 0
        self._tally.done += len(batch)
        self._tally.step()
        if answer.code != b"APPENDUID":  # RFC 4315 3
            return
        validity, _, uids = answer.argument.partition(b" ")
        there = imap_wire.uid_set(uids)
        if number(validity) == remote.validity and len(there) == len(batch):
            for uid, entry in zip(there, batch, strict=True):
                self._journal.add(remote.name, remote.validity, uid, entry.digest, sure=False)
            self._journal.flush()

    async def _refused(
        self, error: ImapError, remote: Remote, job: _Job, batch: Sequence[Kept]
    ) -> None:
        text = str(error)
        if error.code == b"OVERQUOTA" or "quota" in text.lower():  # RFC 9208 4.3
            raise PushStopped(f"{self._server} is full ({text}); make room there, run it again")
        if error.code in _PATIENCE or any(word in text.lower() for word in _PATIENT_WORDS):
            self._patience += 1
            await self._pause(min(2.0**self._patience, 60.0))
            return
        if error.code == b"TRYCREATE":  # somebody deleted it meanwhile
            self._names.mailboxes.pop(remote.name, None)
            return
        if len(batch) > 1:
            job.single.update(each.uid for each in batch)
            return
        job.refused.add(batch[0].uid)
        self._tally.note(f"{job.folder.name} UID {batch[0].uid}: {self._server} refused it: {text}")

    async def _leisurely(self) -> None:
        """Not more messages a second than the person allows."""
        if self._most <= 0:
            return
        now = asyncio.get_running_loop().time()
        if self._due > now:
            await self._pause(self._due - now)
        self._due = max(self._due, now) + 1 / self._most

    # --- is it right? -------------------------------------------------------------------

    async def _compare(self, client: ImapClient, remote: Remote, job: _Job) -> None:
        """Both ways: every message of ours is there with its bytes, and, of those that we sent,
        with its flags, keywords and date; what is there twice was not sent twice."""
        known = self._journal.known(remote.name, remote.validity)
        unsure = [uid for uid in remote.messages if not known[uid].sure]
        sizes = {each.digest: each.size for each in job.entries}
        by_size = {uid: sizes.get(remote.messages[uid], 0) for uid in unsure}
        changed = 0
        async for uid, _, octets in fetched(client, unsure, by_size, bytes_too=True):
            wanted = remote.messages[uid]
            found = digest_of(octets)
            changed += found != wanted
            self._journal.add(remote.name, remote.validity, uid, wanted, sure=True)
        ours = sum(digest in sizes for digest in remote.messages.values())
        if remote.total > ours:
            self._tally.skipped["there, and not of here"] += remote.total - ours
        if changed:
            self._tally.skipped["sent, and changed by the server"] += changed
        sent = [uid for uid in remote.messages if uid not in (job.first or ())]
        wanted_marks: dict[bytes, list[Kept]] = {}
        for entry in job.entries:
            wanted_marks.setdefault(entry.digest, []).append(entry)
        async for uid, items, _ in fetched(client, sent, {}, bytes_too=False):
            candidates = wanted_marks.get(remote.messages.get(uid, b""), [])
            differs = [_differs(each, items, remote) for each in candidates]
            if differs and all(differs):
                self._tally.note(f"{remote.name} UID {uid}: {differs[0]}")
                self._tally.skipped["sent, and not with all its flags, keywords or date"] += 1

    # --- once, and not twice --------------------------------------------------------------

    def _base(self, remote: Remote) -> int | None:
        return self._journal.base(remote.name, remote.validity)

    async def _remove_doubles(self, client: ImapClient, remote: Remote, job: _Job) -> None:
        """Removes what is there more often than here, of what came since the push began."""
        base = self._base(remote) or remote.uidnext
        wanted = Counter(each.digest for each in job.entries)
        there = Counter(remote.messages.values())
        doomed = []
        for uid in sorted(remote.messages, reverse=True):
            digest = remote.messages[uid]
            if uid >= base and wanted[digest] and there[digest] > wanted[digest]:
                there[digest] -= 1
                doomed.append(uid)
        if not doomed:
            return
        uids = format_ranges(sorted(doomed))
        if b"UIDPLUS" not in client.capabilities:
            # EXPUNGE takes all that is marked (RFC 3501 6.4.3): it must be ours alone.
            async for response in client.fetch(b"UID SEARCH DELETED"):
                if response.kind == b"SEARCH" and len(response.tokens) > 1:
                    self._tally.note(f"{remote.name}: {len(doomed)} messages are there twice")
                    return
        await client.command(b"UID STORE %b +FLAGS.SILENT (\\Deleted)" % uids)
        uidplus = b"UIDPLUS" in client.capabilities  # RFC 4315 2.1
        await client.command(b"UID EXPUNGE " + uids if uidplus else b"EXPUNGE")


_PATIENT_WORDS = ("throttl", "try again", "too many", "temporar")


def _octets(waiting: Iterable[tuple[bytes, list[Kept]]]) -> int:
    return sum(entry.size for _, batch in waiting for entry in batch)


def _missing(job: _Job, remote: Remote) -> list[Kept]:
    """Entries that are not there, each as often as it is missing."""
    there = Counter(remote.messages.values())
    missing = []
    for entry in job.entries:
        if there[entry.digest] > 0:
            there[entry.digest] -= 1
        elif entry.uid not in job.refused:
            missing.append(entry)
    return missing


def _differs(entry: Kept, items: dict[bytes, imap_wire.Token], remote: Remote) -> str:
    """What of flags, keywords and date is not as it should be; "" where all is."""
    flags, keywords = imap_wire.flags(items.get(b"FLAGS"))
    wanted = {word.lower() for word in entry.marks.keywords}
    if not remote.all_keywords:
        wanted &= remote.keywords
    got = {word.lower() for word in keywords}
    if flags != entry.marks.flags:
        return f"flags are {flags}, not {entry.marks.flags}"
    if not wanted <= got:
        return f"keywords {' '.join(sorted(wanted - got))} are missing"
    if imap_wire.date(items.get(b"INTERNALDATE")) != entry.marks.date:
        return "its date is another one"
    return ""
