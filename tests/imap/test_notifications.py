"""What NOTIFY tells of other mailboxes: two pictures in, news out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.imap.notifications import (
    Annotated,
    Annotations,
    Listed,
    News,
    Picture,
    Status,
    Wanted,
    news,
)
from bridge.imap.protocol.notify import EVENTS, Group
from bridge.model import LoginId, Mailbox, MailboxId

ALL = frozenset(EVENTS)
PERSONAL = Wanted([Group("PERSONAL", (), ALL)])


def mailbox(number: int, name: str, *, messages: int = 0, uidnext: int = 1) -> Mailbox:
    plain = Mailbox(MailboxId(number), LoginId(1), name, number, 1, 1, 0, 0, 0, 0, 1, None)
    return replace(plain, messages=messages, uidnext=uidnext)


def picture(
    rows: Iterable[Mailbox],
    subscribed: Iterable[str] = (),
    annotations: Annotations | None = None,
) -> Picture:
    return Picture({row.id: row for row in rows}, frozenset(subscribed), annotations or {})


def told(
    old: Picture,
    now: Picture,
    wanted: Wanted = PERSONAL,
    *,
    selected: int | None = None,
    condstore: bool = False,
) -> list[News]:
    box = None if selected is None else MailboxId(selected)
    return list(news(old, now, wanted, selected=box, condstore=condstore))


def test_names_that_changed_places_are_renamed_both() -> None:
    old = picture([mailbox(1, "a"), mailbox(2, "b")])
    now = picture([mailbox(1, "b"), mailbox(2, "a")])
    assert told(old, now) == [Listed("b", "a"), Listed("a", "b")]


def test_children_go_with_their_parent() -> None:
    old = picture([mailbox(1, "a"), mailbox(2, "a/x"), mailbox(3, "a/x/y"), mailbox(4, "b/x")])
    now = picture([mailbox(1, "c"), mailbox(2, "c/x"), mailbox(3, "c/x/y"), mailbox(4, "d/x")])
    assert told(old, now) == [Listed("c", "a"), Listed("d/x", "b/x")]


def test_a_mailbox_with_new_uids_keeps_its_name() -> None:
    old, now = picture([mailbox(1, "a", uidnext=9)]), picture([mailbox(2, "a")])
    (status,) = told(old, now)
    assert isinstance(status, Status)
    assert set(status.items) == {"UIDNEXT", "MESSAGES", "UIDVALIDITY"}


def test_the_selected_mailbox_is_the_business_of_the_session() -> None:
    old, now = picture([mailbox(1, "a")]), picture([mailbox(1, "a", messages=1, uidnext=2)])
    assert told(old, now, selected=1) == []
    assert told(old, now) == [
        Status(mailbox(1, "a", messages=1, uidnext=2), ("UIDNEXT", "MESSAGES"))
    ]


def test_filters_and_their_sum() -> None:
    messages, flags = frozenset({"MESSAGENEW", "MESSAGEEXPUNGE"}), frozenset({"FLAGCHANGE"})
    wanted = Wanted(
        [
            Group("SUBSCRIBED", (), messages),
            Group("SUBTREE", ("a/b",), flags),
            Group("MAILBOXES", ("a", "a%"), messages | flags),
            Group("SELECTED", (), messages),
        ]
    )
    here = picture([], subscribed=["s", "a/b"])
    assert wanted.of("s", here) == messages
    assert wanted.of("a/b", here) == messages | flags
    assert wanted.of("a/b/c", here) == flags
    assert wanted.of("a", here) == messages | flags
    assert wanted.of("a/bc", here) == wanted.of("ab", here) == frozenset()


def test_annotations_of_a_mailbox_that_went_are_no_news() -> None:
    rows = [mailbox(1, "a"), mailbox(2, "b")]
    before: Mapping[tuple[MailboxId | None, str], bytes] = {
        (MailboxId(1), "/private/comment"): b"1",
        (MailboxId(2), "/private/comment"): b"1",
        (None, "/private/vendor/x"): b"1",
    }
    after = {**before, (None, "/private/vendor/x"): b"2", (MailboxId(1), "/private/z"): b"3"}
    del after[MailboxId(2), "/private/comment"]
    found = told(picture(rows, (), before), picture(rows[:1], (), after))
    assert found == [
        Listed("b"),
        Annotated("", ("/private/vendor/x",)),
        Annotated("a", ("/private/z",)),
    ]


NAMES = st.sampled_from(["a", "b", "a/b", "a/b/c", "b/c", "INBOX"])
LOGINS = st.dictionaries(NAMES, st.tuples(st.integers(1, 8), st.integers(0, 2)), max_size=6)


def shown(names: Mapping[str, tuple[int, int]]) -> Picture:
    numbers: dict[int, Mailbox] = {}
    for name, (number, count) in names.items():
        numbers.setdefault(number, mailbox(number, name, messages=count, uidnext=count + 1))
    return picture(numbers.values())


@settings(deadline=None)
@given(LOGINS, LOGINS)
def test_a_client_that_applies_the_news_knows_what_is_there(
    before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]
) -> None:
    """Names and counts that are known, changed by what is told, are those that are there."""
    old, now = shown(before), shown(after)
    found = told(old, now)
    names = {row.name: row.messages for row in old.mailboxes.values()}
    there = {row.name: row.messages for row in now.mailboxes.values()}
    moved: dict[str, int] = {}
    for each in found:
        if isinstance(each, Listed) and each.was is not None:
            # As RFC 5465 5.4 has it, what is below goes along.
            for name in [n for n in names if n == each.was or n.startswith(each.was + "/")]:
                moved.setdefault(each.name + name[len(each.was) :], names[name])
    gone = {e.was for e in found if isinstance(e, Listed) and e.was is not None}
    names = {
        name: count
        for name, count in names.items()
        if not any(name == was or name.startswith(was + "/") for was in gone)
    } | moved
    for each in found:
        if isinstance(each, Listed) and each.name not in there:
            names.pop(each.name, None)
        elif isinstance(each, Listed):
            names[each.name] = there[each.name]
        elif isinstance(each, Status):
            names[each.row.name] = each.row.messages
    assert names == there


@settings(deadline=None)
@given(LOGINS)
def test_nothing_new_is_no_news(names: Mapping[str, tuple[int, int]]) -> None:
    """A picture compared with itself tells nothing."""
    assert told(shown(names), shown(names), condstore=True) == []
