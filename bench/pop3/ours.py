"""Our collector in a process of its own: a store, the poller, the schedule, as the daemon has them.

    python -m bench.pop3.ours FOLDER PORT HOST/USER...

Prints one JSON object: seconds of the poll (of all polls, where there are several accounts), new
messages, seconds of the processor in it, peak memory over what was there before, in octets. The
store is SQLite with `synchronous = FULL`: what is counted is on disk.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path

from bench.pop3_goals import Cost, account, secret
from bridge.daemon import loop_factory
from bridge.model import Endpoint, Security
from bridge.store.opening import open_store
from bridge.sync.poll import Poller
from bridge.sync.schedule import Job, Schedule


async def poll(folder: Path, port: int, boxes: list[str]) -> dict[str, object]:
    store = await open_store(folder)
    poller = Poller(store, wall=time.time, spool_dir=folder)
    jobs = []
    for host, _, user in (box.partition("/") for box in boxes):
        mine = await account(store, f"{user}@example.org")
        jobs.append(Job(mine, Endpoint(host, port, Security.NONE, user), 900.0, secret))
    gc.collect()
    gc.freeze()
    with Cost() as cost:
        if len(jobs) == 1:
            reports = [await poller.poll(jobs[0].account, jobs[0].endpoint, secret)]
        else:
            schedule = Schedule(poller.poll)
            schedule.update(jobs)
            reports = list(await schedule.poll_now())
            await schedule.stop()
    await store.close()
    errors = sorted({report.error for report in reports if report.error})
    if errors:
        raise SystemExit("; ".join(errors))
    new = sum(report.new for report in reports)
    return {"seconds": cost.seconds, "new": new, "cpu": cost.cpu, "extra": cost.extra}


def main() -> None:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        said = runner.run(poll(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
    print(json.dumps(said))


if __name__ == "__main__":
    main()
