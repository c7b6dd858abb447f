"""The file beside an export that says what its format cannot: popbridge-export.jsonl.

One JSON object a line. A line of a mailbox says how it is called here, and what it is for; a line
of a message has the SHA-256 of its exact octets, by which it is found again, however files were
renamed since, and its flags, keywords and date:

    {"mailbox": "Lists/python", "special_use": null, "subscribed": true, "folder": ".Lists.python"}
    {"mailbox": "INBOX", "sha256": "ab12...", "flags": 8, "keywords": ["work"], "date": 1700000000}

Pure. What is no such line is passed over: the file may have been touched by others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bridge.model import Flag
from bridge.transfer.marks import Marks, keywords, mailbox_name

NAME = "popbridge-export.jsonl"


@dataclass(slots=True)
class Manifest:
    """What the lines say, by mailbox."""

    folders: dict[str, str] = field(default_factory=dict)  # folder or file -> mailbox
    special: dict[str, str | None] = field(default_factory=dict)
    subscribed: set[str] = field(default_factory=set)
    messages: dict[str, dict[bytes, Marks]] = field(default_factory=dict)

    def add_line(self, line: bytes) -> None:
        try:
            said = json.loads(line)
            name = mailbox_name(str(said["mailbox"]).split("/"))
            if "sha256" not in said:
                special = said.get("special_use")
                self.folders[str(said["folder"])] = name
                self.special[name] = None if special is None else str(special)
                if said.get("subscribed") is True:
                    self.subscribed.add(name)
                self.messages.setdefault(name, {})
                return
            digest = bytes.fromhex(str(said["sha256"]))
            flags = int(said["flags"]) & int(Flag(31))
            words = keywords(str(word) for word in said["keywords"])
            marks = Marks(flags, words, int(said["date"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        self.messages.setdefault(name, {})[digest] = marks


def parse(lines: Iterable[bytes]) -> Manifest:
    found = Manifest()
    for line in lines:
        found.add_line(line)
    return found


def folder_line(mailbox: str, special_use: str | None, subscribed: bool, folder: str) -> bytes:
    value = {
        "mailbox": mailbox,
        "special_use": special_use,
        "subscribed": subscribed,
        "folder": folder,
    }
    return json.dumps(value).encode() + b"\n"


def message_lines(mailbox: str, messages: Iterable[tuple[bytes, Marks]]) -> Iterator[bytes]:
    for digest, marks in messages:
        value = {
            "mailbox": mailbox,
            "sha256": digest.hex(),
            "flags": marks.flags,
            "keywords": list(marks.keywords),
            "date": marks.date,
        }
        yield json.dumps(value).encode() + b"\n"
