"""Where the bytes of a message wait while they arrive: in memory, and on disk once they are many.

Rules: the file has no name from the start (nothing is left behind by a kill) and is for its owner
alone; the disk keeps a reserve. The digest is computed as bytes pass, so that the store needs no
second look at them.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, SupportsIndex, cast

from bridge import limits
from bridge.model import Octets

_ASK_EVERY = 4 * 1024 * 1024


def ensure_room(directory: Path) -> None:
    """Raises OSError (ENOSPC) where the disk has less than `limits.DISK_RESERVE` free: the
    database, its log and everybody else need some room to go on."""
    disk = os.statvfs(directory)
    if disk.f_bavail * disk.f_frsize < limits.DISK_RESERVE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))


_RESIDENT = 8 * 1024 * 1024  # octets of a file that are mapped in at once


class _Mapped:
    """A file as Octets, of which a few MiB at a time count as our memory: what was looked at is
    let go, and is read again where it is looked at again."""

    def __init__(self, file: BinaryIO) -> None:
        self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._touched = 0

    def __len__(self) -> int:
        return len(self._map)

    def __getitem__(self, index: slice, /) -> bytes:
        found = self._map[index]
        self._count(len(found))
        return found

    def find(
        self,
        sub: bytes,
        start: SupportsIndex | None = None,
        end: SupportsIndex | None = None,
        /,
    ) -> int:
        first, last, _ = slice(start, end).indices(len(self._map))
        while first + len(sub) <= last:
            upto = min(last, first + _RESIDENT + len(sub))
            hit = self._map.find(sub, first, upto)
            self._count((upto if hit < 0 else hit) - first)
            if hit >= 0:
                return hit
            first = max(first + 1, upto - len(sub) + 1)
        return -1

    def _count(self, octets: int) -> None:
        self._touched += octets
        if self._touched > _RESIDENT and hasattr(self._map, "madvise"):  # not on Windows
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

    def close(self) -> None:
        self._map.close()


class Spool:
    """A `model.Sink`: `write` any number of times, `finish` once, `close` in any case.

    `directory` holds the file of a message over `limits.SPOOL_IN_MEMORY`; make it one on the disk
    of the store, /tmp may be memory. `write` and `finish` raise OSError, e.g. when it is full.
    `in_memory` replaces that limit, for one of several messages that wait together.
    """

    def __init__(self, directory: Path, in_memory: int | None = None) -> None:
        self._directory = directory
        self._in_memory = in_memory
        self._memory: bytearray | None = bytearray()
        self._file: BinaryIO | None = None
        self._octets: bytes | _Mapped | None = None
        self._hash = hashlib.sha256()
        self._size = 0
        self._unasked = 0  # octets on disk since it was last asked for room

    def __len__(self) -> int:
        """Octets written so far."""
        return self._size

    @property
    def sha256(self) -> bytes:
        """Digest (32 octets) of all that was written so far."""
        return self._hash.digest()

    def write(self, data: bytes, /) -> None:
        if self._octets is not None or (self._memory is None and self._file is None):
            raise ValueError("the spool takes no more: it is finished or closed")
        most = limits.SPOOL_IN_MEMORY if self._in_memory is None else self._in_memory
        if self._memory is not None and self._size + len(data) > most:
            self._file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._directory))  # noqa: SIM115  lives until close()
            self._file.write(self._memory)
            self._memory = None
            self._unasked = _ASK_EVERY
        if self._memory is not None:
            self._memory += data
        elif self._file is not None:
            self._file.write(data)
            self._unasked += len(data)
            if self._unasked >= _ASK_EVERY:
                self._unasked = 0
                ensure_room(self._directory)
        self._hash.update(data)
        self._size += len(data)

    def finish(self) -> Octets:
        """The bytes, or a read-only map of the file; the same object when called again."""
        if self._octets is None:
            if self._memory is not None:  # always so when nothing was written: no empty map exists
                self._octets, self._memory = bytes(self._memory), None
            elif self._file is not None:
                self._file.flush()
                self._octets = _Mapped(self._file)
            else:
                raise ValueError("the spool is closed")
        # typeshed wants `int` where Octets.find takes any index; mmap itself takes both
        return cast(Octets, self._octets)

    def close(self) -> None:
        """Frees memory and disk; an Octets that `finish` gave from disk ends with it."""
        if isinstance(self._octets, _Mapped):
            self._octets.close()
        if self._file is not None:
            self._file.close()
        self._memory = self._file = self._octets = None
