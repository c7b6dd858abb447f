"""A database on a network file system is warned of."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridge.cli import findings
from bridge.daemon import Daemon
from bridge.store import opening
from bridge.store.opening import network_filesystem
from tests.support.house import write_config

MOUNTS = r"""
/dev/vda / ext4 rw,relatime 0 0
nas:/mail {at}/mail nfs4 rw,vers=4.2 0 0
nas:/old {at}/with\040blank nfs rw 0 0
/dev/vdb {at}/mail/local ext4 rw 0 0
//nas/share {at}/share cifs rw 0 0
nas:/below {at}/hidden nfs rw 0 0
tmpfs {at}/hidden tmpfs rw 0 0
"""


@pytest.mark.case("D009")
@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("", ""),
        ("mail", "nfs4"),
        ("mail/data", "nfs4"),
        ("mailbox", ""),
        ("mail/local/data", ""),
        ("with blank/data", "nfs"),
        ("share", "cifs"),
        ("hidden", ""),
    ],
)
def test_where_a_folder_is(tmp_path: Path, folder: str, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.strip().format(at=tmp_path.resolve()))
    assert network_filesystem(tmp_path / folder, mounts) == kind
    assert network_filesystem(tmp_path / folder, tmp_path / "none") == ""


@pytest.mark.case("D009")
async def test_doctor_and_start_warn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings.filesystem(tmp_path).is_well
    monkeypatch.setattr(opening, "network_filesystem", lambda _: "nfs4")
    monkeypatch.setattr("bridge.daemon.network_filesystem", lambda _: "nfs4")
    found = findings.filesystem(tmp_path)
    assert "nfs4" in found.said
    assert "move data_dir" in found.next_step
    from bridge import config

    with capture_logs() as said:
        async with Daemon(config.load(write_config(tmp_path, []))):
            pass
    assert [each["event"] for each in said if "network file system" in each["event"]]
