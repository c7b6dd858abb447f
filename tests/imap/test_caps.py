"""What a device may send, to the last octet and one over, and that nobody else suffers.

alice goes up to a cap, which works, and over it, which fails as the RFC says. Before, after and
while she waits bob reads his mail and is told in IDLE what comes in. The caps of connections and of
slow readers are reached in test_server.py, in the same company.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge import limits
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server

L = limits


@dataclass(frozen=True)
class Case:
    """`within` and `over` are sent after a tag and a blank. What is over is answered by `refusal`;
    with `ends` by BYE after it, and the connection is over too."""

    within: bytes
    over: bytes
    refusal: str
    ends: bool = False
    signed_in: bool = True
    accepted: str = "OK"


def literal(octets: bytes) -> bytes:
    return b"{%d+}\r\n%b" % (len(octets), octets)


def subjects(count: int, size: int) -> bytes:
    """A SEARCH with so many literals of that size."""
    return b"SEARCH" + b"".join(b" SUBJECT " + literal(b"x" * size) for _ in range(count))


def nested(depth: int) -> bytes:
    return b"SEARCH " + b"(" * depth + b"ALL" + b")" * depth


def listed(count: int, start: bytes, one: bytes, end: bytes, between: bytes = b" ") -> bytes:
    return start + between.join([one] * count) + end


def sections(count: int) -> bytes:
    return b"FETCH 1 (%b)" % b" ".join(b"BODY.PEEK[TEXT]<%d.1>" % at for at in range(count))


def notify(names: int) -> bytes:
    boxes = b" ".join(b"m%d" % number for number in range(names))
    return b"NOTIFY SET (mailboxes (%b) (MailboxName))" % boxes


def entries(count: int) -> bytes:
    return b"SETMETADATA INBOX (%b)" % b" ".join(b'/private/e%d "x"' % n for n in range(count))


def append(count: int) -> bytes:
    return b"APPEND Drafts" + (b" " + literal(b"x")) * count


CASES = {
    "IMAP_LINE": Case(
        b'SEARCH SUBJECT "%b"' % (b"x" * (L.IMAP_LINE - 100)),
        b'SEARCH SUBJECT "%b"' % (b"x" * L.IMAP_LINE),
        "BAD",
        ends=True,
    ),
    "IMAP_TAG": Case(b"NOOP", b"NOOP", "BAD"),  # see `tagged`
    "IMAP_LITERAL": Case(
        subjects(1, L.IMAP_LITERAL), b"SEARCH SUBJECT {%d}" % (L.IMAP_LITERAL + 1), "BAD"
    ),
    "IMAP_LITERAL without waiting": Case(
        b"NOOP", b"SEARCH SUBJECT {%d+}" % (L.IMAP_LITERAL + 1), "BAD", ends=True
    ),
    "IMAP_COMMAND": Case(
        subjects(10, L.IMAP_LITERAL),
        subjects(10, L.IMAP_LITERAL) + b" SUBJECT {%d}" % L.IMAP_LITERAL,
        "BAD",
    ),
    "IMAP_LITERALS_PER_COMMAND": Case(
        subjects(L.IMAP_LITERALS_PER_COMMAND, 1),
        subjects(L.IMAP_LITERALS_PER_COMMAND, 1) + b" SUBJECT {1}",
        "BAD",
    ),
    "IMAP_APPEND": Case(b"NOOP", b"APPEND Drafts {%d}" % (L.IMAP_APPEND + 1), "NO [TOOBIG]"),
    "IMAP_APPEND without waiting": Case(
        b"NOOP", b"APPEND Drafts {%d+}" % (L.IMAP_APPEND + 1), "NO [TOOBIG]", ends=True
    ),
    "IMAP_APPEND_MESSAGES": Case(
        append(L.IMAP_APPEND_MESSAGES), append(L.IMAP_APPEND_MESSAGES) + b" {1}", "BAD"
    ),
    "IMAP_NESTING": Case(nested(L.IMAP_NESTING - 1), nested(L.IMAP_NESTING), "BAD"),
    "IMAP_NUMBER_RANGES": Case(
        listed(L.IMAP_NUMBER_RANGES, b"FETCH ", b"1", b" UID", b","),
        listed(L.IMAP_NUMBER_RANGES + 1, b"FETCH ", b"1", b" UID", b","),
        "BAD",
    ),
    "IMAP_SECTION_DEPTH": Case(
        listed(L.IMAP_SECTION_DEPTH, b"FETCH 1 BODY.PEEK[", b"1", b"]", b"."),
        listed(L.IMAP_SECTION_DEPTH + 1, b"FETCH 1 BODY.PEEK[", b"1", b"]", b"."),
        "BAD",
    ),
    "IMAP_HEADER_NAMES": Case(
        listed(L.IMAP_HEADER_NAMES, b"FETCH 1 BODY.PEEK[HEADER.FIELDS (", b"x", b")]"),
        listed(L.IMAP_HEADER_NAMES + 1, b"FETCH 1 BODY.PEEK[HEADER.FIELDS (", b"x", b")]"),
        "BAD",
    ),
    "IMAP_FETCH_SECTIONS": Case(
        sections(L.IMAP_FETCH_SECTIONS),
        sections(L.IMAP_FETCH_SECTIONS + 1),
        "BAD",
    ),
    "IMAP_NOTIFY_MAILBOXES": Case(
        notify(L.IMAP_NOTIFY_MAILBOXES - 1),
        notify(L.IMAP_NOTIFY_MAILBOXES + 1),
        "NO [NOTIFICATIONOVERFLOW]",
    ),
    "MAILBOX_NAME": Case(
        b"CREATE " + b"n" * L.MAILBOX_NAME, b"CREATE " + b"m" * (L.MAILBOX_NAME + 1), "BAD"
    ),
    "MAILBOX_DEPTH": Case(
        listed(L.MAILBOX_DEPTH, b"CREATE ", b"d", b"", b"/"),
        listed(L.MAILBOX_DEPTH + 1, b"CREATE ", b"e", b"", b"/"),
        "NO [LIMIT]",
    ),
    "KEYWORD_NAME": Case(
        b"STORE 1 +FLAGS (%b)" % (b"k" * L.KEYWORD_NAME),
        b"STORE 1 +FLAGS (%b)" % (b"k" * (L.KEYWORD_NAME + 1)),
        "BAD",
    ),
    "METADATA_NAME": Case(
        b"GETMETADATA INBOX /private/" + b"x" * (L.METADATA_NAME - 9),
        b"GETMETADATA INBOX /private/" + b"x" * (L.METADATA_NAME - 8),
        "BAD",
    ),
    "METADATA_VALUE": Case(
        b"SETMETADATA INBOX (/private/a " + literal(b"x" * L.METADATA_VALUE) + b")",
        b"SETMETADATA INBOX (/private/a " + literal(b"x" * (L.METADATA_VALUE + 1)) + b")",
        f"NO [METADATA MAXSIZE {L.METADATA_VALUE}]",
    ),
    "METADATA_ENTRIES": Case(
        entries(L.METADATA_ENTRIES), entries(L.METADATA_ENTRIES + 1), "NO [METADATA TOOMANY]"
    ),
    "IMAP_LINE_BEFORE_LOGIN": Case(
        b'ID ("name" "%b")' % (b"x" * 900),
        b'ID ("name" "%b")' % (b"x" * L.IMAP_LINE_BEFORE_LOGIN),
        "BAD",
        ends=True,
        signed_in=False,
    ),
    "IMAP_LITERAL_BEFORE_LOGIN": Case(
        b"LOGIN " + literal(b"x" * L.IMAP_LITERAL_BEFORE_LOGIN) + b" x",
        b"LOGIN {%d}" % (L.IMAP_LITERAL_BEFORE_LOGIN + 1),
        "BAD",
        signed_in=False,
        accepted="NO [AUTHENTICATIONFAILED]",
    ),
    "IMAP_COMMAND_BEFORE_LOGIN": Case(
        b"NOOP",
        b"LOGIN" + (b" " + literal(b"x" * L.IMAP_LITERAL_BEFORE_LOGIN)) * 15 + b" {4096}",
        "BAD",
        signed_in=False,
    ),
    "PASSWORD": Case(
        b"LOGIN alice " + literal(b"x" * L.PASSWORD),
        b"LOGIN alice " + literal(b"x" * (L.PASSWORD + 1)),
        "NO [AUTHENTICATIONFAILED]",
        signed_in=False,
        accepted="NO [AUTHENTICATIONFAILED]",
    ),
}


class Bystander:
    """bob, with two sessions: one works, the other listens."""

    def __init__(self, working: Client, listening: Client) -> None:
        self.working, self.listening = working, listening
        self._count = 0
        self._tags = itertools.count()

    async def is_well(self) -> None:
        """He stores a message, reads it, and hears of it, at once."""
        tag, self._count = f"b{next(self._tags)}", self._count + 1
        async with asyncio.timeout(5):
            heard = await self.working.command(f"{tag} APPEND INBOX {{2+}}\r\nhi")
            assert [f"* {self._count} EXISTS"] in heard
            assert str(heard[-1][0]).startswith(f"{tag} OK")
            heard = await self.working.command(f"{tag} FETCH {self._count} BODY[]")
            assert heard[0][1] == b"hi"
            while await self.listening.response() != [f"* {self._count} EXISTS"]:
                pass


async def signed_in(endpoint: Endpoint, name: str) -> Client:
    client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
    await client.response()
    for text in (f'l LOGIN {name} "{PASSWORD}"', "s SELECT INBOX"):
        assert " OK " in str((await client.command(text))[-1][0])
    return client


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[Endpoint]:
    async with Endpoint(tmp_path) as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(limits, "IMAP_FAILED_LOGIN_DELAY", 0.0)
    return iter(())


@pytest.fixture
async def bob(endpoint: Endpoint) -> AsyncIterator[Bystander]:
    working, listening = await signed_in(endpoint, "bob"), await signed_in(endpoint, "bob")
    await listening.send(b"i IDLE\r\n")
    assert await listening.response() == ["+ idling"]
    bob = Bystander(working, listening)
    await bob.is_well()
    yield bob
    await bob.is_well()
    working.close()
    listening.close()


def tagged(name: str, tag: str) -> str:
    """The tag is what is measured."""
    if name != "IMAP_TAG":
        return tag
    return tag * (limits.IMAP_TAG + (tag == "o"))


async def answer(client: Client, tag: str, octets: bytes) -> str:
    await client.send(tag.encode() + b" " + octets + b"\r\n")
    while not (said := str((await client.response())[0])).startswith((tag, "* BAD", "* BYE")):
        pass
    return said


@pytest.mark.parametrize("name", CASES)
async def test_one_over_the_cap(endpoint: Endpoint, bob: Bystander, name: str) -> None:
    case = CASES[name]
    if case.signed_in:
        client = await signed_in(endpoint, "alice")
        assert (await answer(client, "z", b"APPEND INBOX {2+}\r\nhi"))[:4] == "z OK"
    else:
        client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
        await client.response()
    tag = tagged(name, "w")
    assert (await answer(client, tag, case.within)).startswith(f"{tag} {case.accepted}")
    await bob.is_well()
    tag = tagged(name, "o")
    said = await answer(client, tag, case.over)
    assert said.startswith((f"{tag} {case.refusal}", f"* {case.refusal}")), said[:200]
    await bob.is_well()
    if case.ends:
        assert str((await client.response())[0]).startswith("* BYE")
        with pytest.raises(EOFError):
            await client.response()
    else:
        assert (await answer(client, "v", b"NOOP")).startswith("v OK")
    client.close()


async def test_searches_that_are_kept_up_to_date(endpoint: Endpoint, bob: Bystander) -> None:
    """RFC 5267 4.3: NOUPDATE, and the search is answered all the same."""
    client = await signed_in(endpoint, "alice")
    for number in range(limits.IMAP_CONTEXTS):
        said = await answer(client, f"c{number}c", b"SEARCH RETURN (UPDATE COUNT) ALL")
        assert said.startswith(f"c{number}c OK")
        assert "NOUPDATE" not in said
    heard = await client.command("over SEARCH RETURN (UPDATE COUNT) ALL")
    assert any('[NOUPDATE "over"]' in str(response[0]) for response in heard)
    assert any(str(response[0]).startswith("* ESEARCH") for response in heard)
    assert str(heard[-1][0]).startswith("over OK")
    await bob.is_well()
    client.close()


@pytest.mark.case("I034")
@pytest.mark.parametrize("signed", [True, False])
async def test_commands_that_make_no_sense(
    endpoint: Endpoint, bob: Bystander, signed: bool
) -> None:
    if signed:
        client, most = await signed_in(endpoint, "alice"), limits.IMAP_BAD_COMMANDS
    else:
        client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
        await client.response()
        most = limits.IMAP_BAD_COMMANDS_BEFORE_LOGIN
    for _ in range(most):
        assert (await answer(client, "n", b"NONSENSE")).startswith("n BAD")
    await bob.is_well()
    assert (await answer(client, "n", b"NONSENSE")).startswith("* BYE")
    with pytest.raises(EOFError):
        await client.response()
    client.close()


@pytest.mark.parametrize(
    ("cap", "most", "commands", "refusal"),
    [
        ("MAILBOXES_PER_LOGIN", 7, [b"CREATE a", b"CREATE b"], "NO [LIMIT]"),
        ("KEYWORDS_PER_LOGIN", 1, [b"STORE 1 +FLAGS (a)", b"STORE 1 +FLAGS (b)"], "NO [LIMIT]"),
        (
            "METADATA_OCTETS",
            9,
            [
                b'SETMETADATA INBOX (/private/a "12345")',
                b'SETMETADATA Sent (/private/a "12345")',
            ],
            "NO [METADATA TOOMANY]",
        ),
    ],
)
async def test_what_one_login_may_hold_together(
    endpoint: Endpoint,
    bob: Bystander,
    monkeypatch: pytest.MonkeyPatch,
    cap: str,
    most: int,
    commands: list[bytes],
    refusal: str,
) -> None:
    """What alice fills up is hers alone."""
    monkeypatch.setattr(limits, cap, most)
    client = await signed_in(endpoint, "alice")
    assert (await answer(client, "z", b"APPEND INBOX {2+}\r\nhi"))[:4] == "z OK"
    assert (await answer(client, "w", commands[0])).startswith("w OK")
    said = await answer(client, "o", commands[1])
    assert said.startswith(f"o {refusal}"), said
    assert (await answer(client, "v", b"NOOP")).startswith("v OK")
    assert (await answer(bob.working, "w", commands[0])).startswith("w OK")
    client.close()


async def test_who_guesses_waits_and_nobody_else_does(
    endpoint: Endpoint, bob: Bystander, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IMAP_FAILED_LOGIN_DELAY", 60.0)
    monkeypatch.setattr(limits, "IMAP_FAILED_LOGIN_DELAY_MOST", 60.0)
    client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
    await client.response()
    await client.send(b"a LOGIN alice guess\r\n")
    await bob.is_well()
    # From the same address, with the right password.
    (await signed_in(endpoint, "alice")).close()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.response(), 0.1)
    client.close()
