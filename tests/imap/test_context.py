"""Search contexts (RFC 5267) against the searches themselves: a client that only applies ADDTO,
REMOVEFROM and EXPUNGE holds at every moment what a new search would find."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from bridge.imap import changelog
from bridge.imap.commands import context
from tests.support.endpoint import PASSWORD, Core
from tests.support.imap_client import Talk

SEARCHES = {
    "flags": "OR FLAGGED (UNSEEN NOT DELETED)",
    "keyword": "UNKEYWORD $Work",
    "text": "OR SUBJECT odd FLAGGED",
    "last": "UID *",
    "first": "NOT UID 1:5",
}


class Message:
    """What the client counts; its UID comes later."""

    uid = 0


class Device:
    """A client with one context for each search, half of them by UID."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.messages: list[Message] = []
        self.held: dict[str, set[Message | int]] = {}
        self.updates = 0

    async def begin(self) -> None:
        await self.do(f'l LOGIN alice "{PASSWORD}"')
        await self.do("s SELECT INBOX")
        for number, (tag, search) in enumerate(SEARCHES.items()):
            self.held[tag] = set()
            uid = "UID " if number % 2 else ""
            await self.do(f"{tag} {uid}SEARCH RETURN (UPDATE ALL) {search}")

    async def do(self, command: str) -> None:
        for heard in await self.talk.command(command):
            line = str(heard[0])
            if expunged := re.fullmatch(r"\* (\d+) EXPUNGE", line):
                gone = self.messages.pop(int(expunged[1]) - 1)
                assert not any({gone, gone.uid} & held for held in self.held.values()), line
            elif exists := re.fullmatch(r"\* (\d+) EXISTS", line):
                self.messages += [Message() for _ in range(int(exists[1]) - len(self.messages))]
            elif found := re.fullmatch(r'\* ESEARCH \(TAG "(\w+)"\)( UID)?(.*)', line):
                self.apply(found[1], found[2] is not None, found[3])

    def apply(self, tag: str, uid: bool, rest: str) -> None:
        for word, numbers in re.findall(r" (ALL|ADDTO|REMOVEFROM) (?:\(0 )?([\d:,]+)", rest):
            held = self.held[tag]
            for number in expand(numbers):
                one = number if uid else self.messages[number - 1]
                assert (one in held) == (word == "REMOVEFROM")
                held ^= {one}
            self.updates += word != "ALL"


def expand(numbers: str) -> list[int]:
    out: list[int] = []
    for part in numbers.split(","):
        low, _, high = part.partition(":")
        out += range(int(low), int(high or low) + 1)
    return out


@pytest.mark.parametrize(
    ("seed", "log", "turn"), [(1, 10_000, 500), (2, 10_000, 1), (3, 2, 500), (4, 2, 1)]
)
async def test_a_context_is_what_a_search_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, log: int, turn: int
) -> None:
    monkeypatch.setattr(changelog, "LENGTH", log)  # a short memory: the ways round it, too
    monkeypatch.setattr(context, "TURN", turn)  # many changes at once, and few
    choose = random.Random(seed)  # the same dialogue each time
    async with Core(tmp_path) as core:
        other = Device(await core.connect())
        await other.do(f'l LOGIN alice "{PASSWORD}"')
        for _ in range(8):
            await append(other, choose)
        device = Device(await core.connect())
        await device.begin()
        await other.do("s SELECT INBOX")
        for _ in range(120):
            await something(choose.choice((device, other)), choose)
            if choose.random() < 0.3:
                await device.do("n NOOP")
                await same(device)
        assert device.updates > 50
        for each in (device, other):
            each.talk.close()


async def something(device: Device, choose: random.Random) -> None:
    one = choose.choice(("1", "2", "1:3", "*", "2:4"))
    flag = choose.choice((r"\Seen", r"\Flagged", r"\Deleted", "$Work"))
    match choose.randrange(8):
        case 0 | 1:
            await append(device, choose)
        case 2:
            await device.do("e EXPUNGE")
        case 3:
            await device.do(f"c UID COPY {one} INBOX")
        case 4:
            await device.do(f"m MOVE {one} {choose.choice(('INBOX', 'Archive'))}")
        case _:
            silent = choose.choice(("", ".SILENT"))
            await device.do(f"t STORE {one} {choose.choice('+-')}FLAGS{silent} ({flag})")


async def append(device: Device, choose: random.Random) -> None:
    text = f"Subject: {choose.choice(('odd', 'even'))}\r\n\r\n{choose.random()}"
    await device.do(f"a APPEND INBOX {{{len(text)}+}}\r\n{text}")


async def same(device: Device) -> None:
    """Nobody else does anything meanwhile."""
    heard = await device.talk.command("u UID SEARCH RETURN (ALL) ALL")
    if found := re.search(r" ALL ([\d:,]+)", str(heard[0][0])):
        for message, uid in zip(device.messages, expand(found[1]), strict=True):
            assert message.uid in (0, uid)
            message.uid = uid
    for tag, search in SEARCHES.items():
        fresh: set[int] = set()
        for answer in await device.talk.command(f"f UID SEARCH RETURN (ALL) {search}"):
            if found := re.search(r" ALL ([\d:,]+)", str(answer[0])):
                fresh = set(expand(found[1]))
        held = {each if isinstance(each, int) else each.uid for each in device.held[tag]}
        assert held == fresh, search
