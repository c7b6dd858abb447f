"""OAuth grants on disk: renewal, rotation, crashes in between, and sign-ins meanwhile."""

from __future__ import annotations

import asyncio
import json
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.auth import tokens as tokens_module
from bridge.auth.oauth import Client, Tokens
from bridge.auth.secrets import SecretError
from bridge.auth.tokens import AccessToken, Grant, Grants, TokenError
from bridge.model import Secret
from tests.support.identity_provider import IdentityProvider

ME = "me@example.org"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class House:
    """A data_dir with a sign-in, at a provider."""

    def __init__(self, folder: Path, provider: IdentityProvider) -> None:
        self.folder = folder
        self.provider = provider
        self.clock = Clock()
        self.grants = Grants(folder, wall=self.clock)

    @property
    def client(self) -> Client:
        return self.provider.client()

    def sign_in(self) -> None:
        status, said = self.provider._give(None)
        assert status == 200
        access, refresh = str(said["access_token"]), str(said["refresh_token"])
        given = Tokens(Secret(access), Secret(refresh), self.provider.lifetime)
        Grants(self.folder, wall=self.clock).sign_in(ME, self.client, given)

    async def token(self, *, refused: str = "") -> str:
        return await AccessToken(self.grants, ME, self.client).obtain(refused=refused)

    def restart(self) -> None:
        """A process that knows nothing but what is on disk."""
        self.grants = Grants(self.folder, wall=self.clock)

    def kept(self) -> Grant:
        found = self.grants.load(ME)
        assert found is not None
        return found

    @property
    def refreshes(self) -> int:
        return len(self.provider.asked)


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, provider: IdentityProvider) -> House:
    made = House(tmp_path, provider)
    made.sign_in()
    return made


async def test_a_fresh_token_is_used_without_asking(house: House) -> None:
    first = await house.token()
    house.clock.now += 3600 - 301
    assert await house.token() == first
    assert house.refreshes == 0


async def test_a_token_near_its_end_is_renewed_once(house: House) -> None:
    first = await house.token()
    house.clock.now += 3600 - 299
    second = await house.token()
    assert second != first
    assert second in house.provider.live
    assert await house.token() == second
    assert house.refreshes == 1


async def test_a_refused_token_is_renewed_whatever_its_age(house: House) -> None:
    first = await house.token()
    second = await house.token(refused=first)
    assert second != first
    assert house.refreshes == 1
    assert await house.token(refused=first) == second  # somebody else has renewed it
    assert house.refreshes == 1


@pytest.mark.case("T001")
async def test_a_clock_that_jumps_back_or_ahead_costs_a_renewal_at_most(house: House) -> None:
    for jump in (-(10**8), 10**8, -(10**8)):
        house.clock.now += jump
        assert await house.token() in house.provider.live
    assert house.refreshes <= 2


async def test_of_many_that_ask_at_once_one_renews(house: House) -> None:
    house.clock.now += 4000
    found = await asyncio.gather(*(house.token() for _ in range(20)))
    assert len(set(found)) == 1
    assert house.refreshes == 1


# --- X006: rotation -----------------------------------------------------------------------


async def test_X006_a_new_token_is_on_disk_before_it_is_used(house: House) -> None:
    house.clock.now += 4000
    used = await house.token()
    house.restart()
    assert house.kept().access.reveal() == used
    assert house.kept().refresh.reveal() in house.provider.refreshable


async def test_X006_a_crash_between_receive_and_store_loses_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider gave a new refresh token, we died: the old one is on disk, and still works."""

    class Died(BaseException):
        pass

    def die(*arguments: object) -> None:
        raise Died

    house.clock.now += 4000
    before = house.kept()
    with monkeypatch.context() as patch:
        patch.setattr(Grants, "replace", die)
        with pytest.raises(Died):
            await house.token()
    house.restart()
    assert house.kept().refresh.reveal() == before.refresh.reveal()
    assert await house.token() in house.provider.live


async def test_X006_the_old_refresh_token_is_kept_until_the_new_one_works(house: House) -> None:
    first = house.kept().refresh.reveal()
    house.clock.now += 4000
    await house.token()
    second = house.kept().refresh.reveal()
    assert house.kept().previous.reveal() == first
    # The provider lost the new one, as if its own store had failed.
    house.provider.refreshable = {first}
    house.clock.now += 4000
    assert await house.token() in house.provider.live
    assert [asked.error for asked in house.provider.asked] == ["", "invalid_grant", ""]
    house.clock.now += 4000
    await house.token()
    assert second not in (house.kept().refresh.reveal(), house.kept().previous.reveal())


async def test_X006_a_provider_that_keeps_its_refresh_token(tmp_path: Path) -> None:
    with IdentityProvider(rotates=False) as provider:
        house = House(tmp_path, provider)
        house.sign_in()
        first = house.kept().refresh.reveal()
        for _ in range(3):
            house.clock.now += 4000
            await house.token()
            assert house.kept().refresh.reveal() == first
            assert house.kept().previous.reveal() == ""


async def test_X006_a_strict_provider_and_a_hundred_renewals(tmp_path: Path) -> None:
    with IdentityProvider(strict=True) as provider:
        house = House(tmp_path, provider)
        house.sign_in()
        for _ in range(100):
            house.clock.now += 4000
            assert await house.token() in provider.live
            house.restart()
        assert len(provider.asked) == 100
        assert not any(asked.error for asked in provider.asked)


async def test_a_full_disk_is_no_reason_to_lose_the_new_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not used before it is kept; and kept as soon as there is room, without asking again."""

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with IdentityProvider(strict=True) as provider:
        house = House(tmp_path, provider)
        house.sign_in()
        house.clock.now += 4000
        with monkeypatch.context() as patch:
            patch.setattr(tokens_module, "write_private", full)
            for _ in range(2):
                with pytest.raises(TokenError, match="No space") as raised:
                    await house.token()
                assert raised.value.kind == "temporary"
        assert await house.token() in provider.live
        assert house.refreshes == 1
        assert house.kept().refresh.reveal() in provider.refreshable


async def test_a_cancelled_poll_does_not_cut_a_renewal_off(tmp_path: Path) -> None:
    """A strict provider has forgotten the old token by then."""
    with IdentityProvider(strict=True) as provider:
        house = House(tmp_path, provider)
        house.sign_in()
        house.clock.now += 4000
        loop, given = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            loop.call_soon_threadsafe(given.set)

        provider.on_token = tell
        asking = asyncio.create_task(house.token())
        await given.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await house.token() in provider.live
        assert house.refreshes == 1


async def test_a_sign_in_during_a_renewal_counts(house: House) -> None:
    house.clock.now += 4000
    signed_in = False

    def meanwhile() -> None:
        nonlocal signed_in
        if not signed_in:
            signed_in = True
            house.sign_in()

    house.provider.on_token = meanwhile
    await house.token()
    kept = house.kept()
    given = [token for token in house.provider.live if token == kept.access.reveal()]
    assert len(given) == 1
    assert kept.previous.reveal() == ""  # what the renewal gave was thrown away
    assert await house.token() == kept.access.reveal()


# --- X008 ---------------------------------------------------------------------------------


async def test_X008_after_three_refusals_nobody_asks_any_more(house: House) -> None:
    house.provider.revoke()
    house.clock.now += 4000
    for _ in range(10):
        with pytest.raises(TokenError) as raised:
            await house.token()
        assert raised.value.kind == "auth"
        assert raised.value.advice == f"Sign in again: popbridge account login {ME}"
        house.restart()
    assert house.refreshes == 3
    assert "not asked any more" in str(raised.value)
    house.sign_in()
    assert await house.token() in house.provider.live


async def test_X008_refusals_of_a_client_count_too(house: House) -> None:
    house.clock.now += 4000
    house.provider.answers["/token"] = deque([(401, b'{"error": "invalid_client"}')] * 10)
    for _ in range(5):
        with pytest.raises(TokenError, match=r"invalid_client|not asked"):
            await house.token()
    assert house.refreshes == 3


async def test_a_provider_that_is_down_is_asked_again(house: House) -> None:
    """And counts for nothing: the class of the error is not that of a refused login."""
    house.clock.now += 4000
    house.provider.answers["/token"] = deque([(503, b"")] * 5)
    for _ in range(5):
        with pytest.raises(TokenError) as raised:
            await house.token()
        assert raised.value.kind == "temporary"
    assert house.kept().refusals == 0
    assert await house.token() in house.provider.live


async def test_a_sign_in_without_a_refresh_token_ends(house: House) -> None:
    given = Tokens(Secret("access"), Secret(""), 3600)
    house.grants.sign_in(ME, house.client, given)
    assert await house.token() == "access"
    house.clock.now += 4000
    with pytest.raises(TokenError, match="no refresh token"):
        await house.token()
    assert house.refreshes == 0


# --- whose token --------------------------------------------------------------------------


async def test_nobody_has_signed_in(tmp_path: Path, provider: IdentityProvider) -> None:
    house = House(tmp_path, provider)
    with pytest.raises(TokenError, match="nobody has signed in") as raised:
        await house.token()
    assert "popbridge account login" in raised.value.advice


async def test_X007_a_token_goes_to_no_other_provider_or_client(house: House) -> None:
    with IdentityProvider() as thief:
        for client in (
            thief.client(),
            replace(house.client, client_id="another"),
        ):
            token = AccessToken(house.grants, ME, client)
            with pytest.raises(TokenError, match="another provider or client_id"):
                await token.obtain()
        assert thief.asked == []


def test_X003_the_file_is_private_sealed_and_for_one_account(house: House) -> None:
    folder = house.folder / "oauth"
    (file,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"refresh-" not in file.read_bytes()
    assert b"access-" not in file.read_bytes()
    other = house.grants._path("you@example.org")
    other.write_bytes(file.read_bytes())
    other.chmod(0o600)
    with pytest.raises(SecretError, match="changed"):
        house.grants.load("you@example.org")


@pytest.mark.parametrize("octets", [b"", b"{}", b"x" * 1000])
async def test_a_file_that_is_broken_says_what_to_do(house: House, octets: bytes) -> None:
    house.grants._path(ME).write_bytes(octets)
    with pytest.raises(TokenError, match="not what popbridge wrote") as raised:
        await house.token()
    assert "popbridge account login" in raised.value.advice


async def test_a_sealed_file_that_says_something_else(house: House) -> None:
    for said in (b"[]", b"{}", json.dumps({"sign_in": 1}).encode()):
        sealed = house.grants._vault.seal(said, f"oauth {ME}")
        house.grants._path(ME).write_bytes(sealed)
        with pytest.raises(TokenError, match="not what popbridge wrote"):
            await house.token()


def test_X001_no_repr_shows_a_token(house: House) -> None:
    token = AccessToken(house.grants, ME, house.client)
    shown = repr(house.kept()) + repr(token) + str(token)
    assert "access-" not in shown
    assert "refresh-" not in shown


async def test_the_end_of_a_sign_in_is_what_the_provider_said_last(house: House) -> None:
    day = 86_400
    assert house.grants.ends_at(ME) is None
    assert house.grants.ends_at("nobody@example.org") is None
    house.provider.refresh_lifetime = 7 * day  # with the next renewal
    house.clock.now += 4000
    await house.token()
    assert house.grants.ends_at(ME) == int(house.clock.now) + 7 * day
    house.provider.refresh_lifetime = None
    house.provider.rotates = False
    ends = house.grants.ends_at(ME)
    house.clock.now += 4000
    await house.token()
    assert house.grants.ends_at(ME) == ends  # the refresh token is the same one


async def test_without_a_refresh_token_a_sign_in_ends_with_its_access_token(house: House) -> None:
    house.grants.sign_in(ME, house.client, Tokens(Secret("access"), Secret(""), 3600))
    assert house.grants.ends_at(ME) == int(house.clock.now) + 3600
