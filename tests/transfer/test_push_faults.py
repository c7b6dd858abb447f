"""E005: the server of a migration disconnects anywhere, refuses, is full, or knows no extension."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bridge import limits
from bridge.model import Secret
from bridge.spool import Spool
from bridge.transfer.imap_client import ImapClient, ImapError, Server
from bridge.transfer.imap_push import Pusher, PushStopped
from bridge.transfer.journal import Journal
from bridge.transfer.marks import Marks
from bridge.transfer.tally import Tally
from tests.support.imap_target import ImapTarget
from tests.transfer.house import House

PLAIN = b"IMAP4rev1"
FORMS = {
    "everything": b"IMAP4rev1 LITERAL+ MULTIAPPEND UIDPLUS",
    "no UIDPLUS": b"IMAP4rev1 LITERAL+ MULTIAPPEND",
    "one at a time": b"IMAP4rev1 LITERAL+ UIDPLUS",
    "small literals unasked": b"IMAP4rev1 LITERAL- UIDPLUS",
    "no extension": PLAIN,
}


async def push(
    house: House, target: ImapTarget, journal: Path | None = None, *, most: float = 0.0
) -> tuple[Tally, list[float]]:
    tally, pauses = Tally(), []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    notes = Journal(journal)
    server = Server(target.host, target.port, "me", False)
    pusher = Pusher(
        house.door, server, Secret("x"), notes, tally, lambda: Spool(house.folder),
        pause=pause, most=most,
    )  # fmt: skip
    try:
        await pusher.run()
    finally:
        notes.close()
    return tally, pauses


def mails(count: int) -> list[bytes]:
    """All of one size: sizes must not mislead."""
    return [b"Subject: %d\r\n\r\nbody %d\r\n" % (number, number) for number in range(count)]


async def fill(house: House) -> list[bytes]:
    raws = mails(5)
    await house.fill("INBOX", *((raw, Marks(8, ("work",), 1000 + n)) for n, raw in enumerate(raws)))
    return raws


@pytest.mark.case("E005")
@pytest.mark.parametrize("form", FORMS)
async def test_a_server_that_is_gone_at_any_octet(house: House, form: str) -> None:
    raws = await fill(house)
    async with ImapTarget(FORMS[form]) as whole:
        await push(house, whole)
        assert Counter(whole.held()) == Counter(raws)
    for cut in range(60, 1200, 13):
        async with ImapTarget(FORMS[form], cut_after=cut) as target:
            with contextlib.suppress(PushStopped):
                await push(house, target)
            target.cut_after = None
            tally, _ = await push(house, target)  # the next run, which knows nothing of the first
            assert Counter(target.held()) == Counter(raws), cut
            assert (tally.seen, tally.done + tally.already, tally.failed) == (5, 5, 0)
            appends = target.appends
            again, _ = await push(house, target)
            assert (again.done, again.already, target.appends) == (0, 5, appends)


@pytest.mark.case("E005")
@pytest.mark.parametrize("form", FORMS)
async def test_what_was_stored_and_not_acknowledged_is_not_sent_again(
    house: House, tmp_path: Path, form: str
) -> None:
    raws = await fill(house)
    async with ImapTarget(FORMS[form], drop_answers=3) as target:
        tally, _ = await push(house, target, tmp_path / "journal")
        assert Counter(target.held()) == Counter(raws)
        assert (tally.seen, tally.done, tally.failed) == (5, 5, 0)
        assert not tally.skipped


@pytest.mark.case("E005")
@pytest.mark.parametrize("form", FORMS)
async def test_what_a_server_takes_after_the_next_look_is_there_once(
    house: House, tmp_path: Path, form: str
) -> None:
    raws = await fill(house)
    async with ImapTarget(FORMS[form]) as target:
        await push(house, target)
        # One lies there twice before we come, and stays so.
        theirs = next(each for each in target.mailboxes["INBOX"] if each.octets == raws[0])
        target.mailboxes["INBOX"] = [replace(theirs, uid=1), replace(theirs, uid=2)]
        target.late = 2
        tally, _ = await push(house, target, tmp_path / "journal")
        assert Counter(target.held()) == Counter([*raws, raws[0]])
        assert (tally.seen, tally.done, tally.already, tally.failed) == (5, 4, 1, 0)
        again, _ = await push(house, target, tmp_path / "journal")
        assert (again.done, again.already) == (0, 5)
        # What somebody copies there later is theirs.
        target.mailboxes["INBOX"].append(replace(target.mailboxes["INBOX"][-1], uid=900))
        await push(house, target, tmp_path / "journal")
        assert len(target.held()) == 7


@pytest.mark.case("E005")
async def test_a_message_that_is_refused_is_counted_and_the_others_go(house: House) -> None:
    raws = await fill(house)
    for refusal in (b"NO I do not like it", b"BAD what is this"):
        async with ImapTarget(answer=lambda raw: refusal if b": 2" in raw else None) as target:  # noqa: B023
            tally, _ = await push(house, target)
            assert Counter(target.held()) == Counter(raws) - Counter([raws[2]])
            assert (tally.seen, tally.done, tally.already, tally.failed) == (5, 4, 0, 1)
            assert refusal.split(b" ", 1)[1].decode() in tally.notes[0]


async def test_a_mailbox_that_is_refused_is_counted_and_the_others_go(house: House) -> None:
    raws = await fill(house)
    await house.fill("a/b", (b"Subject: x\r\n\r\n", Marks(0, (), 1)))
    async with ImapTarget(refuses_create=True) as target:
        tally, _ = await push(house, target)
        assert Counter(target.held()) == Counter(raws)
        assert (tally.seen, tally.done, tally.already, tally.failed) == (6, 5, 0, 1)
        assert "a/b: " in " ".join(tally.notes)
        assert "refused the mailbox: not here" in " ".join(tally.notes)


@pytest.mark.case("E005")
async def test_a_server_that_is_full_ends_it_with_a_word(house: House) -> None:
    raws = await fill(house)
    async with ImapTarget(
        PLAIN, answer=lambda raw: b"NO [OVERQUOTA] enough" if b": 3" in raw else None
    ) as target:
        with pytest.raises(PushStopped, match="is full"):
            await push(house, target)
        assert set(target.held()) < set(raws)
        target.answer = lambda _: None
        await push(house, target)
        assert Counter(target.held()) == Counter(raws)


async def test_a_server_that_asks_for_patience_gets_it(house: House) -> None:
    raws = await fill(house)
    patience = iter([b"NO [UNAVAILABLE] later"] * 3)
    async with ImapTarget(answer=lambda _: next(patience, None)) as target:
        tally, pauses = await push(house, target)
        assert Counter(target.held()) == Counter(raws)
        assert (tally.done, pauses) == (5, [2.0, 4.0, 8.0])


async def test_a_server_that_mends_line_ends_is_not_sent_them_twice(house: House) -> None:
    bare = b"Subject: bare\n\none\ntwo\n"
    await house.fill("INBOX", (bare, Marks(0, (), 1)), (b"Subject: x\r\n\r\n", Marks(0, (), 2)))
    for form in FORMS.values():
        async with ImapTarget(form) as target:
            await push(house, target)
            for each in target.mailboxes["INBOX"]:
                each.octets = each.octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            for _ in range(2):
                tally, _ = await push(house, target)
                assert (tally.done, tally.already, len(target.held())) == (0, 2, 2)


async def test_no_more_messages_a_second_than_allowed(house: House) -> None:
    await fill(house)
    async with ImapTarget() as target:
        _, pauses = await push(house, target, most=0.5)
        assert len(pauses) == 4
        assert sum(pauses) > 4


# --- limits ---------------------------------------------------------------------------------


async def refused(house: House, target: ImapTarget) -> str:
    client = ImapClient(Server(target.host, target.port, "me", False), lambda: Spool(house.folder))
    try:
        with pytest.raises(ImapError) as error:
            await client.connect(Secret("x"))
    finally:
        client.close()
    return str(error.value)


async def test_a_line_without_end(house: House) -> None:
    async with ImapTarget(greeting=b"* OK " + b"x" * limits.TRANSFER_IMAP_LINE) as target:
        assert "a line of the server is too long" in await refused(house, target)


async def test_a_server_that_owes_an_answer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TRANSFER_IMAP_SECONDS", 0.05)
    async with ImapTarget(silent=True) as target:
        assert "is silent" in await refused(house, target)


async def test_a_server_that_does_not_shake_hands(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRANSFER_CONNECT_SECONDS", 0.05)
    async with ImapTarget(greeting=b"") as target:
        server = Server(target.host, target.port, "me", implicit_tls=True)
        client = ImapClient(server, lambda: Spool(house.folder))
        with pytest.raises(ImapError, match="did not answer in time"):
            await client.connect(Secret("x"))
        client.close()
