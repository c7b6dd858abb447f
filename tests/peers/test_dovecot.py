"""2,000 messages from a real POP3 server over TLS, compared with that server's own IMAP."""

from __future__ import annotations

import asyncio
import hashlib
import imaplib
import ssl
from collections import Counter
from pathlib import Path
from time import monotonic

from tests.support import figures
from tests.support.dovecot import Dovecot
from tests.support.house import ADDRESS, PASSWORD, account, running
from tests.support.samples import samples

MESSAGES = 2_000


def bodies(client: imaplib.IMAP4) -> list[bytes]:
    """BODY.PEEK[] of every message of INBOX."""
    client.select("INBOX", readonly=True)
    _, answer = client.fetch("1:*", "(BODY.PEEK[])")
    client.logout()
    return [part[1] for part in answer if isinstance(part, tuple)]


def ours(port: int) -> list[bytes]:
    client = imaplib.IMAP4("127.0.0.1", port)
    client.login(ADDRESS, PASSWORD)
    return bodies(client)


def theirs(dovecot: Dovecot) -> list[bytes]:
    context = ssl.create_default_context(cafile=str(dovecot.ca_pem))
    client = imaplib.IMAP4_SSL(dovecot.host, dovecot.imaps_port, ssl_context=context)
    client.login(dovecot.username, dovecot.password)
    return bodies(client)


def digests(octets: list[bytes]) -> Counter[str]:
    return Counter(hashlib.sha256(each).hexdigest() for each in octets)


class Idler:
    """A device that sits in IDLE and notes when the mailbox grew to `wanted`."""

    def __init__(self, port: int, wanted: int) -> None:
        self._client = imaplib.IMAP4("127.0.0.1", port)
        self._client.login(ADDRESS, PASSWORD)
        self._client.select("INBOX")
        self._wanted = b"* %d EXISTS" % wanted

    def begin(self) -> None:
        self._client.send(b"i1 IDLE\r\n")
        assert self._client.readline().startswith(b"+")

    def until_told(self) -> float:
        while not self._client.readline().startswith(self._wanted):
            pass
        told = monotonic()
        self._client.send(b"DONE\r\n")
        while not self._client.readline().startswith(b"i1 OK"):
            pass
        self._client.shutdown()
        return told


async def test_everything_arrives_once_and_byte_for_byte(dovecot: Dovecot, tmp_path: Path) -> None:
    dovecot.deliver(samples(MESSAGES))
    async with running(tmp_path, [account(dovecot)]) as daemon:
        (first,) = await daemon.poll(None)
        assert (first.error, first.listed, first.new) == ("", MESSAGES, MESSAGES)
        (second,) = await daemon.poll(None)
        assert (second.listed, second.new, second.octets) == (MESSAGES, 0, 0)
        port = daemon.imap_ports[0]
        here, there = await asyncio.gather(
            asyncio.to_thread(ours, port), asyncio.to_thread(theirs, dovecot)
        )
        assert len(here) == MESSAGES
        assert digests(here) == digests(there)
        figures.note("bytes beside Dovecot's own IMAP", tried=len(here), corrupt=0)

    async with running(tmp_path, [account(dovecot)]) as daemon:
        (third,) = await daemon.poll(None)
        assert (third.error, third.listed, third.new, third.octets) == ("", MESSAGES, 0, 0)

        device = await asyncio.to_thread(Idler, daemon.imap_ports[0], MESSAGES + 10)
        await asyncio.to_thread(device.begin)
        telling = asyncio.create_task(asyncio.to_thread(device.until_told))
        dovecot.deliver(samples(10, first=MESSAGES))
        (fourth,) = await daemon.poll(None)
        polled = monotonic()
        assert fourth.new == 10
        late = await telling - polled
        print(f"the idling device was told {late:+.3f} s after the poll's end")
        assert late < 1.0
