"""The oracle: what the provider's ledger says against what IMAP shows.

lost          the provider showed it, and IMAP does not
duplicates    IMAP shows it more often than once
invented      IMAP shows what no provider had
wrong_deletes removed at the provider although nobody asked for it, or nobody had it here
early_logins  closer to the one before than the provider allows
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from tests.support.pop3_ledger import Ledger


@dataclass(frozen=True, slots=True)
class Verdict:
    """All empty and 0 when all is well."""

    lost: tuple[bytes, ...] = ()
    duplicates: tuple[bytes, ...] = ()
    invented: tuple[bytes, ...] = ()
    wrong_deletes: tuple[bytes, ...] = ()
    early_logins: int = 0


def judge(
    ledger: Ledger,
    shown: Iterable[bytes],
    *,
    without: Collection[bytes] = (),
    same: Mapping[bytes, bytes] | None = None,
    stored: Collection[bytes] = (),
    deletes: bool = False,
    least: float = 0.0,
) -> Verdict:
    """`shown` are the octets that IMAP shows. Of what was offered, `without` shall not be there
    (a device expunged it, or it cannot be had), and a copy in `same` is shown as the one that it
    names. `deletes`: the account's policy deletes at the provider; `stored` is all that IMAP
    ever showed. `least`: seconds between logins."""
    copies = same or {}
    expected = {copies.get(octets, octets) for octets in ledger.offered} - set(without)
    counted = Counter(shown)
    wrong = [
        item.octets
        for item in ledger.removed
        if not deletes or copies.get(item.octets, item.octets) not in stored
    ]
    if not deletes and not wrong and ledger.count(b"DELE"):
        wrong = [line for line in ledger.commands if line.upper().startswith(b"DELE")]
    return Verdict(
        lost=tuple(sorted(expected - counted.keys())),
        duplicates=tuple(sorted(each for each, count in counted.items() if count > 1)),
        invented=tuple(sorted(counted.keys() - expected)),
        wrong_deletes=tuple(wrong),
        early_logins=sum(b - a < least for a, b in itertools.pairwise(ledger.attempts)),
    )
