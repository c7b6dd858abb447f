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
    "appendlimit": "2.3 has no STATUS APPENDLIMIT, and the limit is ours",
    "bad-lines": "a bare LF ends a line there, and what stands behind IDLE is let be",
    "capability": "shows our CAPABILITY",
    "context-more": "UPDATE tells no items there, and keeps SORT up to date",
    "create-special-use": "2.3 has no CREATE-SPECIAL-USE",
    "hidden": "shows what our configuration hides",
    "inprogress": "2.3 has no INPROGRESS",
    "limits": "reaches limits of ours",
    "list-myrights": "2.3 has no LIST-MYRIGHTS",
    "logindisabled": "takes a client on loopback for one in private, always",
    "metadata-limits": "reaches limits of ours; special uses are no annotations there",
    "multiappend-limits": "an empty message is refused before the next literal there",
    "notify": "a rename is told without OLDNAME there, and a level without a mailbox not at all",
    "notify-delayed": "expunged messages keep no number beside new ones there",
    "notify-metadata": "2.3 has no MailboxMetadataChange and no ServerMetadataChange",
    "objectid": "2.3 has no OBJECTID",
    "pipelining-expunge": "FETCH overtakes a pipelined EXPUNGE there, with the numbers of before",
    "rename-inbox": "INBOX is not renamed there",
    "rename-selected": "it hangs up on who has a mailbox open that is renamed",
    "replace": "2.3 has no REPLACE",
    **dict.fromkeys(
        ("rev2", "rev2-global", "rev2-hidden", "rev2-keywords", "rev2-mailboxes", "rev2-messages"),
        "2.3 has no IMAP4rev2",
    ),
    "rev2-off": "shows our CAPABILITY",
    "scram-plus": "2.3 has no SCRAM-SHA-256-PLUS",
    "starttls-refused": "what follows STARTTLS in its segment is thrown away there, without BYE",
    "two_clients_deleted": "it hangs up on one of several that have a deleted mailbox open",
    "unauthenticate": "2.3 has no UNAUTHENTICATE",
    "utf8": "2.3 has no UTF8=ACCEPT",
}
EXCUSED: dict[str, dict[str, str]] = {
    "acl": {
        "a0": "announces it",
        **dict.fromkeys(("a3", "a4"), "everybody may be given any right"),
        "a5": "there are rights of a mailbox that is not there",
        **dict.fromkeys(("b1", "b3", "b4", "b8"), "rights are given and taken"),
        "c2": "a parent is \\NonExistent until it is made, and cannot be deleted",
        **dict.fromkeys(("c3", "c4"), "2.3 has no LIST-MYRIGHTS"),
    },
    "append": {"d2": "a line that is not a command has another tag in its BAD"},
    "bad": {"a3": "does not look at what follows the command", "a7": "has XLIST"},
    "binary": {
        "a1": "a message/rfc822 has no BINARY.SIZE if a part beside it cannot be decoded",
        "a6": "a part that is not there is empty, not NIL",
        "b1": "stops at the message that cannot be decoded",
        "b2": "tells the UID as well",
        "b3": "takes 1.MIME for a part",
        "b4": "does not look at what follows BINARY.SIZE",
    },
    "condstore": {
        "a11": "the new MODSEQ comes in a FETCH of its own",
        "a12a": "OK, not NO, and MODIFIED of what another device expunged too",
    },
    "create": {"a1": "an INBOX that nobody has opened yet is made"},
    "enable": {
        **dict.fromkeys(("a1", "a3", "a6"), "no ENABLED for nothing; one for what is on already"),
        "a4": "ENABLE of nothing is OK",
    },
    "esearch-expunged": dict.fromkeys(
        ("d1", "d2"), "finds what another device expunged and this one was not told of"
    ),
    "esort": {"a7": "finds what another device expunged and this one was not told of"},
    "fetch": {
        "c4": "header names keep their quotes",
        "d2": "a part that is not there is empty, not NIL",
        "g7": "takes a partial of no octets",
    },
    "id": {
        **dict.fromkeys(("a1", "a2"), "has another name"),
        "a4": "a field without a value is let be",
    },
    "list": {
        "b4": "quotes what we send as a literal, quote and all",
        **dict.fromkeys(("b5", "b7"), "a parent is \\Noselect until it is made"),
        "c1": "such a parent cannot be deleted",
    },
    "list-extended": {
        "a7": "a parent is \\NonExistent until it is made, and cannot be deleted",
        **dict.fromkeys(("b1", "f3"), "what is subscribed by the configuration stays it"),
        "d2": "tells of the parent in its own row as well",
        **dict.fromkeys(("f4", "f5"), "a special mailbox is not there until it is opened"),
        "g3": "takes no pattern for one",
        "g5": "does not look at what follows the pattern of LSUB",
    },
    "list-status": {
        **dict.fromkeys(("a1", "b9"), "2.3 has no STATUS DELETED"),
        "b1": "a parent is \\Noselect until it is made, and cannot be deleted",
        "b5": "children are told on request only",
    },
    "lsub": dict.fromkeys(("a1", "b1", "b2", "c2"), "LSUB tells no children"),
    "metadata": {
        **dict.fromkeys(("e3", "e4"), "a special mailbox is there again when it was renamed"),
        "g6": "the root of all private entries is an entry",
        "g7": "takes no entries for some",
    },
    "namespace": {"a2": "does not look at what follows the command"},
    "partial": {
        "a2": "turns the range round",
        **dict.fromkeys(("a3", "a4", "a6"), "no ranges from the end (RFC 9394)"),
        **dict.fromkeys(("c1", "c2", "c3"), "no PARTIAL in FETCH (RFC 9394)"),
    },
    "preview": {"a6": "takes what follows PREVIEW for its modifiers"},
    "qresync": {
        **dict.fromkeys(("a2", "a3"), "ENABLED names what was asked for, also the second time"),
        "a10": "tells a flag of what is expunged, and no HIGHESTMODSEQ: nothing is held back",
    },
    "quota": {"d3": "2.3 has no STATUS DELETED"},
    "quota-without-limits": {
        "a1": "no QUOTAROOT where there is no limit",
        "a2": "GETQUOTA of a root that is not there is OK",
        "a3": "2.3 has no STATUS DELETED-STORAGE",
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
    "special-use": dict.fromkeys(
        ("b1", "a4", "b2", "a5"), "a special mailbox is not there until it is opened"
    ),
    "status": {"b5": "gives \\Recent to who selects, not to who is told first"},
    "two_clients_expunge": dict.fromkeys(
        ("a2", "a3", "a4", "a6"), "answers from its copy of what was expunged"
    ),
    "two_clients_move": dict.fromkeys(("b3", "a3", "a4"), "INBOX is not renamed"),
    "uid-expunge": {"a7": "in a read-only mailbox it is OK and does nothing"},
}

# Mailboxes as ours has them, and what Debian's packages bring beside the plain server.
SETTINGS = """
mail_location = maildir:~/%u
auth_failure_delay = 0
mail_attribute_dict = file:%h/%u/dovecot-attributes
protocol imap {
  mail_plugins = $mail_plugins imap_zlib
  imap_metadata = yes
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
namespace inbox {
""" + "".join(
    f"  mailbox {name} {{\n    auto = subscribe\n    special_use = \\{name}\n  }}\n"
    for name in ("Archive", "Drafts", "Junk", "Sent", "Trash")
) + "}\n"  # fmt: skip
# A Dovecot of its own, for files that need what would change the others.
QUOTA = """
protocol imap {
  mail_plugins = quota imap_quota
}
plugin {
  quota = count:
  quota_vsizes = yes
}
"""
PLUGINS = {
    "acl": "protocol imap {\n  mail_plugins = acl imap_acl\n}\nplugin {\n  acl = vfile\n}\n",
    "quota": QUOTA + "plugin {\n  quota_rule = *:storage=3K:messages=4\n}\n",
    "quota-without-limits": QUOTA,
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dovecot]:
    folder, mechanisms = tmp_path_factory.mktemp("dovecot"), "plain login scram-sha-256"
    with Dovecot(folder, mechanisms=mechanisms, settings=SETTINGS) as running:
        yield running


@pytest.fixture
def dovecot(path: Path, shared: Dovecot, tmp_path: Path) -> Iterator[Dovecot]:
    if path.stem not in PLUGINS:
        yield shared
        return
    with Dovecot(tmp_path, settings=SETTINGS + PLUGINS[path.stem]) as running:
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
    ours = {path.stem for path in FILES if "popbridge" in parse(path).needs}
    assert ours <= set(NOT_FOR_DOVECOT)
