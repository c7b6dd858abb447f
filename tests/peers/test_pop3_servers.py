"""One suite, four POP3 servers: Dovecot, Courier, popa3d and solid-pop3d, unchanged from Debian.

First sync, polls, a first sync that is cut, new UIDLs, retention: whatever the server, each
message is shown once, byte for byte, and only what the policy names is deleted.
"""

from __future__ import annotations

import asyncio
import hashlib
import imaplib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bridge.model import Endpoint, Secret, Security
from bridge.pop3.client import Pop3Error, Pop3Session
from bridge.sync.retention import DAY, Policy
from tests.pop3.harness import MemorySink
from tests.support.cut_proxy import CutProxy
from tests.support.dovecot import Dovecot
from tests.support.house import ADDRESS, PASSWORD, running
from tests.support.pop3_peers import Courier, Peer, Popa3d, SolidPop3d
from tests.support.samples import samples
from tests.sync.house import House

MESSAGES = 40


class _Dovecot(Dovecot):
    """Dovecot in the clothes of a `Peer`."""

    @property
    def port(self) -> int:
        return self.pop3_port

    def kept(self) -> list[bytes]:
        found = [*(self.maildir / "new").iterdir(), *(self.maildir / "cur").iterdir()]
        return [path.read_bytes() for path in sorted(found, key=lambda path: path.name)]

    def new_uidls(self) -> None:
        for index in self.maildir.glob("dovecot.index*"):
            index.unlink()
        (self.maildir / "dovecot-uidlist").unlink()
        (self.maildir / "dovecot-uidvalidity").write_text("7fffffff")


Server = _Dovecot | Peer


@pytest.fixture(params=["Dovecot", "Courier", "popa3d", "solid-pop3d"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    made: dict[str, Server] = {
        "Dovecot": _Dovecot(tmp_path),
        "Courier": Courier(),
        "popa3d": Popa3d(),
        "solid-pop3d": SolidPop3d(),
    }
    with made[request.param] as running:
        yield running


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = await House.open(tmp_path / "data")
    yield house
    await house.store.close()


def digests(messages: list[bytes]) -> Counter[str]:
    return Counter(hashlib.sha256(octets).hexdigest() for octets in messages)


async def session(server: Server, password: str | None = None) -> Pop3Session:
    endpoint = Endpoint(server.host, server.port, Security.NONE, server.username)
    return await Pop3Session.open(
        endpoint, Secret(password or server.password), new_sink=MemorySink
    )


def over_imap(port: int) -> list[bytes]:
    client = imaplib.IMAP4("127.0.0.1", port, timeout=20)
    client.login(ADDRESS, PASSWORD)
    client.select("INBOX", readonly=True)
    _, answer = client.fetch("1:*", "(BODY.PEEK[])")
    client.logout()
    return [part[1] for part in answer if isinstance(part, tuple)]


async def test_a_first_sync_by_the_daemon(server: Server, tmp_path: Path) -> None:
    given = server.deliver(samples(MESSAGES))
    pop3 = {
        "host": server.host,
        "port": server.port,
        "security": "none",
        "username": server.username,
        "password": server.password,
    }
    async with running(tmp_path, [{"address": ADDRESS, "pop3": pop3}]) as daemon:
        (report,) = await daemon.poll(None)
        assert (report.error, report.listed, report.new) == ("", MESSAGES, MESSAGES)
        assert await asyncio.to_thread(over_imap, daemon.imap_ports[0]) == given


async def test_polls_bring_what_is_new_and_delete_nothing(server: Server, house: House) -> None:
    given = server.deliver(samples(MESSAGES))
    assert (await house.poll(server)).new == MESSAGES
    again = await house.poll(server)
    assert (again.error, again.listed, again.new, again.octets) == ("", MESSAGES, 0, 0)
    given += server.deliver(samples(5, first=MESSAGES))
    more = await house.poll(server)
    assert (more.listed, more.new, more.octets) == (MESSAGES + 5, 5, sum(map(len, given[-5:])))
    assert await house.shown() == given
    assert digests(server.kept()) == digests(given)


async def test_a_first_sync_that_is_cut_goes_on_where_it_was(server: Server, house: House) -> None:
    given = server.deliver(samples(MESSAGES))
    octets = sum(map(len, given))
    async with CutProxy(server) as line:
        for share in (7, 5, 3, 2):
            line.cut_after = octets // share
            await house.poll(line)
        line.cut_after = None
        for _ in range(2):
            report = await house.poll(line)
            assert report.error == ""
    assert digests(await house.shown()) == digests(given)
    assert digests(server.kept()) == digests(given)


async def test_new_uidls_double_nothing(server: Server, house: House) -> None:
    given = server.deliver(samples(MESSAGES))
    await house.poll(server)
    before = await _uidls(server)
    server.new_uidls()
    assert not before & await _uidls(server)
    report = await house.poll(server)
    assert (report.error, report.listed, report.new, report.relinked) == ("", MESSAGES, 0, MESSAGES)
    if not isinstance(server, Popa3d):  # there the headers are others too
        assert report.octets == 0
    assert await house.shown() == given
    again = await house.poll(server)
    assert (again.new, again.relinked, again.octets) == (0, 0, 0)


async def _uidls(server: Server) -> set[bytes | None]:
    opened = await session(server)
    listing = await opened.listing()
    await opened.quit()
    assert len(listing) == MESSAGES
    return {line.uidl for line in listing}


async def test_what_is_old_enough_is_deleted_and_nothing_else(server: Server, house: House) -> None:
    house.poller.policies = {house.account.id: Policy(days=3 * DAY)}
    old = server.deliver(samples(MESSAGES))
    await house.poll(server)
    assert digests(server.kept()) == digests(old)
    for _ in range(2):
        house.clock.now += DAY
        assert (await house.poll(server)).deleted == 0
    young = server.deliver(samples(7, first=MESSAGES))
    assert (await house.poll(server)).new == 7
    house.clock.now += DAY
    assert (await house.poll(server)).deleted == 0  # three days are over once this one succeeded
    report = await house.poll(server)
    assert (report.error, report.deleted) == ("", MESSAGES)
    assert digests(server.kept()) == digests(young)
    assert await house.shown() == old + young
    done = await house.store.read(lambda tx: tx.server_deletes())
    assert Counter(each.outcome for each in done) == {"done": MESSAGES}


async def test_what_a_device_deleted_goes_after_the_grace_time(
    server: Server, house: House
) -> None:
    house.poller.policies = {house.account.id: Policy(after_device_delete=DAY)}
    given = server.deliver(samples(4))
    await house.poll(server)
    await house.expunge(2)
    for _ in range(3):
        await house.poll(server)
        house.clock.now += DAY
    report = await house.poll(server)
    assert report.error == ""
    assert digests(server.kept()) == digests([given[0], *given[2:]])


async def test_a_refused_password_is_refused_once(server: Server) -> None:
    with pytest.raises(Pop3Error) as raised:
        await session(server, "wrong")
    assert raised.value.kind == "auth"
