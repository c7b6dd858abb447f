"""A compiled search against one that looks at every message by itself."""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from bridge.imap.matching import EPOCH, Cost, Known, Plan, Stored
from bridge.imap.planes import positions
from bridge.imap.protocol.numbers import NumberSet, part_of
from bridge.imap.protocol.search import (
    All,
    And,
    BodyHas,
    HasFlag,
    HasKeyword,
    HeaderHas,
    Internal,
    Key,
    Larger,
    ModSeq,
    Not,
    Numbers,
    Older,
    Or,
    Recent,
    Sent,
    Smaller,
    TextHas,
)
from bridge.mime.parser import scan
from bridge.model import EntryRow, Flag, MessageId, Octets

NOW = 1_700_000_000
DAY = NOW // 86_400 + EPOCH
SETS = ((), ("Work",), ("work2", "$Junk"))


@dataclass(frozen=True)
class Message:
    flags: int
    keywords: int
    modseq: int
    recent: bool
    gone: bool
    age: int
    subject: str
    body: str

    @property
    def octets(self) -> bytes:
        return f"Subject: {self.subject}\r\n\r\n{self.body}".encode()

    @property
    def row(self) -> EntryRow:
        structure = scan(self.octets)
        return EntryRow(
            uid=1,
            message_id=MessageId(1),
            size=len(self.octets),
            internaldate=NOW - self.age,
            header_size=structure.header_size,
            header=structure.header,
            parts=structure.parts,
            sent_day=DAY - self.age // 86_400 if self.age % 2 else None,
        )


WORDS = st.sampled_from(["a", "B", "ab", "ä", "日本", "x"])
MESSAGES = st.lists(
    st.builds(
        Message,
        flags=st.integers(0, 31),
        keywords=st.integers(0, 2),
        modseq=st.integers(1, 5),
        recent=st.booleans(),
        gone=st.booleans(),
        age=st.integers(0, 300_000),
        subject=WORDS,
        body=WORDS,
    ),
    max_size=6,
)
LEAVES: st.SearchStrategy[Key] = st.one_of(
    st.just(All()),
    st.just(Recent()),
    st.builds(HasFlag, st.sampled_from(Flag)),
    st.builds(HasKeyword, st.sampled_from(["WORK", "$junk", "none"])),
    st.builds(ModSeq, st.integers(0, 6)),
    st.builds(
        lambda low, high: Numbers(NumberSet(((low, high),)), uid=False),
        st.integers(1, 6),
        st.integers(1, 6),
    ),
    st.builds(Larger, st.integers(10, 40)),
    st.builds(Smaller, st.integers(10, 40)),
    st.builds(Older, st.integers(1, 300_000)),
    st.builds(Internal, st.sampled_from(["before", "on", "since"]), st.integers(DAY - 4, DAY)),
    st.builds(Sent, st.sampled_from(["before", "on", "since"]), st.integers(DAY - 4, DAY)),
    st.builds(HeaderHas, st.just(b"subject"), WORDS),
    st.builds(BodyHas, WORDS),
    st.builds(TextHas, WORDS),
)
KEYS: st.SearchStrategy[Key] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, inner, inner),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)


def known(messages: list[Message]) -> Known:
    def places(key: Numbers) -> Iterator[tuple[int, int]]:
        for low, high in key.numbers.ranges(len(messages)):
            if low <= len(messages):
                yield low - 1, min(high, len(messages)) - 1

    return Known(
        flags=bytes(message.flags for message in messages),
        keyword_sets=array("I", [message.keywords for message in messages]),
        modseqs=array("Q", [message.modseq for message in messages]),
        keywords=SETS.__getitem__,
        places=places,
        recent=lambda: [(at, at) for at, message in enumerate(messages) if message.recent],
        gone=[at for at, message in enumerate(messages) if message.gone],
        now=NOW,
    )


def stored(message: Message, plan: Plan) -> Stored:
    return Stored(message.row, lambda row: message.octets, plan.needles)


def contains(text: str, needle: str) -> bool:
    text, needle = (unicodedata.normalize("NFD", each.lower()) for each in (text, needle))
    return needle in text


def naive(key: Key, at: int, message: Message) -> bool:
    """RFC 3501 6.4.4 read aloud."""
    day = (NOW - message.age) // 86_400 + EPOCH
    match key:
        case All():
            return True
        case And():
            return all(naive(inner, at, message) for inner in key.keys)
        case Or():
            return naive(key.left, at, message) or naive(key.right, at, message)
        case Not():
            return not naive(key.key, at, message)
        case Recent():
            return message.recent
        case HasFlag():
            return bool(message.flags & key.flag)
        case HasKeyword():
            return key.name.lower() in [name.lower() for name in SETS[message.keywords]]
        case ModSeq():
            return message.modseq >= key.modseq
        case Numbers():
            ((low, high),) = key.numbers.items
            return min(low, high) <= at + 1 <= max(low, high)
        case Larger():
            return len(message.octets) > key.octets
        case Smaller():
            return len(message.octets) < key.octets
        case Older():
            return message.age >= key.seconds
        case Internal():
            return {"before": day < key.day, "on": day == key.day, "since": day >= key.day}[key.op]
        case Sent():
            sent = DAY - message.age // 86_400
            answers = {"before": sent < key.day, "on": sent == key.day, "since": sent >= key.day}
            return bool(message.age % 2) and answers[key.op]
        case HeaderHas():
            return contains(message.subject, key.needle)
        case BodyHas():
            return contains(message.body, key.needle)
        case TextHas():
            return contains(f"Subject: {message.subject}\n{message.body}", key.needle)
    raise AssertionError(key)


@given(KEYS, MESSAGES)
def test_a_plan_finds_what_a_look_at_each_message_finds(key: Key, messages: list[Message]) -> None:
    """What masks settle, and what is left to tests, are together exactly the matches; a message
    that is gone is none."""
    plan = Plan(key, known(messages))
    settled = positions(plan.found)
    assert not set(settled) & set(plan.open)
    found = settled + [at for at in plan.open if plan.matches(at, stored(messages[at], plan))]
    wanted = [at for at, m in enumerate(messages) if not m.gone and naive(key, at, m)]
    assert sorted(found) == wanted
    if plan.cost is Cost.NOTHING:
        assert not plan.open


def test_cheap_tests_decide_before_a_body_is_read() -> None:
    messages = [
        Message(0, 0, 1, False, False, 0, "a", "x" * 50),
        Message(8, 0, 1, False, False, 0, "b", "x"),
    ]
    key = And(
        (BodyHas("x"), Or(BodyHas("y"), HasFlag(Flag.SEEN)), Smaller(30), Not(HasFlag(Flag.DRAFT)))
    )
    plan = Plan(key, known(messages))
    assert plan.open == [0, 1]
    read: list[int] = []

    def octets(row: EntryRow) -> Octets:
        read.append(row.size)
        return messages[1].octets

    assert not plan.matches(0, Stored(messages[0].row, octets, plan.needles))
    assert read == []
    assert plan.matches(1, Stored(messages[1].row, octets, plan.needles))
    assert read == [messages[1].row.size]


def test_what_claims_to_be_older_than_1970_counts_as_of_the_far_future() -> None:
    """As in Dovecot and Cyrus."""
    row = EntryRow(1, MessageId(1), 1, NOW, 0, sent_day=EPOCH - 1)
    one = [Message(0, 0, 1, False, False, 0, "", "")]
    for op, answer in (("since", True), ("before", False), ("on", False)):
        plan = Plan(Sent(op, DAY), known(one))  # type: ignore[arg-type]  # op is one of Op
        assert plan.matches(0, Stored(row, lambda row: b"", frozenset())) is answer


@given(st.lists(st.integers(), max_size=9), st.integers(1, 12), st.integers(1, 12))
def test_partial_ranges(found: list[int], first: int, last: int) -> None:
    """RFC 9394 3.1: positions count from 1 at either end; what is not there is left out."""
    low, high = sorted((first, last))
    assert part_of(found, (first, last)) == [x for n, x in enumerate(found, 1) if low <= n <= high]
    backwards = [x for n, x in enumerate(reversed(found), 1) if low <= n <= high]
    assert part_of(found, (-first, -last)) == backwards[::-1]
