"""Measures the curves that are asked for, writes their pictures, and gives the tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from bench.curves import accounts, devices, sizes, svg
from bench.curves.curve import Curve, table

KINDS = ("sizes", "devices", "accounts")
_AXES = {
    "sizes": "messages in the mailbox",
    "devices": "devices in IDLE over TLS",
    "accounts": "accounts",
}
_TITLES = {
    "mailbox": "A mailbox of any size",
    "search": "Searches",
    "poll": "A poll with nothing new",
    "memory": "Memory, one device in the mailbox",
    "devices": "A push to idle devices",
    "device-memory": "Memory of an idle device",
    "accounts": "A round of polls",
    "account-memory": "Memory with many accounts",
}


def run(work: Path, kinds: Sequence[str], most: int, pictures: Path | None, *, peers: bool) -> str:
    """The tables as Markdown. `most` is the largest size; `pictures` is the folder for SVG files,
    `work` one for what is needed meanwhile."""
    text = []
    for kind in kinds:
        print(f"curves: {kind}", file=sys.stderr, flush=True)
        found = _measured(work, kind, most, peers)
        text.append(table(found, _AXES[kind]))
        if pictures is None:
            continue
        pictures.mkdir(parents=True, exist_ok=True)
        for file, drawn in groupby(sorted(found, key=lambda each: each.file), lambda c: c.file):
            octets = svg.picture(_TITLES[file], _AXES[kind], list(drawn))
            (pictures / f"{file}.svg").write_text(octets)
            text[-1] += f"\n\n![{_TITLES[file]}]({pictures.name}/{file}.svg)"
    return "\n\n".join(text)


def _measured(work: Path, kind: str, most: int, peers: bool) -> list[Curve]:
    def up_to(numbers: Sequence[int]) -> list[int]:
        return [number for number in numbers if number <= most]

    if kind == "sizes":
        return sizes.curves(work, up_to(sizes.SIZES), peers=peers)
    if kind == "devices":
        return devices.curves(work, up_to(devices.DEVICES), peers=peers)
    return accounts.curves(work, up_to(accounts.ACCOUNTS))
