"""Transfer encodings in pieces: the same octets as in one piece, with little held back."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.mime.decoding import Decoder, UnknownEncoding
from bridge.mime.text import transfer_decoded

ENCODED = st.lists(
    st.sampled_from([b"=", b"==", b"=3D", b"=\r\n", b"=4", b" ", b"\t", b"\r\n", b"\n", b"\r"])
    | st.binary(max_size=8)
    | st.sampled_from([b"QUJD", b"Q", b"QU", b"QUI=", b"\xc3\xa9"]),
    max_size=40,
).map(b"".join)


def decoded(encoding: str, pieces: list[bytes]) -> bytes:
    decoder = Decoder(encoding)
    return b"".join([*map(decoder.feed, pieces), decoder.finish()])


@given(
    encoding=st.sampled_from(["7bit", "8bit", "binary", "base64", "quoted-printable"]),
    octets=ENCODED,
    cuts=st.lists(st.integers(0, 400)),
)
def test_how_the_octets_are_cut_changes_nothing(
    encoding: str, octets: bytes, cuts: list[int]
) -> None:
    """Decoding any pieces of a body gives what decoding the body gives."""
    edges = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    pieces = [octets[low:high] for low, high in pairwise(edges)]
    assert decoded(encoding, pieces) == transfer_decoded(octets, encoding)


@pytest.mark.parametrize("line", [b"=41" * 100_000, b"a" * 300_000])
def test_a_line_without_end_is_not_held(line: bytes) -> None:
    decoder = Decoder("quoted-printable")
    pieces = [line[at : at + 50_001] for at in range(0, len(line), 50_001)]
    out = b""
    for given_so_far, piece in enumerate(pieces, 1):
        out += decoder.feed(piece)
        assert given_so_far * 50_001 - len(out) * (3 if b"=" in line else 1) <= 64 * 1024 + 50_001
    out += decoder.finish()
    assert out == transfer_decoded(line, "quoted-printable")


def test_blanks_without_end_are_not_held() -> None:
    decoder = Decoder("quoted-printable")
    assert [decoder.feed(b" " * 50_000) for _ in range(4)] == [b""] * 4
    assert decoder.feed(b"a\r\n") == b"a\r\n"


def test_an_encoding_that_nobody_knows_is_told() -> None:
    with pytest.raises(UnknownEncoding):
        Decoder("x-uuencode")
