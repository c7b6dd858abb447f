"""The house that every client here talks to, with mail in it, and a wire to listen on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bridge.daemon import Daemon
from tests.support.dovecot import Dovecot
from tests.support.house import MESSAGES, account, running
from tests.support.require import require
from tests.support.samples import samples
from tests.support.wire import Wire


@pytest.fixture
def dovecot(tmp_path: Path) -> Iterator[Dovecot]:
    """The provider, with nothing in its maildrop."""
    require("dovecot")
    with Dovecot(tmp_path) as server:
        yield server


@pytest.fixture
async def daemon(dovecot: Dovecot, tmp_path: Path) -> AsyncIterator[Daemon]:
    """The daemon, after a poll that brought MESSAGES samples."""
    dovecot.deliver(samples(MESSAGES))
    async with running(tmp_path, [account(dovecot)]) as daemon:
        (report,) = await daemon.poll(None)
        assert report.new == MESSAGES
        yield daemon


@pytest.fixture
async def wire(daemon: Daemon) -> AsyncIterator[Wire]:
    """The way to the daemon's IMAP port; afterwards, nothing that went by it was BAD."""
    async with Wire(daemon.imap_ports[0]) as wire:
        yield wire
    assert wire.commands()
    assert wire.refused() == []
