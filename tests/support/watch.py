"""Waits in IDLE until a mailbox at the endpoint is as wanted, and says what is in it.

letters = await shown(port, "Trash", lambda letters: "<4.sample@example.org>" in letters)
assert letters["<4.sample@example.org>"] == {"\\Seen"}
"""

from __future__ import annotations

import asyncio
import imaplib
from collections.abc import Callable

from tests.support.house import ADDRESS, PASSWORD

Letters = dict[str, set[str]]
_SECONDS = 20.0


async def shown(port: int, mailbox: str, wanted: Callable[[Letters], bool]) -> Letters:
    """Message-ID -> flags of a mailbox, as soon as `wanted` likes them. Raises AssertionError if
    the endpoint tells nothing new for some time before that."""
    return await asyncio.to_thread(_shown, port, mailbox, wanted)


def _shown(port: int, mailbox: str, wanted: Callable[[Letters], bool]) -> Letters:
    # One listens all the time and the other one looks: nothing that changes while it looks, or
    # before IDLE begins, goes unheard.
    with _signed_in(port) as listener, _signed_in(port) as looker:
        listener.select(mailbox, readonly=True)
        listener.send(b"i1 IDLE\r\n")  # RFC 2177; Python 3.11's imaplib has no IDLE
        assert listener.readline().startswith(b"+")
        while not wanted(letters := _letters(looker, mailbox)):
            try:
                listener.readline()
            except TimeoutError:
                raise AssertionError(f"{mailbox} stays {letters}") from None
        listener.send(b"DONE\r\n")
        while not listener.readline().startswith(b"i1 OK"):
            pass
        return letters


def _signed_in(port: int) -> imaplib.IMAP4:
    client = imaplib.IMAP4("127.0.0.1", port, timeout=_SECONDS)
    client.login(ADDRESS, PASSWORD)
    return client


def _letters(client: imaplib.IMAP4, mailbox: str) -> Letters:
    client.select(mailbox, readonly=True)
    _, answers = client.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
    letters: Letters = {}
    for answer in answers:
        if isinstance(answer, tuple):
            about, header = answer
            name = header.partition(b":")[2].strip().decode()
            assert name not in letters, f"{name} is there twice"
            flags = {flag.decode() for flag in imaplib.ParseFlags(about)}
            letters[name] = flags - {"\\Recent"}
    return letters
