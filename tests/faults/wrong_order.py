"""Two daemons that are wrong on purpose: what settles a message and what stores it are two
transactions. `mark first` must lose mail when it is killed in between, `store first` must double
it: the controls of the oracle.

    python -m tests.faults.wrong_order "mark first" config.yaml

Both commit message by message, so that there are many instants in between. Identity does not heal
`store first`: an account recognises bytes by its maildrop items, not by the messages that the
store has, because the same bytes may be another account's; so what was stored without its item
gets a second entry.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from bridge import daemon, limits
from bridge.model import MessageId
from bridge.store.api import Store, WriteTx
from bridge.sync.poll import Poller

Call = tuple[str, tuple[Any, ...], dict[str, Any]]
STORE, MARK = ("add_message", "add_entries"), ("settle_item",)


class _Putting:
    """A transaction that puts some calls off and numbers their results."""

    def __init__(self, tx: WriteTx, names: Sequence[str]) -> None:
        self.calls: list[Call] = []
        self._tx = tx
        self._names = names

    def __getattr__(self, name: str) -> Any:
        if name not in self._names:
            return getattr(self._tx, name)

        def put_off(*args: Any, **named: Any) -> int:
            self.calls.append((name, args, named))
            return -len(self.calls)

        return put_off


class WrongStore:
    """A poller's store that makes two transactions of one."""

    def __init__(self, store: Store, late: Sequence[str]) -> None:
        self._store = store
        self._late = late

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, work: Callable[[Any], Any]) -> Any:
        calls: list[Call] = []

        def first(tx: WriteTx) -> Any:
            putting = _Putting(tx, self._late)
            result = work(putting)
            calls[:] = putting.calls
            return result

        def second(tx: WriteTx) -> None:
            message = MessageId(0)
            for name, args, _ in calls:
                if name == "add_message":
                    message = tx.add_message(*args)
                elif name == "add_entries":
                    mailbox, (entry,) = args
                    tx.add_entries(mailbox, [entry._replace(message=message)])
                else:
                    tx.settle_item(*args)

        result = await self._store.write(first)
        if calls:
            await self._store.write(second)
        return result


def main(arguments: Sequence[str]) -> int:
    order, config = arguments
    limits.BATCH_MESSAGES = 1
    late = STORE if order == "mark first" else MARK

    def wrong_poller(store: Store, **named: Any) -> Poller:
        return Poller(cast(Store, WrongStore(store, late)), **named)

    vars(daemon)["Poller"] = wrong_poller
    return daemon.run(Path(config))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
