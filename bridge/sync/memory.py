"""What the next poll of an account should know, kept with the account over restarts.

Rules: losing it costs a fetch or two, never a message; what cannot be read is as good as none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from bridge.model import Account, AccountId, Auth
from bridge.pop3.client import Learnt
from bridge.store.api import Store
from bridge.sync.settle import Doubts
from bridge.sync.short import HABIT, Short

SIZES_LIE = 3  # lines whose size changed and whose message did not, and sizes are not compared
BROKEN_WINDOWS = 2  # sessions, and commands are no longer sent ahead
BROKEN_TOPS = 2  # TOP passes, and TOP rests
TOP_RESTS_SECONDS = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Memory:
    """`items` are to be fetched again, `pairs` are (UIDL, digest) that were in doubt.

    `broken_windows` counts sessions that broke with several commands outstanding. `broke_at` is
    the line at which the last session broke, `breaks` how often in a row. `backlog` is set while
    a large first sync runs: (mailbox, the first UID of that sync). `learnt_of` is the server
    ("host:port") of which `announced` (PIPELINING) and `ahead` (a way to log in) were learnt.
    `top_breaks` counts TOP passes in a row that were cut before they brought anything; until
    `top_rests_until` none is begun. `failing_since` is when an account that never worked was
    tried first. `quiet` names the listing that asks for nothing until `quiet_until`.
    `uidls_lie`: the provider gave known UIDLs to other messages, which was last looked for at
    `probed_at`. `turn` is where what is looked at in turns goes on. `short` are messages shorter
    than LIST said, `inflated` counts those that stayed so. `unnoted`: the provider may not
    have noted what was retrieved, since the session did not end with QUIT.
    """

    items: frozenset[int] = frozenset()
    pairs: Doubts = frozenset()
    broken_windows: int = 0
    resized: int = 0
    alarm: str = ""
    notice_until: int = 0
    expire_told: bool = False
    tracks_devices: bool = False
    broke_at: tuple[bytes | None, int | None] | None = None
    breaks: int = 0
    backlog: tuple[int, int] | None = None
    learnt_of: str = ""
    announced: bool = False
    ahead: str = ""
    top_breaks: int = 0
    top_rests_until: int = 0
    failing_since: int | None = None
    quiet: str = ""
    quiet_until: int = 0

    def learnt(self, server: str) -> Learnt:
        if server != self.learnt_of:
            return Learnt()
        return Learnt(self.announced, Auth(self.ahead) if self.ahead else None)

    note_told: bool = False
    unnoted: bool = False
    uidls_lie: bool = False
    probed_at: int = 0
    turn: int = 0
    short: tuple[Short, ...] = ()
    inflated: int = 0

    @property
    def pipelining(self) -> bool:
        return self.broken_windows < BROKEN_WINDOWS

    @property
    def sizes_inflate(self) -> bool:
        return self.inflated >= HABIT

    @property
    def sizes_lie(self) -> bool:
        return self.resized >= SIZES_LIE

    def dump(self) -> str:
        """JSON; empty for a memory without content."""
        if self == Memory():
            return ""
        return json.dumps(
            {
                "items": sorted(self.items),
                "pairs": [[_hex(uidl), digest.hex()] for uidl, digest in self.pairs],
                "broken_windows": self.broken_windows,
                "resized": self.resized,
                "alarm": self.alarm,
                "notice_until": self.notice_until,
                "expire_told": self.expire_told,
                "tracks_devices": self.tracks_devices,
                "broke_at": self.broke_at and [_hex(self.broke_at[0]), self.broke_at[1]],
                "breaks": self.breaks,
                "backlog": self.backlog,
                "learnt_of": self.learnt_of,
                "announced": self.announced,
                "ahead": self.ahead,
                "top_breaks": self.top_breaks,
                "top_rests_until": self.top_rests_until,
                "failing_since": self.failing_since,
                "quiet": self.quiet,
                "quiet_until": self.quiet_until,
                "note_told": self.note_told,
                "unnoted": self.unnoted,
                "uidls_lie": self.uidls_lie,
                "probed_at": self.probed_at,
                "turn": self.turn,
                "short": [[_hex(uidl), size, times] for uidl, size, times in self.short],
                "inflated": self.inflated,
            }
        )

    @classmethod
    def load(cls, text: str) -> Memory:
        try:
            found: dict[str, Any] = json.loads(text) if text else {}
            at, backlog = found.get("broke_at"), found.get("backlog")
            return cls(
                items=frozenset(map(int, found.get("items", ()))),
                pairs=frozenset(
                    (_octets(uidl), bytes.fromhex(digest))
                    for uidl, digest in found.get("pairs", ())
                ),
                broken_windows=int(found.get("broken_windows", 0)),
                resized=int(found.get("resized", 0)),
                alarm=str(found.get("alarm", "")),
                notice_until=int(found.get("notice_until", 0)),
                expire_told=bool(found.get("expire_told", False)),
                tracks_devices=bool(found.get("tracks_devices", False)),
                broke_at=(_octets(at[0]), at[1]) if at else None,
                breaks=int(found.get("breaks", 0)),
                backlog=(int(backlog[0]), int(backlog[1])) if backlog else None,
                learnt_of=str(found.get("learnt_of", "")),
                announced=bool(found.get("announced", False)),
                ahead=Auth(ahead).value if (ahead := found.get("ahead")) else "",
                top_breaks=int(found.get("top_breaks", 0)),
                top_rests_until=int(found.get("top_rests_until", 0)),
                quiet=str(found.get("quiet", "")),
                quiet_until=int(found.get("quiet_until", 0)),
                failing_since=None if (since := found.get("failing_since")) is None else int(since),
                note_told=bool(found.get("note_told", False)),
                unnoted=bool(found.get("unnoted", False)),
                uidls_lie=bool(found.get("uidls_lie", False)),
                probed_at=int(found.get("probed_at", 0)),
                turn=int(found.get("turn", 0)),
                short=tuple(
                    (bytes.fromhex(uidl), int(size), int(times))
                    for uidl, size, times in found.get("short", ())
                ),
                inflated=int(found.get("inflated", 0)),
            )
        except (ValueError, TypeError, LookupError, AttributeError):
            return cls()


def _hex(octets: bytes | None) -> str | None:
    return None if octets is None else octets.hex()


def _octets(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


class Memories:
    """The memories of all accounts, read from the store once each."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[AccountId, Memory] = {}

    def __getitem__(self, account: AccountId) -> Memory:
        """Raises KeyError before `recall`."""
        return self._known[account]

    async def recall(self, account: Account) -> Memory:
        if account.id not in self._known:
            text = await self._store.read(lambda tx: tx.memory(account.id))
            self._known[account.id] = Memory.load(text)
        return self._known[account.id]

    def put(self, account: Account, memory: Memory) -> None:
        """From here on this is the account's; `remember`, or whoever wrote it, makes it last."""
        self._known[account.id] = memory

    def learn(self, account: Account, **changes: object) -> None:
        """Changes fields by name, until the end of the poll makes them last."""
        self._known[account.id] = replace(self._known[account.id], **changes)  # type: ignore[arg-type]  # fields by name

    async def remember(self, account: Account) -> None:
        text = self._known[account.id].dump()
        await self._store.write(lambda tx: tx.remember(account.id, text))
