"""Targets on a disk: what an export writes, mailbox by mailbox.

Rules:
- Bytes are exact. An mbox has its quoting and our status lines, which reading undoes.
- The name of a file follows from its message, so that a run that was killed is gone on with, and a
  second run writes what is new alone.
- What a former export wrote and is gone here since stays: nobody's files are deleted.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from bridge.model import Octets
from bridge.transfer import maildir, mbox
from bridge.transfer.door import Folder, Kept
from bridge.transfer.files import NewFile, names, new_file, sync_folder
from bridge.transfer.forms import STEP
from bridge.transfer.marks import Marks, file_name

TargetFormat = Literal["mbox", "maildir", "eml"]
_FIRST, _LAST = -62135596800, 253402300799  # seconds of the years 1 to 9999


class Target(Protocol):
    """One mailbox of an export, in a format."""

    folder: str  # how it is called there, for the manifest

    def missing(self, entries: Sequence[Kept]) -> Sequence[Kept]:
        """Which of the entries of the mailbox (all of them, by UID) are to be written."""
        ...

    def write(self, entry: Kept, octets: Octets) -> None: ...
    def finish(self) -> None:
        """All is on disk under its name."""
        ...

    def abandon(self) -> None:
        """Leaves nothing half-written."""
        ...


class EmlTarget:
    """A file a message, in a folder a mailbox."""

    def __init__(self, root: Path, mailbox: str) -> None:
        self.folder = "/".join(file_name(level) for level in mailbox.split("/"))
        self._path = root / self.folder
        self._names: dict[int, str] = {}

    def missing(self, entries: Sequence[Kept]) -> Sequence[Kept]:
        _make(self._path)
        there = set(names(self._path)[0])
        self._names = _numbered(entries, self._name)
        return [entry for entry in entries if self._names[entry.uid] not in there]

    def _name(self, entry: Kept, number: str) -> str:
        instant = datetime.fromtimestamp(min(max(entry.marks.date or 0, _FIRST), _LAST), UTC)
        return f"{instant:%Y%m%dT%H%M%SZ}-{entry.digest[:8].hex()}{number}.eml"

    def write(self, entry: Kept, octets: Octets) -> None:
        with new_file(self._path / self._names[entry.uid], date=entry.marks.date) as file:
            _copy(octets, file)

    def finish(self) -> None:
        sync_folder(self._path)

    def abandon(self) -> None: ...


class MaildirTarget:
    """A Maildir, or a folder of Maildir++; flags in names, keywords in dovecot-keywords."""

    def __init__(self, root: Path, mailbox: str) -> None:
        self.folder = maildir.folder(mailbox)
        if not maildir.fits(mailbox):
            self.folder = f".popbridge-{hashlib.sha256(mailbox.encode()).hexdigest()[:16]}"
        self._path = root / self.folder
        self._names: dict[int, str] = {}

    def missing(self, entries: Sequence[Kept]) -> Sequence[Kept]:
        for part in ("cur", "new", "tmp"):
            _make(self._path / part)
        if self.folder:
            (self._path / "maildirfolder").touch(mode=0o600)
        letters = self._keywords(entries)
        self._names = _numbered(
            entries,
            lambda entry, number: (
                f"{entry.marks.date or 0}.{entry.digest[:16].hex()}{number}.popbridge,"
                f"S={entry.size}{maildir.info(entry.marks, letters)}"
            ),
        )
        there = {maildir.base(name): name for name in names(self._path / "cur")[0]}
        missing = []
        for entry in entries:
            wanted = self._names[entry.uid]
            found = there.get(maildir.base(wanted))
            if found is None:
                missing.append(entry)
            elif found != wanted:  # its flags are others now
                (self._path / "cur" / found).rename(self._path / "cur" / wanted)
        return missing

    def _keywords(self, entries: Iterable[Kept]) -> Mapping[str, str]:
        """Letters by keyword; those that a file there has already keep theirs."""
        path = self._path / maildir.KEYWORDS_FILE
        had: list[str] = []
        with suppress(OSError):
            had = list(maildir.keyword_letters(path.read_bytes()).values())
        used = Counter(word for entry in entries for word in entry.marks.keywords)
        folded = {word.lower() for word in had}
        more = [word for word, _ in used.most_common() if word.lower() not in folded]
        file, letters = maildir.keyword_file([*had, *more])
        if file:
            with new_file(path) as waiting:
                waiting.write(file)
        return letters

    def write(self, entry: Kept, octets: Octets) -> None:
        name = self._names[entry.uid]
        waiting = self._path / "tmp" / maildir.base(name)
        with new_file(self._path / "cur" / name, date=entry.marks.date, waiting=waiting) as file:
            _copy(octets, file)

    def finish(self) -> None:
        sync_folder(self._path / "cur")

    def abandon(self) -> None: ...


class MboxTarget:
    """An mboxrd file; written anew when anything in it is not as it should be."""

    def __init__(self, root: Path, mailbox: str, written: Collection[tuple[bytes, Marks]]) -> None:
        """`written`: what the file of a former run holds, as far as it can be read."""
        self.folder = "/".join(file_name(level) for level in mailbox.split("/")) + ".mbox"
        self._path = root / self.folder
        self._written = written
        self._file: NewFile | None = None

    def missing(self, entries: Sequence[Kept]) -> Sequence[Kept]:
        _make(self._path.parent)
        wanted = Counter((entry.digest, entry.marks) for entry in entries)
        if self._path.exists() and Counter(self._written) == wanted:
            return []
        self._file = NewFile(self._path)
        return entries

    def write(self, entry: Kept, octets: Octets) -> None:
        assert self._file is not None
        self._file.write(mbox.head(entry.marks))
        for piece in mbox.quoted(octets):
            self._file.write(piece)

    def finish(self) -> None:
        if self._file is not None:
            self._file.commit()
            sync_folder(self._path.parent)

    def abandon(self) -> None:
        if self._file is not None:
            self._file.abandon()


def _numbered(entries: Iterable[Kept], name: _Naming) -> dict[int, str]:
    """A name for each entry; those of the same bytes and date are told apart by a number."""
    times: Counter[tuple[bytes, int | None]] = Counter()
    found = {}
    for entry in entries:
        key = entry.digest, entry.marks.date
        times[key] += 1
        found[entry.uid] = name(entry, f"-{times[key]}" if times[key] > 1 else "")
    return found


class _Naming(Protocol):
    def __call__(self, entry: Kept, number: str, /) -> str: ...


def _copy(octets: Octets, file: NewFile) -> None:
    for at in range(0, len(octets), STEP):
        file.write(octets[at : at + STEP])


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def subscriptions(folders: Iterable[Folder]) -> bytes:
    """The file `subscriptions` of a Maildir++: a folder a line, without its first dot."""
    lines = sorted(
        maildir.folder(each.name).lstrip(".") or "INBOX" for each in folders if each.subscribed
    )
    return "".join(f"{line}\n" for line in lines).encode()
