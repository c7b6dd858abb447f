"""popbridge's IMAP side beside Dovecot's and Cyrus's, in one run on one machine.

    python -m bench [--small] [--only W2 W8] [--peers dovecot] [--output docs/...]
    python -m bench --curves docs/curves [--only sizes devices accounts] [--most 100000]

All hold the same messages, made by `bench.corpus`. Each workload runs on each server in turns,
once to warm up and then some rounds; the median counts. `--curves` measures how costs grow instead,
and draws them. Printed and written, never asserted.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from bench import pop3_collect
from bench.crowd import raise_open_files
from bench.curves import run as curves
from bench.imap import table
from bench.imap.run import PEERS, WORKLOADS, Report, measure_all
from bench.imap.workload import SMALL, Sizes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a minute, not a quarter of an hour")
    parser.add_argument("--only", nargs="*", metavar="W", help="these workloads (curves) alone")
    parser.add_argument("--ours", action="store_true", help="popbridge alone, no peer")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=["dovecot"], help="beside us")
    for name in ("mixed", "large", "tiny", "rounds"):
        parser.add_argument(f"--{name}", type=int, help="instead of what the size has")
    parser.add_argument("--curves", type=Path, metavar="FOLDER", help="where pictures go")
    parser.add_argument("--most", type=int, default=1_000_000, help="the largest size of a curve")
    parser.add_argument("--output", type=Path, help="a file for the table, as Markdown")
    options = parser.parse_args()
    if options.only and "POP3" in options.only:  # a table of its own
        pop3_collect.main(["--small"] if options.small else [])
        return
    peers = [] if options.ours else options.peers
    raise_open_files()
    with tempfile.TemporaryDirectory(prefix="popbridge-bench-") as folder:
        if options.curves:
            kinds = options.only or curves.KINDS
            beside = "dovecot" in peers
            text = curves.run(Path(folder), kinds, options.most, options.curves, peers=beside)
        else:
            text = table.markdown(_table(Path(folder), options, peers))
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


def _table(folder: Path, options: argparse.Namespace, peers: list[str]) -> Report:
    sizes = SMALL if options.small else Sizes()
    given = {name: getattr(options, name) for name in ("mixed", "large", "tiny", "rounds")}
    sizes = replace(sizes, **{name: value for name, value in given.items() if value is not None})
    chosen = [each for each in WORKLOADS if not options.only or each.name in options.only]
    return measure_all(folder, sizes, chosen, peers=peers)


if __name__ == "__main__":
    main()
