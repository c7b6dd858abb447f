"""Invariant: picking fields by name gives what going through all of them would give."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.mime.headers import named_fields, raw_fields

LINES = st.sampled_from(
    [
        b"From: a@b\r\n",
        b"from : x\n",
        b"FROM\t: y\r\n",
        b" From: folded\r\n",
        b"\tTo: folded\r\n",
        b"To: one,\r\n",
        b"Subject: From: no\r\n",
        b"X-From: no\r\n",
        b"no colon here\r\n",
        b"From\r\n",
        b": nothing\r\n",
        b"To:\r\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\x0b \r",
        b"Fr",
        b"om: split\r\n",
        b"To: last",
    ]
)
NAMES = st.frozensets(st.sampled_from([b"from", b"to", b"subject", b"x-from", b"a.c"]), min_size=1)


@given(st.lists(LINES, max_size=12).map(b"".join), NAMES)
def test_named_fields_are_those_of_all_fields(block: bytes, names: frozenset[bytes]) -> None:
    wanted = b"".join(raw for name, raw in raw_fields(block) if name in names)
    assert named_fields(block, names) == wanted
