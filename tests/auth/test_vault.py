"""Sealed secrets: what is on disk, who can open it, and who cannot."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.auth.secrets import write_private
from bridge.auth.vault import Vault, VaultError

NOWHERE: dict[str, str] = {}


def test_what_is_sealed_is_opened_again_and_the_key_is_private(tmp_path: Path) -> None:
    sealed = Vault(tmp_path, NOWHERE).seal(b"canary", "a")
    assert b"canary" not in sealed
    assert Vault(tmp_path, NOWHERE).open(sealed, "a") == b"canary"
    key = tmp_path / "secret.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
    assert os.listdir(tmp_path) == ["secret.key"]


def test_no_two_seals_are_alike(tmp_path: Path) -> None:
    vault = Vault(tmp_path, NOWHERE)
    assert len({vault.seal(b"x", "a") for _ in range(20)}) == 20


def test_X003_without_the_key_it_does_not_open(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    sealed = Vault(tmp_path / "a", NOWHERE).seal(b"canary", "a")
    for make_key in (False, True):
        if make_key:
            Vault(tmp_path / "b", NOWHERE).seal(b"x", "a")
        with pytest.raises(VaultError, match="another key") as raised:
            Vault(tmp_path / "b", NOWHERE).open(sealed, "a")
        assert "canary" not in str(raised.value)


def test_it_opens_for_its_purpose_only(tmp_path: Path) -> None:
    vault = Vault(tmp_path, NOWHERE)
    with pytest.raises(VaultError, match="changed"):
        vault.open(vault.seal(b"canary", "me@example.org"), "you@example.org")


@settings(deadline=None)  # the disk
@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_changed_octet_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, where: int, by: int
) -> None:
    """Whichever octet of a sealed secret is changed: it does not open, and nothing else breaks."""
    vault = Vault(tmp_path_factory.getbasetemp(), NOWHERE)  # its key is made once
    sealed = bytearray(vault.seal(b"canary", "a"))
    sealed[where % len(sealed)] ^= by
    with pytest.raises(VaultError):
        vault.open(bytes(sealed), "a")


@pytest.mark.parametrize("octets", [b"", b"popbridge sealed 1\n", b"\0" * 100])
def test_what_was_never_sealed(tmp_path: Path, octets: bytes) -> None:
    with pytest.raises(VaultError):
        Vault(tmp_path, NOWHERE).open(octets, "a")


def test_systemds_credential_comes_first_and_the_old_key_still_opens(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    before = Vault(tmp_path, NOWHERE).seal(b"canary", "a")
    credential = credentials / "popbridge.key"
    credential.touch(mode=0o400)
    credential.chmod(0o600)
    credential.write_bytes(os.urandom(32))
    vault = Vault(tmp_path, {"CREDENTIALS_DIRECTORY": str(credentials)})
    assert vault.open(before, "a") == b"canary"
    after = vault.seal(b"canary", "a")
    assert vault.open(after, "a") == b"canary"
    with pytest.raises(VaultError, match="another key"):
        Vault(tmp_path, NOWHERE).open(after, "a")


def test_a_credential_makes_no_key_file(tmp_path: Path) -> None:
    credential = tmp_path / "popbridge.key"
    credential.touch(mode=0o600)
    credential.write_bytes(os.urandom(32))
    Vault(tmp_path / "nowhere", {"CREDENTIALS_DIRECTORY": str(tmp_path)}).seal(b"x", "a")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o666])
def test_X002_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    vault = Vault(tmp_path, NOWHERE)
    sealed = vault.seal(b"canary", "a")
    (tmp_path / "secret.key").chmod(mode)
    with pytest.raises(VaultError, match="chmod 600"):
        vault.open(sealed, "a")
    with pytest.raises(VaultError, match="chmod 600"):
        vault.seal(b"canary", "a")


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 5000])
def test_a_key_that_is_none(tmp_path: Path, content: bytes) -> None:
    key = tmp_path / "secret.key"
    key.touch(mode=0o600)
    key.write_bytes(content)
    with pytest.raises(VaultError, match="no key"):
        Vault(tmp_path, NOWHERE).seal(b"x", "a")


def test_of_two_that_make_the_key_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    write_private(path, b"first", replace=False)
    write_private(path, b"second", replace=False)
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["secret.key"]


def test_X002_a_file_is_private_before_anything_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CVE-2005-3088: fetchmail's config tool set the mode after it had written."""
    seen = []
    fsync = os.fsync

    def watched(fd: int) -> None:
        for path in tmp_path.iterdir():
            seen.append((stat.S_IMODE(path.stat().st_mode), path.name == "token"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    old = os.umask(0)
    try:
        write_private(tmp_path / "token", b"canary")
    finally:
        os.umask(old)
    # Under another name until it is durable; private at both instants.
    assert seen == [(0o600, False), (0o600, True)]


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    write_private(path, b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["token"]
