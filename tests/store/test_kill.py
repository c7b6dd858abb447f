"""kill -9 while writing: every acknowledged change is there, nothing is half there."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.store.api import ReadTx
from bridge.store.opening import open_store
from tests.store.conftest import EVERY, recount

KILLS = 20


@dataclass
class Expected:
    """What one mailbox must hold, and what it may hold because it was tried."""

    digests: dict[int, str] = field(default_factory=dict)  # UID -> digest, acknowledged
    flags: dict[int, int] = field(default_factory=dict)
    expunged: set[int] = field(default_factory=set)
    ever: dict[int, str] = field(default_factory=dict)  # UID -> digest, seen at any time
    modseq: int = 1
    trying: dict[str, Any] | None = None  # the operation that was under way at the kill

    def take(self, line: dict[str, Any]) -> None:
        if line["op"] == "try":
            self.trying = line
            return
        self.trying = None
        uid = line["uid"]
        if line["what"] == "add":
            assert self.ever.setdefault(uid, line["digest"]) == line["digest"], "UID given twice"
            self.digests[uid] = line["digest"]
            self.flags[uid] = 0
        elif line["what"] == "flag":
            self.flags[uid] = line["flags"]
            assert line["modseq"] >= self.modseq
            self.modseq = line["modseq"]
        else:
            self.expunged.add(uid)
            del self.digests[uid]

    def compare(self, found: dict[int, tuple[str, int]], modseq: int, uidnext: int) -> None:
        """`found`: UID -> (digest, flags). What was under way may have happened or not."""
        trying, self.trying = self.trying, None
        uid = None if trying is None else trying.get("uid")
        if trying is not None and trying["what"] == "add":
            new = set(found) - set(self.digests)
            assert all(found[u][0] == trying["digest"] for u in new)
            assert len(new) <= 1
            for number in new:
                assert number not in self.ever, "UID given twice"
                self.digests[number] = self.ever[number] = trying["digest"]
                self.flags[number] = 0
        elif trying is not None and trying["what"] == "expunge" and uid not in found:
            self.expunged.add(trying["uid"])
            self.digests.pop(trying["uid"])
        elif trying is not None and trying["what"] == "flag":
            assert found[trying["uid"]][1] in (self.flags[trying["uid"]], trying["flags"])
            self.flags[trying["uid"]] = found[trying["uid"]][1]
        assert {u: digest for u, (digest, _) in found.items()} == self.digests
        assert {u: flags for u, (_, flags) in found.items()} == {u: self.flags[u] for u in found}
        assert modseq >= self.modseq
        assert uidnext > max(self.ever, default=0)
        self.modseq = modseq


def run_and_kill(data_dir: Path, seed: int, lines: int, expected: dict[str, Expected]) -> int:
    """Lets the writer say so many lines, kills it, and takes in all that it said."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.store.killed_writer", str(data_dir), str(seed)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        said += child.stdout.readlines()
    assert child.returncode == -9
    for line in said:
        if line.endswith(b"\n"):
            heard = json.loads(line)
            expected.setdefault(heard["box"], Expected()).take(heard)
    return len(said)


def check_box(tx: ReadTx, name: str, expected: Expected) -> int:
    """Compares one mailbox and its account; gives its UIDVALIDITY."""
    login = tx.login("me")
    assert login is not None
    box = tx.mailbox(login.id, name)
    (account,) = (account for account in tx.accounts() if account.mailbox == name)
    digests = {tx.message_by_digest(i.digest): i.digest.hex() for i in tx.maildrop(account.id)}
    flags = {state.uid: state.flags for state in tx.entry_states(box.id)}
    found = {row.uid: (digests[row.message_id], flags[row.uid]) for row in tx.rows(box.id, EVERY)}
    expected.compare(found, box.highestmodseq, box.uidnext)
    gone = {uid for uid, _ in tx.expunged(box.id, 0)}
    assert gone == set(range(1, box.uidnext)) - set(flags)
    assert gone >= expected.expunged
    return box.uidvalidity


async def test_killed_while_writing(tmp_path: Path) -> None:
    """C004, C017, C018, C019: nothing acknowledged is lost, no UID is given twice, no MODSEQ
    shrinks, a message and its maildrop item are there together or not at all."""
    rng = random.Random(4)
    expected: dict[str, Expected] = {}
    uidvalidity: dict[str, int] = {}
    operations = 0
    for seed in range(KILLS):
        operations += run_and_kill(tmp_path, seed, rng.randrange(1, 300), expected)
        assert recount(tmp_path) == [], "before anyone repairs"
        store = await open_store(tmp_path)

        def check(tx: ReadTx) -> None:
            for name, box in expected.items():
                uidvalidity.setdefault(name, check_box(tx, name, box))
                assert uidvalidity[name] == check_box(tx, name, box)

        await store.read(check)
        await store.close()
        assert recount(tmp_path) == []
    assert operations > KILLS * 50
