"""What is known of messages at another server: a file of lines, added to as facts come.

    {"mailbox": "INBOX", "validity": 7, "uid": 12, "sha256": "ab...", "sure": true}
    {"mailbox": "INBOX", "validity": 7, "base": 12}       what we bring has this UID or a higher one
    {"mailbox": "INBOX", "validity": 7, "base": null}     and all of it is there, each once

A UID of a mailbox never shows other bytes (RFC 3501 2.3.1.1), so a line stays true until
UIDVALIDITY changes. The journal saves looking at everything again; were it lost, everything would
be looked at again and nothing doubled. A line that a kill cut short is passed over.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Known:
    """A message there: the digest of ours that it is, and whether its bytes were looked at."""

    digest: bytes
    sure: bool


class Journal:
    """By (mailbox, UIDVALIDITY) and UID."""

    def __init__(self, path: Path | None) -> None:
        """Raises OSError. None keeps it in memory only."""
        self._known: dict[tuple[str, int], dict[int, Known]] = {}
        self._bases: dict[tuple[str, int], int | None] = {}
        self._file: BinaryIO | None = None
        if path is None:
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+b")
        self._file.seek(0)
        for line in self._file:
            self._learn(line)
        self._file.write(b"\n")  # ends a line that was cut short

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def known(self, mailbox: str, validity: int) -> dict[int, Known]:
        return self._known.setdefault((mailbox, validity), {})

    def add(self, mailbox: str, validity: int, uid: int, digest: bytes, *, sure: bool) -> None:
        self.known(mailbox, validity)[uid] = Known(digest, sure)
        self._write(mailbox, validity, uid=uid, sha256=digest.hex(), sure=sure)

    def base(self, mailbox: str, validity: int) -> int | None:
        """The first UID that something of ours can have there; None while nothing is under way."""
        return self._bases.get((mailbox, validity))

    def set_base(self, mailbox: str, validity: int, base: int | None) -> None:
        """Is on disk at once: what follows may be killed."""
        self._bases[mailbox, validity] = base
        self._write(mailbox, validity, base=base)
        self.flush()

    def _write(self, mailbox: str, validity: int, **said: object) -> None:
        if self._file is not None:
            line = {"mailbox": mailbox, "validity": validity, **said}
            self._file.write(json.dumps(line).encode() + b"\n")

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def _learn(self, line: bytes) -> None:
        try:
            said = json.loads(line)
            key = str(said["mailbox"]), int(said["validity"])
            if "base" in said:
                self._bases[key] = None if said["base"] is None else int(said["base"])
                return
            digest = bytes.fromhex(said["sha256"])
            self._known.setdefault(key, {})[int(said["uid"])] = Known(digest, bool(said["sure"]))
        except (ValueError, KeyError, TypeError):
            return
