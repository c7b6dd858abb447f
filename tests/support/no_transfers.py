"""What import, export and backup ask of a daemon, for fakes that are asked other things."""

from __future__ import annotations

from pathlib import Path

from bridge.spool import Spool
from bridge.transfer.door import LocalDoor


class NoTransfers:
    """`bridge.web.transfer.Transfers` of a daemon without logins."""

    async def door(self, login: str) -> LocalDoor:
        raise LookupError(f"there is no login {login}")

    def new_spool(self) -> Spool:
        raise AssertionError("nothing is to be taken")

    async def backup(self, path: Path) -> int:
        raise AssertionError("no backup was asked for")
