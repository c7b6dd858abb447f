"""The connection to the provider is cut at any octet: the next poll completes, nothing is lost or
double, and no message is fetched twice but what was on its way when the line went dead.

    POPBRIDGE_CUTS=100000 pytest tests/faults/test_cut.py     every octet of the session
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from bridge.model import Account, Endpoint, PollReport, Secret, Security
from bridge.store.api import ReadTx, Store
from bridge.store.opening import open_store
from bridge.sync.poll import Poller
from tests.faults.mail import maildrop
from tests.support import figures
from tests.support.pop3_server import Item, Pop3Server

CUTS = int(os.environ.get("POPBRIDGE_CUTS", "60").replace("all", "1000000"))
SEED = int(os.environ.get("POPBRIDGE_SEED", secrets.randbelow(1_000_000)))
MESSAGES = 12
EVERYTHING = [(1, 2**32 - 1)]


class Fresh:
    """A store, and for each cut an account and a maildrop that nobody fetched yet."""

    def __init__(self, store: Store, folder: Path, server: Pop3Server, items: list[Item]) -> None:
        self.store = store
        self.server = server
        self.items = items
        self.account: Account
        self._poller = Poller(store, wall=time.time, spool_dir=folder)
        self._number = 0

    async def maildrop(self) -> None:
        self._number += 1
        address = f"cut{self._number}@example.org"
        self.account = await self.store.write(
            lambda tx: tx.ensure_account(address, tx.ensure_login(address).id, "INBOX")
        )
        self.server.items = list(self.items)
        self.server.ledger.retrieved.clear()

    async def poll(self) -> PollReport:
        async def password() -> Secret:
            return Secret(self.server.password)

        server = self.server
        endpoint = Endpoint(server.host, server.port, Security.NONE, server.username)
        report = await self._poller.poll(self.account, endpoint, password)
        await server.idle()
        return report

    async def stored(self) -> Counter[bytes]:
        """SHA-256 of what the mailbox shows, by the octets that a FETCH gives."""
        account = self.account

        def look(tx: ReadTx) -> Counter[bytes]:
            mailbox = tx.mailbox(account.login_id, account.mailbox)
            rows = tx.rows(mailbox.id, EVERYTHING)
            return Counter(hashlib.sha256(tx.octets(row.message_id)).digest() for row in rows)

        return await self.store.read(look)


@asynccontextmanager
async def fresh(folder: Path, **server: bool) -> AsyncIterator[Fresh]:
    items = maildrop("cut", MESSAGES, Random(1))
    async with Pop3Server(
        items, pipelining=server["pipelining"], pops_retrieved=server["pops_retrieved"]
    ) as peer:
        store = await open_store(folder / "data")
        try:
            yield Fresh(store, folder, peer, items)
        finally:
            await store.close()


def cuts(total: int, around: int) -> list[int]:
    """Octets after which the server falls silent: all of them, or a drawn few with those around
    the last end mark (before it, within it, after it and before the +OK of QUIT)."""
    if total <= CUTS:
        return list(range(total))
    drawn = Random(SEED).sample(range(total), max(0, CUTS - 8))
    return sorted({*drawn, *range(around - 6, around + 2)})


@pytest.mark.timeout(120 + CUTS // 5)
@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "one by one"])
@pytest.mark.parametrize("pops_retrieved", [False, True], ids=["keeps", "pops"])
async def test_a_cut_at_any_octet_loses_and_doubles_nothing(
    tmp_path: Path, pipelining: bool, pops_retrieved: bool
) -> None:
    print(f"seed {SEED}")
    async with fresh(tmp_path, pipelining=pipelining, pops_retrieved=pops_retrieved) as world:
        server = world.server
        offered = Counter(hashlib.sha256(item.octets).digest() for item in world.items)
        uidls = {hashlib.sha256(item.octets).digest(): item.uidl for item in world.items}

        await world.maildrop()
        assert (await world.poll()).new == MESSAGES
        total = server.ledger.sessions[-1].sent

        farewell = total - len(b"+OK bye\r\n")
        points = cuts(total, farewell)
        lost = doubled = 0
        for cut in points:
            await world.maildrop()
            server.cut_after = cut
            report = await world.poll()
            assert bool(report.error) == (cut < farewell), cut
            kept = await world.stored()
            assert report.new == kept.total(), cut
            assert not kept - offered, f"cut {cut}: something that nobody sent"
            before = Counter(server.ledger.retrieved)

            server.cut_after = None
            report = await world.poll()
            assert report.error == "", cut
            stored = await world.stored()
            assert stored == offered, f"cut {cut}: lost or double"
            lost, doubled = lost + (offered - stored).total(), doubled + (stored - offered).total()
            again = {uidl for uidl in before if server.ledger.retrieved[uidl] > before[uidl]}
            assert not again & {uidls[digest] for digest in kept}, f"cut {cut}: fetched anew"

            report = await world.poll()
            assert (report.error, report.new, report.octets) == ("", 0, 0), cut
    assert server.ledger.count(b"DELE") == 0
    figures.note("POP3 session cut at an octet", tried=len(points), lost=lost, doubled=doubled)
