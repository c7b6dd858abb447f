"""Sources on a disk: what an import reads, message by message.

A source yields `Found` (a message, still in its file) and `Left` (what is no message, and why), in
the order of the files. Nothing is held but the file that is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bridge.model import Octets
from bridge.transfer import forms, maildir, mbox, thunderbird
from bridge.transfer import manifest as manifests
from bridge.transfer.files import FileOctets, NotAFile, names
from bridge.transfer.forms import Span
from bridge.transfer.manifest import Manifest
from bridge.transfer.marks import Marks, level_of, mailbox_name

Format = Literal["mbox", "maildir", "eml", "thunderbird"]
_HEADER = 1024 * 1024
_MANIFEST_LINE = 1024 * 1024
_ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"Rar!")


class BadSource(Exception):
    """There is nothing to read here; the text says why, and what to name instead."""


@dataclass(slots=True)
class Found:
    """A message in its file. `likely` are readings of `octets`, see `forms.chosen`; `ended` is
    False where the file breaks off inside it; `at` counts the octets of the source up to here."""

    where: str
    mailbox: str
    octets: Octets
    likely: Sequence[Sequence[Span]]
    marks: Marks
    ended: bool = True
    at: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """What was not read. `failed`: it may have been a message, and could not be had."""

    where: str
    why: str
    failed: bool = False
    count: int = 1


Item = Found | Left


@dataclass(slots=True)
class Source:
    """What to import. `mailbox` is where it goes; None keeps the names of the source."""

    path: Path
    format: Format
    mailbox: str | None = None
    variant: mbox.Variant = "auto"
    manifest: Manifest = field(default_factory=Manifest)

    def __post_init__(self) -> None:
        """Raises BadSource."""
        if not self.path.exists():
            raise BadSource(f"{self.path} is not there")
        if self.path.is_dir():
            self.manifest = _manifest(self.path)
        elif self.format in ("maildir", "thunderbird"):
            raise BadSource(f"{self.path} is no folder; name the folder of the {self.format}")
        else:
            _refuse_archive(self.path)

    def items(self) -> Iterator[Item]:
        match self.format:
            case "mbox":
                yield from self._mboxes()
            case "eml":
                yield from self._emls()
            case "maildir":
                yield from self._maildirs()
            case "thunderbird":
                yield from self._profile()

    def octets(self) -> int:
        """The sum of the sizes of all files, for a progress bar."""
        if not self.path.is_dir():
            return self.path.stat().st_size
        total = 0
        waiting = [self.path]
        while waiting:
            folder = waiting.pop()
            try:
                files, folders, _ = names(folder)
                total += sum((folder / name).lstat().st_size for name in files)
            except OSError:
                continue
            waiting += [folder / name for name in folders]
        return total

    def named(self, mailbox: str) -> str:
        """Where mail of this mailbox of the source goes."""
        if self.mailbox is None:
            return mailbox
        return self.mailbox if mailbox == "INBOX" else f"{self.mailbox}/{mailbox}"

    # --- mbox ---------------------------------------------------------------------------

    def _mboxes(self) -> Iterator[Item]:
        if not self.path.is_dir():
            yield from self._mbox(self.path, "INBOX", mbox_marks, follow=True)
            return
        yield from self._mbox_tree(self.path, ())

    def _mbox_tree(self, folder: Path, levels: tuple[str, ...]) -> Iterator[Item]:
        files, folders, left = _listed(folder)
        yield from left
        for name in files:
            path = folder / name
            if name == manifests.NAME or name.endswith(".part"):
                continue
            try:
                with FileOctets(path) as file:
                    is_mbox = not len(file) or file[0:5] == b"From "
            except OSError as error:
                yield _left(path, error)
                continue
            if not is_mbox:
                yield Left(str(path), "no mbox")
                continue
            stem = level_of(name.removesuffix(".mbox"))
            yield from self._mbox(path, self._mailbox(path, mailbox_name([*levels, stem])))
        for name in folders:
            yield from self._mbox_tree(folder / name, (*levels, level_of(name)))

    def _mailbox(self, path: Path, otherwise: str) -> str:
        """The mailbox of a file or folder: as the manifest says, or by its name."""
        return self.manifest.folders.get(str(path.relative_to(self.path)), otherwise)

    def _mbox(
        self,
        path: Path,
        mailbox: str,
        marks: Callable[[bytes, int | None], Marks | None] | None = None,
        *,
        follow: bool = False,
        leading: Sequence[bytes] = (),
        drop: Sequence[bytes] = mbox.THEIRS,
        variant: mbox.Variant | None = None,
    ) -> Iterator[Item]:
        if self.manifest.folders:  # our own; a Content-Length in it is a message's own
            variant = "rd"
        try:
            with FileOctets(path, follow=follow) as file:
                if len(file) and mbox.is_foreign(file):
                    yield Left(str(path), "no mbox: it does not begin with a line `From `", True)
                    return
                for entry in mbox.entries(file, variant or self.variant):
                    where = f"{path}:{entry.at}"
                    stop = forms.header_end(file, entry.start, entry.end, _HEADER)
                    said = (marks or mbox_marks)(file[entry.start : stop], entry.date)
                    if said is None:
                        yield Left(where, "deleted, and not compacted yet")
                        continue
                    readings = mbox.likely(file, entry, drop, leading)
                    yield Found(where, mailbox, file, readings, said, entry.ended, entry.end)
        except OSError as error:
            yield _left(path, error)

    # --- a file a message ---------------------------------------------------------------

    def _emls(self) -> Iterator[Item]:
        if not self.path.is_dir():
            yield from self._eml(self.path, "INBOX", Marks(), follow=True)
            return
        yield from self._eml_tree(self.path, ())

    def _eml_tree(self, folder: Path, levels: tuple[str, ...]) -> Iterator[Item]:
        files, folders, left = _listed(folder)
        yield from left
        mailbox = self._mailbox(folder, mailbox_name(levels))
        for name in files:
            if name.lower().endswith(".eml"):
                yield from self._eml(folder / name, mailbox, Marks())
            elif name != manifests.NAME and not name.endswith(".part"):
                yield Left(str(folder / name), "its name does not end with .eml")
        for name in folders:
            yield from self._eml_tree(folder / name, (*levels, level_of(name)))

    def _eml(
        self,
        path: Path,
        mailbox: str,
        marks: Marks,
        *,
        follow: bool = False,
        dated: bool = False,
        mozilla: bool = False,
    ) -> Iterator[Item]:
        try:
            with FileOctets(path, follow=follow) as file:
                if not len(file):
                    yield Left(str(path), "empty")
                    return
                readings: list[tuple[Span, ...]] = [((0, len(file)),)]
                said: Marks | None = marks
                if mozilla:
                    entry = mbox.Entry(0, 0, len(file), None, quoted=False)
                    readings = mbox.likely(file, entry, thunderbird.DROPPED, thunderbird.LEADING)
                    stop = forms.header_end(file, 0, len(file), _HEADER)
                    said = thunderbird.marks(file[0:stop], None)
                if said is None:
                    yield Left(str(path), "deleted, and not compacted yet")
                    return
                if dated:
                    said = Marks(said.flags, said.keywords, file.modified)
                yield Found(str(path), mailbox, file, readings, said, at=len(file))
        except OSError as error:
            yield _left(path, error)

    # --- Maildir ------------------------------------------------------------------------

    def _maildirs(self) -> Iterator[Item]:
        yield from self._maildir_tree(self.path, "INBOX", ())

    def _maildir_tree(self, folder: Path, mailbox: str, levels: tuple[str, ...]) -> Iterator[Item]:
        try:
            _, folders, _ = names(folder)
        except OSError as error:
            yield _left(folder, error)
            return
        if "cur" in folders:
            yield from self._maildir(folder, mailbox)
        for name in folders:
            path = folder / name
            if name in ("cur", "new", "tmp"):
                continue
            if name.startswith("."):  # Maildir++
                found = maildir.mailbox(name)
                yield from self._maildir_tree(path, self._mailbox(path, found), levels)
            else:  # the layout "fs" of Dovecot
                found = mailbox_name((*levels, name))
                yield from self._maildir_tree(path, self._mailbox(path, found), (*levels, name))

    def _maildir(self, folder: Path, mailbox: str) -> Iterator[Item]:
        letters: dict[str, str] = {}
        try:
            with FileOctets(folder / maildir.KEYWORDS_FILE) as file:
                letters = maildir.keyword_letters(file[0 : 64 * 1024])
        except OSError:
            pass  # most have none
        for part in ("cur", "new"):
            try:
                files, folders, others = names(folder / part)
            except OSError as error:
                if part == "cur" or not isinstance(error, FileNotFoundError):
                    yield _left(folder / part, error)
                continue
            if others or folders:
                count = others + len(folders)
                yield Left(str(folder / part), "links and others that are no files", count=count)
            for name in files:
                marks = maildir.marks(name, letters, None)
                if name.startswith("."):
                    yield Left(str(folder / part / name), "hidden")
                    continue
                yield from self._eml(folder / part / name, mailbox, marks, dated=True)

    # --- Thunderbird --------------------------------------------------------------------

    def _profile(self) -> Iterator[Item]:
        accounts = [
            each
            for top in ("Mail", "ImapMail")
            if (self.path / top).is_dir()
            for each in _folders(self.path / top)
        ]
        if not accounts and self.path.name in ("Mail", "ImapMail"):
            accounts = _folders(self.path)
        for account in accounts or [self.path]:
            yield from self._thunderbird(account, ())

    def _thunderbird(self, folder: Path, above: tuple[str, ...]) -> Iterator[Item]:
        files, folders, left = _listed(folder)
        yield from left
        for name in files:
            path = folder / name
            if not thunderbird.is_folder(name):
                continue
            try:
                with FileOctets(path) as file:
                    if file[0:5] != b"From ":
                        continue  # an empty folder, or none
            except OSError as error:
                yield _left(path, error)
                continue
            yield from self._mbox(
                path,
                thunderbird.mailbox(above, name),
                thunderbird.marks,
                drop=thunderbird.DROPPED,
                leading=thunderbird.LEADING,
                variant="rd",
            )
        for name in folders:
            path = folder / name
            if name.endswith(".sbd"):
                yield from self._thunderbird(path, (*above, name))
            elif (path / "cur").is_dir():  # the profile keeps a file a message
                for part in _folders(path):
                    if part.name not in ("cur", "new"):
                        continue
                    for each in names(part)[0]:
                        found = thunderbird.mailbox(above, name)
                        yield from self._eml(part / each, found, Marks(), dated=True, mozilla=True)


def mbox_marks(block: bytes, date: int | None) -> Marks | None:
    return mbox.marks(block, date)


def _folders(folder: Path) -> list[Path]:
    return [folder / name for name in names(folder)[1]]


def _listed(folder: Path) -> tuple[Sequence[str], Sequence[str], Sequence[Left]]:
    """The names of files and of folders, and what is left out: links and the like, or all of it
    where the folder cannot be read."""
    try:
        files, folders, others = names(folder)
    except OSError as error:
        return (), (), [_left(folder, error)]
    links = Left(str(folder), "links and others that are no files", count=others)
    return files, folders, [links] if others else []


def _left(path: Path, error: OSError) -> Left:
    failed = not isinstance(error, NotAFile)
    return Left(str(path), error.strerror or str(error), failed)


def _manifest(folder: Path) -> Manifest:
    """The manifest of an export that lies here; an empty one where none is."""
    found = Manifest()
    try:
        with FileOctets(folder / manifests.NAME) as file:
            at = 0
            while at < len(file):
                end = file.find(b"\n", at)
                end = len(file) if end < 0 else end
                if end - at <= _MANIFEST_LINE:
                    found.add_line(file[at:end])
                at = end + 1
    except OSError:
        pass  # without one, files say what they can
    return found


def _refuse_archive(path: Path) -> None:
    with FileOctets(path, follow=True) as file:
        start = file[0:512]
    if start.startswith(_ARCHIVES) or start[257:262] == b"ustar":
        raise BadSource(f"{path} is an archive; unpack it and name what was in it")
