"""Killed while it mends itself: upgrade, recovery, restore; and right after it said OK.

    POPBRIDGE_RECOVERIES=all POPBRIDGE_APPENDS=1000 pytest -n 2 tests/faults/test_recovery.py -s

In the suite one instant of each is drawn; with `all`, each is tried until a run ends in order.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import sqlite3
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

import pytest

from bridge.store import migrate
from bridge.store.opening import DATABASE
from bridge.store.sqlite.check import faults as faults_of_database
from bridge.store.sqlite.connection import connect, upgrade
from bridge.transfer.marks import Marks
from tests.faults.device import Device
from tests.faults.injector import Fault, broken
from tests.faults.oracle import INBOX, copied
from tests.faults.scenarios import Steady
from tests.faults.storm import LOGIN
from tests.store.conftest import recount
from tests.support import figures
from tests.support.nursery import Nursery
from tests.support.process import DaemonProcess, Ended, pop3_account, write_config
from tests.support.samples import samples
from tests.transfer.house import House

EVERY = os.environ.get("POPBRIDGE_RECOVERIES") == "all"
APPENDS = int(os.environ.get("POPBRIDGE_APPENDS", "30"))
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(1_000_000)))
KNOWN = migrate.load("bridge.store.sqlite")


# --- an upgrade ---------------------------------------------------------------------------


@pytest.mark.case("C005")
@pytest.mark.timeout(1800 if EVERY else 120)
@pytest.mark.parametrize("version", range(1, len(KNOWN)) if EVERY else [1, len(KNOWN) - 1])
async def test_a_kill_in_an_upgrade_leaves_the_old_schema_or_a_newer_one(
    tmp_path: Path, nursery: Nursery, version: int
) -> None:
    random = Random(SEED)
    kills = 0
    for number in count(1) if EVERY else [random.randint(1, 8 if version > 1 else 60)]:
        folder = tmp_path / str(number)
        data = folder / "data"
        data.mkdir(parents=True, mode=0o700)
        (data / DATABASE).touch(mode=0o600)
        with contextlib.closing(connect(data / DATABASE, writer=True)) as db:
            upgrade(db, KNOWN[:version])
            db.execute("INSERT INTO login (name) VALUES (?)", (LOGIN,))
        config = write_config(folder, [pop3_account(LOGIN, 1)])
        program = broken(nursery, Fault("pwrite64", data, number))
        code = 0
        async with DaemonProcess(config, program) as daemon:
            with contextlib.suppress(Ended):
                await daemon.listening()
            code = await daemon.stop()
        (folder / "scratch").mkdir()
        copy = copied(data, folder / "scratch")
        assert copy is not None
        with contextlib.closing(sqlite3.connect(copy)) as db:
            ((schema,),) = db.execute("SELECT value FROM meta WHERE key = 'schema'")
            assert version <= schema <= len(KNOWN)
            assert db.execute("SELECT name FROM login").fetchall() == [(LOGIN,)]
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        async with DaemonProcess(config, nursery.run) as daemon:
            await daemon.listening()
            assert await daemon.stop() == 0
        assert recount(data) == []
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert kills, f"seed {SEED}: there are no {number} writes from schema {version} on"
    figures.note("kill points: upgrade", tried=kills, lost=0, corrupt=0)


# --- a recovery ---------------------------------------------------------------------------


@pytest.mark.case("C007")
@pytest.mark.timeout(7200 if EVERY else 120)
async def test_a_kill_in_the_recovery_from_a_kill(tmp_path: Path, nursery: Nursery) -> None:
    random = Random(SEED)
    kills = 0
    for number in count(1) if EVERY else random.sample(range(1, 25), 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with Steady(folder, nursery, Random(SEED)) as scenario:
            first = random.randint(30, 300)
            assert await scenario.go(Fault("change", scenario.data, first)) != 0
            again = await scenario.go(Fault("change", scenario.data, number))
            again = again and await scenario.go(Fault("change", scenario.data, number + 1))
            await scenario.judge()
            assert scenario.faults == [], (SEED, first, number)
        if not again or number > 60:  # it listens by then
            break
        kills += 3
    assert kills
    figures.note("kill points: recovery", tried=kills, lost=0, doubled=0, faults=0)


# --- a restore ----------------------------------------------------------------------------


@pytest.mark.case("C006")
@pytest.mark.timeout(1800 if EVERY else 120)
async def test_a_kill_in_a_restore_leaves_the_old_store_or_the_new_one(
    tmp_path: Path, nursery: Nursery
) -> None:
    old, new = list(samples(3)), list(samples(5, 100))
    whole = tmp_path / "whole"
    house = await House.open(whole / "data", LOGIN)
    await house.fill(INBOX, *((raw, Marks()) for raw in new))
    saved = tmp_path / "saved"
    await house.store.backup(saved)
    await house.store.close()
    house = await House.open(tmp_path / "first" / "data", LOGIN)
    await house.fill(INBOX, *((raw, Marks()) for raw in old))
    await house.store.close()
    kills = 0
    for number in count(1) if EVERY else Random(SEED).sample(range(1, 30), 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copytree(tmp_path / "first" / "data", folder / "data")
        config = write_config(folder, [pop3_account(LOGIN, 1)])
        words = ("restore", str(saved), "--replace", "--config", str(config))
        child = await nursery.start(words, inject=str(Fault("change", folder / "data", number)))
        assert child.stdout is not None
        await child.stdout.read()
        code = await child.wait()
        assert code in (0, -signal.SIGKILL)
        with contextlib.closing(sqlite3.connect(folder / "data" / DATABASE)) as db:
            assert faults_of_database(db) == []
        house = await House.open(folder / "data", LOGIN)
        assert await house.octets(INBOX) in (old, new), (SEED, number)
        await house.store.close()
        child = await nursery.start(words)
        assert child.stdout is not None
        said = await child.stdout.read()
        assert await child.wait() == 0, said
        house = await House.open(folder / "data", LOGIN)
        assert await house.octets(INBOX) == new
        await house.store.close()
        assert not list((folder / "data").glob("*.restore*"))
        if code == 0:
            break
        kills += 1
    assert kills
    figures.note("kill points: restore", tried=kills, lost=0, corrupt=0)


# --- OK, then SIGKILL ---------------------------------------------------------------------


@pytest.mark.case("C017", "C018", "C019")
@pytest.mark.timeout(120 + 5 * APPENDS)
async def test_what_was_told_ok_is_there_after_a_kill_at_once(
    tmp_path: Path, nursery: Nursery
) -> None:
    """And QRESYNC tells a device of all that changed since what it knew before the kill."""
    config = write_config(tmp_path, [pop3_account(LOGIN, 1)])
    given: dict[int, bytes] = {}
    validity, known, changed = 0, 1, 0
    for number in range(APPENDS):
        async with DaemonProcess(config, nursery.run) as daemon:
            port = await daemon.listening()
            async with Device.connect(port, LOGIN) as device:
                seen = await selected(device, validity, known)
                modseq = seen.codes[b"HIGHESTMODSEQ"]
                if given:
                    assert seen.codes[b"UIDVALIDITY"] == validity
                    assert seen.codes[b"UIDNEXT"] == max(given) + 1
                    assert modseq >= known
                    # The one that came and the one that was flagged.
                    assert seen.fetched == {max(given), changed}
                validity, known = seen.codes[b"UIDVALIDITY"], modseq
                if given:
                    changed = Random(number).choice(sorted(given))
                    await device.command(b"UID STORE %d +FLAGS.SILENT (k%d)" % (changed, number))
                octets = b"Subject: %d\r\n\r\nkept\r\n" % number
                text = await device.command(b"APPEND INBOX {%d+}\r\n%b" % (len(octets), octets))
                daemon.kill()
            found = re.match(rb"\[APPENDUID ([0-9]+) ([0-9]+)\]", text)
            assert found is not None, text
            uid = int(found[2])
            assert uid > max(given, default=0)
            given[uid] = octets
            changed = changed or uid
            assert await daemon.wait() == -signal.SIGKILL
    assert recount(tmp_path / "data") == []
    house = await House.open(tmp_path / "data", LOGIN)
    assert [each.uid for each in await house.entries(INBOX)] == sorted(given)
    assert await house.octets(INBOX) == list(given.values())
    await house.store.close()
    figures.note("OK, then SIGKILL", tried=APPENDS, lost=0, doubled=0)


@dataclass(slots=True)
class Selected:
    codes: dict[bytes, int] = field(default_factory=dict)
    fetched: set[int] = field(default_factory=set)  # UIDs that changed since


async def selected(device: Device, validity: int, modseq: int) -> Selected:
    await device.command(b"ENABLE QRESYNC")
    device.asked += 1
    tag = b"d%d" % device.asked
    since = b" (QRESYNC (%d %d))" % (validity, modseq) if validity else b""
    await device.send(b"%b SELECT INBOX%b\r\n" % (tag, since))
    found = Selected()
    while not (line := await device.line()).startswith(tag + b" "):
        if code := re.search(rb"\[(UIDVALIDITY|UIDNEXT|HIGHESTMODSEQ) ([0-9]+)\]", line):
            found.codes[code[1]] = int(code[2])
        if uid := re.search(rb"FETCH \(.*UID ([0-9]+)", line):
            found.fetched.add(int(uid[1]))
    assert line.startswith(tag + b" OK "), line
    return found
