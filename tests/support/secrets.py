"""Canaries: one recognisable secret a kind, and a search for them in all that was written.

    leaks(folder, CANARIES, may_hold={"config.yaml"})    -> Search(files, octets, found)

A secret is looked for as it is, in base64 at each of its three alignments, in hex and as a URL has
it; in files, the names of files, and whatever else is handed over as octets.
"""

from __future__ import annotations

import base64
import mmap
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from bridge.store.opening import DATABASE

PROVIDER = "canary: provider 7Jq/w2+Zt"
ECHOED = "canary: echoed 9Xv/k4+Hs"
LOGIN = "canary: login 5Rb/m8+Yc"
PAGE = "canary: page 3Lf/p6+Dn"
GUESSED = "canary: guessed 8Gt/c1+Vx"
CLIENT_SECRET = "canary-client-secret-6Kd"
TOKENS = "canary-token-2Nh-"  # begins what stands in every OAuth token

# What most tests sign in with (tests.support.process, house, page).
SUITE = {"correct horse": "correct horse", "house": "for my devices", "page": "page's own password"}
LARGEST = 64 * 1024 * 1024  # octets of a file of the suite that is looked through

CANARIES = {
    "provider": PROVIDER, "echoed": ECHOED, "login": LOGIN, "page": PAGE, "guessed": GUESSED,
    "client": CLIENT_SECRET, "tokens": TOKENS,
}  # fmt: skip


@dataclass(slots=True)
class Search:
    """`found` says what was where."""

    files: int = 0
    octets: int = 0
    found: list[str] = field(default_factory=list)


def forms(secret: str) -> frozenset[bytes]:
    """The octets by which a secret would show."""
    plain = secret.encode()
    found = {plain, plain.hex().encode(), plain.hex().upper().encode(), quote(secret).encode()}
    found.add(quote(secret, safe="").encode())
    found.add(plain.replace(b" ", b"+"))
    for before in range(3):
        # Without what depends on the neighbours: the first group, and the last.
        encoded = base64.b64encode(b"\0" * before + plain)
        found.add(encoded[4 if before else 0 : -4])
    return frozenset(found)


def leaks(
    folder: Path,
    secrets: Mapping[str, str],
    *,
    may_hold: Collection[str] = (),
    more: Iterable[tuple[str, bytes]] = (),
    largest: int = 1 << 40,
) -> Search:
    """Looks through all files below `folder` but those named in `may_hold` and those of more than
    `largest` octets, and through `more`: (what it is, octets). `secrets` by what they are."""
    sought = {kind: forms(secret) for kind, secret in secrets.items()}
    search = Search()
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder)).encode("utf-8", "surrogateescape")
        _look(search, sought, f"the name of {path.name}", name)
        if path.is_symlink() or not path.is_file() or path.name in may_hold:
            continue
        size = path.stat().st_size
        if not 0 < size <= largest:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as map_:
            _look(search, sought, str(path.relative_to(folder)), map_)
    for what, octets in more:
        _look(search, sought, what, octets)
    return search


def of_stores(folder: Path) -> Search:
    """The same for all that lies in the folders of stores below: databases and what is beside."""
    whole = Search()
    for database in sorted(folder.rglob(DATABASE)):
        found = leaks(database.parent, SUITE | CANARIES, may_hold={"config.yaml"}, largest=LARGEST)
        whole.files += found.files
        whole.octets += found.octets
        whole.found += [f"{each} of {database.parent}" for each in found.found]
    return whole


def _look(
    search: Search, sought: Mapping[str, frozenset[bytes]], where: str, octets: bytes | mmap.mmap
) -> None:
    search.files += 1
    search.octets += len(octets)
    search.found += [f"{kind} in {where}" for kind in _kinds(sought, octets)]


def _kinds(sought: Mapping[str, frozenset[bytes]], octets: bytes | mmap.mmap) -> Iterator[str]:
    for kind, each in sought.items():
        if any(octets.find(form) >= 0 for form in each):
            yield kind
