"""What a mail program may want to do next, at random, and what must come of it.

    plan = Planner(random.Random(seed)).plan(device)
    plan.text                # "UID STORE 4:7 (UNCHANGEDSINCE 12) +FLAGS.SILENT (\\Seen)"
    plan.op(house)           # the same done to the model
    plan.right(answer, done) # whether the server's answer says that

Rules: messages are chosen among those that the device knows, by what it calls them; so what a
command means is settled before it is sent, whatever others do meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from tests.support.imap_device import Answer, Cut, Device, Slot, expand
from tests.support.imap_model import Done, House

FULL = 25  # messages in a mailbox, from where on more is deleted than added
FLAGS = (
    "\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft", "$Forwarded", "$Work"
)  # fmt: skip
BOXES = ("INBOX", "Archive")


@dataclass(slots=True)
class Plan:
    """A command of one device: what it does to the model, what its answer must be, and what the
    device may take for granted then."""

    device: Device
    text: str
    op: Callable[[House], Done] | None = None
    right: Callable[[Answer, Done], bool] = lambda answer, done: answer.status == "OK"
    after: Callable[[Answer, Done], None] = lambda answer, done: None
    literals: list[bytes] = field(default_factory=list)
    may_expunge: bool = True
    run: Callable[[], Awaitable[Answer | None]] | None = None  # instead of sending the text
    answer: Answer | None = None  # None: the connection broke before it came


class Planner:
    """`house` is the model, `identity` says which message a (mailbox, UID) is."""

    def __init__(self, choices: random.Random) -> None:
        self.random = choices
        self.house = House({})
        self.identity: dict[tuple[str, int], int] = {}
        self.made = 0  # messages so far

    def plan(self, device: Device, *, alone: bool) -> Plan | None:
        if device.box is None:
            return self.random.choice((self.select, self.select, self.append))(device)
        full = len(self.house.boxes[device.box].entries) > FULL
        kinds: list[tuple[int, Callable[[Device], Plan | None]]] = [
            (24, self.change_flags),
            (12 if device.modseqs else 0, self.change_if_unchanged),
            (2 if full else 8, self.append),
            (1 if full else 4, self.duplicate),
            (5, self.move),
            (12 if full else 5, self.expunge),
            (12 if full else 5, self.mark_and_expunge),
            (5, self.enter_idle),
            (6, self.ask),
            (3, self.select),
            (2, self.close),
            (6, self.fetch),
            (3, partial(self.read, alone=alone)),
            (4 if alone else 0, self.search),
            (2 if alone else 0, self.status),
            (2, self.drop),
        ]
        # hypothesis makes its choices without a look at weights.
        possible = [(weight, make) for weight, make in kinds if weight]
        weights = [weight for weight, _ in possible]
        return self.random.choices([make for _, make in possible], weights)[0](device)

    def choose(self, device: Device) -> tuple[list[Slot], str, bool] | None:
        """Some messages that the device knows, as it names them, and whether by UID."""
        at = [at for at, slot in enumerate(device.slots) if slot.uid is not None]
        if not at:
            return None
        by_uid = self.random.random() < 0.5
        if self.random.random() < 0.5:
            first = self.random.choice(at)
            last = first
            most = self.random.choice((1, 3, 30))
            while last + 1 < len(device.slots) and last - first + 1 < most:
                if device.slots[last + 1].uid is None:
                    break
                last += 1
            slots = device.slots[first : last + 1]
            ends: list[int | None] = [first + 1, last + 1]
            if by_uid:
                ends = [slots[0].uid, slots[-1].uid]
            text = f"{ends[0]}:{ends[1]}"
            if self.random.random() < 0.2:
                text = f"{ends[1]}:{ends[0]}"
            elif last + 1 == len(device.slots) and self.random.random() < 0.3:
                text = f"{ends[0]}:*"
        else:
            some = self.random.sample(at, min(len(at), self.random.choice((1, 2, 5))))
            slots = [device.slots[each] for each in some]
            text = ",".join(str(device.slots[each].uid if by_uid else each + 1) for each in some)
        return slots, text, by_uid

    def some_flags(self) -> frozenset[str]:
        return frozenset(self.random.sample(FLAGS, self.random.choice((0, 1, 1, 2, 4))))

    def change_flags(
        self,
        device: Device,
        unchanged_since: int | None = None,
        names: frozenset[str] | None = None,
    ) -> Plan | None:
        chosen = self.choose(device)
        if chosen is None or device.read_only or device.box is None:
            return None
        slots, text, by_uid = chosen
        uids = [slot.uid for slot in slots if slot.uid is not None]
        op = "+" if names else self.random.choice(("+", "+", "-", ""))
        wanted = names or self.some_flags()
        silent = self.random.random() < 0.5
        modifier = "" if unchanged_since is None else f"(UNCHANGEDSINCE {unchanged_since}) "
        numbers = {at: slot.uid for at, slot in enumerate(device.slots, 1)}

        def modified(answer: Answer) -> set[int | None]:
            told = expand(answer.codes.get("MODIFIED", "")) if "MODIFIED" in answer.codes else set()
            return set(told) if by_uid else {numbers[number] for number in told}

        def after(answer: Answer, done: Done) -> None:
            if silent and answer.status == "OK":
                device.assume(slots, op, wanted, set(done.modified))

        box = device.box
        return Plan(
            device,
            f"{'UID ' if by_uid else ''}STORE {text} {modifier}{op}FLAGS"
            f"{'.SILENT' if silent else ''} ({' '.join(sorted(wanted))})",
            lambda house: house.store(box, uids, op, wanted, unchanged_since),
            lambda answer, done: modified(answer) == done.modified,
            after,
            may_expunge=by_uid,
        )

    def change_if_unchanged(self, device: Device) -> Plan | None:
        known = [slot.modseq for slot in device.slots if slot.modseq is not None]
        if not known:
            return None
        since = self.random.choice([0, max(known), max(known), *known])
        return self.change_flags(device, since)

    def append(self, device: Device) -> Plan:
        box = self.random.choice(("INBOX", "INBOX", "Archive"))
        count = self.random.choice((1, 1, 1, 2, 3))
        flags = self.some_flags() - {"\\Deleted"}
        contents = list(range(self.made + 1, self.made + 1 + count))
        self.made += count
        shown = f" ({' '.join(sorted(flags))}) {{}}"
        return Plan(
            device,
            f"APPEND {box}" + shown * count,
            lambda house: house.append(box, flags, contents),
            lambda answer, done: (
                answer.codes.get("APPENDUID", "").split()[:1]
                == [str(self.house.boxes[box].uidvalidity)]
                and expand(answer.codes["APPENDUID"].split()[1]) == {u for _, u in done.pairs}
            ),
            literals=[b"Subject: %d\r\n\r\nbody of %d\r\n" % (n, n) for n in contents],
        )

    def duplicate(self, device: Device, *, move: bool = False) -> Plan | None:
        chosen = self.choose(device)
        if chosen is None or device.box is None or (move and device.read_only):
            return None
        slots, text, by_uid = chosen
        box, target = device.box, self.random.choice(BOXES)
        uids = [slot.uid for slot in slots if slot.uid is not None]

        def right(answer: Answer, done: Done) -> bool:
            if not done.pairs:
                return answer.status == "NO"
            code = answer.codes.get("COPYUID", "").split()
            if answer.status != "OK" or len(code) != 3:
                return False
            validity, sources, targets = code
            return int(validity) == self.house.boxes[target].uidvalidity and list(
                zip(sorted(expand(sources)), sorted(expand(targets)), strict=True)
            ) == list(done.pairs)

        return Plan(
            device,
            f"{'UID ' if by_uid else ''}{'MOVE' if move else 'COPY'} {text} {target}",
            lambda house: house.copy(box, uids, target, move=move),
            right,
        )

    def move(self, device: Device) -> Plan | None:
        return self.duplicate(device, move=True)

    def expunge(self, device: Device) -> Plan | None:
        if device.read_only or device.box is None:
            return None
        box = device.box

        def right(answer: Answer, done: Done) -> bool:
            # RFC 7162 3.2.7
            told = "HIGHESTMODSEQ" in answer.codes
            return answer.status == "OK" and (device.kind != "qresync" or told or not done.gone)

        chosen = self.choose(device)
        if chosen is None or self.random.random() < 0.5:
            return Plan(device, "EXPUNGE", lambda house: house.expunge(box), right)
        uids = [slot.uid for slot in chosen[0] if slot.uid is not None]
        text = ",".join(map(str, uids))
        return Plan(device, f"UID EXPUNGE {text}", lambda house: house.expunge(box, uids), right)

    def mark_and_expunge(self, device: Device) -> Plan | None:
        return self.change_flags(device, names=frozenset(("\\Deleted",)))

    def ask(self, device: Device) -> Plan:
        # RFC 9051 has no CHECK.
        return Plan(device, "NOOP" if device.rev2 else self.random.choice(("NOOP", "CHECK")))

    def enter_idle(self, device: Device) -> Plan:
        return Plan(device, "IDLE", run=device.idle, right=lambda answer, done: True)

    def leave_idle(self, device: Device) -> Plan:
        if self.random.random() < 0.1:
            return self.drop(device)
        return Plan(device, "DONE", run=device.done)

    def drop(self, device: Device) -> Plan:
        """The connection is gone, between two commands."""

        async def run() -> None:
            raise Cut

        return Plan(device, "(hangs up)", run=run)

    def select(self, device: Device) -> Plan:
        box = self.random.choice(("INBOX", "INBOX", "INBOX", "Archive"))
        examine = self.random.random() < 0.1
        with_match = self.random.random() < 0.3
        return Plan(
            device,
            f"SELECT {box}",
            run=lambda: device.select(box, examine=examine, with_match=with_match),
            may_expunge=False,
        )

    def close(self, device: Device) -> Plan | None:
        box = device.box
        if box is None:
            return None
        name = self.random.choice(("CLOSE", "UNSELECT"))
        expunges = name == "CLOSE" and not device.read_only
        return Plan(
            device,
            name,
            (lambda house: house.expunge(box)) if expunges else None,
            # RFC 7162 3.2.8
            lambda answer, done: answer.status == "OK" and "HIGHESTMODSEQ" not in answer.codes,
            run=lambda: device.close(name),
        )

    def fetch(self, device: Device) -> Plan | None:
        if not device.slots:
            return None
        uid = self.random.random() < 0.5
        items, modifier = "UID FLAGS", ""
        if device.modseqs:
            items = "UID FLAGS MODSEQ"
            if self.random.random() < 0.5:
                modifier = f" (CHANGEDSINCE {max(device.highest - self.random.randint(0, 9), 1)}"
                both = uid and device.kind == "qresync" and self.random.random() < 0.7
                modifier += " VANISHED)" if both else ")"
        return Plan(
            device,
            f"{'UID ' if uid else ''}FETCH 1:* ({items}){modifier}",
            may_expunge=uid,
            right=lambda answer, done: True,
        )

    def read(self, device: Device, *, alone: bool) -> Plan | None:
        """BODY[] sets \\Seen, and has the octets of that message."""
        known = [slot.uid for slot in device.slots if slot.uid is not None]
        if not known or device.box is None:
            return None
        uid, box = self.random.choice(known), device.box
        content = self.identity[box, uid]
        items = "FLAGS MODSEQ BODY[TEXT]" if device.modseqs else "FLAGS BODY[TEXT]"

        def right(answer: Answer, done: Done) -> bool:
            octets = answer.literals.get(uid)
            # Between \\Seen and the octets another device may expunge it.
            gone = octets is None and (not alone or uid not in self.house.boxes[box].entries)
            return answer.status == "OK" and (gone or octets == b"body of %d\r\n" % content)

        return Plan(
            device,
            f"UID FETCH {uid} ({items})",
            None if device.read_only else lambda house: house.store(box, [uid], "+", ["\\Seen"]),
            right,
        )

    def search(self, device: Device) -> Plan | None:
        """What matches, in the numbers of the device."""
        if device.box is None:
            return None
        entries = self.house.boxes[device.box].entries
        uid = self.random.random() < 0.5
        flag = self.random.choice(FLAGS)
        key = f"KEYWORD {flag}" if flag.startswith("$") else flag[1:].upper()
        least = 0
        if device.modseqs and self.random.random() < 0.5:
            least = self.random.choice([entry.modseq for entry in entries.values()] or [1])
            key += f" MODSEQ {least}"
        numbers = {at: slot.uid for at, slot in enumerate(device.slots, 1)}

        # Of what others did since it was told all, the device finds this or that.
        sure = {
            slot.uid
            for slot in device.slots
            if slot.uid in entries and entries[slot.uid].modseq <= device.told
        }
        wanted = {
            uid for uid, entry in entries.items() if flag in entry.flags and entry.modseq >= least
        }

        def right(answer: Answer, done: Done) -> bool:
            found = set(answer.found or ())
            uids = found if uid else {numbers[number] for number in found}
            told = int(answer.codes.get("SEARCH", "0"))
            # RFC 7162 3.1.5
            highest = max(
                (entry.modseq for uid, entry in entries.items() if uid in uids), default=0
            )
            return (
                answer.status == "OK"
                and uids & sure == wanted & sure
                and bool(told) == bool("MODSEQ" in key and found)
                and (not told or not uids <= sure or told == highest)
            )

        return Plan(device, f"{'UID ' if uid else ''}SEARCH {key}", right=right, may_expunge=uid)

    def status(self, device: Device) -> Plan:
        name = self.random.choice(BOXES)
        box = self.house.boxes[name]
        wanted = {
            "MESSAGES": len(box.entries),
            "UIDNEXT": box.uidnext,
            "UIDVALIDITY": box.uidvalidity,
            "UNSEEN": sum("\\Seen" not in entry.flags for entry in box.entries.values()),
        }
        if device.modseqs:
            wanted["HIGHESTMODSEQ"] = box.highest
        return Plan(
            device,
            f"STATUS {name} ({' '.join(wanted)})",
            right=lambda answer, done: answer.status_items == wanted,
        )
