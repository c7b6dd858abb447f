"""The spool: what goes in comes out, from memory or from disk, and nothing stays behind."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge import limits
from bridge import spool as spool_module
from bridge.model import Octets, Sink
from bridge.spool import Spool, ensure_room


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 5_000])
def test_out_comes_what_went_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(limits, "SPOOL_IN_MEMORY", 100)
    before = open_files()
    content = os.urandom(size)
    spool: Sink = Spool(tmp_path)
    for start in range(0, size, 7):
        spool.write(content[start : start + 7])
    octets: Octets = spool.finish()
    assert len(octets) == size
    assert octets[:] == content
    assert octets[3:50] == content[3:50]
    assert octets.find(content[-5:], 0) == content.find(content[-5:])
    assert isinstance(octets, bytes) == (size <= 100)
    assert spool.finish() is octets
    assert os.listdir(tmp_path) == []  # the file has no name
    spool.close()
    spool.close()
    assert open_files() == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=60)))
def test_pieces_join_and_their_digest_is_that_of_the_whole(
    tmp_path: Path, pieces: list[bytes]
) -> None:
    """For all pieces: octets == b"".join(pieces), sha256 is its digest, len its length."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "SPOOL_IN_MEMORY", 64)
        spool = Spool(tmp_path)
        for piece in pieces:
            spool.write(piece)
        whole = b"".join(pieces)
        assert spool.finish()[:] == whole
        assert spool.sha256 == hashlib.sha256(whole).digest()
        assert len(spool) == len(whole)
        spool.close()


def test_no_more_after_the_end(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write(b"a")
    spool.finish()
    with pytest.raises(ValueError, match="finished"):
        spool.write(b"b")
    spool.close()
    with pytest.raises(ValueError, match="closed"):
        spool.write(b"c")
    with pytest.raises(ValueError, match="closed"):
        spool.finish()


def test_closed_unfinished_it_frees_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SPOOL_IN_MEMORY", 10)
    before = open_files()
    spool = Spool(tmp_path)
    spool.write(b"x" * 11)
    assert open_files() == before + 1
    spool.close()
    assert open_files() == before


def test_a_map_ends_with_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SPOOL_IN_MEMORY", 10)
    spool = Spool(tmp_path)
    spool.write(b"x" * 11)
    octets = spool.finish()
    spool.close()
    with pytest.raises(ValueError, match="closed"):
        octets[:]


def test_the_file_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SPOOL_IN_MEMORY", 10)
    before = os.umask(0)
    try:
        spool = Spool(tmp_path)
        spool.write(b"x" * 11)
        assert spool._file is not None
        status = os.fstat(spool._file.fileno())
        assert (status.st_mode & 0o777, status.st_nlink) == (0o600, 0)
        spool.close()
    finally:
        os.umask(before)


def test_a_directory_that_is_gone_is_an_oserror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SPOOL_IN_MEMORY", 10)
    spool = Spool(tmp_path / "gone")
    spool.write(b"x" * 10)
    with pytest.raises(OSError, match="No such file"):
        spool.write(b"y")
    assert len(spool) == 10
    spool.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(min_size=1, max_size=60).map(lambda octets: octets.replace(b"\x00", b"ab")),
    sub=st.sampled_from([b"a", b"ab", b"aba", b"bab", b"zz"]),
    start=st.integers(-70, 70),
    end=st.none() | st.integers(-70, 70),
)
def test_what_is_on_disk_is_found_as_in_memory(
    tmp_path: Path, content: bytes, sub: bytes, start: int, end: int | None
) -> None:
    """For all arguments: octets.find(...) == bytes.find(...), whatever the window."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "_RESIDENT", 4)
        spool = Spool(tmp_path, in_memory=0)
        spool.write(content)
        octets = spool.finish()
        found = octets.find(sub, start) if end is None else octets.find(sub, start, end)
        assert found == content.find(sub, start, end)
        assert octets[start:end] == content[start:end]
        spool.close()


def test_a_large_message_on_disk_is_not_all_in_memory_while_it_is_read(tmp_path: Path) -> None:
    def mapped() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("RssFile:")[2].split()[0]) * 1024

    before = mapped()
    spool = Spool(tmp_path)
    for _ in range(48):
        spool.write(bytes(1024 * 1024))
    octets = spool.finish()
    assert octets.find(b"x") == -1
    for start in range(0, len(octets), 256 * 1024):
        assert octets[start : start + 256 * 1024].count(0) == 256 * 1024
    assert mapped() - before < 16 * 1024 * 1024
    spool.close()


def test_the_disk_keeps_its_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = limits.DISK_RESERVE + 1

    def statvfs(path: object) -> os.statvfs_result:
        return os.statvfs_result((1, 1, 0, 0, free, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    ensure_room(tmp_path)
    spool = Spool(tmp_path)
    spool.write(b"x" * (limits.SPOOL_IN_MEMORY + 1))
    free = limits.DISK_RESERVE - 1
    spool.write(b"small")  # the disk is asked now and then, not for every piece
    with pytest.raises(OSError, match="No space left"):
        spool.write(b"x" * 4 * 1024 * 1024)
    spool.close()
    with pytest.raises(OSError, match="No space left"):
        ensure_room(tmp_path)
