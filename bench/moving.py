"""Moving in and out, measured: is it lossless, how fast, and what do kills cost?

    python -m bench.moving [--messages 10000] [--emls FOLDER] [--kills 50] [--peers dovecot cyrus]

A store is filled (from a folder of .eml files, or with made messages in five mailboxes, with flags,
keywords and dates), exported, imported into a fresh store, exported and imported again, and each
time compared entry by entry. Then it is pushed to each peer, killed on the way, and read there by
imaplib. Printed, never asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import calendar
import hashlib
import imaplib
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.corpus import mixed
from bridge.model import Flag, Secret
from bridge.spool import Spool
from bridge.transfer.door import Offer
from bridge.transfer.exporting import export_files
from bridge.transfer.imap_client import Server
from bridge.transfer.imap_push import Pusher
from bridge.transfer.journal import Journal
from bridge.transfer.marks import Marks
from bridge.transfer.tally import Tally
from bridge.transfer.targets import TargetFormat
from tests.support.cyrus import Cyrus
from tests.support.dovecot import Dovecot
from tests.transfer.house import House

MAILBOXES = ("INBOX", "Sent", "Lists/python", "Käse & Brot", "2019/Q1")
FLAGS = re.compile(rb"FLAGS \(([^)]*)\)")
DATE = re.compile(rb'INTERNALDATE "([^"]*)"')


async def filled(folder: Path, count: int, emls: Path | None) -> House:
    house = await House.open(folder)
    chance = random.Random(1)
    raws = _files(emls) if emls is not None else (mixed(n, 40_000) for n in range(count))
    offers: list[Offer] = []
    for number, raw in enumerate(raws):
        flags = chance.randrange(32) & ~int(Flag.DELETED)
        words = ("$Forwarded", "work", "$label1")[: chance.randrange(4)]
        marks = Marks(flags, tuple(words), 1_000_000_000 + 60 * number)
        offers.append(Offer(MAILBOXES[number % len(MAILBOXES)], raw, marks))
        if len(offers) == 64:
            await house.door.take(offers)
            offers.clear()
    await house.door.take(offers)
    return house


def _files(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.glob("*.eml")):
        yield path.read_bytes()


async def round_trip(house: House, kind: TargetFormat, folder: Path) -> None:
    """Out, in, out, in."""
    before = await house.shown()
    total = sum(each.total() for each in before.values())
    for number in (1, 2):
        target = folder / f"{kind}-{number}"
        tally = Tally()
        await export_files(house.door, kind, target, tally, house.folder)
        fresh = await House.open(folder / f"{kind}-store-{number}")
        back = await fresh.import_(kind, target)
        same = await fresh.shown() == before
        print(
            f"{kind:12} round {number}: {total} messages, out {tally.done / tally.seconds:6.0f}/s "
            f"({tally.failed} failed), in {back.done / back.seconds:6.0f}/s ({back.failed} failed),"
            f" bytes, flags, keywords, dates, folders the same: {same}"
        )
        if number == 2:
            await house.store.close()
        house = fresh
    await house.store.close()


async def thunderbird(house: House, folder: Path) -> None:
    """A profile written here as Thunderbird does, imported, exported, imported."""
    top = folder / "profile" / "Mail" / "Local Folders"
    wanted: dict[str, Counter[tuple[bytes, int, tuple[str, ...]]]] = {}
    bits = {Flag.SEEN: 1, Flag.ANSWERED: 2, Flag.FLAGGED: 4}
    kept = sum(bits)
    for name in MAILBOXES:
        *above, last = ("Inbox" if name == "INBOX" else name).split("/")
        path = top.joinpath(*(f"{level}.sbd" for level in above), last)
        path.parent.mkdir(parents=True, exist_ok=True)
        entries = {each.uid: each for each in await house.entries(name)}
        with path.open("wb") as file:
            async for uid, octets in house.door.fetch(name, list(entries)):
                marks = entries[uid].marks
                status = sum(bit for flag, bit in bits.items() if marks.flags & flag)
                words = tuple(word for word in marks.keywords if word != "$Forwarded")
                if len(words) != len(marks.keywords):
                    status |= 0x1000
                raw = octets[0 : len(octets)]
                if not raw.endswith(b"\n"):
                    raw += b"\r\n"  # an mbox ends every line
                file.write(
                    b"From - Thu Nov  5 10:00:00 2026\r\nX-Mozilla-Status: %04x\r\n"
                    b"X-Mozilla-Status2: 00000000\r\nX-Mozilla-Keys: %-80b\r\n"
                    % (status, " ".join(words).encode())
                )
                file.write(re.sub(rb"(?m)^(>*From )", rb">\1", raw) + b"\r\n")
                key = (
                    hashlib.sha256(raw).digest(),
                    marks.flags & kept,
                    tuple(sorted(marks.keywords)),
                )
                wanted.setdefault(name, Counter())[key] += 1
    fresh = await House.open(folder / "thunderbird-store")
    tally = await fresh.import_("thunderbird", folder / "profile")
    got = {
        name: Counter((d, f & kept, tuple(sorted(w))) for d, f, w, _ in found.elements())
        for name, found in (await fresh.shown()).items()
        if found
    }
    lost = sum((wanted[name] - got.get(name, Counter())).total() for name in wanted)
    print(
        f"thunderbird  {tally.seen} messages in, {tally.done / tally.seconds:6.0f}/s, "
        f"bytes, flags or keywords not the same: {lost}"
    )
    await round_trip(fresh, "maildir", folder / "from-thunderbird")


Peer = Dovecot | Cyrus


def server_of(peer: Peer) -> Server:
    if isinstance(peer, Dovecot):
        return Server(peer.host, peer.imaps_port, peer.username, True, str(peer.ca_pem))
    return Server(peer.host, peer.port, peer.username, False)


async def push(house: House, peer: Peer, journal: Path | None) -> Tally:
    tally, notes = Tally(), Journal(journal)
    spool = house.folder
    pusher = Pusher(
        house.door, server_of(peer), Secret(peer.password), notes, tally, lambda: Spool(spool)
    )
    await pusher.run()
    notes.close()
    return tally


async def migrated(folder: Path, peer: Peer, kills: int) -> None:
    name = type(peer).__name__
    chance = random.Random(7)
    hits = 0
    house = await House.open(folder)
    total = sum([len(await house.entries(box)) for box in MAILBOXES])
    await house.store.close()
    for _ in range(kills):
        # Anywhere in its share of the messages.
        line = (sys.executable, "-m", "bench.moving", "--push", str(folder), *_named(peer))
        process = await asyncio.create_subprocess_exec(*line, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        share = chance.randint(1, max(1, total // kills))
        while said := await process.stdout.readline():
            if int(said) >= share:
                process.kill()
                hits += 1
                break
        await process.communicate()
    house = await House.open(folder)
    tally = await push(house, peer, folder / "journal")
    again = await push(house, peer, folder / "journal")
    blind = await push(house, peer, None)
    identical = wrong = lost = doubled = 0
    there = await asyncio.to_thread(_there, peer)
    for box in MAILBOXES:
        ours = await house.entries(box)
        theirs = there.get(box, [])
        digests = Counter(digest for digest, _ in theirs)
        lost += sum((Counter(each.digest for each in ours) - digests).values())
        doubled += max(0, len(theirs) - len(ours))
        marks = dict(theirs)
        for each in ours:
            identical += each.digest in digests
            words = frozenset(word.lower() for word in each.marks.keywords)
            meant = each.marks.flags, words, each.marks.date
            wrong += each.digest in digests and marks[each.digest] != meant
    await house.store.close()
    print(
        f"migrate to {name}: killed {hits} times, then {tally.done} done, {tally.already} already, "
        f"{tally.failed} failed in {tally.seconds:.1f} s"
    )
    for note in tally.notes[:3]:
        print(f"    {note}")
    print(
        f"    re-run moves {again.done} ({again.seconds:.1f} s), without a journal {blind.done} "
        f"({blind.seconds:.1f} s); {total} messages, byte-identical {identical}, "
        f"changed or not there {lost}, doubled {doubled}, wrong flags, keywords or dates {wrong}"
    )


def _named(peer: Peer) -> tuple[str, ...]:
    server = server_of(peer)
    tls = server.ca_file or ""
    return "--to", server.host, str(server.port), server.user, peer.password, tls


def _there(peer: Peer) -> dict[str, list[tuple[bytes, tuple[int, frozenset[str], int]]]]:
    """mailbox -> [(digest, (flags, keywords, date))], as imaplib reads them."""
    port = peer.imap_port if isinstance(peer, Dovecot) else peer.port
    client = imaplib.IMAP4(peer.host, port)
    client.login(peer.username, peer.password)
    found = {}
    system = {f"\\{flag.name}".lower(): int(flag) for flag in Flag}
    for box in MAILBOXES:
        wire = box.replace("&", "&-").replace("ä", "&AOQ-")
        if client.select(f'"{wire}"', readonly=True)[0] != "OK":
            continue
        rows = []
        _, data = client.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")
        for each in data:
            if not isinstance(each, tuple):
                continue
            said, date = FLAGS.search(each[0]), DATE.search(each[0])
            assert said is not None
            assert date is not None
            words = said[1].decode().lower().split()
            flags = sum(system.get(word, 0) for word in words)
            keywords = frozenset(word for word in words if not word.startswith("\\"))
            at = time.strptime(date[1].decode().strip()[:20].strip(), "%d-%b-%Y %H:%M:%S")
            zone = date[1][-5:].decode()
            offset = (int(zone[1:3]) * 60 + int(zone[3:])) * 60 * (-1 if zone[0] == "-" else 1)
            marks = flags, keywords, calendar.timegm(at) - offset
            rows.append((hashlib.sha256(each[1]).digest(), marks))
        found[box] = rows
    client.logout()
    return found


async def _child(folder: Path, host: str, port: str, user: str, word: str, ca: str) -> None:
    """One push, to be killed; says after each answer how many messages it has sent."""
    house = await House.open(folder)
    server = Server(host, int(port), user, bool(ca), ca or None)
    journal = Journal(folder / "journal")
    tally = Tally(on_step=lambda now: print(now.done, flush=True))
    pusher = Pusher(house.door, server, Secret(word), journal, tally, lambda: Spool(folder))
    await pusher.run()
    await house.store.close()


async def _all(options: argparse.Namespace, folder: Path) -> None:
    house = await filled(folder / "store", options.messages, options.emls)
    kinds: tuple[TargetFormat, ...] = () if options.no_files else ("mbox", "maildir", "eml")
    for kind in kinds:
        again = await filled(folder / f"{kind}-from", options.messages, options.emls)
        await round_trip(again, kind, folder)
    if kinds:
        await thunderbird(house, folder)
    await house.store.close()
    for name in options.peers:
        peer: Peer = Cyrus() if name == "cyrus" else Dovecot(folder)
        with peer:
            await migrated(folder / "store", peer, options.kills)
        (folder / "store" / "journal").unlink()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.moving", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument(
        "--emls", type=Path, help="a folder of .eml files, instead of made messages"
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--peers", nargs="*", default=["dovecot", "cyrus"])
    parser.add_argument("--no-files", action="store_true", help="only the peers")
    parser.add_argument("--push", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--to", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.push is not None:
        asyncio.run(_child(options.push, *options.to))
        return
    with tempfile.TemporaryDirectory(prefix="popbridge-moving-") as folder:
        asyncio.run(_all(options, Path(folder)))


if __name__ == "__main__":
    main()
