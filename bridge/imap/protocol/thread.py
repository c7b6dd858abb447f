"""THREAD (RFC 5256 3): the answer is a forest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.imap.protocol import search
from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.scanner import Scanner
from bridge.imap.protocol.search import Refused, Search

ALGORITHMS: Final = frozenset({"ORDEREDSUBJECT", "REFERENCES", "REFS"})


@dataclass(frozen=True, slots=True)
class Thread:
    """`algorithm` is a name of `ALGORITHMS`."""

    algorithm: str
    search: Search | Refused


class Node:
    """A message and what answers it; `uid` is None for one that is not there and whose place
    holds its children together."""

    __slots__ = ("children", "uid")

    def __init__(self, uid: int | None, children: Sequence[Node] = ()) -> None:
        self.uid = uid
        self.children = children


def parse(scanner: Scanner) -> Thread:
    """Raises ParseError, BadCharset among them."""
    scanner.space()
    algorithm = scanner.word()
    if algorithm not in ALGORITHMS:
        raise ParseError("There is no such threading algorithm")
    scanner.space()
    charset = scanner.astring()
    scanner.space()
    return Thread(algorithm, search.criteria(scanner, None, charset, None))


def thread_result(threads: Iterable[Node], numbers: Mapping[int, int]) -> bytes:
    """b"* THREAD (2)(3 6 (4 23)(44 7 96))\\r\\n" (RFC 5256 5, thread-data). `numbers` says what
    the client calls a UID."""
    lists = b"".join(piece for thread in threads for piece in _list(thread, numbers))
    return b"* THREAD %b\r\n" % lists if lists else b"* THREAD\r\n"


def _list(top: Node, numbers: Mapping[int, int]) -> Iterator[bytes]:
    """(3 6 (4 23)(44 7 96)). No recursion: a thread may be as deep as the mailbox is long."""
    waiting: list[Node | bytes] = [b")", top, b"("]
    while waiting:
        node = waiting.pop()
        if isinstance(node, bytes):
            yield node
            continue
        members = []
        while True:
            if node.uid is not None:
                members.append(b"%d" % numbers[node.uid])
            if len(node.children) != 1:
                break
            node = node.children[0]
        yield b" ".join(members)
        if node.children and members:
            yield b" "
        for child in reversed(node.children):
            waiting += (b")", child, b"(")
