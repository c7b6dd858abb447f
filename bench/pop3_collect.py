"""Collecting from Dovecot's POP3 server, beside mpop, fdm, fetchmail and getmail6.

    python -m bench.pop3_collect [--small] [--only mixed-0 news-100] [--output F] [--json F]

First syncs that keep everything on the server, polls of a maildrop that is known, many accounts,
each at several round trip times; without TLS, on a line with latency and no limited rate. Prints
and writes the table; asserts nothing. Ours has its store in SQLite with `synchronous = FULL`, so
every message is on disk; mpop syncs each file, the others do not.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.pop3 import table
from bench.pop3.cases import CASES, SMALLER, Bench, Sizes
from bench.pop3.collectors import COLLECTORS, PEERS
from bench.pop3.provider import Provider


def main(arguments: Sequence[str] | None = None) -> None:
    named = {f"{case.what}-{case.rtt:g}": case for case in CASES}
    parser = argparse.ArgumentParser(
        prog="python -m bench.pop3_collect", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--small", action="store_true", help="about a minute")
    parser.add_argument(
        "--only", nargs="+", choices=[*named], metavar="CASE", help=", ".join(named)
    )
    parser.add_argument("--collectors", nargs="+", choices=[*COLLECTORS], default=[*COLLECTORS])
    parser.add_argument("--rounds", type=int, help="instead of what the size has")
    parser.add_argument("--output", type=Path, help="a file for the table, as Markdown")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    options = parser.parse_args(arguments)
    sizes = SMALLER if options.small else Sizes()
    sizes = replace(sizes, rounds=options.rounds or sizes.rounds)
    cases = [case for name, case in named.items() if not options.only or name in options.only]
    absent = [name for name in PEERS if name in options.collectors and not shutil.which(name)]
    for name in absent:
        print(f"{name} is not installed")
    present = [name for name in options.collectors if name not in absent]
    with tempfile.TemporaryDirectory() as folder, Provider(Path(folder)) as provider:
        bench = Bench(provider, sizes, present)
        bench.run(cases)
    text = table.markdown(bench.results, cases, sizes)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")
    if options.json:
        options.json.write_text(table.document(bench.results, sizes) + "\n")


if __name__ == "__main__":
    main()
