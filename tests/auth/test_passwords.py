"""Passwords of logins: right ones, wrong ones, and what the time of an answer says."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator

import argon2
import pytest

from bridge import limits
from bridge.auth import passwords as module
from bridge.auth.passwords import (
    PasswordHash,
    Passwords,
    SignedIn,
    Verifier,
    hash_password,
)
from bridge.model import Secret

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)


def hashed(password: str) -> PasswordHash:
    return PasswordHash(CHEAP.hash(password))


class Counted:
    """Counts the argon2 checks that run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.checks = 0
        real = module._matches

        def counting(against: PasswordHash, password: Secret) -> bool:
            self.checks += 1
            return real(against, password)

        monkeypatch.setattr(module, "_matches", counting)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


@pytest.fixture
def opened() -> Iterator[list[Passwords]]:
    made: list[Passwords] = []
    yield made
    for each in made:
        each.close()


def make(opened: list[Passwords], verifiers: dict[str, Verifier]) -> Passwords:
    opened.append(Passwords(verifiers))
    return opened[-1]


async def test_plain(opened: list[Passwords]) -> None:
    found = make(opened, {"me": Secret("pässword"), "you": Secret("other")})
    assert await found.verify("me", Secret("pässword"))
    assert not await found.verify("me", Secret("password"))
    assert not await found.verify("me", Secret("other"))
    assert not await found.verify("me", Secret(""))
    assert not await found.verify("nobody", Secret("pässword"))


async def test_hashed(opened: list[Passwords]) -> None:
    found = make(opened, {"me": hashed("pässword"), "you": Secret("other")})
    assert await found.verify("me", Secret("pässword"))
    assert not await found.verify("me", Secret("other"))
    assert not await found.verify("nobody", Secret("pässword"))
    assert await found.verify("you", Secret("other"))
    assert not await found.verify("you", Secret("pässword"))


async def test_our_own_hash(opened: list[Passwords]) -> None:
    made = hash_password(Secret("abc"))
    assert made.encoded.startswith("$argon2id$")
    assert await make(opened, {"me": made}).verify("me", Secret("abc"))


async def test_five_connections_pay_once(opened: list[Passwords], counted: Counted) -> None:
    found = make(opened, {"me": hashed("abc")})
    answers = await asyncio.gather(*(found.verify("me", Secret("abc")) for _ in range(5)))
    assert answers == [SignedIn("me")] * 5
    assert await found.verify("me", Secret("abc"))
    assert counted.checks == 1


async def test_a_wrong_password_is_never_remembered(
    opened: list[Passwords], counted: Counted
) -> None:
    found = make(opened, {"me": hashed("abc")})
    for _ in range(2):
        assert not await found.verify("me", Secret("abd"))
    assert counted.checks == 2


async def test_remembering_ends(counted: Counted) -> None:
    now = 1000.0
    found = Passwords({"me": hashed("abc")}, clock=lambda: now)
    assert await found.verify("me", Secret("abc"))
    now += module._REMEMBERED_SECONDS + 1
    assert await found.verify("me", Secret("abc"))
    found.close()
    assert counted.checks == 2


async def test_replace_forgets(opened: list[Passwords]) -> None:
    found = make(opened, {"me": hashed("abc"), "you": Secret("x")})
    assert await found.verify("me", Secret("abc"))
    found.replace({"me": hashed("def")})
    assert not await found.verify("me", Secret("abc"))
    assert await found.verify("me", Secret("def"))
    assert not await found.verify("you", Secret("x"))


async def test_replace_while_one_is_checked(opened: list[Passwords]) -> None:
    found = make(opened, {"me": hashed("abc")})
    asked = asyncio.create_task(found.verify("me", Secret("abc")))
    await asyncio.sleep(0)  # the check is under way
    found.replace({"me": hashed("def")})
    await asked
    assert not await found.verify("me", Secret("abc"))


@pytest.mark.case("I044")
@pytest.mark.parametrize("verifier", [Secret("abc"), hashed("abc")])
async def test_every_refusal_pays_the_same(
    opened: list[Passwords], counted: Counted, verifier: Verifier
) -> None:
    found = make(opened, {"me": verifier, "other": hashed("x")})
    for name in ("me", "nobody", ""):
        before = counted.checks
        assert not await found.verify(name, Secret("wrong"))
        assert counted.checks == before + 1


@pytest.mark.case("I044")
@pytest.mark.parametrize("kind", ["plain", "hashed"])
async def test_unknown_and_known_take_the_same_time(opened: list[Passwords], kind: str) -> None:
    # I044 asks for medians within 5 % on a quiet machine; a loaded one gets more room here.
    verifier = hashed("abc") if kind == "hashed" else Secret("abc")
    found = make(opened, {"me": verifier})
    times: dict[str, list[float]] = {"me": [], "nobody": []}
    for turn in range(300):
        for name in times:
            start = time.perf_counter()
            await found.verify(name, Secret(f"wrong {turn}"))
            times[name].append(time.perf_counter() - start)
    known, unknown = (statistics.median(each) for each in times.values())
    assert known == pytest.approx(unknown, rel=0.25)


async def test_too_long_is_refused_unseen(opened: list[Passwords], counted: Counted) -> None:
    long = "x" * limits.PASSWORD
    found = make(opened, {"me": Secret(long), "you": hashed(long)})
    assert await found.verify("me", Secret(long))
    assert await found.verify("you", Secret(long))
    before = counted.checks
    assert not await found.verify("me", Secret(long + "x"))
    assert not await found.verify("you", Secret("ä" * limits.PASSWORD))
    assert counted.checks == before


async def test_lone_surrogates_are_refused(opened: list[Passwords]) -> None:
    found = make(opened, {"me": Secret("\udcff")})
    assert not await found.verify("me", Secret("\udcff"))


async def test_who_gives_up_leaves_the_queue(opened: list[Passwords], counted: Counted) -> None:
    found = make(opened, {"me": hashed("abc")})
    asked = [asyncio.create_task(found.verify("me", Secret(f"{n}"))) for n in range(50)]
    await asyncio.sleep(0)
    for each in asked:
        each.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert await found.verify("me", Secret("abc"))
    assert counted.checks <= 1 + 2 * module._THREADS


@pytest.mark.parametrize("text", ["", "abc", "$2b$12$x", "$argon2id$v=19$m=1"])
def test_what_is_no_hash(text: str) -> None:
    with pytest.raises(ValueError, match="is not an argon2 hash"):
        PasswordHash(text)


def test_other_kinds_of_argon2_are_refused() -> None:
    other = argon2.PasswordHasher(time_cost=1, memory_cost=1024, type=argon2.Type.I).hash("abc")
    with pytest.raises(ValueError, match="not argon2id"):
        PasswordHash(other)


def test_nothing_shows_the_hash() -> None:
    made = hashed("abc")
    assert "argon2id" not in repr(made) + str(made)
