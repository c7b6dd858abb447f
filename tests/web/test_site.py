"""What a person does at the page, over real sockets."""

from __future__ import annotations

import time

import pytest

from bridge.model import AccountState
from bridge.web.page import Event
from bridge.web.seams import Found, SignIn
from bridge.web.status import AccountStatus, DeviceFacts
from tests.support.control import PASSWORD as DEVICE_PASSWORD
from tests.support.page import ME, FakeDesk, browser, served


async def test_it_speaks_the_language_of_the_browser() -> None:
    async with served(FakeDesk()) as server:
        german = browser(server, language="de-DE,de;q=0.9")
        await german.log_in()
        page = await german.get("/")
        assert '<html lang="de">' in page.body
        assert "Alle Post ist aktuell" in page.body
        assert page.headers["vary"] == "Accept-Language"
        english = browser(server)
        assert "<h1>Log in</h1>" in (await english.get("/login")).body


async def test_the_moving_part_comes_only_when_it_changed() -> None:
    desk = FakeDesk()
    async with served(desk) as server:
        visitor = browser(server)
        await visitor.log_in()
        first = await visitor.get("/live")
        seen = first.body.partition("/live?seen=")[2].partition('"')[0]
        assert (await visitor.get(f"/live?seen={seen}")).code == 204
        desk.accounts = (AccountStatus(AccountState(ME), "polling"),)
        again = await visitor.get(f"/live?seen={seen}")
        assert again.code == 200
        assert "checking" in again.body
        assert "every 1s" in again.body
        assert "<html" not in again.body


async def test_a_fragment_without_a_session_leads_to_the_login() -> None:
    async with served(FakeDesk()) as server:
        answer = await browser(server).get("/live", HX_Request="true")
        assert (answer.code, answer.headers["hx-redirect"]) == (204, "/login")


@pytest.mark.parametrize(
    ("path", "form", "asked", "said"),
    [
        ("/accounts/check", {"address": ME}, ("check", ME), "The check of me@gmx.de has begun."),
        ("/accounts/check", {}, ("check", None), "The check has begun."),
        ("/accounts/pause", {"address": ME}, ("pause", ME), "me@gmx.de is paused."),
        ("/accounts/resume", {"address": ME}, ("resume", ME), "me@gmx.de goes on."),
        ("/accounts/test", {"address": ME}, ("test", ME), "The login at the provider works."),
        (
            "/devices/revoke",
            {"login": ME, "name": "Anna"},
            ("revoke", ME, "Anna"),
            "Anna may not sign in any more.",
        ),
    ],
)
async def test_buttons(path: str, form: dict[str, str], asked: object, said: str) -> None:
    desk = FakeDesk()
    async with served(desk) as server:
        visitor = browser(server)
        await visitor.log_in()
        answer = await visitor.post(path, **form)
        assert (answer.code, answer.headers["location"]) == (303, "/")
        assert desk.asked == [asked]
        assert said in (await visitor.get("/")).body
        assert said not in (await visitor.get("/")).body  # once
        desk.trouble = "no, because"
        await visitor.post(path, **form)
        page = (await visitor.get("/")).body
        assert '<p class="trouble" role="alert">no, because</p>' in page


async def test_a_new_password() -> None:
    desk = FakeDesk(AccountStatus(AccountState(ME, error="x", error_class="auth"), "waiting"))
    async with served(desk) as server:
        visitor = browser(server)
        await visitor.log_in()
        assert "/accounts/password?address=me%40gmx.de" in (await visitor.get("/")).body
        assert (
            "New password for me@gmx.de"
            in (await visitor.get("/accounts/password?address=me%40gmx.de")).body
        )
        desk.trouble = "refused by pop.gmx.net"
        answer = await visitor.post("/accounts/password", address=ME, password="ä b&c")
        assert answer.code == 422
        assert "refused by pop.gmx.net" in answer.body
        assert "b&amp;c" not in answer.body
        desk.trouble = ""
        answer = await visitor.post("/accounts/password", address=ME, password="ä b&c")
        assert answer.code == 303
        assert desk.asked[-1] == ("new password", ME, "ä b&c")


async def test_a_device_is_shown_once() -> None:
    desk = FakeDesk()
    async with served(desk) as server:
        visitor = browser(server)
        await visitor.log_in()
        assert f"<option>{ME}</option>" in (await visitor.get("/devices/new")).body
        answer = await visitor.post("/devices/new", login=ME, name=" Anna's phone ")
        assert answer.code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert answer.body.count(DEVICE_PASSWORD) == 1
        assert "<svg" in answer.body
        for line in ("192.168.1.20", "1993", ME, "4F:1C:A2", "mail.gmx.net"):
            assert line in answer.body
        assert desk.asked == [("add device", ME, "Anna's phone")]
        home = (await visitor.get("/")).body
        assert "Anna&#39;s phone" in home
        assert DEVICE_PASSWORD not in home
        desk.trouble = "there is one of that name already"
        answer = await visitor.post("/devices/new", login=ME, name="Anna")
        assert answer.code == 422
        assert "there is one of that name already" in answer.body
        assert 'value="Anna"' in answer.body


async def test_a_page_for_the_phone() -> None:
    desk = FakeDesk()
    async with served(desk) as server:
        visitor = browser(server)
        await visitor.log_in()
        answer = await visitor.post("/devices/phone", login=ME, name="Anna")
        assert "https://192.168.1.20:8026/phone/abc" in answer.body
        assert "4F:1C:A2" in answer.body
        assert "<svg" in answer.body
        assert DEVICE_PASSWORD not in answer.body


async def test_a_sign_in_by_code() -> None:
    desk = FakeDesk()
    path = "/accounts/sign-in?address=me%40gmx.de"
    async with served(desk) as server:
        visitor = browser(server)
        await visitor.log_in()
        assert "Get a code" in (await visitor.get(path)).body
        answer = await visitor.post("/accounts/sign-in", address=ME)
        assert answer.headers["location"] == path
        page = await visitor.get(path)
        assert "F7K2-9QXM" in page.body
        part = await visitor.get(path, HX_Request="true")
        assert "<html" not in part.body
        assert "F7K2-9QXM" in part.body
        desk.begun = SignIn("failed", said="declined")
        assert "declined" in (await visitor.get(path)).body
        desk.begun = SignIn("done")
        assert (await visitor.get(path, HX_Request="true")).headers["hx-redirect"] == "/"
        assert (await visitor.get(path)).code == 303
        assert "Signed in as me@gmx.de." in (await visitor.get("/")).body


async def test_the_wizard() -> None:
    desk = FakeDesk()
    async with served(desk) as server:
        visitor = browser(server)
        await visitor.log_in()
        assert (await visitor.get("/accounts/new")).code == 200
        answer = await visitor.post("/accounts/find", address=" you@gmx.de ")
        assert 'value="pop.gmx.net"' in answer.body
        assert "Found: the built-in list" in answer.body
        form = {
            "address": "you@gmx.de",
            "host": "pop.gmx.net",
            "port": "995",
            "security": "tls",
            "username": "you@gmx.de",
            "password": "secret",
        }
        desk.trouble = "refused by pop.gmx.net"
        answer = await visitor.post("/accounts/new", **form)
        assert answer.code == 422
        assert "refused by pop.gmx.net" in answer.body
        assert "secret" not in answer.body
        desk.trouble = ""
        answer = await visitor.post("/accounts/new", **{**form, "port": "99x", "security": "none"})
        assert answer.code == 303
        found = Found("you@gmx.de", "pop.gmx.net", 995, "tls", "you@gmx.de")
        assert desk.asked[-1] == ("add account", found, "secret")


async def test_an_address_that_cannot_be_added() -> None:
    class Refuses(FakeDesk):
        async def find(self, address: str, language: str) -> Found:
            return Found(address, refusal="iCloud has IMAP only: you do not need popbridge")

    async with served(Refuses()) as server:
        visitor = browser(server)
        await visitor.log_in()
        answer = await visitor.post("/accounts/find", address="me@icloud.com")
        assert "you do not need popbridge" in answer.body
        assert 'name="password"' not in answer.body


async def test_the_last_events() -> None:
    desk = FakeDesk()
    now = int(time.time())
    desk.happened = [Event(now - each, "info", ME, f"event {each}") for each in range(30)]
    async with served(desk) as server:
        visitor = browser(server)
        await visitor.log_in()
        home = (await visitor.get("/")).body
        assert "event 7" in home
        assert "event 8" not in home
        assert "event 29" in (await visitor.get("/log")).body


async def test_it_weighs_little() -> None:
    """Under 100 kB with all that it loads, and nothing from elsewhere."""
    desk = FakeDesk()
    desk.accounts = tuple(AccountStatus(AccountState(f"{n}@gmx.de"), "waiting") for n in range(5))
    desk.devices = [DeviceFacts(ME, f"device {n}", 1) for n in range(10)]
    async with served(desk) as server:
        visitor = browser(server)
        await visitor.log_in()
        home = await visitor.get("/")
        octets = len(home.body.encode())
        for name in ("htmx.min.js", "page.js", "style.css", "icon.svg"):
            answer = await visitor.get(f"/static/{name}")
            assert answer.code == 200
            assert f'/static/{name}"' in home.body
            octets += len(answer.body.encode())
        assert octets < 100_000
        assert "http://" not in home.body
        assert "https://" not in home.body
