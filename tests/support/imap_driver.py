"""Random commands of four devices at one store, and the model beside it.

    driver = Driver(random.Random(seed), folder)
    await driver.start(); await driver.run(1000); await driver.stop()

Sessions, views and the SQLite store are the real ones; between sessions and devices are octets.
Raises Broken at the first thing that is not as the model says; `trace` holds what was said last.
The commands depend on the seed alone, how those of one step mix on the machine too.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

from bridge import limits
from bridge.auth.passwords import Passwords
from bridge.bus import Bus
from bridge.imap.mailboxes import OpenMailboxes
from bridge.imap.seams import Services, Throttle
from bridge.model import Flag
from bridge.spool import Spool
from bridge.store.api import ReadTx, Store
from bridge.store.opening import open_store
from tests.support.imap_device import Broken, Cut, Device
from tests.support.imap_model import Done, House, Truth
from tests.support.imap_plans import BOXES, Plan, Planner

KINDS = ("plain", "condstore", "rev2", "qresync")
NAMES = {
    "\\Answered": Flag.ANSWERED,
    "\\Flagged": Flag.FLAGGED,
    "\\Deleted": Flag.DELETED,
    "\\Seen": Flag.SEEN,
    "\\Draft": Flag.DRAFT,
}


class Driver(Planner):
    """One episode."""

    def __init__(self, choices: random.Random, folder: Path) -> None:
        super().__init__(choices)
        self.folder = folder
        self.trace: deque[str] = deque(maxlen=120)
        self.steps = 0
        self.contents: dict[int, int] = {}  # id of the store's message -> what we called it

    async def start(self) -> None:
        self.store: Store = await open_store(self.folder / "data")
        bus = Bus()
        self.store.on_change = bus.publish
        login = await self.store.write(lambda tx: tx.ensure_login("alice"))
        found = await self.store.read(lambda tx: tx.mailboxes(login.id))
        boxes = {box.name: box for box in found if box.name in BOXES}
        self.ids = {name: box.id for name, box in boxes.items()}
        self.house = House({name: boxes[name].uidvalidity for name in BOXES})
        for name, box in boxes.items():
            self.house.boxes[name].highest = box.highestmodseq
        services = Services(
            store=self.store,
            bus=bus,
            passwords=cast(Passwords, None),
            mailboxes=OpenMailboxes(self.store, bus),
            throttle=cast(Throttle, None),
            new_sink=lambda memory: Spool(self.folder, memory),
            logins={},
            starttls=False,
            rev2=True,
        )
        self.devices = [
            Device(name, kind, services, login, self.trace)
            for name, kind in zip("pcrq", KINDS, strict=True)
        ]
        for device in self.devices:
            await self.come_back(device)

    async def stop(self) -> None:
        for device in self.devices:
            if device.online:
                await device.gone()
        await self.store.close()

    async def run(self, steps: int) -> None:
        while self.steps < steps:
            await self.step()
        for device in self.devices:
            await self.hear(device)

    # --- one step -----------------------------------------------------------------------

    async def step(self) -> None:
        chance = self.random.random
        for device in self.devices:
            if not device.online and chance() < 0.3:
                await self.come_back(device)
        awake = [device for device in self.devices if device.online]
        if not awake:
            return
        count = 1 if chance() < 0.8 else self.random.randint(2, 3)
        chosen = self.random.sample(awake, min(count, len(awake)))
        listening = [each for each in chosen if each.idle_tag and chance() < 0.6]
        await self.together([each for each in chosen if each not in listening], cuts=0.04)

    async def together(self, devices: Sequence[Device], *, cuts: float) -> None:
        """Each of them gives a command; so many of their connections break meanwhile."""
        plans = []
        for device in devices:
            if device.idle_tag:
                plans.append(self.leave_idle(device))
            else:
                plan = self.plan(device, alone=len(devices) == 1)
                if plan is not None:
                    plans.append(plan)
        if not plans:
            return
        self.steps += len(plans)
        for plan in plans:
            if self.random.random() < cuts:
                plan.device.cut_after(self.random.choice((0, 30, 90, 200, 500)))
        await asyncio.gather(*(self.send(plan) for plan in plans))
        await self.compare(plans)
        for plan in plans:
            plan.device.pipe.left = None
        for plan in plans:
            try:
                await self.settle(plan, alone=len(plans) == 1)
            except Cut:  # right behind the answer
                await plan.device.gone()
        for device in self.devices:
            if device.online and device.idle_tag:
                try:
                    await device.listen_until(partial(self.fault, device))
                except Cut:
                    await device.gone()

    async def send(self, plan: Plan) -> None:
        try:
            if plan.run is not None:
                plan.answer = await plan.run()
            else:
                plan.answer = await plan.device.command(
                    plan.text, literals=plan.literals, may_expunge=plan.may_expunge
                )
        except Cut:
            plan.answer = None
            await plan.device.gone()

    async def settle(self, plan: Plan, *, alone: bool) -> None:
        """Compares what the device knows now."""
        device = plan.device
        if not device.online or device.idle_tag or device.box is None:
            return
        if not alone:
            await self.hear(device)
        fault = self.fault(device, told=plan.may_expunge or not alone)
        if fault is not None:
            raise Broken(fault)
        if self.random.random() < 0.7 or device.kind == "qresync":
            await device.look()
            fault = self.fault(device, told=False)
            if fault is not None:
                raise Broken(fault)

    async def hear(self, device: Device) -> None:
        """Told all, the device has the mailbox."""
        if not device.online:
            await self.come_back(device)
        if device.idle_tag:
            try:
                await device.done()
            except Cut:  # its line broke in IDLE, after the last that it was waited for
                await device.gone()
                await self.come_back(device)
        if device.box is None:
            return
        await device.command("NOOP")
        fault = self.fault(device)
        if fault is not None:
            raise Broken(fault)

    async def come_back(self, device: Device) -> None:
        """A new connection, the mailbox of before, and all that happened since."""
        await device.connect()
        box = self.random.choice(sorted(device.caches) or ["INBOX"])
        await device.select(box, examine=False, with_match=self.random.random() < 0.3)
        await device.look()
        fault = self.fault(device)
        if fault is not None:
            raise Broken(f"after coming back: {fault}")
        self.trace.append(f"{device.name} is back and right")

    def fault(self, device: Device, *, told: bool = True) -> str | None:
        """Where the device's picture is not the mailbox. Before it was `told` all, it may still
        count what is gone; all else must be right."""
        if device.box is None:
            return None
        entries = self.house.boxes[device.box].entries
        uids = sorted(entries)
        known = [slot.uid for slot in device.slots]
        if told and len(known) != len(uids):
            return f"{device.name} counts {known}, there are {uids}"
        if told and any(a not in (None, b) for a, b in zip(known, uids, strict=True)):
            return f"{device.name} has UIDs {known}, there are {uids}"
        if not told and len(set(uids).difference(known)) > known.count(None):
            return f"{device.name} was not told of all of {uids}: {known}"
        for slot, uid in zip(device.slots, uids if told else known, strict=True):
            entry = None if uid is None else entries.get(uid)
            if entry is None:
                continue
            if slot.flags not in (None, entry.flags):
                return (
                    f"{device.name}: UID {uid} has {sorted(entry.flags)}, "
                    f"the device believes {sorted(slot.flags or ())}"
                )
            if slot.modseq not in (None, entry.modseq):
                return f"{device.name}: UID {uid} has MODSEQ {entry.modseq}, not {slot.modseq}"
        if told:
            device.told = self.house.boxes[device.box].highest
        return None

    # --- the store and the model --------------------------------------------------------

    async def compare(self, plans: Sequence[Plan]) -> None:
        """One order of the commands explains what is in the store and what was answered; a
        command whose answer was lost may have happened or not."""
        truth = await self.store.read(self.look)
        first = ""
        for order in itertools.permutations(plans):
            unsure = [plan for plan in order if plan.answer is None and plan.op is not None]
            for count in range(len(unsure) + 1):
                for left_out in itertools.combinations(unsure, count):
                    house = self.house.fork()
                    faults = self.explain(house, order, left_out, truth)
                    if not faults:
                        for name in BOXES:
                            house.adopt(name, truth[name])
                        self.house = house
                        return
                    first = first or "\n".join(faults)
        raise Broken(f"no order of {[plan.text for plan in plans]} explains it:\n{first}")

    def explain(
        self,
        house: House,
        order: Sequence[Plan],
        left_out: Sequence[Plan],
        truth: dict[str, Truth],
    ) -> list[str]:
        dones = [
            (plan, plan.op(house) if plan.op is not None else Done())
            for plan in order
            if plan not in left_out
        ]
        faults = [fault for name in BOXES for fault in house.faults(name, truth[name])]
        for plan, done in dones:
            if plan.answer is not None and not plan.right(plan.answer, done):
                faults.append(f"{plan.device.name}: {plan.text}: {plan.answer}, wanted {done}")
        if not faults:
            for plan, done in dones:
                if plan.answer is not None:
                    plan.after(plan.answer, done)
        return faults

    def look(self, tx: ReadTx) -> dict[str, Truth]:
        """Runs on a reader's thread."""
        sets = tx.keyword_sets()
        out = {}
        for name in BOXES:
            box = self.ids[name]
            row, before = tx.mailbox_by_id(box), self.house.boxes[name].highest
            states = tx.entry_states(box)
            new = [(s.uid, s.uid) for s in states if (name, s.uid) not in self.identity]
            for entry in tx.rows(box, new) if new else ():
                content = self.contents.get(entry.message_id)
                if content is None:
                    octets = tx.octets(entry.message_id)
                    content = self.contents[entry.message_id] = int(octets.split()[1])
                self.identity[name, entry.uid] = content
            assert row.messages == len(states)
            out[name] = Truth(
                row.uidvalidity,
                row.uidnext,
                row.highestmodseq,
                {
                    s.uid: (
                        _names(s.flags) | frozenset(sets[s.keywords] if s.keywords else ()),
                        s.modseq,
                        self.identity[name, s.uid],
                    )
                    for s in states
                },
                dict(tx.expunged(box, before)),
                limits.TOMBSTONES > 1000,
            )
        return out


def _names(flags: int) -> frozenset[str]:
    return frozenset(name for name, flag in NAMES.items() if flags & flag)
