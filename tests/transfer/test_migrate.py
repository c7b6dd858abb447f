"""Migration into Dovecot and Cyrus: bytes, flags, keywords, dates, folders; once, and again."""

from __future__ import annotations

import imaplib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.model import Flag, Secret
from bridge.spool import Spool
from bridge.transfer.imap_client import Server
from bridge.transfer.imap_push import Pusher, PushStopped
from bridge.transfer.journal import Journal
from bridge.transfer.marks import Marks
from bridge.transfer.tally import Tally
from tests.support.cyrus import Cyrus
from tests.support.dovecot import Dovecot
from tests.support.samples import samples
from tests.transfer.house import House

Target = Dovecot | Cyrus


@pytest.fixture(scope="module", params=["dovecot", "cyrus"])
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    settings = """
namespace inbox {
  mailbox Gesendet {
    special_use = \\Sent
    auto = subscribe
  }
}
"""
    if request.param == "cyrus":
        with Cyrus() as cyrus:
            yield cyrus
    else:
        with Dovecot(tmp_path_factory.mktemp("target"), settings=settings) as dovecot:
            yield dovecot


async def no_pause(_: float) -> None: ...


def server_of(target: Target) -> Server:
    if isinstance(target, Dovecot):
        ca_file = str(target.ca_pem)
        return Server(target.host, target.imaps_port, target.username, True, ca_file)
    return Server(target.host, target.port, target.username, False)


async def push(
    house: House, target: Target, journal: Path | None = None, *, dry: bool = False
) -> Tally:
    tally = Tally()
    notes = Journal(journal)
    pusher = Pusher(
        house.door,
        server_of(target),
        Secret(target.password),
        notes,
        tally,
        lambda: Spool(house.folder),
        pause=no_pause,
    )
    try:
        await pusher.run(dry=dry)
    finally:
        notes.close()
    return tally


def there(target: Target, mailbox: str) -> Counter[bytes]:
    """The messages of a mailbox as an independent client reads them."""
    port = target.imap_port if isinstance(target, Dovecot) else target.port
    client = imaplib.IMAP4(target.host, port)
    try:
        client.login(target.username, target.password)
        client.select(f'"{mailbox}"', readonly=True)
        _, data = client.fetch("1:*", "(BODY.PEEK[])")
        return Counter(each[1] for each in data if isinstance(each, tuple))
    finally:
        client.logout()


async def test_everything_arrives_once_and_a_second_run_moves_nothing(
    house: House, target: Target, tmp_path: Path
) -> None:
    raws = list(samples(300))
    await house.fill(
        "INBOX",
        *(
            (raw, Marks(number % 32 & ~4, ("$Forwarded", "Work")[: number % 3], 10**9 + number))
            for number, raw in enumerate(raws)
        ),
    )
    await house.fill("Sent", (raws[0] + b"sent\r\n", Marks(int(Flag.SEEN), (), 77)))
    await house.fill("Käse/mit Löchern", (raws[1] + b"more\r\n", Marks(0, (), 78)))
    journal = tmp_path / "journal"
    dry = await push(house, target, dry=True)
    assert (dry.seen, dry.done, dry.already) == (302, 302, 0)
    tally = await push(house, target, journal)
    assert (tally.seen, tally.done, tally.already, tally.failed) == (302, 302, 0, 0)
    assert (tally.notes, tally.skipped) == ([], Counter())
    assert there(target, "INBOX") == Counter(raws)
    sent = "Gesendet" if isinstance(target, Dovecot) else "Sent"
    assert there(target, sent) == Counter([raws[0] + b"sent\r\n"])
    assert there(target, "K&AOQ-se/mit L&APY-chern") == Counter([raws[1] + b"more\r\n"])
    for again in (journal, None):  # also where nothing is known of the first run
        tally = await push(house, target, again)
        assert (tally.seen, tally.done, tally.already, tally.failed) == (302, 0, 302, 0)
    assert there(target, "INBOX") == Counter(raws)


async def test_a_wrong_password_ends_it(house: House, target: Target) -> None:
    pusher = Pusher(
        house.door,
        server_of(target),
        Secret("wrong"),
        Journal(None),
        Tally(),
        lambda: Spool(house.folder),
        pause=no_pause,
    )
    with pytest.raises(PushStopped, match="refused the login"):
        await pusher.run()
