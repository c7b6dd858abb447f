"""How long an event loop kept those waiting who were ready: sampled every few milliseconds.

    async with Lag() as lag:
        ...
    lag.percentile(99)          # milliseconds

`python -m tests.support.lag FILE CONFIG` is the daemon with that measured: when it ends, FILE has
a line for each sample, its moment (CLOCK_MONOTONIC, which all processes share) and lag in seconds.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from bridge import daemon
from bridge.config import Config

EVERY = 0.005


class Lag:
    def __init__(self) -> None:
        self.samples: list[tuple[float, float]] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._sample())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _sample(self) -> None:
        time = asyncio.get_running_loop().time
        while True:
            due = time() + EVERY
            await asyncio.sleep(EVERY)
            self.samples.append((due, time() - due))

    def percentile(self, percent: float) -> float:
        return percentile((lag for _, lag in self.samples), percent)


def percentile(lags: Iterable[float], percent: float) -> float:
    """In milliseconds; a sample stands for the time that it lasted, so that one long hold-up counts
    as many as it kept waiting."""
    waits: list[float] = []
    for lag in lags:
        waits += [lag - EVERY * each for each in range(1 + int(lag / EVERY))]
    waits.sort()
    return 1000 * waits[min(len(waits) - 1, int(len(waits) * percent / 100))] if waits else 0.0


def main() -> int:
    file, config = map(Path, sys.argv[1:])
    serve = daemon._serve
    lag = Lag()

    async def measured(config_path: Path, settings: Config) -> int:
        async with lag:
            return await serve(config_path, settings)

    daemon._serve = measured
    code = daemon.run(config)
    file.write_text("".join(f"{moment} {late}\n" for moment, late in lag.samples))
    return code


if __name__ == "__main__":
    sys.exit(main())
