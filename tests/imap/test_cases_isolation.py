"""bob and alice's mail: whatever he says, hers answers as if it were not there.

A canary stands in her mailbox names, keywords, annotations, subjects and bodies; each command of
the table is said by him about it.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge import limits
from bridge.imap.table import TABLE
from tests.imap.conftest import Play
from tests.support import figures
from tests.support.endpoint import PASSWORD, Core
from tests.support.imap_client import Talk

CANARY = "Canary7h3"
NOBODY = "Nobody7h3"
MAIL = (
    f"Subject: {CANARY}\r\nFrom: {CANARY} <{CANARY}@example.org>\r\n"
    f"Message-ID: <{CANARY}@example.org>\r\n\r\n{CANARY}\r\n"
)

# What bob says about a mailbox {} that is alice's, or nobody's. CREATE comes last.
NAMING = {
    "SELECT": ["SELECT {}", "SELECT {} (CONDSTORE)", "SELECT {} (QRESYNC (1 1))"],
    "EXAMINE": ["EXAMINE {}"],
    "DELETE": ["DELETE {}"],
    "RENAME": ["RENAME {} elsewhere", "RENAME {}/child elsewhere"],
    "STATUS": ["STATUS {} (MESSAGES UIDNEXT UNSEEN UIDVALIDITY HIGHESTMODSEQ SIZE MAILBOXID)"],
    "LIST": [
        'LIST "" {}', 'LIST "" {}*', 'LIST {} *',
        'LIST "" ({}) RETURN (STATUS (MESSAGES) MYRIGHTS)',
        'LIST (SUBSCRIBED RECURSIVEMATCH) "" "*" RETURN (CHILDREN)', 'LIST (REMOTE) "" "{}%"',
    ],
    "LSUB": ['LSUB "" {}', 'LSUB "" *'],
    "APPEND": ["APPEND {} {{2+}}\r\nhi"],
    "GETQUOTAROOT": ["GETQUOTAROOT {}"],
    "GETQUOTA": ["GETQUOTA {}", 'GETQUOTA "alice"', 'GETQUOTA ""'],
    "SETQUOTA": ["SETQUOTA {} (STORAGE 1)"],
    "GETMETADATA": ["GETMETADATA {} /private/comment", "GETMETADATA (DEPTH infinity) {} /private"],
    "SETMETADATA": ['SETMETADATA {} (/private/comment "x")'],
    "MYRIGHTS": ["MYRIGHTS {}"],
    "GETACL": ["GETACL {}"],
    "SETACL": ["SETACL {} bob lrswipkxtea"],
    "DELETEACL": ["DELETEACL {} alice"],
    "LISTRIGHTS": ["LISTRIGHTS {} alice"],
    "COPY": ["COPY 1 {}"],
    "UID COPY": ["UID COPY 1 {}"],
    "MOVE": ["MOVE 1 {}"],
    "UID MOVE": ["UID MOVE 1 {}"],
    "REPLACE": ["REPLACE 1 {} {{2+}}\r\nhi"],
    "UID REPLACE": ["UID REPLACE 1 {} {{2+}}\r\nhi"],
    "NOTIFY": ["NOTIFY SET STATUS (mailboxes {} (MessageNew MessageExpunge))", "NOTIFY NONE"],
    "SUBSCRIBE": ["SUBSCRIBE {}"],
    "UNSUBSCRIBE": ["UNSUBSCRIBE {}"],
    "CREATE": ["CREATE {}", "DELETE {}"],
}  # fmt: skip
# What bob says that looks for mail, in his own mailbox.
LOOKING = {
    "SEARCH": [f"SEARCH TEXT {CANARY}", f"SEARCH RETURN (COUNT ALL) SUBJECT {CANARY}",
               f"SEARCH BODY {CANARY}", f"SEARCH KEYWORD {CANARY}"],
    "UID SEARCH": [f"UID SEARCH FROM {CANARY}", "UID SEARCH UID 1:*"],
    "SORT": [f"SORT (SUBJECT) UTF-8 TEXT {CANARY}"],
    "UID SORT": ["UID SORT (FROM) UTF-8 ALL"],
    "THREAD": ["THREAD REFERENCES UTF-8 ALL"],
    "UID THREAD": [f"UID THREAD REFS UTF-8 TEXT {CANARY}"],
    "FETCH": ["FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[] PREVIEW THREADID EMAILID)"],
    "UID FETCH": ["UID FETCH 1:9999 (ENVELOPE BODY.PEEK[HEADER])"],
    "STORE": [f"STORE 1 +FLAGS ({NOBODY})"],
    "UID STORE": ["UID STORE 1:9999 FLAGS (\\Seen)"],
    "EXPUNGE": ["EXPUNGE"],
    "UID EXPUNGE": ["UID EXPUNGE 1:9999"],
    "CANCELUPDATE": ['CANCELUPDATE "x"'],
    "IDLE": ["IDLE"],
    "CHECK": ["CHECK"],
    "NAMESPACE": ["NAMESPACE"],
}  # fmt: skip
# They know of no mail at all.
OTHERS = {
    "CAPABILITY", "NOOP", "LOGOUT", "ID", "STARTTLS", "AUTHENTICATE", "LOGIN", "ENABLE", "COMPRESS",
    "UNAUTHENTICATE", "CLOSE", "UNSELECT",
}  # fmt: skip
# Spellings of a mailbox of hers that other servers have a meaning for.
SPELLINGS = [
    "{}", "alice/{}", "~alice/{}", "/alice/{}", "user/alice/{}", "#user.alice.{}", "Other/alice/{}",
    "../alice/{}", "INBOX/../{}", "alice@example.org/{}",
]  # fmt: skip


async def signed_in(core: Core, name: str) -> Talk:
    client = await core.connect()
    await client.response()
    assert str((await client.command(f'l LOGIN {name} "{PASSWORD}"'))[-1][0]).startswith("l OK")
    return client


async def said(client: Talk, commands: list[str]) -> list[str]:
    for number, command in enumerate(commands):
        heard = await client.command(f"t{number} {command}")
        assert str(heard[-1][0]).startswith(f"t{number} OK"), heard
    return []


@pytest.fixture
async def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Core]:
    """alice with canaries everywhere, bob with one message."""
    monkeypatch.setattr(limits, "IMAP_BAD_COMMANDS", 10**9)
    async with Core(tmp_path) as core:
        alice, bob = await signed_in(core, "alice"), await signed_in(core, "bob")
        append = f"APPEND {{}} ({CANARY}) {{{{{len(MAIL)}+}}}}\r\n{MAIL}"
        await said(
            alice,
            [
                f"CREATE {CANARY}/child",
                f"SUBSCRIBE {CANARY}",
                f'SETMETADATA {CANARY} (/private/comment "{CANARY}")',
                append.format(CANARY),
                append.format("INBOX"),
            ],
        )
        await said(bob, ["APPEND INBOX {15+}\r\nSubject: x\r\n\r\n.", "SELECT INBOX"])
        for client in (alice, bob):
            client.close()
        yield core


def masked(heard: list[list[str | bytes]], name: str) -> list[str]:
    """What was said, without the name at hand and without figures that count up by themselves."""
    lines = [" ".join(map(str, response)).replace(name, "<name>") for response in heard]
    return [re.sub(r"\d+", "9", line) for line in lines]


@pytest.mark.case("I060", "I065")
def test_every_command_of_the_table_is_tried() -> None:
    assert set(NAMING) | set(LOOKING) | OTHERS == set(TABLE)


@pytest.mark.case("I060", "I065")
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_mailbox_of_alice_is_one_that_is_not_there(core: Core, spelling: str) -> None:
    """Every command with its name answers bob as with a name that nobody has."""
    talks = {}
    # Parents that CREATE makes are there from the first time on.
    for word in ("Before7h3", CANARY, NOBODY):
        bob = await signed_in(core, "bob")
        name = spelling.format(word)
        heard = []
        for number, form in enumerate(itertools.chain(*NAMING.values())):
            await bob.command("s SELECT INBOX")
            command = form.format(name) if "{}" in form else form
            heard += [f"> {form}", *masked(await bob.command(f"t{number} {command}"), word)]
        talks[word] = heard
        bob.close()
    assert talks[CANARY] == talks[NOBODY]
    figures.note("isolation", tried=len(talks[CANARY]), leaks=0)


@pytest.mark.case("I060", "I065", "S004")
async def test_bob_hears_no_canary(core: Core) -> None:
    bob = await signed_in(core, "bob")
    await bob.command("s SELECT INBOX")
    commands = [*itertools.chain(*LOOKING.values())]
    for number, command in enumerate(commands):
        await bob.send(f"t{number} {command}\r\n".encode())
        while True:
            response = await bob.response()
            text = " ".join(map(str, response))
            assert CANARY not in text.replace(command, ""), command
            if text == "+ idling":
                await bob.send(b"DONE\r\n")
            if text.startswith(f"t{number} "):
                break
        assert text.startswith(f"t{number} OK") or "CANCELUPDATE" in command
    for name in ("INBOX", CANARY):
        alice = await signed_in(core, "alice")
        heard = await alice.command(f"a STATUS {name} (MESSAGES)")
        assert heard[0] == [f"* STATUS {name} (MESSAGES 1)"]
        alice.close()
    bob.close()


@pytest.mark.case("I061")
async def test_warm_caches_are_of_one_login(tmp_path: Path) -> None:
    """Both have the same UIDs and the same figures, and ask the same in turn."""
    rounds = 300
    async with Core(tmp_path) as core:
        clients = {}
        for name in ("alice", "bob"):
            clients[name] = client = await signed_in(core, name)
            for number in range(20):
                mail = f"Subject: of-{name} {number}\r\n\r\nof-{name}\r\n"
                await said(client, [f"APPEND INBOX (of-{name}) {{{len(mail)}+}}\r\n{mail}"])
            await said(client, [f"CREATE of-{name}", "SELECT INBOX"])
        commands = [
            "FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[HEADER] PREVIEW)",
            "FETCH 7 BODY.PEEK[]",
            "UID SEARCH SUBJECT of",
            "SORT (SUBJECT) UTF-8 ALL",
            "THREAD REFERENCES UTF-8 BODY of",
            "STATUS INBOX (MESSAGES UNSEEN SIZE)",
            'LIST "" * RETURN (STATUS (MESSAGES))',
        ]

        async def ask(name: str, other: str) -> int:
            asked = 0
            for number in range(rounds):
                heard = await clients[name].command(f"t{number} {commands[number % len(commands)]}")
                text = " ".join(str(part) for response in heard for part in response)
                assert f"of-{other}" not in text
                assert f"t{number} OK" in text
                asked += 1
            return asked

        asked = sum(await asyncio.gather(ask("alice", "bob"), ask("bob", "alice")))
        for client in clients.values():
            client.close()
    figures.note("isolation", tried=asked, leaks=0)


@pytest.mark.case("I062")
async def test_who_signs_in_behind_another_finds_nothing_of_him(play: Play) -> None:
    await play(
        f"""
    @ message secret
    | Subject: {CANARY}
    |
    | {CANARY}
    @ append INBOX secret
    @ login 1 alice
    1 select INBOX
    1 C: a1 ENABLE QRESYNC UTF8=ACCEPT
    1 U: * ENABLED ~
    1 U: * OK [HIGHESTMODSEQ ~
    1 S: a1 OK ~
    1 C: a2 SEARCH RETURN (SAVE) ALL
    1 S: a2 OK ~
    1 C: a3 NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))
    1 S: a3 OK ~
    1 C: a4 UNAUTHENTICATE
    1 S: a4 OK ~
    1 C: a5 FETCH 1 FLAGS
    1 S: a5 BAD ~
    1 C: a6 LOGIN {{bob}} "{{password}}"
    1 S: a6 OK ~
    1 C: a7 FETCH 1 FLAGS
    1 S: a7 BAD ~
    1 select INBOX
    1 C: a8 FETCH $ FLAGS
    1 S: a8 OK ~
    1 C: a9 SEARCH ALL
    1 S: * SEARCH
    1 S: a9 OK ~
    @ login 2 alice
    2 C: b1 CREATE {CANARY}
    2 S: b1 OK ~
    1 C: c1 NOOP
    1 S: c1 OK ~
    """
    )


@pytest.mark.case("I063")
async def test_one_message_of_two_logins(play: Play) -> None:
    """Its octets are stored once; nothing else is shared, and nothing says that they are."""
    await play(
        """
    @ message same
    | Subject: the same
    |
    | hello
    @ append INBOX same (\\Flagged of-alice)
    @ login 1 alice
    @ login 2 bob
    1 select INBOX
    2 select INBOX
    2 C: b1 APPEND INBOX {}
    2 S: + ~
    2 C< same
    2 C: 
    2 S: * 1 EXISTS
    2 S: * 1 RECENT
    2 S: b1 OK [APPENDUID ~ 1] ~
    2 C: b2 FETCH 1 FLAGS
    2 S: * 1 FETCH (FLAGS (\\Recent))
    2 S: b2 OK ~
    1 C: a1 STORE 1 +FLAGS.SILENT (\\Deleted)
    1 S: a1 OK ~
    1 C: a2 EXPUNGE
    1 S: * 1 EXPUNGE
    1 S: a2 OK ~
    2 C: b3 FETCH 1 (FLAGS BODY.PEEK[])
    2 S: * 1 FETCH (FLAGS (\\Recent) BODY[] {}
    2 S< same
    2 S: )
    2 S: b3 OK ~
    """
    )


@pytest.mark.case("I064")
async def test_nobody_hears_of_anothers_mailboxes(play: Play) -> None:
    """In IDLE and by NOTIFY; at the end a NOOP of bob's brings nothing either."""
    events = "(MessageNew MessageExpunge FlagChange)"
    names = "(MailboxName SubscriptionChange)"
    await play(
        f"""
    @ login 1 alice
    @ login 2 bob
    @ login 3 bob
    1 C: a1 CREATE {CANARY}
    1 S: a1 OK ~
    2 select INBOX
    2 C: b1 IDLE
    2 S: + idling
    3 C: c1 NOTIFY SET STATUS (mailboxes ({CANARY} INBOX) {events}) (personal {names})
    3 U: * STATUS INBOX (~)
    3 S: c1 OK ~
    1 C> a2 APPEND {CANARY} {{2+}}\\r\\nhi\\r\\n
    1 S: a2 OK ~
    1 C> a3 APPEND INBOX {{2+}}\\r\\nhi\\r\\n
    1 S: a3 OK ~
    1 C: a4 RENAME {CANARY} {CANARY}2
    1 S: a4 OK ~
    1 C: a5 SUBSCRIBE {CANARY}2
    1 S: a5 OK ~
    2 C: DONE
    2 S: b1 OK ~
    3 C: c2 NOOP
    3 S: c2 OK ~
    """
    )
