"""What lies on a disk, opened safely: a file as `Octets`, a folder's entries in order.

Rules:
- A link is not followed, except the one that a person named. What is neither file nor folder (a
  fifo would hold us for ever) is not opened.
- A file is read in pieces and never mapped: one that is cut meanwhile must not kill us.
- A new file is whole or not there: written under another name, on disk before it has its own.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, SupportsIndex

_WINDOW = 256 * 1024  # octets that are read at once to look for something


class NotAFile(OSError):
    """A link, a fifo, a device: nothing that we open."""


class FileOctets:
    """`model.Octets` of an open file, of the size that it had when it was opened."""

    def __init__(self, path: Path | str, *, follow: bool = False) -> None:
        """Raises OSError, NotAFile."""
        no_link = 0 if follow else os.O_NOFOLLOW
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | no_link)
        except OSError as error:
            if os.path.islink(path):
                raise NotAFile(error.errno, "is a link", str(path)) from None
            raise
        found = os.fstat(self._file)
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise NotAFile(0, "is no file", str(path))
        self._size = found.st_size
        self.modified = int(found.st_mtime)
        self._at = 0
        self._window = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: slice, /) -> bytes:
        start, end, _ = index.indices(self._size)
        if self._at <= start and end <= self._at + len(self._window):
            return self._window[start - self._at : end - self._at]
        if end - start > _WINDOW:
            return self._read(start, end)
        self._at = start
        self._window = self._read(start, min(self._size, start + _WINDOW))
        return self._window[: max(0, end - start)]

    def find(
        self, sub: bytes, start: SupportsIndex | None = None, end: SupportsIndex | None = None, /
    ) -> int:
        low, high, _ = slice(start, end).indices(self._size)
        while low < high:
            piece = self[low : min(high, low + _WINDOW)]
            found = piece.find(sub)
            if found >= 0:
                return low + found
            if len(piece) <= len(sub) or low + len(piece) >= high:
                return -1
            low += len(piece) - len(sub) + 1
        return -1

    def _read(self, start: int, end: int) -> bytes:
        parts = []
        while start < end:
            piece = os.pread(self._file, end - start, start)
            if not piece:
                raise OSError("the file became shorter while it was read")
            parts.append(piece)
            start += len(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def names(folder: Path) -> tuple[list[str], list[str], int]:
    """(files, folders, how many are neither) of a folder, sorted. Raises OSError."""
    files: list[str] = []
    folders: list[str] = []
    others = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                files.append(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                others += 1
    return sorted(files), sorted(folders), others


class NewFile:
    """A file (0600) that gets its name by `commit`; until then it is called `waiting`."""

    def __init__(self, path: Path, waiting: Path | None = None) -> None:
        self._path = path
        self._waiting = waiting or path.with_name(path.name + ".part")
        self._waiting.unlink(missing_ok=True)  # of a killed run, or a link that somebody put there
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._waiting, how, 0o600)
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, octets: bytes) -> None:
        self._pieces.append(octets)
        self._size += len(octets)
        if self._size >= _WINDOW:
            self._flush()

    def _flush(self) -> None:
        view = memoryview(b"".join(self._pieces))
        self._pieces.clear()
        self._size = 0
        while view:
            view = view[os.write(self._descriptor, view) :]

    def commit(self, date: int | None = None) -> None:
        """`date` becomes its time of change. Raises OSError; then call `abandon`."""
        self._flush()
        if date is not None:
            os.utime(self._descriptor, (date, date))
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        self._waiting.rename(self._path)

    def abandon(self) -> None:
        """Leaves nothing; after `commit` it does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._waiting.unlink(missing_ok=True)


@contextlib.contextmanager
def new_file(
    path: Path, *, date: int | None = None, waiting: Path | None = None
) -> Iterator[NewFile]:
    """A `NewFile` that is committed when the block ends well, else abandoned."""
    file = NewFile(path, waiting)
    try:
        yield file
        file.commit(date)
    finally:
        file.abandon()


def sync_folder(folder: Path) -> None:
    """Names that were given in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
