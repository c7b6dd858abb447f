"""M003 to M005: several clients, or several accounts, at one thing."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import structlog.testing

from bridge import config
from bridge.daemon import Daemon
from tests.pcases.home import Home, maildrop
from tests.support import figures
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server
from tests.support.pop3_server import Pop3Server
from tests.support.process import pop3_account, write_config

ME, OTHER = "me@example.org", "b@example.org"
HANDS = 10
MESSAGES = 60
ROUNDS = 20
FLAGS = (r"\Seen", r"\Answered", r"\Flagged", r"\Draft", *(f"key{number}" for number in range(6)))


@pytest.mark.case("M003")
async def test_one_maildrop_of_two_accounts(tmp_path: Path) -> None:
    """Configured twice: both have all of it, in a mailbox each, and nothing is deleted there."""
    async with Home(tmp_path) as home, Pop3Server(maildrop(5)) as server:
        for address, mailbox in ((ME, "INBOX"), (OTHER, f"Mail/{OTHER}")):
            assert (await home.poll(server, address=address)).new == 5
            await home.check(server, mailbox=mailbox)
        server.items += maildrop(2, b"v", 100)
        both = [home.poll(server, address=each) for each in (ME, OTHER)]
        assert [report.new for report in await asyncio.gather(*both)] == [2, 2]
        await home.check(server)
        await home.check(server, mailbox=f"Mail/{OTHER}")
        assert server.ledger.count(b"DELE") == 0


@contextlib.asynccontextmanager
async def signed_in(place: Endpoint, count: int) -> AsyncIterator[list[Client]]:
    clients = [await Server("127.0.0.1", place.port, {}).connect() for _ in range(count)]
    try:
        for client in clients:
            await client.response()
            await client.command(f'l LOGIN alice "{PASSWORD}"')
        yield clients
    finally:
        for client in clients:
            client.close()


def modseqs(answer: list[list[str | bytes]]) -> list[int]:
    return [int(each) for each in re.findall(r"MODSEQ \((\d+)\)", str(answer))]


async def append(client: Client, octets: bytes) -> None:
    await client.send(b"p APPEND INBOX {%d+}\r\n%b\r\n" % (len(octets), octets))
    while not str((await client.response())[0]).startswith("p OK"):
        pass


@pytest.mark.case("M003")
async def test_who_configures_one_maildrop_twice_is_told(tmp_path: Path) -> None:
    accounts = [pop3_account(each, 1) for each in (ME, OTHER)]
    config_file = write_config(tmp_path, accounts)
    with structlog.testing.capture_logs() as said:
        async with Daemon(config.load(config_file)):
            pass
    told = [each for each in said if each["event"] == "two accounts collect one maildrop"]
    assert [(each["account"], each["other"]) for each in told] == [(OTHER, ME)]


@pytest.mark.case("M004")
async def test_ten_clients_flag_one_message_at_once(tmp_path: Path) -> None:
    """C: UID STORE 1 +FLAGS (one of ten): all are kept, and MODSEQ rises with each."""
    async with Endpoint(tmp_path) as place, signed_in(place, HANDS) as clients:
        await append(clients[0], b"Subject: one\r\n\r\n")
        for client in clients:
            await client.command("a SELECT INBOX (CONDSTORE)")
        first = modseqs(await clients[0].command("m UID FETCH 1 (MODSEQ)"))[-1]
        commands = [
            client.command(f"b UID STORE 1 +FLAGS ({flag})")
            for client, flag in zip(clients, FLAGS, strict=True)
        ]
        answers = await asyncio.gather(*commands)
        assert all("b OK" in str(each[-1]) and modseqs(each) for each in answers)
        end = await clients[0].command("c UID FETCH 1 (FLAGS MODSEQ)")
        assert [flag for flag in FLAGS if repr(flag)[1:-1] not in str(end)] == []
        # Several may have shared a commit, and then each of them hears of the last MODSEQ.
        assert all(first < number <= first + HANDS for each in answers for number in modseqs(each))
        assert modseqs(end)[-1] == first + HANDS


@pytest.mark.case("M005")
async def test_one_expunges_while_another_fetches(tmp_path: Path) -> None:
    """Each FETCH by number: the message of its UID or NO [EXPUNGEISSUED], and no EXPUNGE within."""
    chance = Random(5)
    async with Endpoint(tmp_path) as place, signed_in(place, 2) as (one, other):
        for number in range(1, MESSAGES + 1):
            await append(one, b"Subject: of uid %d\r\n\r\n%b\r\n" % (number, b"x" * 2_000))
        left = list(range(1, MESSAGES + 1))
        refused = 0
        for _ in range(ROUNDS):
            await one.command("s SELECT INBOX")
            await other.command("s SELECT INBOX")
            gone = [left.pop(chance.randrange(len(left))) for _ in range(2)]
            uids = ",".join(map(str, gone))
            await one.command(f"d UID STORE {uids} +FLAGS.SILENT (\\Deleted)")
            await other.command("n NOOP")
            said, _ = await asyncio.gather(
                other.command("f FETCH 1:* (UID BODY.PEEK[])"), one.command("e EXPUNGE")
            )
            for answer in said:
                text = "".join(part if isinstance(part, str) else part.decode() for part in answer)
                assert "EXPUNGE" not in text.replace("EXPUNGEISSUED", "")
                if shown := re.search(r"UID (\d+)", text):
                    assert f"Subject: of uid {shown[1]}\r\n" in text
            end = str(said[-1][0])
            assert end.startswith(("f OK", "f NO [EXPUNGEISSUED]")), end
            refused += "EXPUNGEISSUED" in end
        assert len(left) == MESSAGES - 2 * ROUNDS
    figures.note("fetched while expunged", tried=ROUNDS, refused=refused, faults=0)
