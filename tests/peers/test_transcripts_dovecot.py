"""The dialogues of tests/transcripts against Dovecot 2.3, which checks the files themselves: what
they expect is IMAP, not a habit of ours.

Where Dovecot answers otherwise the command stands in `EXCUSED`, and where a whole file is not for
it in `NOT_FOR_DOVECOT`, each with the reason. No row is a wish: an excuse that is not needed and
a file that would pass fail the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dovecot import Dovecot
from tests.support.transcript import Player, Server, parse

FILES = sorted((Path(__file__).parent.parent / "transcripts").glob("*.txt"))

NOT_FOR_DOVECOT: dict[str, str] = {
    "acl": "Dovecot has ACL only with a plugin",
}
EXCUSED: dict[str, dict[str, str]] = {
    "esearch-expunged": {"d1": "finds what another device expunged and this one was not told of"},
    "idle": {"a8": "reads past what follows IDLE"},
    "namespace": {"a2": "reads past what follows NAMESPACE"},
    "search": {"c5": "a message without Date counts as one of 1970"},
    "status": {"b5": "gives \\Recent to who selects, not to who is told first"},
    "select": {"b2": "STORE in a read-only mailbox is OK and does nothing"},
    "two_clients_expunge": {"a2": "answers from its copy of what was expunged"},
    "two_clients_move": {"b3": "cannot rename INBOX"},
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
    excused = frozenset(EXCUSED.get(path.stem, {}))
    server = Server(dovecot.host, dovecot.imap_port, users, foreign=True, excused=excused)
    await Player(parse(path), server).play()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_transcript(path: Path, dovecot: Dovecot) -> None:
    await play(path, dovecot)
