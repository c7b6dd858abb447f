"""Random POP3 server scripts: see `tests.faults.peer_scripts`, which runs 10,000 of them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.faults.misleading import Fault, Kind, changed
from tests.faults.peer_scripts import Script, Visit, figures, run_all, script
from tests.support import figures as noted

SCRIPTS = int(os.environ.get("POPBRIDGE_SCRIPTS", "200"))
SEED = int(os.environ.get("POPBRIDGE_SEED", "0"))  # the same scripts at each change


SHARE = 100


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, SCRIPTS, SHARE))
async def test_whatever_a_server_answers_nothing_is_lost_or_doubled(
    tmp_path: Path, first: int
) -> None:
    """Honest polls later the mailbox is the maildrop."""
    print(f"POPBRIDGE_SEED={SEED}")
    started = time.monotonic()
    numbers = range(SEED + first, SEED + min(first + SHARE, SCRIPTS))
    outcomes = await run_all(tmp_path, [script(number) for number in numbers])
    for number, outcome in zip(numbers, outcomes, strict=True):
        assert not outcome.wrong, f"{number}: {outcome}\n  {script(number)}"
    noted.note(
        "POP3 server scripts", **figures(outcomes), seconds=round(time.monotonic() - started, 1)
    )


def visit(*faults: Fault, events: tuple[tuple[str, int], ...] = ()) -> Visit:
    return Visit(events, faults)


FOUND = {
    # Each was shown as a message, once, beside the true ones.
    "a stray +OK before a message": Script(
        2, False, (visit(Fault(Kind.JUNK, b"RETR", 0, 1)), visit())
    ),
    "a stray +OK that shifts the replies": Script(
        4, False,
        (visit(Fault(Kind.JUNK, b"RETR", 1, 2), Fault(Kind.AFTER, b"RETR", 3, 1)), visit()),
    ),
    "a listing behind a stray -ERR": Script(1, False, (visit(Fault(Kind.JUNK, b"LIST", 0, 2)),)),
    "a listing that comes twice": Script(2, False, (visit(Fault(Kind.DOUBLE, b"LIST", 0, 0)),)),
    # The half stayed beside the whole, which came under another UIDL.
    "half a message, then other UIDLs": Script(
        5, False, (visit(Fault(Kind.EARLY, b"RETR", 3, 4_000)), visit(events=(("reset", 0),)))
    ),
    "half a message that has a twin": Script(
        8, False,
        (visit(events=(("twin", 3),)), visit(events=(("reset", 0),)),
         visit(Fault(Kind.EARLY, b"RETR", 3, 4_000))),
    ),
    # A message was never fetched: its line was settled by the answer to the one before.
    "a shifted answer, then one is removed": Script(
        3, False,
        (visit(Fault(Kind.DOUBLE, b"RETR", 0, 0), events=(("top", 0),)),
         visit(events=(("remove", 1),))),
    ),
    # The same, and the answers to TOP are shifted, too.
    "script 983": script(983),
    # The true one was taken for a copy of one that began with a stray +OK.
    "listings in the wrong places, then a stray +OK": Script(
        8, False, (visit(Fault(Kind.JUNK, b"RETR", 5, 1), Fault(Kind.SWAP, b"LIST", 0, 0)),)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
async def test_what_scripts_found(tmp_path: Path, name: str) -> None:
    (outcome,) = await run_all(tmp_path, [FOUND[name]])
    assert not outcome.wrong, outcome


@pytest.mark.parametrize(
    ("kind", "draw", "said"),
    [
        (Kind.STATUS, 2, b"OK\r\n1 10\r\n2 20\r\n.\r\n"),
        (Kind.DROP, 0, b"+OK\r\n2 20\r\n.\r\n"),
        (Kind.TWICE, 1, b"+OK\r\n1 10\r\n2 20\r\n2 20\r\n.\r\n"),
        (Kind.NUMBER, 8, b"+OK\r\n2 10\r\n2 20\r\n.\r\n"),
        (Kind.VALUE, 8, b"+OK\r\n1 20\r\n2 20\r\n.\r\n"),
        (Kind.ROTATE, 0, b"+OK\r\n1 20\r\n2 10\r\n.\r\n"),
        (Kind.AFTER, 1, b"+OK\r\n1 10\r\n2 20\r\n.\r\n+OK\r\n"),
    ],
)
def test_faults_do_what_they_say(kind: Kind, draw: int, said: bytes) -> None:
    reply = b"+OK\r\n1 10\r\n2 20\r\n.\r\n"
    assert changed(reply, b"LIST", Fault(kind, b"LIST", 0, draw)) == said
