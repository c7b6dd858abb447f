"""W001 to W009: what pages, peers and the network do to a status page."""

from __future__ import annotations

import asyncio
import html
import re
import ssl
import time
from html.parser import HTMLParser

import pytest
import trustme

from bridge import limits
from bridge.model import AccountState
from bridge.web.page import Event
from bridge.web.server import NeedsPassword
from bridge.web.status import AccountStatus, DeviceFacts
from tests.support.page import ME, Browser, FakeDesk, browser, served

CANARIES = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</title><svg onload=alert(1)>",
    "javascript:alert(1)",
    "\"' autofocus onfocus=alert(1) x='",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[2J\u202egpj.exe",
)
FAILED = AccountState(ME, error="-ERR", error_class="auth", failures=3)
TAGS = {
    *("html", "head", "meta", "title", "link", "script", "body", "header", "main", "footer"),
    *("a", "button", "div", "form", "input", "label", "progress", "section", "small", "span"),
    *("h1", "h2", "h3", "code", "li", "ol", "p", "q", "strong", "ul"),
}


class Elements(HTMLParser):
    """The elements and attributes of a page, as a browser would make them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.mark.parametrize("canary", CANARIES)
async def test_W001_what_peers_say_stays_text(canary: str) -> None:
    """Server error, advice, notice, UIDL and mailbox name (in events), device name (from a user
    agent as good as from a person), account name."""
    now = int(time.time())
    said = AccountState(canary, error=canary, error_class="auth", advice=canary)
    desk = FakeDesk(
        AccountStatus(said, "needs attention"),
        AccountStatus(AccountState(ME, notice=canary), "up to date"),
    )
    desk.devices = [DeviceFacts(canary, canary, now)]
    desk.happened = [Event(now, "warning", canary, f"uidl={canary} mailbox={canary}")]
    async with served(desk) as server:
        visitor = browser(server)
        await visitor.log_in()
        for path in ("/", "/log", f"/accounts/password?address={'x' * 9}"):
            answer = await visitor.get(path)
            assert answer.code == 200
            found = Elements(answer.body)
            assert found.tags <= TAGS, found.tags - TAGS
            assert not [name for name, _ in found.attributes if name.startswith("on")]
            links = [value for name, value in found.attributes if name in ("href", "src", "action")]
            assert all(each.startswith(("/", "#")) for each in links), links
        shown = "".join(Elements((await visitor.get("/")).body).texts)
        assert shown.count(canary) >= 5
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy


async def test_W001_an_address_in_a_link_comes_back_as_text() -> None:
    async with served(FakeDesk()) as server:
        visitor = browser(server)
        await visitor.log_in()
        answer = await visitor.get("/accounts/password?address=%22%3E%3Cscript%3Ealert(1)")
        assert html.escape('"><script>alert(1)', quote=True) in answer.body.replace(
            "&#34;", "&quot;"
        )
        assert Elements(answer.body).tags <= TAGS


@pytest.mark.parametrize(
    "origin", ["https://attacker.example", "null", None, "http://localhost", "https://localhost:{}"]
)
async def test_W002_a_post_from_another_page_is_refused(origin: str | None) -> None:
    desk = FakeDesk()
    async with served(desk) as server:
        visitor = browser(server)
        await visitor.log_in()
        body = f"token={visitor.token}&address={ME}"
        origin = origin and origin.format(server.port)
        answer = await visitor.ask("POST", "/accounts/check", body, Origin=origin)
        assert answer.code == 403
        assert desk.asked == []
        assert (await visitor.ask("POST", "/accounts/check", body)).code == 303
        assert desk.asked == [("check", ME)]


async def test_W002_a_form_wants_the_token_of_its_session() -> None:
    desk = FakeDesk()
    async with served(desk) as server:
        mine, theirs = browser(server), browser(server)
        await mine.log_in()
        await theirs.log_in()
        mine.token = theirs.token
        answer = await mine.post("/accounts/check", address=ME)
        assert (answer.code, desk.asked) == (403, [])
        assert "Nothing was changed" in answer.body
        mine.token = ""
        assert (await mine.post("/devices/new", login=ME, name="x")).code == 403
        assert desk.asked == []


async def test_W002_get_changes_nothing() -> None:
    desk = FakeDesk()
    async with served(desk) as server:
        visitor = browser(server)
        await visitor.log_in()
        for action in ("check", "test", "pause", "resume", "find", "new", "password", "sign-in"):
            await visitor.get(f"/accounts/{action}?address={ME}&token={visitor.token}")
        for action in ("new", "revoke", "phone"):
            await visitor.get(f"/devices/{action}?login={ME}&name=x&token={visitor.token}")
        assert desk.asked == []
        assert (await visitor.get("/accounts/check")).code == 405
        for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
            assert (await visitor.ask(method, "/")).code == 405


async def test_W002_the_cookie_is_no_use_to_other_sites_or_scripts() -> None:
    async with served(FakeDesk()) as server:
        answer = await browser(server).log_in()
        cookie = answer.headers["set-cookie"]
        assert re.search(r"^popbridge=[\w-]{40,};", cookie)
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie


@pytest.mark.parametrize("path", ["/", "/login", "/livez", "/metrics", "/static/style.css", "/no"])
async def test_W003_another_name_is_refused_before_routing(path: str) -> None:
    async with served(FakeDesk()) as server:
        visitor = browser(server)
        for host in ("attacker.example", "localhost.attacker.example", "", "127.0.0.1.nip.io"):
            answer = await visitor.get(path, Host=host)
            assert (answer.code, answer.body) == (403, "This name is not mine.\n")
        assert (await visitor.get("/livez", Host=f"127.0.0.1:{server.port}")).code == 200


async def test_W003_a_listed_name_is_heard() -> None:
    async with served(FakeDesk(), names=["mail.home.example"]) as server:
        assert (await browser(server, host="mail.home.example").get("/livez")).code == 200
        assert (await browser(server, host="x.mail.home.example").get("/livez")).code == 403


async def test_W004_without_a_password_it_does_not_listen_to_the_network() -> None:
    with pytest.raises(NeedsPassword, match=r"write web\.password_file"):
        async with served(FakeDesk(), listen="0.0.0.0", password=None):
            pytest.fail("it listens")


async def test_W004_without_a_password_it_shows_nothing_here_either() -> None:
    async with served(FakeDesk(), password=None) as server:
        visitor = browser(server)
        assert (await visitor.get("/")).headers["location"] == "/login"
        answer = await visitor.get("/login")
        assert "password_file: secrets/page" in answer.body
        assert "<input" not in answer.body
        for password in ("", "None", "x"):
            assert (await visitor.post("/login", password=password)).code == 403
        assert (await visitor.get("/status.json", Authorization="Basic Og==")).code == 401


async def test_W004_off_loopback_it_speaks_tls_only() -> None:
    ca = trustme.CA()
    mine, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.configure_trust(mine)
    ca.issue_cert("localhost", "127.0.0.1").configure_cert(theirs)
    async with served(FakeDesk(), listen="0.0.0.0", context=theirs) as server:
        assert server.url.startswith("https://")
        visitor = browser(server, host="127.0.0.1", context=mine)
        answer = await visitor.log_in()
        assert answer.code == 303
        assert "Secure" in answer.headers["set-cookie"]
        plain = await browser(server).raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" not in plain[:20]


async def test_W005_no_message_is_shown_at_all() -> None:
    """Mail is for mail programs: no page, and no route, holds a message's body or subject."""
    async with served(FakeDesk()) as server:
        visitor = browser(server)
        await visitor.log_in()
        for path in ("/messages", "/message/1", "/mail", "/accounts/me", "/INBOX"):
            assert (await visitor.get(path)).code == 404
        assert "iframe" not in (await visitor.get("/")).body


async def test_W006_a_request_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "WEB_REQUEST_SECONDS", 0.1)
    async with served(FakeDesk()) as server:
        visitor = browser(server)
        assert await visitor.raw(b"") == b""  # closed on us
        assert await visitor.raw(b"GET / HTTP/1.1\r\nHost: loc") == b""
        slow = b"POST /login HTTP/1.1\r\nHost: localhost:%d\r\nOrigin: http://localhost:%d\r\n"
        head = slow % (server.port, server.port) + b"Content-Length: 9\r\n\r\npass"
        assert b" 408 " in (await visitor.raw(head))[:20]
        again = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT"
        assert (await visitor.raw(again)).count(b"HTTP/1.1") == 1
        assert (await visitor.get("/livez")).code == 200


async def test_W006_a_long_header_and_a_long_body() -> None:
    async with served(FakeDesk()) as server:
        visitor = browser(server)
        assert (await visitor.get("/livez", X="x" * 1024 * 1024)).code == 400
        answer = await visitor.ask("POST", "/login", "", Content_Length=str(2**30))
        assert answer.code == 413
        assert (await visitor.ask("POST", "/login", "x" * (limits.WEB_BODY + 1))).code == 413
        most = "password=" + "x" * (limits.WEB_BODY - 9)
        assert (await visitor.ask("POST", "/login", most)).code == 403
        head = f"POST /login HTTP/1.1\r\nHost: {visitor.authority}\r\nConnection: close\r\n"
        head += f"Origin: http://{visitor.authority}\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        answered = await visitor.raw(head.encode() + chunk * 5 + b"0\r\n\r\n")
        assert b" 413 " in answered[:20]


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
    ],
)
async def test_W006_no_request_is_smuggled(framing: str) -> None:
    desk = FakeDesk()
    async with served(desk) as server:
        visitor = browser(server)
        await visitor.log_in()
        inner = f"GET /livez HTTP/1.1\r\nHost: {visitor.authority}\r\n\r\n"
        head = f"POST /logout HTTP/1.1\r\nHost: {visitor.authority}\r\nCookie: {visitor.cookie}\r\n"
        head += f"Origin: http://{visitor.authority}\r\n{framing}\r\n\r\n"
        answered = await visitor.raw(f"{head}0\r\n\r\n{inner}".encode(), end=True)
        assert re.match(rb"HTTP/1\.1 (400|501) ", answered)
        assert b"ok\n" not in answered


async def test_W006_a_bad_chunk_ends_the_connection() -> None:
    async with served(FakeDesk()) as server:
        visitor = browser(server)
        head = f"POST /login HTTP/1.1\r\nHost: {visitor.authority}\r\n"
        head += f"Origin: http://{visitor.authority}\r\nTransfer-Encoding: chunked\r\n\r\n"
        answered = await visitor.raw(f"{head}zz\r\nhello\r\n".encode(), end=True)
        assert b" 200 " not in answered[:20]
        assert b" 303 " not in answered[:20]
        assert (await visitor.get("/livez")).code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/..%2f..%2fserver.py",
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%5cserver.py",
        "/static/style.css%00.png",
        "/static/style.css%2f",
        "/static/%2fetc%2fpasswd",
        "/static//etc/passwd",
        "/static/",
        "/static/templates/base.html",
        "/..%2f..%2fetc%2fpasswd",
        "/static/" + "x" * 5_000,
    ],
)
async def test_W007_only_our_files_are_there(path: str) -> None:
    async with served(FakeDesk()) as server:
        visitor = browser(server)
        assert (await visitor.get(path)).code == 404
        assert (await visitor.get("/static/style.css")).code == 200


async def test_W008_a_forged_forwarding_header_is_ignored() -> None:
    """The throttle counts the address that connects, whatever the header says, and the scheme
    stays that of the connection."""
    async with served(FakeDesk()) as server:
        visitor = browser(server)
        visitor.headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.1"}
        assert "Secure" not in (await visitor.log_in()).headers["set-cookie"]


async def test_W008_a_proxy_that_the_config_names_is_believed() -> None:
    async with served(FakeDesk(), names=["mail.home.example"], proxies=["127.0.0.1"]) as server:
        visitor = browser(server)
        origin = "https://mail.home.example"
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.1"}
        visitor.headers = {**forwarded, "Host": "mail.home.example"}
        body = "password=the+page%27s+own+password"
        answer = await visitor.ask("POST", "/login", body, Origin=origin)
        assert answer.code == 303
        assert "Secure" in answer.headers["set-cookie"]


async def test_W009_without_a_login_no_name_is_told() -> None:
    desk = FakeDesk(
        AccountStatus(FAILED, "needs attention"),
        AccountStatus(AccountState("anna@t-online.de"), "up to date"),
    )
    desk.devices = [DeviceFacts(ME, "Anna's phone", None)]
    async with served(desk) as server:
        visitor = browser(server)
        for path in (
            "/livez",
            "/readyz",
            "/metrics",
            "/login",
            "/",
            "/status.json",
            "/live",
            "/log",
        ):
            answer = await visitor.get(path)
            assert "gmx" not in answer.body
            assert "anna" not in answer.body.lower()
            assert "@" not in answer.body
        told = (await visitor.get("/metrics")).body
        assert 'popbridge_accounts{state="needs attention"} 1.0' in told
        await visitor.log_in()
        told = (await visitor.get("/metrics")).body
        assert f'popbridge_account_state{{account="{ME}",state="needs attention"}} 1.0' in told
        assert ME in (await visitor.get("/status.json")).body


async def test_guessing_gets_slower() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with served(FakeDesk(), sleep=sleep) as server:
        visitor = browser(server)
        for _ in range(5):
            answer = await visitor.log_in("wrong")
            assert answer.code == 403
            assert 'aria-invalid="true"' in answer.body
        assert waits == [1.0, 2.0, 4.0, 8.0, 8.0]
        assert (await visitor.log_in()).code == 303


async def test_a_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(FakeDesk()) as server:
        first = browser(server)
        await first.log_in()
        assert (await first.get("/")).code == 200
        kept = first.cookie
        assert (await first.post("/logout")).headers["location"] == "/login"
        first.cookie = kept  # a thief of an old cookie
        assert (await first.get("/")).headers["location"] == "/login"
        await first.log_in()
        monkeypatch.setattr(limits, "WEB_SESSION_SECONDS", -1.0)
        assert (await first.get("/")).headers["location"] == "/login"


async def test_sessions_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WEB_SESSIONS", 2)
    async with served(FakeDesk()) as server:
        visitors: list[Browser] = [browser(server) for _ in range(3)]
        for each in visitors:
            await each.log_in()
        codes = [(await each.get("/")).code for each in visitors]
        assert codes == [303, 200, 200]


async def test_an_action_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WEB_ACTION_SECONDS", 0.05)

    class Slow(FakeDesk):
        async def test(self, address: str) -> None:
            await asyncio.Event().wait()

    async with served(Slow()) as server:
        visitor = browser(server)
        await visitor.log_in()
        assert (await visitor.post("/accounts/test", address=ME)).code == 303
        assert "That did not work" in (await visitor.get("/")).body
