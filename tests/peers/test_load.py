"""The loads of `bench.load` in small, with what is promised as gates. Nothing is timed."""

from __future__ import annotations

from pathlib import Path

from bench.crowd import Crowd
from bench.curves.devices import news, resting
from bench.imap import servers
from bench.load import busy
from tests.support import figures

DEVICES = 200
DEVICE = 85 * 1024  # octets of the daemon's memory for one in IDLE over TLS
BASE = 150_000_000  # of the daemon before any device came


def test_idle_devices_over_tls_cost_little_and_all_hear_of_a_message(tmp_path: Path) -> None:
    with servers.popbridge(tmp_path / "idle") as server:
        before = resting(server)
        with Crowd(server, DEVICES) as crowd, news(server) as send:
            told = [crowd.push(send) for _ in range(2)]
            grown = server.memory() - before
    assert [len(each) for each in told] == [DEVICES, DEVICES]
    assert grown / DEVICES < DEVICE
    assert before < BASE
    figures.note("idle devices", tried=DEVICES, lost=0, kb_each=grown // DEVICES // 1000)


def test_what_is_acknowledged_is_there_once_while_accounts_bring_mail(tmp_path: Path) -> None:
    found = busy.rows(tmp_path, sessions=20, accounts=5, messages=30, seconds=2)
    counted = {row.what: row.value for row in found}
    assert counted["lost"] == counted["doubled"] == 0
    assert counted["tried"] > 5 * 30 + 20 * 3
    assert counted["commands"] > 0
    figures.note(
        "devices at work",
        tried=int(counted["tried"]),
        lost=int(counted["lost"]),
        doubled=int(counted["doubled"]),
    )
