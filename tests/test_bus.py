"""The bus: a change reaches those whom it concerns, in order, and nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.bus import Bus
from bridge.model import Change, LoginId, MailboxId

ME, YOU = LoginId(1), LoginId(2)
INBOX, SENT = MailboxId(7), MailboxId(8)


def change(login: LoginId, mailbox: MailboxId | None, modseq: int = 1) -> Change:
    return Change(login, mailbox, modseq)


def test_a_mailbox_hears_its_own_changes_only() -> None:
    bus, heard = Bus(), list[Change]()
    bus.subscribe(ME, INBOX, heard.append)
    bus.publish([change(ME, SENT), change(ME, INBOX), change(ME, None), change(YOU, INBOX)])
    assert heard == [change(ME, INBOX)]


def test_a_login_hears_all_of_its_own() -> None:
    bus, heard = Bus(), list[Change]()
    bus.subscribe(ME, None, heard.append)
    bus.publish([change(ME, SENT), change(ME, None), change(YOU, None), change(YOU, SENT)])
    assert heard == [change(ME, SENT), change(ME, None)]


def test_unsubscribe_ends_one_subscription_and_may_be_called_twice() -> None:
    bus, heard = Bus(), list[Change]()
    first = bus.subscribe(ME, INBOX, heard.append)
    bus.subscribe(ME, INBOX, heard.append)
    first()
    first()
    bus.publish([change(ME, INBOX)])
    assert heard == [change(ME, INBOX)]


def test_one_that_raises_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    bus, heard = Bus(), list[Change]()

    def broken(_: Change) -> None:
        raise RuntimeError("broken")

    bus.subscribe(ME, INBOX, broken)
    bus.subscribe(ME, INBOX, heard.append)
    bus.publish([change(ME, INBOX, 1), change(ME, INBOX, 2)])
    assert [each.modseq for each in heard] == [1, 2]


def test_listeners_come_and_go_while_they_are_told() -> None:
    bus, heard = Bus(), list[str]()

    def first(_: Change) -> None:
        heard.append("first")
        end_second()
        bus.subscribe(ME, INBOX, lambda _: heard.append("third"))

    end_first = bus.subscribe(ME, INBOX, first)
    end_second = bus.subscribe(ME, INBOX, lambda _: heard.append("second"))
    bus.publish([change(ME, INBOX)])
    assert heard == ["first"]
    end_first()
    bus.publish([change(ME, INBOX)])
    assert heard == ["first", "third"]


@given(st.lists(st.tuples(st.integers(1, 3), st.none() | st.integers(1, 3))))
def test_everyone_hears_what_concerns_him_in_order(said: list[tuple[int, int | None]]) -> None:
    """Each subscription hears exactly the changes of its key, in the order of publishing."""
    bus = Bus()
    keys = [(login, box) for login in (1, 2, 3) for box in (None, 1, 2, 3)]
    heard: dict[tuple[int, int | None], list[Change]] = {key: [] for key in keys}
    for login, box in keys:
        bus.subscribe(
            LoginId(login), None if box is None else MailboxId(box), heard[login, box].append
        )
    changes = [
        Change(LoginId(login), None if box is None else MailboxId(box), number)
        for number, (login, box) in enumerate(said)
    ]
    bus.publish(changes)
    for login, box in keys:
        assert heard[login, box] == [
            each
            for each in changes
            if each.login_id == login and (box is None or each.mailbox_id == box)
        ]
