"""A large first sync, seen by a device: the newest mail first, arrival order at the end."""

from __future__ import annotations

import asyncio
import hashlib
from email.parser import BytesHeaderParser
from pathlib import Path

from imapclient import IMAPClient

from bridge.sync.backlog import FIRST_SYNC, NEWEST
from tests.support.house import ADDRESS, PASSWORD, running
from tests.support.pop3_server import Pop3Server
from tests.support.watch import shown

MESSAGES = FIRST_SYNC + 100


def message(number: int) -> bytes:
    return b"Subject: %d\r\nMessage-ID: <%d@a.example>\r\n\r\nbody %d\r\n" % ((number,) * 3)


class Device:
    """A blocking client in threads of its own."""

    def __init__(self, port: int) -> None:
        self.client = IMAPClient("127.0.0.1", port, ssl=False, timeout=20)
        self.client.login(ADDRESS, PASSWORD)
        self.box = self.client.select_folder("INBOX")

    def subjects(self) -> list[int]:
        """Of all messages, by UID."""
        rows = self.client.fetch(self.client.search("ALL"), ["BODY.PEEK[HEADER]"])
        parse = BytesHeaderParser().parsebytes
        return [int(parse(rows[uid][b"BODY[HEADER]"])["Subject"]) for uid in sorted(rows)]

    def flag_newest(self) -> None:
        self.client.add_flags(self.client.search("ALL")[-1], ["\\Flagged", "$Todo"])

    def flagged(self) -> list[int]:
        """Message numbers; says good bye."""
        self.client.use_uid = False
        found = list(self.client.search("FLAGGED KEYWORD $Todo"))
        self.client.logout()
        return found

    def farewell(self) -> bytes:
        """Waits in IDLE until the server says BYE."""
        self.client.idle()
        while True:
            for line in self.client.idle_check(timeout=20):
                if line[0] == b"BYE":
                    self.client.shutdown()
                    return b" ".join(line[1:])


async def test_newest_first_then_arrival_order_and_flags_stay(tmp_path: Path) -> None:
    held = asyncio.Event()
    items = [(b"uid-%d" % number, message(number)) for number in range(1, MESSAGES + 1)]
    # The provider is slow with everything but the newest.
    async with Pop3Server(items=items, holds={b"RETR 1": held}) as server:
        pop3 = {
            "host": server.host,
            "port": server.port,
            "security": "none",
            "username": server.username,
            "password": server.password,
        }
        async with running(tmp_path, [{"address": ADDRESS, "pop3": pop3}]) as daemon:
            port = daemon.imap_ports[0]
            await shown(port, "INBOX", lambda letters: len(letters) == NEWEST)
            phone = await asyncio.to_thread(Device, port)
            assert await asyncio.to_thread(phone.subjects) == list(
                range(MESSAGES - NEWEST + 1, MESSAGES + 1)
            )
            await asyncio.to_thread(phone.flag_newest)
            bye = asyncio.create_task(asyncio.to_thread(phone.farewell))
            held.set()
            (report,) = await daemon.poll(None)
            assert report.error == ""
            assert b"connect again" in await bye

            again = await asyncio.to_thread(Device, port)
            assert again.box[b"UIDVALIDITY"] > phone.box[b"UIDVALIDITY"]
            assert await asyncio.to_thread(again.subjects) == list(range(1, MESSAGES + 1))
            assert await asyncio.to_thread(again.flagged) == [MESSAGES]

            # Nothing was fetched twice, nothing deleted; a second poll changes nothing.
            (second,) = await daemon.poll(None)
            assert (second.error, second.new, second.listed) == ("", 0, MESSAGES)
        assert set(server.ledger.retrieved.values()) == {1}
        assert server.ledger.count(b"DELE") == 0
        assert len({hashlib.sha256(octets).digest() for _, octets in items}) == MESSAGES
