"""The page of a real daemon in a real browser: from a wrong password to mail on a phone.

With POPBRIDGE_SCREENSHOTS=FOLDER it writes the pictures of docs/ there.
"""

from __future__ import annotations

import asyncio
import imaplib
import json
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, Response, expect

from bridge import config, logs
from bridge.daemon import Daemon
from tests.profiles.test_qr import of_svg, read
from tests.support.chromium import chromium, faults, tab
from tests.support.pop3_server import Pop3Server

ME = "me@gmx.de"
PAGE_PASSWORD = "for the page"
CANARY = "<img src=x onerror=alert(1)><script>alert(2)</script>"
MESSAGES = 60
PICTURES = os.environ.get("POPBRIDGE_SCREENSHOTS")


def message(number: int) -> bytes:
    head = f"From: {CANARY} <you@example.org>\r\nTo: {ME}\r\nSubject: {CANARY} {number}\r\n"
    return f"{head}Message-ID: <{number}@example.org>\r\n\r\nHello {number}\r\n".encode()


@pytest.fixture
async def provider() -> AsyncIterator[Pop3Server]:
    """One command at a time, so that a test can stop it at any message."""
    items = [(f"{CANARY}{number}".encode(), message(number)) for number in range(MESSAGES)]
    async with Pop3Server(items, password="right", capa=False, pipelining=False) as server:
        server.replies = {b"PASS wrong": f"-ERR {CANARY} go away\r\n".encode()}
        yield server


@pytest.fixture
async def daemon(provider: Pop3Server, tmp_path: Path) -> AsyncIterator[Daemon]:
    logs.configure()
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    for name, secret in (("gmx", "wrong"), ("page", PAGE_PASSWORD)):
        (secrets / name).touch(mode=0o600)
        (secrets / name).write_text(f"{secret}\n")
    pop3 = {
        "host": provider.host,
        "port": provider.port,
        "security": "none",
        "username": "user",
        "password_file": "secrets/gmx",
    }
    path = tmp_path / "config.yaml"
    path.write_text(
        json.dumps(
            {
                "data_dir": "./data",
                "imap": {"listen": ["127.0.0.1:0"], "listen_tls": ["127.0.0.1:0"]},
                "web": {
                    "listen": "127.0.0.1:0",
                    "phone": "127.0.0.1:0",
                    "password_file": "secrets/page",
                },
                "accounts": [{"address": ME, "pop3": pop3, "interval": "1h"}],
                "logins": [{"name": ME}],
            }
        )
    )
    async with Daemon(config.load(path)) as running:
        yield running


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


async def log_in(page: Page, url: str) -> None:
    await page.goto(url)
    await page.get_by_label("Password of this page").fill(PAGE_PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_be_visible()


async def test_from_a_wrong_password_to_mail_on_a_phone(
    daemon: Daemon, provider: Pop3Server, tmp_path: Path
) -> None:
    stops = [asyncio.Event() for _ in range(3)]
    provider.holds = {
        f"RETR {number}".encode(): stop for number, stop in zip((15, 30, 45), stops, strict=True)
    }
    url = daemon.page_url
    async with chromium() as browser, tab(browser) as page:
        # The login, and somebody who guesses.
        await page.goto(url)
        assert await faults(page) == []
        await page.get_by_label("Password of this page").fill("a guess")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).to_contain_text("not right")
        await log_in(page, url)

        # The provider refuses the password: one word, the reason, one button.
        account = page.locator("#account-0")
        await expect(account.locator(".word")).to_have_text("needs you")
        await expect(account).to_contain_text("refused the password")
        await expect(account).to_contain_text(CANARY)  # what the server said, as text
        await expect(page.get_by_role("heading", level=1)).to_have_text("Something needs you")
        logs.get_logger().info("seen", uidl=CANARY, mailbox=CANARY, subject=CANARY)
        await expect(page.locator(".events")).to_contain_text(f"uidl={CANARY}")
        assert await faults(page) == []
        await picture(page, "page-needs-you")

        # Another wrong one is not saved; the right one is.
        await account.get_by_role("link", name="Enter the password").click()
        await page.get_by_label("Password of the provider").fill("wrong")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("alert")).to_contain_text(CANARY)
        assert await faults(page) == []
        assert (tmp_path / "secrets" / "gmx").read_text() == "wrong\n"
        await page.get_by_label("Password of the provider").fill("right")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("status")).to_contain_text("took the password")
        assert (tmp_path / "secrets" / "gmx").read_text() == "right\n"

        # The first sync moves, and nobody reloads the page.
        shown: list[str] = []  # each is more than the one before
        progress = page.locator("progress")
        for stop in stops:
            await expect(progress).to_be_visible()
            await expect(progress).not_to_have_attribute("value", shown[-1] if shown else "x")
            shown.append(str(await progress.get_attribute("value")))
            await expect(account.locator(".word")).to_contain_text("first sync")
            assert await faults(page) == []
            await picture(page, "page-first-sync")
            stop.set()
        assert sorted(set(map(float, shown))) == list(map(float, shown))
        await expect(account.locator(".word")).to_have_text("up to date")
        await expect(account).to_contain_text(f"{MESSAGES} on the server")
        await expect(page.get_by_role("heading", level=1)).to_have_text("All mail is up to date")

        # A device, whose name is hostile too.
        await page.get_by_role("link", name="Add a device").click()
        assert await faults(page) == []
        await page.get_by_label("Name of the device").fill(f"Anna's {CANARY}")
        await page.get_by_role("button", name="Add a device").click()
        await expect(page.get_by_text("shown once")).to_be_visible()
        assert await faults(page) == []
        await picture(page, "page-device")
        svg = await page.locator("svg.qr").evaluate("each => each.outerHTML")
        (scanned,) = read(of_svg(svg))
        host, port, _, _, user, _, password = json.loads(scanned)[2][1:]
        assert await page.locator("#line-4").text_content() == password
        await page.get_by_role("link", name="Back").click()
        await expect(page.locator("section", has_text="Devices")).to_contain_text("never seen")
        assert password not in await page.content()

        # What the phone scanned reads the mail.
        context = ssl.create_default_context(cafile=str(tmp_path / "data" / "tls" / "ca.pem"))

        def phone() -> list[bytes | None]:
            with imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=20) as imap:
                imap.login(user, password)
                return list(imap.select("INBOX")[1])

        assert await asyncio.to_thread(phone) == [str(MESSAGES).encode()]
        await expect(page.locator("section", has_text="Devices")).to_contain_text(
            "last seen just now"
        )

        # Revoked, by its own button.
        await page.get_by_role("button", name="Revoke").click()
        await expect(page.get_by_role("status")).to_contain_text(f"Anna's {CANARY} may not")
        with pytest.raises(imaplib.IMAP4.error):
            await asyncio.to_thread(phone)
        assert await page.evaluate("document.querySelectorAll('main img, main script').length") == 0

        # A phone fetches its settings itself.
        await page.get_by_role("link", name="Add a device").click()
        await page.get_by_label("Name of the device").fill("Anna's phone")
        await page.get_by_role("button", name="Open a page for the phone").click()
        address = await page.locator("code", has_text="/phone/").text_content()
        assert address
        assert await faults(page) == []
        async with tab(browser, width=390) as telephone:
            await telephone.goto(address)
            assert await faults(telephone) == []
            await picture(telephone, "page-phone-buttons")
            await telephone.get_by_role("button", name="Thunderbird for Android").click()
            svg = await telephone.locator("svg.qr").evaluate("each => each.outerHTML")
            assert await faults(telephone) == []
        (scanned,) = read(of_svg(svg))
        host, port, _, _, user, _, password = json.loads(scanned)[2][1:]
        assert await asyncio.to_thread(phone) == [str(MESSAGES).encode()]


async def test_light_dark_narrow_german_and_by_keyboard(
    daemon: Daemon, provider: Pop3Server
) -> None:
    provider.replies, provider.password = {}, "wrong"
    await daemon.poll(ME)
    await daemon.poll(ME)  # the first may have joined the one of the start
    weight = 0

    async def weigh(response: Response) -> None:
        nonlocal weight
        weight += len(await response.body())

    async with chromium() as browser:
        async with tab(browser) as page:
            await log_in(page, daemon.page_url)
            page.on("response", weigh)
            await page.goto(daemon.page_url, wait_until="networkidle")
            page.remove_listener("response", weigh)
            assert 0 < weight < 100_000
            await picture(page, "page-light")
            # By keyboard: the first stop leads past the header, and every control is a stop.
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.className") == "skip"
            await page.keyboard.press("Enter")
            wanted = set(
                await page.locator("main a[id], main button[id]").evaluate_all(
                    "all => all.map(each => each.id)"
                )
            )
            seen = set()
            for _ in range(len(wanted)):
                await page.keyboard.press("Tab")
                seen.add(await page.evaluate("document.activeElement.id"))
            assert seen == wanted
            await page.locator("#check-all").focus()
            daemon_said = page.locator(".events")
            before = await daemon_said.text_content()
            logs.get_logger().info("something happened")
            await expect(daemon_said).not_to_have_text(str(before))  # the part was exchanged
            assert await page.evaluate("document.activeElement.id") == "check-all"
        async with tab(browser, dark=True, width=390, language="de-DE") as page:
            await page.goto(daemon.page_url)
            await page.get_by_label("Passwort dieser Seite").fill(PAGE_PASSWORD)
            await page.get_by_role("button", name="Anmelden").click()
            await expect(page.locator("#account-0 .word")).to_have_text("aktuell")
            assert await page.evaluate("document.documentElement.lang") == "de"
            assert await page.evaluate(
                "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            )
            assert await faults(page) == []
            await picture(page, "page-phone-dark")
            for link in ("Konto hinzufügen", "Gerät hinzufügen"):
                await page.get_by_role("link", name=link).click()
                assert await faults(page) == []
                await page.get_by_role("link", name="Zurück").click()
            # The wizard, as far as the table of providers knows the way.
            await page.get_by_role("link", name="Konto hinzufügen").click()
            await page.get_by_label("E-Mail-Adresse").fill("anna@gmx.de")
            await page.get_by_role("button", name="Einstellungen suchen").click()
            await expect(page.get_by_label("POP3-Server")).to_have_value("pop.gmx.net")
            assert await faults(page) == []
            for path in ("/log", "/accounts/sign-in?address=me%40gmx.de"):
                await page.goto(daemon.page_url + path)
                assert await faults(page) == []
        async with tab(browser, dark=True) as page:
            await log_in(page, daemon.page_url)
            assert await faults(page) == []
            await picture(page, "page-dark")
