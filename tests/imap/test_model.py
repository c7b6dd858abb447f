"""Four mail programs of four generations at one store, against a model in memory.

A plain one, one with CONDSTORE, one that speaks IMAP4rev2 and one with QRESYNC give random
commands in two mailboxes, alone or at the same time, lose their connection at any octet and come
back. Sessions, views and the SQLite store are the real ones; between the sessions and the devices
are octets.

At every step:
- the store holds what the model holds: the commands of the step, in one of their orders, explain
  every flag, UID and answer;
- MODSEQ rises with each change, and with nothing else; the order of changes is the order of
  MODSEQs; no UID ever means two messages;
- a device that was told all has the mailbox in the same order with the same flags and MODSEQs,
  pieced together from nothing but untagged responses;
- after a lost connection a device that remembers HIGHESTMODSEQ catches up with exactly that.

Long walks come from a seed, as only they fill logs and tombstones: POPBRIDGE_STEPS sets how many
commands, POPBRIDGE_SEED which ones. Short ones come from hypothesis, which makes a failure as
short as it can. A million, on all cores:

    POPBRIDGE_STEPS=1000000 pytest tests/imap/test_model.py -k agree -n auto
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from bridge import limits
from bridge.imap import changelog
from bridge.imap.commands import store as store_command
from bridge.imap.mailboxes import OpenMailbox
from bridge.imap.view import View
from bridge.model import Stored
from bridge.store.sqlite.read import SqliteRead
from bridge.store.sqlite.write_entries import EntryWrites
from tests.support import figures, imap_device
from tests.support.imap_device import Broken, Device
from tests.support.imap_driver import KINDS, Driver

STEPS = int(os.environ.get("POPBRIDGE_STEPS", "20000"))
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(2**32)))
SHARDS = 4  # so that several cores share the work
EPISODE = 1000  # steps with one store


@contextmanager
def memory_folder() -> Iterator[Path]:
    """In memory where there is such a place: power cuts are another test's matter."""
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=shared if os.access(shared, os.W_OK) else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


async def episode(seed: int, steps: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """A store, three devices, `steps` commands; raises Broken, with a note of the seed and of
    what was said last. Returns the number of commands."""
    shape = random.Random(seed)
    monkeypatch.setattr(limits, "TOMBSTONES", shape.choice((0, 3, 50_000, 50_000)))
    monkeypatch.setattr(changelog, "LENGTH", shape.choice((1, 3, 10_000)))
    with memory_folder() as folder:
        driver = Driver(random.Random(seed), folder)
        await driver.start()
        try:
            await driver.run(steps)
        except Exception as error:
            error.add_note("\n".join(driver.trace))
            error.add_note(f"POPBRIDGE_SEED={seed}, step {driver.steps}")
            raise
        finally:
            await driver.stop()
        return driver.steps


@pytest.mark.case("M006")
@pytest.mark.timeout(max(120, STEPS // 20))
@pytest.mark.parametrize("shard", range(SHARDS))
async def test_devices_agree_with_the_model(shard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, done = STEPS // SHARDS, 0
    seed = SEED + shard * 2**32
    while done < wanted:
        done += await episode(seed, min(EPISODE, wanted - done), monkeypatch)
        seed += 1
    assert done >= wanted
    figures.note("four devices against the model", tried=done, faults=0)


class Devices(RuleBasedStateMachine):
    """The same in short, with all choices made by hypothesis. One command at a time: how two mix
    depends on the machine, and hypothesis wants to see the same again."""

    @initialize(tombstones=st.sampled_from((0, 3, 50_000)), log=st.sampled_from((1, 3, 10_000)))
    def begin(self, tombstones: int, log: int) -> None:
        self.stack = ExitStack()
        patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(limits, "TOMBSTONES", tombstones)
        patch.setattr(changelog, "LENGTH", log)
        self.runner = self.stack.enter_context(asyncio.Runner())
        folder = self.stack.enter_context(memory_folder())
        self.driver = Driver(random.Random(0), folder)
        self.runner.run(self.driver.start())
        self.stack.callback(lambda: self.runner.run(self.driver.stop()))

    @rule(
        choices=st.randoms(use_true_random=False),
        kind=st.sampled_from(KINDS),
        cuts=st.sampled_from((0, 0, 0, 1)),
    )
    def command(self, choices: random.Random, kind: str, cuts: float) -> None:
        self.driver.random = choices
        device = self.device(kind)
        self.runner.run(self.driver.together([device] if device.online else [], cuts=cuts))

    @rule(choices=st.randoms(use_true_random=False), kind=st.sampled_from(KINDS))
    def hears_all(self, choices: random.Random, kind: str) -> None:
        """Comes back, where it was gone."""
        self.driver.random = choices
        self.runner.run(self.driver.hear(self.device(kind)))

    def device(self, kind: str) -> Device:
        (device,) = (each for each in self.driver.devices if each.kind == kind)
        return device

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()


# About five hundred commands.
Devices.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestDevices = Devices.TestCase


# --- does it notice? --------------------------------------------------------------------


def _unchanged_since_ignored(patch: pytest.MonkeyPatch) -> None:
    right = EntryWrites.store_flags

    def wrong(self: EntryWrites, *args: Any, **named: Any) -> Stored:
        return right(self, *args[:5])

    patch.setattr(EntryWrites, "store_flags", wrong)


def _expunged_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SqliteRead, "expunged", lambda self, mailbox, since: ())


def _expunges_not_held_against_modseq(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(View, "modseq", property(lambda view: view.mailbox.modseq))


def _a_change_lost(patch: pytest.MonkeyPatch) -> None:
    right = OpenMailbox.changed_since

    def wrong(self: OpenMailbox, modseq: int, *args: Any) -> Sequence[int]:
        return list(right(self, modseq, *args))[:2]

    patch.setattr(OpenMailbox, "changed_since", wrong)


def _modified_not_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(store_command, "modified", lambda view, uids, by_uid: None)


def _foreign_changes_silent(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: View, changed: object, foreign: object) -> None:
        for modseq in range(self._told + 1, self.mailbox.modseq + 1):
            self._silent[modseq] = set()

    patch.setattr(View, "silence", wrong)


def _expunged_lowest_first(patch: pytest.MonkeyPatch) -> None:
    right = View._expunges

    def wrong(self: View) -> Iterator[bytes]:
        yield from reversed(list(right(self)))

    patch.setattr(View, "_expunges", wrong)


def _neighbour_taken_too(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        View,
        "uid_ranges",
        lambda self, places: [(self.uids[a], self.uids[b] + 1) for a, b in places],
    )


@pytest.mark.parametrize(
    "sin",
    [
        _unchanged_since_ignored,
        _expunged_forgotten,
        _expunges_not_held_against_modseq,
        _a_change_lost,
        _modified_not_told,
        _foreign_changes_silent,
        _expunged_lowest_first,
        _neighbour_taken_too,
    ],
    ids=lambda sin: sin.__name__[1:],
)
async def test_a_server_that_sins_is_caught(
    sin: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sin(monkeypatch)
    monkeypatch.setattr(imap_device, "PATIENCE", 3.0)
    with pytest.raises(Broken):
        await episode(SEED, 20 * EPISODE, monkeypatch)
