"""`OnDisk` finds what `bytes` finds, across the borders of its chunks."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import limits
from bridge.imap.ondisk import OnDisk
from bridge.model import MessageId
from bridge.store.api import ReadTx


class Tx:
    """One message; knows how much of it was read at once."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.most = 0

    def octets(self, message: MessageId, start: int, end: int) -> bytes:
        self.most = max(self.most, end - start)
        return self._octets[start:end]


@given(
    octets=st.binary(max_size=40).map(lambda each: each.translate(bytes([97, 98] * 128))),
    sub=st.text("ab", max_size=5),
    start=st.integers(-3, 45),
    end=st.none() | st.integers(-3, 45),
    chunk=st.integers(1, 9),
)
def test_it_finds_what_bytes_find(
    octets: bytes, sub: str, start: int, end: int | None, chunk: int
) -> None:
    tx = Tx(octets)
    stored = OnDisk(cast(ReadTx, tx), MessageId(1), len(octets))
    needle = sub.encode() or b"a"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "CHUNK", chunk)
        assert stored.find(needle, start, end) == octets.find(needle, start, end)
    assert tx.most <= chunk + len(needle)
    assert len(stored) == len(octets)
    assert stored[1:7] == octets[1:7]
