"""What is measured, and how: first syncs, polls of a maildrop that is known, many accounts.

Rules: the collectors take turns; where there are several rounds, the median counts. A collector
that waits for each answer gets fewer messages where all would take minutes: its rate is that of
the sample, and the table says so. `Measured.whole` is the time that all would have taken.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from bench import corpus
from bench.pop3.collectors import BARE, COLLECTORS, OURS, PEERS, collected
from bench.pop3.provider import HOSTS, Box, Provider, message
from bench.processes import family, kib

RUN_SECONDS = 300.0
SMALL = partial(message, octets=2_000)
KEPT = partial(message, octets=300)
NEWS = 10  # messages that came since the last poll
STARTED = "popbridge, started for it"


@dataclass(frozen=True, slots=True)
class Sizes:
    """`samples`: messages for a slow collector, by round trip time in ms; `few`: accounts."""

    sync: int = 5_000
    kept: int = 20_000
    accounts: int = 100
    each: int = 20  # messages of an account
    rounds: int = 3
    samples: Mapping[float, int] = field(default_factory=lambda: {0: 1_000, 20: 150, 100: 40})
    few: int = 20


SMALLER = Sizes(600, 3_000, 20, 20, 1, {0: 150, 20: 30, 100: 10}, 5)


@dataclass(frozen=True, slots=True)
class Case:
    """A row. `goal`: how many times the best peer's rate we want, or of its time at most where
    it is a `poll`. `slow`: the same, beside the collectors that wait for each answer."""

    what: str
    rtt: float
    goal: float
    poll: bool = False
    slow: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One collector in one case: seconds, messages that came, and what was used: seconds of the
    processor (its own, Dovecot's, the line's) and octets of memory at its peak. `of` is what the
    whole case has, where `messages` are a sample."""

    seconds: float
    messages: int
    of: int
    cpu: float
    server_cpu: float
    line_cpu: float
    peak: int

    @property
    def rate(self) -> float:
        return self.messages / self.seconds

    @property
    def whole(self) -> float:
        return self.seconds * self.of / self.messages if self.messages < self.of else self.seconds


MIXED_SYNCS = [Case("mixed", 0, 1.0), Case("mixed", 20, 2.5), Case("mixed", 100, 3.0, slow=50)]
SMALL_SYNCS = [Case("small", 0, 2.0), Case("small", 100, 3.0)]
QUIET = [Case("quiet", 0, 1.2, poll=True), Case("quiet", 100, 0.65, poll=True)]
NEW = [Case("news", 0, 1.2, poll=True), Case("news", 100, 0.9, poll=True)]
CROWD = [Case("accounts", 0, 4.0), Case("accounts", 20, 6.0)]
CASES = [*MIXED_SYNCS, *SMALL_SYNCS, *QUIET, *NEW, *CROWD]

Results = dict[tuple[str, float], dict[str, Measured]]
"""(what, round trip time) -> collector -> what it took."""


class Wrong(RuntimeError):
    """A collector did not do what it was to do."""


class Bench:
    """Runs cases at one provider; `results` grow."""

    def __init__(self, provider: Provider, sizes: Sizes, collectors: Sequence[str]) -> None:
        self.results: Results = {}
        self._provider = provider
        self._sizes = sizes
        self._collectors = collectors

    def run(self, cases: Sequence[Case]) -> None:
        for what, make in (("mixed", corpus.mixed), ("small", SMALL)):
            if mine := [case for case in cases if case.what == what]:
                self._syncs(mine, what, make)
        if mine := [case for case in cases if case.poll]:
            self._polls(mine)
        if mine := [case for case in cases if case.what == "accounts"]:
            self._crowd(mine)

    # --- first syncs --------------------------------------------------------------------

    def _syncs(self, cases: Sequence[Case], what: str, make: Callable[[int], bytes]) -> None:
        boxes: dict[int, Box] = {}
        for case in cases:
            for count in (self._sizes.sync, self._sizes.samples[case.rtt]):
                if count not in boxes:
                    boxes[count] = self._provider.fill(f"{what}{count}", count, make)
            runs: dict[str, list[Measured]] = {}
            for number in range(self._sizes.rounds):
                for name in self._collectors:
                    slow = name not in (OURS, BARE, "mpop")
                    if slow and number:
                        continue
                    count = self._sizes.samples[case.rtt] if slow else self._sizes.sync
                    took = self._anew(name, case.rtt, [boxes[count]], count)
                    runs.setdefault(name, []).append(replace(took, of=self._sizes.sync))
            self._keep(case, runs)

    # --- polls --------------------------------------------------------------------------

    def _polls(self, cases: Sequence[Case]) -> None:
        """Each collector begins each poll with the files that it has when all but the news is
        collected: ours by collecting it, the others are told the UIDLs."""
        kept = self._sizes.kept
        box = self._provider.fill("kept", kept, KEPT)
        uidls = self._provider.uidls(box)
        names = [name for name in self._collectors if name != BARE]
        with _folder() as states:
            if OURS in names:
                self._once(OURS, _made(states / "first"), 0, [box], kept)
            rtts = {case.rtt for case in cases}
            for rtt in rtts:
                for name in names:
                    state = states / f"{name} {rtt}"
                    remember = COLLECTORS[name].remember
                    if remember is not None:
                        remember(_made(state), self._provider.port(rtt), box, uidls)
                    else:  # that poll learns what the server can, behind this port
                        shutil.copytree(states / "first", state)
                        self._once(name, state, rtt, [box], 0)
            for what, news in (("quiet", 0), ("news", NEWS)):
                mine = [case for case in cases if case.what == what]
                if mine and news:
                    self._provider.fill("kept", news, SMALL, first=kept)
                for case in mine:
                    self._poll(case, box, names, states, news)

    def _poll(self, case: Case, box: Box, names: Sequence[str], states: Path, news: int) -> None:
        runs: dict[str, list[Measured]] = {}
        for _ in range(self._sizes.rounds):
            for name in names:
                with _folder() as folder:
                    shutil.copytree(
                        states / f"{name} {case.rtt}", folder, dirs_exist_ok=True,
                        copy_function=_copied,
                    )  # fmt: skip
                    took = self._once(name, folder, case.rtt, [box], news)
                    runs.setdefault(name, []).append(took)
                    if name == OURS:
                        started = replace(took, seconds=self._wall)
                        runs.setdefault(STARTED, []).append(started)
        self._keep(case, runs)

    # --- many accounts ------------------------------------------------------------------

    def _crowd(self, cases: Sequence[Case]) -> None:
        sizes = self._sizes
        boxes = [
            Box(
                self._provider.fill(f"account{n}", sizes.each, SMALL).user,
                HOSTS[n % len(HOSTS)],
            )
            for n in range(sizes.accounts)
        ]
        for case in cases:
            runs: dict[str, list[Measured]] = {}
            for number in range(sizes.rounds):
                for name in self._collectors:
                    slow = name in ("getmail", "fetchmail")
                    if name == BARE or (slow and number):
                        continue
                    mine = boxes[: sizes.few] if slow else boxes
                    took = self._anew(name, case.rtt, mine, sizes.each * len(mine))
                    took = replace(took, of=sizes.each * sizes.accounts)
                    runs.setdefault(name, []).append(took)
            self._keep(case, runs)

    # --- a run --------------------------------------------------------------------------

    def _anew(self, name: str, rtt: float, boxes: Sequence[Box], wanted: int) -> Measured:
        """`_once`, in a folder of its own. A peer may break off once: getmail 6.18 waits at times
        for a child that is gone."""
        try:
            with _folder() as folder:
                return self._once(name, folder, rtt, boxes, wanted)
        except Wrong as broken:
            if name == OURS:
                raise
            print(f"{broken}; once more", file=sys.stderr, flush=True)
        with _folder() as folder:
            return self._once(name, folder, rtt, boxes, wanted)

    def _once(
        self, name: str, folder: Path, rtt: float, boxes: Sequence[Box], wanted: int
    ) -> Measured:
        """Raises Wrong where not `wanted` messages came."""
        provider = self._provider
        port = provider.port(rtt)
        command = COLLECTORS[name].command(folder, port, boxes)
        before = provider.cpu(), provider.line_cpu(rtt)
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"HOME": str(folder)},
        )
        guard = threading.Timer(RUN_SECONDS, process.send_signal, [signal.SIGKILL])
        guard.start()
        assert process.stdout is not None
        assert process.stderr is not None
        peak = _Peak(process.pid)
        said, complained = process.stdout.read(), process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        peak.stop()
        self._wall = seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        guard.cancel()
        process.stdout.close()
        process.stderr.close()
        cpu = used.ru_utime + used.ru_stime
        if name in (OURS, BARE):
            try:
                told = json.loads(said.splitlines()[-1])  # after the log
            except (ValueError, IndexError):
                raise Wrong(f"{name}: {complained.decode(errors='replace')[-500:]}") from None
            came = told["new"]
            seconds, cpu = told["seconds"], told["cpu"]
        else:
            came = collected(folder)
        if came != wanted and name != BARE:
            raise Wrong(
                f"{name} has {came} of {wanted}: {complained.decode(errors='replace')[-500:]}"
            )
        time.sleep(0.1)  # Dovecot waits for its sessions' processes
        return Measured(
            seconds,
            came,
            wanted,
            cpu,
            provider.cpu() - before[0],
            provider.line_cpu(rtt) - before[1],
            peak.octets,
        )

    def _keep(self, case: Case, runs: Mapping[str, Sequence[Measured]]) -> None:
        kept = self.results.setdefault((case.what, case.rtt), {})
        for name, several in runs.items():
            kept[name] = sorted(several, key=lambda took: took.seconds)[(len(several) - 1) // 2]
            print(
                f"{case.what} RTT {case.rtt:g}: {name} {kept[name].seconds:.2f} s, "
                f"{kept[name].messages} messages",
                file=sys.stderr,
                flush=True,
            )


def best_peer(took: Mapping[str, Measured], *, slow: bool = False) -> str | None:
    """The quickest of the others, by the time that all would have taken."""
    peers = [name for name in took if name in PEERS and not (slow and name == "mpop")]
    return min(peers, key=lambda name: took[name].whole, default=None)


def ratio(case: Case, took: Mapping[str, Measured], *, slow: bool = False) -> float | None:
    """Ours beside the best peer: of a poll its time, else how many times as fast."""
    best = best_peer(took, slow=slow)
    if best is None or OURS not in took:
        return None
    mine, other = took[OURS].whole, took[best].whole
    return mine / other if case.poll else other / mine


class _Peak(threading.Thread):
    """Octets of memory of a process and its children at the worst moment, looked at often:
    what `wait4` tells begins with what we had when the process was made."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.octets = 0
        self._pid = pid
        self._ended = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.05):
            found = sum(kib(pid, "status", "VmHWM") for pid in family(self._pid))
            self.octets = max(self.octets, found * 1024)

    def stop(self) -> None:
        self._ended.set()
        self.join()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="popbridge-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _copied(source: str, target: str) -> None:
    shutil.copy2(source, target)
    found = os.stat(source)
    os.chown(target, found.st_uid, found.st_gid)
