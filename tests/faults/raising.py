"""A daemon with a fault that nobody thought of: of one account, one in some hundred of the calls
that its polls make to the store raises.

    python -m tests.faults.raising me@example.org config.yaml
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, cast

from bridge import daemon
from bridge.model import Account, PollReport
from bridge.store.api import Store
from bridge.sync.poll import Poller

EVERY = 101  # a prime: it is not the same call of a poll each time


class RaisingStore:
    """The store, as the polls of all accounts use it."""

    def __init__(self, store: Store, address: str) -> None:
        self._store = store
        self._address = address
        self._calls = count(1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, work: Any) -> Any:
        self._count()
        return await self._store.write(work)

    async def read(self, work: Any) -> Any:
        self._count()
        return await self._store.read(work)

    def _count(self) -> None:
        task = asyncio.current_task()
        if task is not None and task.get_name() == self._address and not next(self._calls) % EVERY:
            raise ZeroDivisionError("nobody thought of this")


def main(arguments: Sequence[str]) -> int:
    address, config = arguments

    class NamedPoller(Poller):
        async def poll(self, account: Account, *args: Any) -> PollReport:
            task = asyncio.current_task()
            assert task is not None
            task.set_name(account.address)
            return await super().poll(account, *args)

    def raising_poller(store: Store, **named: Any) -> Poller:
        return NamedPoller(cast(Store, RaisingStore(store, address)), **named)

    vars(daemon)["Poller"] = raising_poller
    return daemon.run(Path(config))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
