"""The dialogues of tests/transcripts against Dovecot 2.3, which checks the files themselves: what
they expect is IMAP, not a habit of ours.

Where Dovecot answers otherwise the command stands in `EXCUSED`, and where a whole file is not for
it in `NOT_FOR_DOVECOT`, each with the reason. No row is a wish: an excuse that is not needed and
a file that would pass fail the test. How far another server may differ everywhere (order, codes of
refusals, RECENT and the like) says tests.support.foreign_transcript.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import imap_client
from tests.support.dovecot import Dovecot
from tests.support.foreign_transcript import ForeignPlayer
from tests.support.imap_client import Server
from tests.support.transcript import parse

FILES = sorted((Path(__file__).parent.parent / "transcripts").glob("*.txt"))

NOT_FOR_DOVECOT: dict[str, str] = {
    "acl": "ACL comes with a plugin only",
    "authenticate": "signs in as a user of ours",
    "bad": "is about mistakes: what follows a command's end Dovecot does not look at",
    "binary": "every BINARY is a literal8 there, with octets in it that need one or not",
    "compress": "COMPRESS comes with a plugin only",
    "condstore": "MODSEQ comes without UID there, against RFC 7162 3.2.4",
    "context-more": "UPDATE tells no items there, and keeps SORT up to date",
    "create": "parents are \\Noselect there, INBOX and special mailboxes are not renamed",
    "create-special-use": "several mailboxes may have one special use there",
    "hidden": "shows what our configuration hides",
    "id": "names us",
    "inprogress": "2.3 has no INPROGRESS",
    "limits": "reaches limits of ours",
    "list-extended": "parents are \\NonExistent there, and \\HasNoChildren is told on request only",
    "login": "shows our CAPABILITY",
    "logindisabled": "shows our CAPABILITY",
    "metadata": "METADATA needs a dictionary",
    "multiappend": "an empty message is refused before the next literal there",
    "notify": "MailboxMetadataChange is not supported there",
    "notify-delayed": "expunged messages keep no number beside new ones there",
    "objectid": "2.3 has no OBJECTID",
    "pipelining": "signs in as a user of ours",
    "preview": "2.3 takes what follows PREVIEW for its modifiers",
    "quota": "QUOTA comes with a plugin only",
    "quota-without-limits": "QUOTA comes with a plugin only",
    "replace": "2.3 has no REPLACE",
    **dict.fromkeys(
        ("rev2", "rev2-global", "rev2-hidden", "rev2-keywords", "rev2-mailboxes", "rev2-messages"),
        "2.3 has no IMAP4rev2",
    ),
    "rev2-off": "shows our CAPABILITY",
    "scram": "passwords are not kept for SCRAM there",
    "scram-plus": "2.3 binds to no channel",
    "starttls": "signs in as a user of ours",
    "two_clients_deleted": "it hangs up on one of several that have a deleted mailbox open",
    "unauthenticate": "2.3 has no UNAUTHENTICATE",
    "utf8": "2.3 has no UTF8=ACCEPT",
}
EXCUSED: dict[str, dict[str, str]] = {
    "append": {"d2": "a line that is not a command has another tag in its BAD"},
    "esearch-expunged": dict.fromkeys(
        ("d1", "d2"), "finds what another device expunged and this one was not told of"
    ),
    "fetch": {
        "c4": "header names keep their quotes",
        "d2": "a part that is not there is empty, not NIL",
        "g7": "takes a partial of no octets",
    },
    "list": {
        "b4": "quotes what we send as a literal",
        **dict.fromkeys(("b5", "b7"), "a parent is \\Noselect until it is made"),
        "c1": "such a parent cannot be deleted",
    },
    "list-status": {
        "a1": "2.3 has no STATUS DELETED",
        "b1": "a parent is \\Noselect until it is made, and cannot be deleted",
        "b5": "CHILDINFO without quotes; children are told on request only",
        "b9": "2.3 has no STATUS DELETED",
    },
    "lsub": dict.fromkeys(("a1", "b1", "b2", "c2"), "LSUB tells no children"),
    "namespace": {"a2": "does not look at what follows the command"},
    "partial": {
        "a2": "turns the range round",
        **dict.fromkeys(("a3", "a4", "a6"), "no ranges from the end (RFC 9394)"),
        **dict.fromkeys(("c1", "c2", "c3"), "no PARTIAL in FETCH (RFC 9394)"),
    },
    "qresync": {
        **dict.fromkeys(("a2", "a3"), "ENABLED names what was asked for, also the second time"),
        "a10": "tells a flag of what is expunged, and no HIGHESTMODSEQ: nothing is held back",
    },
    "search": {
        "c5": "a message without Date counts as one of 1970",
        "d6": "sharp s is not ss",
        "f4": "takes the 31st of February",
    },
    "select": {
        **dict.fromkeys(("b2", "b3", "b4"), "in a read-only mailbox it is OK and does nothing"),
        **dict.fromkeys(("b5", "b6", "b7"), "MOVE moves out of a read-only mailbox"),
    },
    "status": {"b5": "gives \\Recent to who selects, not to who is told first"},
    "two_clients_expunge": dict.fromkeys(
        ("a2", "a3", "a4", "a6"), "answers from its copy of what was expunged"
    ),
    "two_clients_move": dict.fromkeys(("b3", "a3", "a4"), "INBOX is not renamed"),
}

SETTINGS = "mail_location = maildir:~/%u\nnamespace inbox {\n" + "".join(
    f"  mailbox {name} {{\n    auto = subscribe\n    special_use = \\{name}\n  }}\n"
    for name in ("Archive", "Drafts", "Junk", "Sent", "Trash")
) + "}\n"  # fmt: skip


@pytest.fixture(scope="module")
def dovecot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dovecot]:
    with Dovecot(tmp_path_factory.mktemp("dovecot"), settings=SETTINGS) as running:
        yield running


async def play(path: Path, dovecot: Dovecot) -> None:
    users = {name: (f"{name}-{path.stem}", dovecot.password) for name in ("alice", "bob")}
    tls = ssl.create_default_context(cafile=str(dovecot.ca_pem))
    server = Server(dovecot.host, dovecot.imap_port, users, tls=tls, judged=False)
    excused = frozenset(EXCUSED.get(path.stem, {}))
    await ForeignPlayer(parse(path), server, excused).play()


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.stem not in NOT_FOR_DOVECOT], ids=lambda path: path.stem
)
async def test_dovecot_plays_it(path: Path, dovecot: Dovecot) -> None:
    await play(path, dovecot)


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.stem in NOT_FOR_DOVECOT], ids=lambda path: path.stem
)
async def test_dovecot_does_not_play_it(
    path: Path, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_client, "PATIENCE", 3.0)
    with pytest.raises((AssertionError, KeyError, EOFError, OSError)):
        await play(path, dovecot)


def test_the_tables_name_files() -> None:
    names = {path.stem for path in FILES}
    assert set(NOT_FOR_DOVECOT) | set(EXCUSED) <= names
    assert not set(NOT_FOR_DOVECOT) & set(EXCUSED)
