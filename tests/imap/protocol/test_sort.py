"""SORT and THREAD: the grammar, and what a forest looks like on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.imap.protocol import sort, thread
from bridge.imap.protocol.errors import BadCharset
from bridge.imap.protocol.search import All, BodyHas, Refused, Returns, Search
from bridge.imap.protocol.sort import Sort
from bridge.imap.protocol.thread import Node, Thread, thread_result
from tests.imap.protocol.support import parse, refused


def test_sort() -> None:
    value = parse(sort.parse, b"SORT (SUBJECT reverse DATE) UTF-8 ALL")
    assert value == Sort((("SUBJECT", False), ("DATE", True)), Search(All(), "UTF-8"))
    value = parse(sort.parse, b'UID SORT (DISPLAYFROM) "us-ascii" BODY x')
    assert value == Sort((("DISPLAYFROM", False),), Search(BodyHas("x"), "US-ASCII"))


def test_a_criterion_that_comes_again_decides_nothing() -> None:
    value = parse(sort.parse, b"SORT (SIZE TO REVERSE SIZE) UTF-8 ALL")
    assert value.criteria == (("SIZE", False), ("TO", False))


def test_extended_sort() -> None:
    value = parse(sort.parse, b"SORT RETURN (MAX PARTIAL 1:9) (SIZE) UTF-8 ALL")
    assert value.search == Search(All(), "UTF-8", Returns(("MAX", "PARTIAL"), (1, 9)))
    value = parse(sort.parse, b"SORT RETURN () (SIZE) UTF-8 ALL")
    assert value.search == Search(All(), "UTF-8", Returns(("ALL",)))
    value = parse(sort.parse, b"SORT RETURN (SAVE) (SIZE) X-NONE ALL")
    assert isinstance(value.search, Refused)


def test_a_charset_that_we_do_not_read() -> None:
    with pytest.raises(BadCharset):
        parse(sort.parse, b"SORT (SIZE) X-NONE ALL")
    with pytest.raises(BadCharset):
        parse(thread.parse, b"THREAD REFERENCES X-NONE ALL")


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (b" ALL", "Expected sort criteria in parentheses"),
        (b" () UTF-8 ALL", "Expected a name"),
        (b" (MOON) UTF-8 ALL", "There is no such sort criterion"),
        (b" (REVERSE) UTF-8 ALL", "Expected one space"),
        (b" (REVERSE REVERSE SIZE) UTF-8 ALL", "There is no such sort criterion"),
        (b" (SIZE UTF-8 ALL", "There is no such sort criterion"),
        (b" (SIZE  TO) UTF-8 ALL", "Expected a name"),
        (b" (SIZE) UTF-8", "Missing argument"),
        (b" (SIZE) ALL", "Missing argument"),
        (b" RETURN (SIZE) UTF-8 ALL", "There is no such SEARCH return option"),
    ],
)
def test_malformed_sort(arguments: bytes, answer: str) -> None:
    assert refused(sort.parse, b"SORT" + arguments) == answer


def test_thread() -> None:
    value = parse(thread.parse, b"UID THREAD references UTF-8 ALL")
    assert value == Thread("REFERENCES", Search(All(), "UTF-8"))
    for arguments in (b" MOON UTF-8 ALL", b" (REFERENCES) UTF-8 ALL"):
        assert refused(thread.parse, b"THREAD" + arguments)


def test_forests_on_the_wire() -> None:
    """RFC 5256 4, THREAD response: its example."""
    numbers = {number: number for number in range(100)}
    second = Node(3, [Node(6, [Node(4, [Node(23)]), Node(44, [Node(7, [Node(96)])])])])
    assert thread_result([Node(2), second], numbers) == b"* THREAD (2)(3 6 (4 23)(44 7 96))\r\n"
    assert thread_result([Node(None, [Node(3), Node(5)])], numbers) == b"* THREAD ((3)(5))\r\n"
    assert thread_result([], numbers) == b"* THREAD\r\n"
    assert thread_result([Node(7)], {7: 1}) == b"* THREAD (1)\r\n"


@given(st.integers(1, 5_000))
def test_a_thread_may_be_deeper_than_the_stack(depth: int) -> None:
    top = Node(depth)
    for number in range(depth - 1, 0, -1):
        top = Node(number, [top])
    numbers = {number: number for number in range(1, depth + 1)}
    wire = thread_result([top], numbers)
    assert wire == b"* THREAD (" + b" ".join(b"%d" % n for n in numbers) + b")\r\n"
