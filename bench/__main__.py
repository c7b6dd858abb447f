"""popbridge's IMAP side beside Dovecot's, in one run on one machine.

    python -m bench [--small] [--only W2 W8] [--output docs/...]   see --help

Both hold the same messages, made by `bench.corpus`. Each workload runs on each server in turns,
once to warm up and then some rounds; the median counts. Printed and written, never asserted.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from bench.imap import table
from bench.imap.run import WORKLOADS, measure_all
from bench.imap.workload import SMALL, Sizes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a minute, not a quarter of an hour")
    parser.add_argument("--only", nargs="*", metavar="W", help="these workloads alone")
    parser.add_argument("--ours", action="store_true", help="popbridge alone, no peer")
    for name in ("mixed", "large", "tiny", "rounds"):
        parser.add_argument(f"--{name}", type=int, help="instead of what the size has")
    parser.add_argument("--output", type=Path, help="a file for the table, as Markdown")
    options = parser.parse_args()
    sizes = SMALL if options.small else Sizes()
    given = {name: getattr(options, name) for name in ("mixed", "large", "tiny", "rounds")}
    sizes = replace(sizes, **{name: value for name, value in given.items() if value is not None})
    chosen = [each for each in WORKLOADS if not options.only or each.name in options.only]
    with tempfile.TemporaryDirectory(prefix="popbridge-bench-") as folder:
        report = measure_all(Path(folder), sizes, chosen, peers=not options.ours)
    text = table.markdown(report)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
