"""Power cuts: what a disk may hold when everything stops between two writes.

`recorder.c` notes every write, truncation and sync of the database files and every octet that was
told to a peer, in one order. From that log:

    disk = Disk()
    for op in read_log(path):           # up to the instant of the power cut
        disk.take(op)
    disk.image(dropped)                 # -> {"popbridge.sqlite": b"...", ...}

Rules: what was synced is there; of what was not, a disk may have all, nothing, or any part in any
order, and of a write the first of its 512-octet sectors. That a file exists, or is gone, counts as
durable at once: SQLite syncs the directory itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal, cast

SECTOR = 512
_HEAD = struct.Struct("<BxHHHQQ")

Kind = Literal["W", "T", "S", "U", "N"]


@dataclass(frozen=True, slots=True)
class Op:
    """A record: W `octets` at `offset` of the file `name`, T its length is `offset` now, S it was
    synced, U it is gone, N `octets` went to the peer at `port`, over the socket `descriptor`."""

    kind: Kind
    name: str
    offset: int
    octets: bytes
    port: int = 0
    descriptor: int = 0


def read_log(path: Path) -> Iterator[Op]:
    """The records in their order. Raises ValueError where the log ends inside one."""
    log = memoryview(path.read_bytes())
    while log:
        if len(log) < _HEAD.size:
            raise ValueError("the log ends inside a record")
        kind, name, port, descriptor, offset, length = _HEAD.unpack_from(log)
        end = _HEAD.size + name + length
        if len(log) < end:
            raise ValueError("the log ends inside a record")
        yield Op(
            cast(Kind, chr(kind)),
            bytes(log[_HEAD.size : _HEAD.size + name]).decode(),
            offset,
            bytes(log[_HEAD.size + name : end]),
            port,
            descriptor,
        )
        log = log[end:]


Choice = Callable[[Op], Op | None]
"""What a disk made of an operation that was not synced: it, a part of it, or nothing."""


def dropped(op: Op) -> Op | None:
    return None


def reordered(random: Random) -> Choice:
    """Any of them, so that a later one may be there without an earlier one."""
    return lambda op: op if random.random() < 0.5 else None


def torn(random: Random) -> Choice:
    """Some, and of some only the first sectors."""

    def choose(op: Op) -> Op | None:
        sectors = random.randint(0, (len(op.octets) + SECTOR - 1) // SECTOR)
        if op.kind == "W":
            kept = op.octets[: sectors * SECTOR]
            return Op("W", op.name, op.offset, kept) if kept else None
        return op if random.random() < 0.5 else None

    return choose


@dataclass(slots=True)
class Disk:
    """The files as they surely are, and what was written since. `version` counts the syncs that
    made something durable."""

    durable: dict[str, bytearray] = field(default_factory=dict)
    pending: list[Op] = field(default_factory=list)
    version: int = 0

    def take(self, op: Op) -> None:
        if op.kind in "WT":
            self.durable.setdefault(op.name, bytearray())
            self.pending.append(op)
        elif op.kind == "U":
            self.durable.pop(op.name, None)
            self.pending = [each for each in self.pending if each.name != op.name]
        elif op.kind == "S":
            mine = [each for each in self.pending if each.name == op.name]
            if mine:
                self.version += 1
                self.pending = [each for each in self.pending if each.name != op.name]
            for each in mine:
                _apply(self.durable[op.name], each)

    def image(self, choose: Choice) -> Mapping[str, bytes]:
        """The files after a power cut now."""
        files = {name: bytearray(octets) for name, octets in self.durable.items()}
        for op in self.pending:
            chosen = choose(op)
            if chosen is not None:
                _apply(files[op.name], chosen)
        return {name: bytes(octets) for name, octets in files.items()}


def _apply(octets: bytearray, op: Op) -> None:
    if op.kind == "T":
        del octets[op.offset :]
        octets.extend(bytes(op.offset - len(octets)))
        return
    if len(octets) < op.offset:
        octets.extend(bytes(op.offset - len(octets)))
    octets[op.offset : op.offset + len(op.octets)] = op.octets
