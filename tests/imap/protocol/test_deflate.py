"""Raw deflate, sans-IO: what goes in comes out, in pieces no larger than asked for."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.imap.protocol.deflate import DamagedInput, Deflate


def inflated(deflate: Deflate, most: int = 1000) -> bytes:
    octets = b""
    while deflate.pending:
        octets += deflate.inflate(most)
    return octets


@given(st.lists(st.binary(max_size=2000), max_size=10), st.integers(1, 3000), st.integers(1, 50))
def test_what_one_side_says_the_other_hears(spoken: list[bytes], most: int, cut: int) -> None:
    """Every word is heard as soon as it was said, however the octets are cut."""
    mouth, ear = Deflate(), Deflate()
    for word in spoken:
        wire = mouth.compress(word)
        heard = b""
        for start in range(0, len(wire), cut):
            ear.receive_data(wire[start : start + cut])
            heard += inflated(ear, most)
        assert heard == word
    ear.receive_data(mouth.finish(b"last") + b"in clear")
    assert inflated(ear, most) == b"last"
    assert ear.rest() == b"in clear"
    assert not ear.pending


def test_no_piece_is_larger_than_asked_for() -> None:
    ear = Deflate()
    ear.receive_data(Deflate().compress(bytes(10_000_000)))
    sizes = []
    while ear.pending:
        assert ear.waiting < 50_000
        sizes.append(len(ear.inflate(65536)))
    assert max(sizes) == 65536
    assert sum(sizes) == 10_000_000


@given(st.binary(min_size=1, max_size=500))
def test_octets_of_any_kind_are_read_or_refused(octets: bytes) -> None:
    """Any octets give inflated ones or DamagedInput; after damage nothing is pending."""
    ear = Deflate()
    ear.receive_data(octets)
    try:
        inflated(ear)
    except DamagedInput:
        assert not ear.pending


def test_a_zlib_header_is_damage() -> None:
    ear = Deflate()
    ear.receive_data(zlib.compress(b"a NOOP\r\n" * 10))
    with pytest.raises(DamagedInput):
        inflated(ear)
