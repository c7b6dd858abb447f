"""Power cuts: what was acknowledged is on the disk, whatever the disk made of the rest.

    POPBRIDGE_POWER=all pytest tests/faults/test_power.py -s

A daemon with two first syncs, a device that writes, and checkpoints in between is recorded
(`recorder.c`). Then the power is cut after each of its writes and syncs, in three ways (`power`):
what was not synced is dropped, reordered, or torn. Each disk image is opened and judged by the
oracle of the kills; some are given to a new daemon that polls on. In the suite some instants are
drawn; with `all`, each, twice. The control is the same with `synchronous=NORMAL`: it must lose
what was acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from bridge.model import Flag
from bridge.store.opening import DATABASE
from bridge.store.sqlite.check import faults as faults_of_database
from tests.faults.device import Device, Flags, Seen, observe
from tests.faults.mail import digests, maildrop
from tests.faults.oracle import INBOX, Effect, Entry, Oracle, Place
from tests.faults.power import Choice, Disk, Op, dropped, read_log, reordered, torn
from tests.faults.storm import LOGIN
from tests.faults.writers import Writer
from tests.support import figures
from tests.support.pop3_server import Item, Pop3Server
from tests.support.process import DaemonProcess, pop3_account, write_config
from tests.support.require import require

EVERY = os.environ.get("POPBRIDGE_POWER") == "all"
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(1_000_000)))
SEEDS = 2 if EVERY else 1
INSTANTS = 10**6 if EVERY else 120  # at which the power is cut, at most
RESTARTS = 40 if EVERY else 3  # images that a new daemon gets
PHASES = 2
MESSAGES = 12  # of a phase and a provider
COMMANDS = 20  # of the device, in a phase
HERE = Path(__file__).parent
MAILBOXES = (INBOX, "Drafts", "Sent", "Trash", "Archive", "Junk")

Told = tuple[int, int]  # (phase, number of the device's last command that was answered OK)


@dataclass(frozen=True, slots=True)
class Known:
    """What the device knows once `told` reached it; `pending` is what it asks for next."""

    told: Told
    entries: Mapping[Place, Entry]
    owner: Mapping[bytes, int]
    mailboxes: frozenset[str]
    pending: Effect | None


class Diarist(Writer):
    """A writer that keeps what it knew after each answer."""

    diary: list[Known]
    phase = 0

    async def _do(self, device: Device, line: bytes, effect: Effect) -> None:
        self._note(device.asked, effect)
        await super()._do(device, line, effect)
        self._note(device.asked, None)

    def _note(self, number: int, pending: Effect | None) -> None:
        told = (self.phase, number)
        if self.diary and self.diary[-1].told == told:
            self.diary.pop()
        oracle = self._oracle
        entries, boxes = dict(oracle.holdings[0].entries), frozenset(oracle.mailboxes)
        self.diary.append(Known(told, entries, dict(oracle.owner), boxes, pending))


@dataclass(slots=True)
class Session:
    """A recorded life: `ops`, what the device knew when, and each phase's new mail by port."""

    ops: Sequence[Op]
    diary: Sequence[Known]
    keeper: int
    popper: int
    offered: Sequence[Mapping[int, list[Item]]]


@dataclass(slots=True)
class Facts:
    """What the peers were told up to an instant."""

    told: Told = (0, 0)
    required: set[bytes] = field(default_factory=set)
    popped: set[bytes] = field(default_factory=set)
    _retrieved: set[int] = field(default_factory=set)  # descriptors

    def take(self, op: Op, session: Session) -> None:
        """QUIT after RETR tells a provider that all is stored; a tagged OK tells the device."""
        if op.port in (session.keeper, session.popper):
            if b"RETR " in op.octets:
                self._retrieved.add(op.descriptor)
            if b"QUIT" in op.octets and op.descriptor in self._retrieved:
                self._retrieved.discard(op.descriptor)
                items = [i for phase in self._offered(session) for i in phase[op.port]]
                self.required |= digests(items)
                if op.port == session.popper:
                    self.popped |= digests(items)
        phase, number = self.told
        for answer in re.findall(rb"^d([0-9]+) OK ", op.octets, re.MULTILINE):
            number = int(answer)
            phase += number == 1
        self.told = phase, number
        if phase:
            for offered in session.offered[:phase]:
                self.required |= {d for items in offered.values() for d in digests(items)}

    def _offered(self, session: Session) -> Sequence[Mapping[int, list[Item]]]:
        last = max(known.told for known in session.diary if known.told[0] == 1)
        return session.offered[: 2 if self.told >= last else 1]


# --- recording --------------------------------------------------------------------------


async def record(folder: Path, level: str) -> Session:
    """Lives through all phases."""
    library, log, data = folder / "recorder.so", folder / "log", folder / "data"
    build = (require("cc"), "-shared", "-fPIC", "-O1", "-o", library, HERE / "recorder.c", "-ldl")
    assert await (await asyncio.create_subprocess_exec(*build)).wait() == 0
    environment = (f"LD_PRELOAD={library}", f"RECORD_TO={log}", f"RECORD_FOLDER={data}")
    program = ("env", *environment, sys.executable, "-m", "tests.faults.power_program", level)
    random = Random(SEED)
    oracle = Oracle(1)
    writer = Diarist(0, oracle, random, lambda: None)
    writer.diary = []
    offered: list[Mapping[int, list[Item]]] = []
    async with Pop3Server() as keeper, Pop3Server(pops_retrieved=True) as popper:
        config = _config(folder, keeper, popper)
        async with DaemonProcess(config, program) as daemon:
            port = await daemon.listening()
            for phase in range(1, PHASES + 1):
                kept = maildrop(f"kept-{phase}", MESSAGES, random)
                popped = maildrop(f"popped-{phase}", MESSAGES, random, largest=400)
                offered.append({keeper.port: kept, popper.port: popped})
                keeper.items, popper.items = [*keeper.items, *kept], [*popper.items, *popped]
                oracle.offered |= digests(kept) | digests(popped)
                while oracle.offered - oracle.owner.keys():
                    assert [report["error"] for report in await daemon.poll()] == ["", ""]
                    oracle.compare(await asyncio.to_thread(observe, port, LOGIN))
                writer.phase = phase
                await writer.run(port, LOGIN, COMMANDS)
            assert await daemon.stop() == 0, "\n".join(daemon.log)
        assert oracle.faults == []
    return Session(list(read_log(log)), writer.diary, keeper.port, popper.port, offered)


def _config(folder: Path, keeper: Pop3Server, popper: Pop3Server) -> Path:
    return write_config(
        folder,
        [
            pop3_account(LOGIN, keeper.port),
            pop3_account("popper@example.org", popper.port, login=LOGIN),
        ],
    )


# --- judging ----------------------------------------------------------------------------


@dataclass(slots=True)
class Cut:
    """A disk image, and what had been said by then."""

    number: int  # of operations before it
    way: str
    files: Mapping[str, bytes]
    told: Told
    required: frozenset[bytes]
    popped: frozenset[bytes]


def cuts(session: Session, random: Random) -> Iterator[Cut]:
    """The power cuts to be tried. An image that is surely the same as the one before, with no more
    said, is left out."""
    instants = [number for number, op in enumerate(session.ops, 1) if op.kind != "N"]
    drawn = set(random.sample(instants, min(INSTANTS, len(instants))))
    drawn |= {number for number, op in enumerate(session.ops, 1) if op.kind == "N" and EVERY}
    disk, facts = Disk(), Facts()
    last: object = None
    for number, op in enumerate(session.ops, 1):
        disk.take(op)
        facts.take(op, session)
        if number not in drawn:
            continue
        ways: dict[str, Choice] = {}
        state = (disk.version, facts.told, len(facts.required))
        if state != last:
            ways["dropped"] = dropped
            last = state
        if disk.pending:
            for seed in range(SEEDS):
                ways[f"reordered {seed}"] = reordered(Random(f"{SEED} {number} {seed}"))
                ways[f"torn {seed}"] = torn(Random(f"{SEED} {number} {seed}"))
        for way, choose in ways.items():
            said = facts.told, frozenset(facts.required), frozenset(facts.popped)
            yield Cut(number, way, disk.image(choose), *said)


def judge(session: Session, cut: Cut, folder: Path) -> Oracle:
    """The oracle after it saw what is left. Without `faults` all is well."""
    write_image(cut, folder)
    oracle = told_oracle(session, cut)
    seen: Mapping[str, Seen] = {}
    if cut.files.get(DATABASE):
        db = sqlite3.connect(folder / DATABASE)
        try:
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'login'").fetchone():
                oracle.faults += faults_of_database(db) if cut.required else []
                seen = _read(db)
        except sqlite3.Error as error:
            oracle.faults.append(f"unreadable: {error}")
        finally:
            db.close()
    if seen or cut.told > (0, 0):
        oracle.compare(seen)
    missing = cut.required - oracle.owner.keys()
    if missing:
        oracle.lost |= missing
        oracle.faults.append(f"{len(missing)} messages that somebody was told of are gone")
    return oracle


def write_image(cut: Cut, folder: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        (folder / f"{DATABASE}{suffix}").unlink(missing_ok=True)
    for name, octets in cut.files.items():
        (folder / name).write_bytes(octets)


def told_oracle(session: Session, cut: Cut) -> Oracle:
    """One that knows what the device knew."""
    oracle = Oracle(1)
    oracle.offered = {d for phase in session.offered for i in phase.values() for d in digests(i)}
    before = [known for known in session.diary if known.told <= cut.told]
    if before:
        known = before[-1]
        oracle.holdings[0].entries = dict(known.entries)
        oracle.holdings[0].pending = known.pending
        oracle.owner = dict(known.owner)
        oracle.mailboxes = set(known.mailboxes)
    # A draft may be there before its APPEND was answered.
    effects = [each.pending for each in session.diary if each.pending]
    drafts = {digest for effect in effects for _, digest, _ in effect.added} - oracle.offered
    oracle.owner |= dict.fromkeys(drafts, 0)
    return oracle


def _read(db: sqlite3.Connection) -> dict[str, Seen]:
    """The mailboxes of LOGIN, by nothing but SQL."""
    boxes = db.execute(
        """SELECT mailbox.id, mailbox.name, uidvalidity, uidnext FROM mailbox
        JOIN login ON login.id = login_id WHERE login.name = ?""",
        (LOGIN,),
    ).fetchall()
    names: dict[int, str] = dict(db.execute("SELECT id, names FROM keyword_set").fetchall())
    seen = {}
    for number, name, uidvalidity, uidnext in boxes:
        states: dict[int, tuple[int, str]] = {}
        for block, flags, keywords in db.execute(
            "SELECT id, flags, keywords FROM entry_block WHERE mailbox_id = ?", (number,)
        ):
            # 256 UIDs: an octet of flags for each, 255 where no entry is, and a set of keywords
            # in 4 octets, or one for all of them.
            sets = keywords if len(keywords) > 4 else keywords * 256
            for at, bits in enumerate(flags):
                if bits != 255:
                    words = names[int.from_bytes(sets[4 * at : 4 * at + 4], "little")]
                    states[block % (1 << 24) * 256 + at] = bits, words
        rows = db.execute(
            """SELECT uid, digest FROM entry JOIN message ON message.id = entry.message_id
            WHERE mailbox_id = ?""",
            (number,),
        )
        entries = {uid: (digest, _flags(*states.pop(uid))) for uid, digest in rows}
        assert not states  # no flags without an entry
        seen[name] = Seen(uidvalidity, uidnext, entries)
    return seen


def _flags(bits: int, words: str) -> Flags:
    system = [f"\\{flag.name.capitalize()}" for flag in Flag if bits & flag and flag.name]
    return frozenset([*system, *words.split()])


# --- tests ------------------------------------------------------------------------------


@pytest.mark.case("C008", "C009")
@pytest.mark.timeout(7200 if EVERY else 300)
async def test_no_power_cut_loses_or_doubles_or_undoes_anything(tmp_path: Path) -> None:
    started = time.monotonic()
    session = await record(tmp_path, "FULL")
    kinds = Counter(op.kind for op in session.ops)
    assert min(kinds["W"], kinds["S"], kinds["N"]) > 50, kinds
    assert len([op for op in session.ops if op.kind == "S" and op.name == DATABASE]) > 5, (
        "no checkpoint was recorded"
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    random = Random(SEED)
    tried: Counter[str] = Counter()
    kept: list[Cut] = []
    for cut in cuts(session, random):
        assert judge(session, cut, scratch).faults == [], (SEED, cut.number, cut.way)
        tried[cut.way.partition(" ")[0]] += 1
        # Each is as likely as any other to be among those that are kept.
        if len(kept) < RESTARTS:
            kept.append(cut)
        elif (place := random.randrange(tried.total())) < RESTARTS:
            kept[place] = cut
    for number, cut in enumerate(kept):
        folder = tmp_path / f"restart-{number}"
        assert await _restart(session, cut, folder) == [], (SEED, cut.number, cut.way)
    print(f"seed {SEED}: {kinds['W']} writes, {kinds['S']} syncs, {dict(tried)}")
    # `judge` knows no fault but mail or changes lost, doubled or corrupt, and there was none.
    figures.note(
        "power cuts",
        tried=tried.total(),
        lost=0,
        doubled=0,
        corrupt=0,
        polled_on=len(kept),
        seconds=time.monotonic() - started,
    )


async def _restart(session: Session, cut: Cut, folder: Path) -> list[str]:
    """What is wrong after a new daemon found the image and polled the providers to the end."""
    data = folder / "data"
    data.mkdir(parents=True, mode=0o700)
    oracle = judge(session, cut, data)
    write_image(cut, data)  # `judge` recovered it
    async with Pop3Server() as keeper, Pop3Server(pops_retrieved=True) as popper:
        for phase in session.offered:
            keeper.items = [*keeper.items, *phase[session.keeper]]
            left = [i for i in phase[session.popper] if not digests([i]) <= cut.popped]
            popper.items = [*popper.items, *left]
        async with DaemonProcess(_config(folder, keeper, popper)) as daemon:
            port = await daemon.listening()
            for report in await daemon.poll():
                oracle.faults += [f"the poll: {report}"] if report["error"] else []
            oracle.compare(await asyncio.to_thread(observe, port, LOGIN), complete=True)
            again = [(report["new"], report["bytes"]) for report in await daemon.poll()]
            oracle.faults += [] if again == [(0, 0), (0, 0)] else [f"another poll: {again}"]
            assert await daemon.stop() == 0, "\n".join(daemon.log)
    return oracle.faults


@pytest.mark.timeout(300)
async def test_the_oracle_sees_what_a_lazy_sync_loses(tmp_path: Path) -> None:
    session = await record(tmp_path, "NORMAL")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    tried = losing = 0
    for cut in cuts(session, Random(SEED)):
        tried += 1
        losing += bool(judge(session, cut, scratch).faults)
    assert losing
    figures.note("control: synchronous=NORMAL", tried=tried, caught=losing)
