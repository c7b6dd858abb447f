"""Cost against the number of accounts: a round of polls that brings nothing new, and memory.

Each account has twenty messages, in a provider that answers at once (`bench.provider`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.curves.curve import Curve
from bench.imap import servers
from bench.imap.workload import OURS
from bench.provider import Provider

ACCOUNTS = (1, 10, 100, 1_000)
MESSAGES = 20
ROUNDS = 3


def curves(folder: Path, accounts: Sequence[int]) -> list[Curve]:
    first = Curve("first round, 20 messages each", "accounts", "ms", 1)
    wall = Curve("a round with nothing new", "accounts", "ms", 1)
    cpu = Curve("the same, processor time", "accounts", "ms", 1)
    memory = Curve("memory of the whole server", "account-memory", "MB", 1)
    for number in accounts:
        with (
            Provider(MESSAGES) as provider,
            servers.popbridge(
                folder / f"accounts-{number}", provider=provider.port, accounts=number
            ) as server,
        ):
            first.add(OURS, number, server.poll() * 1e3)
            before = server.cpu()
            rounds = [server.poll() for _ in range(ROUNDS)]
            wall.add(OURS, number, min(rounds) * 1e3)
            cpu.add(OURS, number, (server.cpu() - before) / ROUNDS * 1e3)
            memory.add(OURS, number, server.memory() / 1e6)
    return [first, wall, cpu, memory]
