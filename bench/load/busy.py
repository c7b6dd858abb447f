"""Two hundred devices at work while fifty accounts bring mail: how long commands take, and whether
all that was acknowledged is there once, and only once, at the end (read back by imaplib).
"""

from __future__ import annotations

import imaplib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.imap import servers
from bench.imap.servers import PASSWORD, Server
from bench.load.report import Row
from bench.provider import Provider

SEED = 1


def rows(folder: Path, sessions: int, accounts: int, messages: int, seconds: int) -> Iterator[Row]:
    """`messages` come in for each of the accounts, while each session walks for `seconds`."""
    load = f"{sessions} at work, {accounts} accounts"
    with (
        Provider(messages, users=accounts) as provider,
        servers.popbridge(folder / "busy", provider=provider.port, accounts=sessions) as server,
        ThreadPoolExecutor(1) as thread,
        subprocess.Popen(
            [
                *(sys.executable, "-m", "bench.load.walkers"),
                *map(str, (server.port, sessions, seconds, SEED)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as walkers,
    ):
        assert walkers.stdout is not None
        if walkers.stdout.readline() != "ready\n":
            raise RuntimeError("the sessions could not sign in")
        before = server.cpu()
        synced = thread.submit(server.poll)
        said, _ = walkers.communicate("\n")
        taken = synced.result()
        cpu = server.cpu() - before
        walked = json.loads(said)
        yield from _times(load, walked["took"], seconds)
        yield Row(load, "messages brought meanwhile", accounts * messages / taken, "/s")
        yield Row(load, "processor time", cpu, "s")
        yield Row(load, "memory at its worst", server.peak() / 1e6, "MB")
        yield from _kept(load, server, walked["appended"], accounts, messages)


def _times(load: str, took: Mapping[str, Sequence[float]], seconds: float) -> Iterator[Row]:
    commands = sum(len(costs) for name, costs in took.items() if name != "NOOP")
    yield Row(load, "commands", commands / seconds, "/s")
    for name, costs in sorted(took.items()):
        rising = sorted(costs)
        half, most = rising[len(rising) // 2], rising[int(len(rising) * 0.99)]
        what = "NOOP (the lag of the loop)" if name == "NOOP" else name
        yield Row(load, f"{what}, half of them", half, "ms")
        yield Row(load, f"{what}, 99 % of them", most, "ms")


def _kept(
    load: str, server: Server, appended: Mapping[str, Sequence[str]], accounts: int, messages: int
) -> Iterator[Row]:
    """What is there beside what has to be."""
    lost = doubled = tried = 0
    for number, user in enumerate(server.users):
        wanted = {f"<{each}>" for each in appended[user]}
        if number < accounts:
            wanted |= {f"<{each:07}.numbered@example.org>" for each in range(messages)}
        there = message_ids(server.port, user)
        tried += len(wanted)
        lost += sum(1 for each in wanted if each not in there)
        doubled += sum(times - 1 for each, times in there.items() if each in wanted)
        doubled += sum(times for each, times in there.items() if each not in wanted)
    yield Row(load, "tried", tried, "")
    yield Row(load, "lost", lost, "", 0)
    yield Row(load, "doubled", doubled, "", 0)


def message_ids(port: int, user: str) -> Counter[str]:
    """How often each Message-ID is in INBOX."""
    with imaplib.IMAP4("127.0.0.1", port) as client:
        client.login(user, PASSWORD)
        client.select("INBOX", readonly=True)
        _, said = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        parts = [part[1] for part in said if isinstance(part, tuple)]
    found = [re.search(rb"<[^>]*>", part) for part in parts]
    return Counter("" if each is None else each[0].decode() for each in found)
