"""A mail program that believes what it is told: four kinds, by what they know of RFC 7162.

    plain       knows sequence numbers, FETCH, EXPUNGE
    condstore   remembers MODSEQ, comes back with CHANGEDSINCE and UID SEARCH
    rev2        the same, and speaks IMAP4rev2 (RFC 9051)
    qresync     comes back with SELECT (QRESYNC ...)

Rules: a device changes its picture only by untagged responses, and by what RFC 3501 6.4.6 lets a
client take for granted after STORE.SILENT. HIGHESTMODSEQ is kept as RFC 7162 6 says. Every
response is read by the second parser too. What a server may not say at this point fails here.
Over 500 lines because four kinds of device share one picture of a mailbox.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.imap.seams import Disconnected, Services
from bridge.imap.session import Session
from bridge.imap.table import TABLE
from bridge.model import Login
from tests.support.second_parser import accept

PATIENCE = 20.0
_LITERAL = re.compile(rb"\{(\d+)\}\r\n$")
_FETCH = re.compile(r"\* (\d+) FETCH \((.*)\)", re.DOTALL)
_CODE = re.compile(r"(?:\*|\w+) (?:OK|NO) \[(\S+) ?([^\]]*)\]")


class Cut(Exception):
    """The connection broke before the tagged answer came."""


class Broken(AssertionError):
    """The server said what it may not say, or not what it must."""


class Pipe:
    """A `Wire` in memory. After `left` more octets it breaks, and the peer sees only those."""

    secure = private = True
    compressed = False
    peer = "127.0.0.1"

    def __init__(self) -> None:
        self.octets = bytearray()
        self.news = asyncio.Event()
        self.left: int | None = None
        self.lost: Callable[[], None] = lambda: None
        self.broken = False

    def write(self, *pieces: bytes) -> None:
        if self.broken:
            return
        octets = b"".join(pieces)
        if self.left is not None:
            octets = octets[: self.left]
            self.left -= len(octets)
        self.octets += octets
        if self.left == 0:
            self.break_off()
        self.news.set()

    def write_last(self, octets: bytes) -> None:
        self.write(octets)

    def start_compression(self) -> None: ...

    async def drain(self) -> None:
        if self.broken:
            raise Disconnected

    async def start_tls(self) -> None: ...
    def bindings(self) -> Mapping[str, bytes]:
        return {}

    def resume(self) -> None: ...

    def signed_in(self) -> None: ...

    def break_off(self) -> None:
        self.broken = True
        self.news.set()
        self.lost()

    def response(self) -> tuple[str, bytes] | None:
        """The next whole response without its literals, and whole; None while it is not there."""
        text, start = b"", 0
        while True:
            end = self.octets.find(b"\r\n", start)
            if end < 0:
                return None
            line = bytes(self.octets[start : end + 2])
            literal = _LITERAL.search(line)
            text += line
            start = end + 2
            if literal is None:
                whole = bytes(self.octets[:start])
                del self.octets[:start]
                return text[:-2].decode(), whole
            start += int(literal[1])
            if len(self.octets) < start:
                return None


@dataclass(slots=True)
class Slot:
    """What a device knows of a sequence number; None where it was not told."""

    uid: int | None = None
    flags: frozenset[str] | None = None
    modseq: int | None = None


@dataclass(slots=True)
class Cache:
    """What a device keeps of a mailbox that it left: UID -> (flags, MODSEQ), without holes."""

    uidvalidity: int = 0
    highest: int = 0
    entries: dict[int, tuple[frozenset[str], int | None]] = field(default_factory=dict)


@dataclass(slots=True)
class Answer:
    """A tagged answer, and what came before it."""

    status: str
    codes: dict[str, str]
    found: list[int] | None = None
    status_items: dict[str, int] = field(default_factory=dict)
    literals: dict[int, bytes] = field(default_factory=dict)  # UID -> the literal of its FETCH
    flags_told: set[int] = field(default_factory=set)  # id() of slots
    fetched: list[int] = field(default_factory=list)  # UIDs that had a FETCH, in order


class Device:
    """One mail program, with or without a connection."""

    def __init__(
        self, name: str, kind: str, services: Services, login: Login, trace: deque[str]
    ) -> None:
        self.name, self.kind = name, kind
        self.modseqs = kind != "plain"
        self.rev2 = kind == "rev2"
        self._services, self._login, self._trace = services, login, trace
        self.caches: dict[str, Cache] = {}
        self.box: str | None = None
        self.read_only = False
        self.slots: list[Slot] = []
        self.highest = 0
        self.told = 0  # MODSEQ up to which its picture was compared with the mailbox
        self.uidvalidity = 0
        self.idle_tag = ""
        self.online = False
        self._tags = 0
        self._may_expunge = False
        self._whole = b""
        self._opening = False
        self._returning: dict[int, tuple[frozenset[str], int | None]] | None = None
        self._caught: Cache | None = None
        self._answer = Answer("", {})
        self._most = 0  # MODSEQ seen since the last tagged answer
        self._said: int | None = None  # HIGHESTMODSEQ told since the last tagged answer
        self.pipe = Pipe()
        self._task: asyncio.Task[None] | None = None

    # --- the connection -----------------------------------------------------------------

    async def connect(self) -> None:
        self.pipe = Pipe()
        session = self.session = Session(self.pipe, self._services, TABLE)
        session.welcome(self._login)
        self.pipe.lost = session.lost
        self._task = asyncio.create_task(session.run())
        await self._next()
        self.online = True
        if self.kind == "qresync":
            await self.command("ENABLE QRESYNC")
        elif self.rev2:
            await self.command("ENABLE IMAP4rev2")

    async def gone(self) -> None:
        """Waits until the server has noticed that the connection is no more; keeps what is
        known for the next one."""
        self.pipe.break_off()
        if self._task is not None:
            await asyncio.wait_for(self._task, PATIENCE)
        self._task = None
        self.online = False
        self.idle_tag = ""
        self._leave()

    def _leave(self) -> None:
        # Between two pictures the old one is still the safe one.
        if self.box is not None and not self._opening:
            self.caches[self.box] = self._picture()
        self._returning = None
        self.box, self.slots, self._opening = None, [], False

    def _picture(self) -> Cache:
        known = Cache(self.uidvalidity, self.highest)
        for slot in self.slots:
            if slot.uid is None or slot.flags is None:
                break  # from here on it has to ask again
            known.entries[slot.uid] = slot.flags, slot.modseq
        return known

    def cut_after(self, octets: int) -> None:
        self.pipe.left = octets

    # --- commands -----------------------------------------------------------------------

    async def command(
        self, text: str, *, literals: Sequence[bytes] = (), may_expunge: bool = True
    ) -> Answer:
        """Sends it, applies what comes, returns the tagged answer. `{}` in the text stands for
        a literal. Raises Cut."""
        tag = self._start(text, literals, may_expunge)
        return await self._until(tag)

    def _start(self, text: str, literals: Sequence[bytes], may_expunge: bool) -> str:
        self._tags += 1
        tag = f"{self.name}{self._tags}"
        self._may_expunge = may_expunge
        self._answer = Answer("", {})
        self._trace.append(f"{self.name} C: {tag} {text}")
        pieces = text.split("{}")
        octets = f"{tag} {pieces[0]}".encode()
        for literal, piece in zip(literals, pieces[1:], strict=True):
            octets += b"{%d+}\r\n%b%b" % (len(literal), literal, piece.encode())
        self.session.receive(octets + b"\r\n")
        return tag

    async def _until(self, tag: str) -> Answer:
        while True:
            text = await self._next()
            if not text.startswith(tag + " "):
                self.apply(text)
                continue
            self._codes(text)
            if self._said is not None:
                self.highest = self._said
            elif self._most > self.highest:
                self.highest = self._most
            self._said, self._most = None, 0
            answer = self._answer
            answer.status = text.split(" ", 2)[1]
            self._check(answer.status in ("OK", "NO"), text)
            return answer

    async def _next(self) -> str:
        """The next response; raises Cut at the end of the connection."""
        while True:
            self.pipe.news.clear()
            got = self.pipe.response()
            if got is not None:
                self._trace.append(f"{self.name} S: {got[0]}")
                accept(got[1], utf8=self.rev2, rev2=self.rev2)
                self._whole = got[1]
                return got[0]
            if self.pipe.broken:
                raise Cut
            try:
                await asyncio.wait_for(self.pipe.news.wait(), PATIENCE)
            except TimeoutError:
                raise Broken(f"{self.name}: no answer in {PATIENCE} seconds") from None

    def _check(self, right: bool, text: str) -> None:
        if not right:
            raise Broken(f"{self.name} ({self.kind}) may not be told: {text}")

    # IDLE ------------------------------------------------------------------------------

    async def idle(self) -> None:
        self.idle_tag = self._start("IDLE", (), True)
        while not (text := await self._next()).startswith("+ "):
            self.apply(text)

    async def done(self) -> Answer:
        self._trace.append(f"{self.name} C: DONE")
        tag, self.idle_tag = self.idle_tag, ""
        self.session.receive(b"DONE\r\n")
        return await self._until(tag)

    async def listen_until(self, satisfied: Callable[[], object]) -> None:
        """In IDLE: applies what comes until `satisfied` returns nothing."""
        while (fault := satisfied()) is not None:
            try:
                self.apply(await self._next())
            except Broken as error:
                raise Broken(f"{error}; {fault}") from None

    # SELECT ----------------------------------------------------------------------------

    async def select(self, box: str, *, examine: bool, with_match: bool) -> Answer:
        self._leave()
        self.box, self.read_only = box, examine
        self._opening = True
        self.highest, self.told, self._said, self._most = 0, 0, None, 0
        text = f"{'EXAMINE' if examine else 'SELECT'} {box}"
        cache = self.caches.get(box, Cache())
        if self.kind in ("condstore", "rev2"):
            text += " (CONDSTORE)"
        elif self.kind == "qresync" and cache.uidvalidity and cache.highest:
            text += f" (QRESYNC ({cache.uidvalidity} {cache.highest}{_known(cache, with_match)}))"
            self._returning = dict(cache.entries)
        answer = await self.command(text, may_expunge=False)
        self._check(answer.status == "OK", text)
        self._merge()
        known = cache.highest and cache.uidvalidity == self.uidvalidity
        if known and self.kind in ("condstore", "rev2"):
            await self._catch_up(cache)
        self._opening = False
        return answer

    def _merge(self) -> None:
        """Numbers for what was known before: it comes first, and nothing lies between."""
        known, self._returning = self._returning, None
        if known is None:
            return
        told = {slot.uid for slot in self.slots}
        rest = [uid for uid in sorted(known) if uid not in told]
        free = [slot for slot in self.slots if slot.uid is None]
        self._check(len(rest) <= len(free), f"{len(self.slots)} EXISTS, where {rest} are left")
        for slot, uid in zip(free, rest, strict=False):
            slot.uid = uid
            slot.flags, slot.modseq = known[uid]
        self._rising()

    async def _catch_up(self, cache: Cache) -> None:
        """First what is there, then what changed (RFC 4549 4.3, RFC 7162 3.1.4.1)."""
        self._caught = cache
        try:
            await self.command("UID SEARCH ALL")
        finally:
            self._caught = None
        if self.slots:
            await self.command(
                f"FETCH 1:* (UID FLAGS) (CHANGEDSINCE {cache.highest})", may_expunge=False
            )

    def _recognize(self, cache: Cache, there: list[int]) -> None:
        """The UIDs of all that is counted, unless some of it is gone and not told."""
        if len(there) == len(self.slots):
            for slot, uid in zip(self.slots, there, strict=True):
                slot.uid = uid
                slot.flags, slot.modseq = cache.entries.get(uid, (None, None))

    async def look(self) -> None:
        """Asks for what it was not told."""
        unknown = [at for at, slot in enumerate(self.slots, 1) if None in self._needed(slot)]
        if unknown:
            items = "UID FLAGS MODSEQ" if self.modseqs else "UID FLAGS"
            await self.command(f"FETCH {unknown[0]}:* ({items})", may_expunge=False)

    def _needed(self, slot: Slot) -> tuple[object, ...]:
        return (slot.uid, slot.flags, slot.modseq if self.modseqs else 0)

    async def close(self, name: str) -> Answer:
        answer = await self.command(name)
        self._leave()
        return answer

    # --- what is told -------------------------------------------------------------------

    def apply(self, text: str) -> None:
        """One untagged response."""
        words = text.split()
        if text.endswith(" EXPUNGE"):
            self._check(self._may_expunge and self.kind != "qresync", text)
            self._check(1 <= int(words[1]) <= len(self.slots), text)
            del self.slots[int(words[1]) - 1]
        elif words[1] == "VANISHED":
            self._vanished(text, earlier=words[2] == "(EARLIER)")
        elif text.endswith(" EXISTS"):
            # RFC 3501 7.3.1: only EXPUNGE makes a mailbox smaller.
            self._check(int(words[1]) >= len(self.slots), text)
            self.slots += [Slot() for _ in range(int(words[1]) - len(self.slots))]
        elif fetch := _FETCH.fullmatch(text):
            self._fetch(text, int(fetch[1]), fetch[2])
        elif words[1] in ("SEARCH", "ESEARCH"):
            # RFC 9051 7.3.4
            self._check(self.rev2 == (words[1] == "ESEARCH"), text)
            self._found(text)
        elif words[1] == "STATUS":
            items = text.partition("(")[2].rstrip(")").split()
            self._answer.status_items = dict(zip(items[::2], map(int, items[1::2]), strict=True))
        elif words[1] == "LIST":
            self._check(self.rev2 and self._opening, text)  # RFC 9051 6.3.2
        elif words[-1] == "RECENT":
            self._check(not self.rev2, text)
        else:
            self._check(words[1] in ("OK", "FLAGS", "ENABLED"), text)
            self._codes(text)

    def _found(self, text: str) -> None:
        if self.rev2:
            numbers = re.search(r" ALL ([\d:,]+)", text)
            modseq = re.search(r" MODSEQ (\d+)", text)
            self._answer.found = sorted(expand(numbers[1])) if numbers else []
        else:
            plain, _, _ = text.partition(" (MODSEQ ")
            modseq = re.search(r" \(MODSEQ (\d+)\)", text)
            self._answer.found = [int(word) for word in plain.split()[2:]]
        if self._caught is not None:
            self._recognize(self._caught, self._answer.found)
        if modseq:
            self._answer.codes["SEARCH"] = modseq[1]

    def _codes(self, text: str) -> None:
        code = _CODE.match(text)
        if code is None:
            return
        self._answer.codes[code[1]] = code[2]
        if code[1] == "HIGHESTMODSEQ":
            self._said = int(code[2])
        elif code[1] == "UIDVALIDITY":
            self.uidvalidity = int(code[2])
            if self.caches.get(self.box or "", Cache()).uidvalidity != self.uidvalidity:
                self._returning = None

    def _vanished(self, text: str, *, earlier: bool) -> None:
        self._check(self.kind == "qresync", text)
        uids = expand(text.split()[-1])
        if earlier:
            if self._returning is None:
                self._check(not uids & {slot.uid for slot in self.slots}, text)
            else:
                for uid in uids:
                    self._returning.pop(uid, None)
            return
        self._check(self._may_expunge, text)
        self._merge()
        for uid in sorted(uids):
            at = self._place(uid)
            self._check(at is not None, text)  # RFC 7162 3.2.10.2: only what we count
            if at is not None:
                del self.slots[at]

    def _place(self, uid: int) -> int | None:
        """The slot of this UID: the one that has it, or a blank one where it must be. Blanks
        side by side are all the same."""
        blank = None
        for at, slot in enumerate(self.slots):
            if slot.uid is None:
                blank = at
            elif slot.uid == uid:
                return at
            elif slot.uid > uid:
                break
            else:
                blank = None
        return blank

    def _fetch(self, text: str, number: int, items: str) -> None:
        self._check(1 <= number <= len(self.slots), text)
        slot = self.slots[number - 1]
        uid = re.search(r"\bUID (\d+)", items)
        flags = re.search(r"FLAGS \((.*?)\)", items)
        modseq = re.search(r"MODSEQ \((\d+)\)", items)
        # RFC 7162 3.2.4; and who never asked for MODSEQ is not told.
        self._check((uid is not None and modseq is not None) or not self.modseqs, text)
        self._check(modseq is None or self.modseqs, text)
        if uid is not None:
            self._check(slot.uid in (None, int(uid[1])), text)
            slot.uid = int(uid[1])
            self._answer.fetched.append(slot.uid)
            self._rising()
            if "{" in items:
                literal = self._whole.split(b"}\r\n", 1)[1]
                size = int(re.search(r"\{(\d+)\}", items)[1])  # type: ignore[index]  # it is there
                self._answer.literals[slot.uid] = literal[:size]
        if flags is not None:
            self._check(not (self.rev2 and "\\Recent" in flags[1]), text)
            slot.flags = frozenset(flags[1].split()) - {"\\Recent"}
            self._answer.flags_told.add(id(slot))
        if modseq is not None:
            # MODSEQ never shrinks.
            self._check((slot.modseq or 0) <= int(modseq[1]), text)
            slot.modseq = int(modseq[1])
            self._most = max(self._most, slot.modseq)

    def _rising(self) -> None:
        known = [slot.uid for slot in self.slots if slot.uid is not None]
        self._check(known == sorted(set(known)), f"UIDs in the order {known}")

    def assume(self, slots: Iterable[Slot], op: str, names: frozenset[str], but: set[int]) -> None:
        """After STORE.SILENT: done as we said, but for UIDs that were MODIFIED and for what the
        server told otherwise."""
        for slot in slots:
            if slot.uid in but or id(slot) in self._answer.flags_told or slot.flags is None:
                continue
            slot.flags = {"+": slot.flags | names, "-": slot.flags - names, "": names}[op]


def expand(text: str) -> set[int]:
    """`2,4:6` as numbers."""
    out: set[int] = set()
    for piece in text.split(","):
        low, _, high = piece.partition(":")
        out.update(range(int(low), int(high or low) + 1))
    return out


def _known(cache: Cache, with_match: bool) -> str:
    """The optional arguments of QRESYNC: some numbers and UIDs that agree (RFC 7162 3.2.5.2)."""
    uids = list(cache.entries)
    if not with_match or len(uids) < 2:
        return ""
    numbers = sorted({len(uids) // 2, len(uids)})
    pairs = ",".join(map(str, numbers)), ",".join(str(uids[number - 1]) for number in numbers)
    return f" 1:{uids[-1]} ({pairs[0]} {pairs[1]})"
