"""Would the second parser notice? It reads every response of the suite (tests/conftest.py)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bridge.imap.protocol.scanner import Scanner
from bridge.imap.replies import Reply
from bridge.imap.seams import Request
from bridge.imap.session import Session
from bridge.imap.table import TABLE
from tests.support import second_parser
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Server
from tests.support.judge import Responses
from tests.support.second_parser import Rejected, accept


@pytest.mark.parametrize(
    "response",
    [
        b"* 1 FETCH (FLAGS (\\Seen) UID 4 MODSEQ (12))",
        b"* 1 FETCH (PREVIEW {2}\r\nab SAVEDATE NIL EMAILID (M1) THREADID NIL)",
        b'* STATUS "a b" (MESSAGES 3 HIGHESTMODSEQ 7 SIZE 0 MAILBOXID (F1))',
        b"* 1 FETCH (UID 4 BODY[] {3}\r\na\0b BODY[1.2]<0> {1}\r\n\0 RFC822.HEADER {1}\r\n\0)",
        b"* VANISHED (EARLIER) 1,4:7",
        b'* ESEARCH (TAG "a") UID MIN 2 ALL 2,4:6 MODSEQ 9',
        b"a1 OK [MODIFIED 4:5] Conditional STORE failed",
        b"* OK [HIGHESTMODSEQ 12] Highest",
        b"a1 NO [OVERQUOTA] no",
    ],
)
def test_what_is_right_is_accepted(response: bytes) -> None:
    accept(response + b"\r\n")


@pytest.mark.parametrize(
    "response",
    [
        b"* 1 FETCH (FLAGS (\\Seen) UID 4 MODSEQ 12)",
        b"* 1 FETCH (FLAGS (\\Seen) UID 4 MODSEQ (0))",
        b"* 1 FETCH (FLAGS (\\Seen) UID 4",
        b"* 1 FETCH (PREVIEW (a))",
        b"* 1 FETCH (BODY[] {2}\r\nab PREVIEW {3}\r\na\0b)",
        b'* 1 FETCH (BODY ("TEXT" {1}\r\n\0 NIL NIL NIL "7BIT" 1 1))',
        b"* 1 FETCH (ODDITY 3)",
        b"* 0 EXPUNGE",
        b"* VANISHED 0",
        b"* VANISHED 4:*",
        b'* STATUS "a b (MESSAGES 3)',
        b"* STATUS a (ODDITY 3)",
        b"* ESEARCH (TAG a) ALL 2",
        b"* ODDITY",
        b"a1 OK [ODDITY] what is that",
        b"%b OK [ODDITY] what is that" % (b"t" * 250),
        b"a1 OK [MODIFIED 4:*] no star in an answer",
        b"* LIST (\\HasChildren) / a b",
        b"* 1 EXISTS\r\n* 2 EXISTS",
        b"",
    ],
)
def test_what_is_wrong_is_rejected(response: bytes) -> None:
    with pytest.raises(Rejected):
        accept(response + b"\r\n")


def test_a_greeting_is_no_other_response() -> None:
    accept(b"* OK ready\r\n", greeting=True)
    with pytest.raises(Rejected):
        accept(b"* 1 EXISTS\r\n", greeting=True)


def test_every_word_that_it_lacks_has_the_rfc_that_brings_it() -> None:
    for table in (second_parser.FETCH_ITEMS, second_parser.STATUS_ITEMS):
        assert all(rfc.split()[0].isdigit() for rfc in table.values())
    assert all(rfc.split()[0].isdigit() for _, rfc in second_parser.CODES.values())


def test_responses_are_cut_where_they_end() -> None:
    octets = b"* 1 FETCH (BODY[] {7}\r\na{9}\r\n\x00 X {0}\r\n)\r\n* OK hi\r\n+ \r\n* 2"
    whole = [octets[:41], b"* OK hi\r\n", b"+ \r\n"]
    assert list(Responses().feed(octets)) == whole
    one_by_one = Responses()
    got = [each for octet in octets for each in one_by_one.feed(bytes((octet,)))]
    assert got == whole


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_socket_that_says_what_is_no_IMAP_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rejected: list[str], compressed: bool
) -> None:
    async def wrong(session: Session, request: Request, scanner: Scanner) -> Reply:
        return Reply("done", b"ODDITY")

    monkeypatch.setitem(TABLE, "NOOP", dataclasses.replace(TABLE["NOOP"], run=wrong))
    async with Endpoint(tmp_path) as endpoint:
        client = await Server("127.0.0.1", endpoint.port, {}, judged=False).connect()
        await client.response()
        await client.command(f'a LOGIN alice "{PASSWORD}"')
        if compressed:
            await client.command("c COMPRESS DEFLATE")
            client.compress()
        assert rejected == []
        await client.command("b NOOP")
        client.close()
    (why,) = rejected
    assert "nobody knows the code" in why
    rejected.clear()
