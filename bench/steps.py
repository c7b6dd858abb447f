"""How long does one step of the daemon's event loop take, while each workload runs?

    python -m bench.steps [--tiny 100000] [--mixed 1000] [--only W8 W13]

Nobody is served while the loop makes a step, so no step may be long: under 10 ms at the 99th
percentile is the goal. The daemon runs on asyncio's own loop here, whose steps can be timed, not
on uvloop; the steps are the same. Wall time says what a device waits; CPU time of the thread says
what the step itself costs, also on a machine that does other things. Besides the workloads of
`bench.imap`, commands about a mailbox of very many messages are looked at, and `LIST` of very many
mailboxes. Printed, never asserted: that steps are short is tested by counting what they do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.imap import servers
from bench.imap.client import Client, Refused
from bench.imap.run import WORKLOADS, load
from bench.imap.servers import Server
from bench.imap.workload import SMALL, Sizes, Workload

REPORT = "BENCH_STEPS_REPORT"  # names the file that the daemon writes at SIGUSR2
LONG = 0.005  # seconds from which on it is noted where a step ended
MAILBOXES = 9_000
TINY = (
    "FETCH 1:* (FLAGS)",
    "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)",
    "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1)",
    "UID SEARCH ALL",
    "UID SEARCH UNSEEN",
    "SEARCH NOT FLAGGED",
    "UID SEARCH RETURN (ALL) SEEN",
    "UID SEARCH RETURN (MIN MAX COUNT) UNSEEN",
    "UID SEARCH FROM example",
    "UID SEARCH SUBJECT 7",
    "UID SEARCH SINCE 1-Jan-2020 SMALLER 400",
    "UID SEARCH BODY hello",
    "UID SORT (SUBJECT) UTF-8 ALL",
    "UID SORT (SUBJECT) UTF-8 ALL",
    "UID SORT RETURN (ALL) (REVERSE DATE) UTF-8 UNSEEN",
    "UID THREAD REFERENCES UTF-8 ALL",
    "UID THREAD REFERENCES UTF-8 ALL",
    "UID STORE 1:30000 +FLAGS (\\Flagged)",
    "UID STORE 1:30000 -FLAGS.SILENT (\\Flagged)",
    "UID STORE 1:* +FLAGS (\\Answered)",
    "UID COPY 1:20000 work",
)


# --- in the daemon ------------------------------------------------------------------------


class Steps:
    """The steps since the last report: seconds by the clock and of the thread, and where."""

    def __init__(self, report: Path) -> None:
        self._report = report
        self._wall: list[float] = []
        self._cpu: list[float] = []
        self._where: dict[str, float] = {}

    def install(self) -> None:
        run = asyncio.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            wall, cpu = time.perf_counter(), time.thread_time()
            run(handle)
            cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
            callback = getattr(handle, "_callback", None)
            if callback == self.write:
                return
            self._wall.append(wall)
            self._cpu.append(cpu)
            if cpu > LONG:
                where = _where(handle)
                self._where[where] = max(cpu, self._where.get(where, 0.0))

        # There is no public place where every step of a loop passes.
        asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]

    def write(self) -> None:
        told = {"wall": sorted(self._wall), "cpu": sorted(self._cpu), "where": self._where}
        unfinished = self._report.with_suffix(".part")
        unfinished.write_text(json.dumps(told))
        unfinished.replace(self._report)
        self._wall, self._cpu, self._where = [], [], {}


def _where(handle: asyncio.Handle) -> str:
    """The innermost place of what ran: where it waits now."""
    callback = getattr(handle, "_callback", None)
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return getattr(callback, "__qualname__", repr(callback))
    frames = task.get_stack()
    coroutine = task.get_coro()
    place = getattr(coroutine, "__qualname__", repr(coroutine))
    while (inner := getattr(coroutine, "cr_await", None)) is not None:
        coroutine = inner
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None:
            place = f"{coroutine.__qualname__}:{frame.f_lineno}"
    return place if frames else f"{place} (ended)"


def daemon() -> None:
    from bridge import daemon as house
    from bridge.cli.main import run

    steps = Steps(Path(os.environ[REPORT]))
    steps.install()
    house.loop_factory = lambda: None
    serve = house._serve

    async def served(*given: object) -> int:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, steps.write)
        return await serve(*given)  # type: ignore[arg-type]  # handed through

    house._serve = served  # type: ignore[assignment]  # the daemon, and a meter beside it
    run()


# --- beside it ----------------------------------------------------------------------------


def measured(server: Server, report: Path, work: Callable[[], object]) -> dict[str, object]:
    """What the steps were while it worked."""
    _asked(server, report)
    work()
    return _asked(server, report)


def _asked(server: Server, report: Path) -> dict[str, object]:
    report.unlink(missing_ok=True)
    os.kill(server.pid, signal.SIGUSR2)
    until = time.monotonic() + 60
    while not report.exists():
        if time.monotonic() > until:
            raise TimeoutError("the daemon does not report its steps")
        time.sleep(0.02)
    found: dict[str, object] = json.loads(report.read_text())
    return found


def works(
    server: Server, sizes: Sizes, only: list[str]
) -> Iterator[tuple[str, Callable[[], object]]]:
    for workload in WORKLOADS:
        if not only or workload.name in only:
            yield workload.name, partial(_all_of, workload, server, sizes)
    if only and "tiny" not in only:
        return
    with server.client() as client:
        yield "SELECT tiny", lambda: client.run("SELECT tiny")
        for command in TINY:
            yield f"tiny: {command}", partial(client.run, command)
    with server.client() as client, server.client() as other:
        yield "tiny: two contexts, then STORE of 30,000", lambda: _contexts(client, other)
    with server.client(user=1) as client:
        names = [f"m{number:05d}" for number in range(MAILBOXES)]
        yield f"CREATE of {MAILBOXES:,}", lambda: _created(client, names)
        for command in ('LIST "" *', 'LIST "" * RETURN (STATUS (MESSAGES UNSEEN))', 'LSUB "" *'):
            yield f"{MAILBOXES:,} mailboxes: {command}", partial(client.run, command)


def _all_of(workload: Workload, server: Server, sizes: Sizes) -> None:
    for _ in workload.measure(server, sizes):
        pass


def _contexts(client: Client, other: Client) -> None:
    client.run("SELECT tiny")
    client.run("UID SEARCH RETURN (UPDATE COUNT) UNFLAGGED", "SEARCH RETURN (UPDATE COUNT) SEEN")
    other.run("SELECT tiny")
    other.run("UID STORE 1:30000 +FLAGS.SILENT (\\Flagged)")
    client.run("NOOP")
    other.run("UID STORE 1:30000 -FLAGS.SILENT (\\Flagged)")
    client.run("NOOP")


def _created(client: Client, names: list[str]) -> None:
    for start in range(0, len(names), 500):
        client.run(*[f"CREATE {name}" for name in names[start : start + 500]])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.steps")
    parser.add_argument("--tiny", type=int, default=100_000)
    parser.add_argument("--mixed", type=int, default=SMALL.mixed)
    parser.add_argument("--only", nargs="*", default=[], metavar="W", help='or "tiny"')
    options = parser.parse_args()
    sizes = replace(SMALL, tiny=options.tiny, mixed=options.mixed)
    with tempfile.TemporaryDirectory(prefix="popbridge-steps-") as folder:
        report = Path(folder) / "steps.json"
        os.environ[REPORT] = str(report)
        command = [sys.executable, "-c", "from bench.steps import daemon; daemon()"]
        with servers.popbridge(Path(folder) / "popbridge", program=command) as server:
            load(server, sizes)
            print("| while | steps | p99, ms | worst, ms | worst CPU, ms | where |")
            print("|---|---:|---:|---:|---:|---|")
            for label, work in works(server, sizes, options.only):
                try:
                    _print(label, measured(server, report, work))
                except (OSError, Refused) as error:
                    print(f"| {label} | failed: {error} |", flush=True)


def _print(label: str, found: dict[str, object]) -> None:
    wall, cpu, where = found["wall"], found["cpu"], found["where"]
    assert isinstance(wall, list)
    assert isinstance(cpu, list)
    assert isinstance(where, dict)
    places = sorted(where, key=where.__getitem__, reverse=True)[:3]
    shown = ", ".join(f"{place} {where[place] * 1e3:.0f}" for place in places)
    p99 = wall[int(len(wall) * 0.99)] * 1e3
    print(
        f"| {label} | {len(wall):,} | {p99:.2f} | {wall[-1] * 1e3:.1f} | {cpu[-1] * 1e3:.1f} "
        f"| {shown} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
