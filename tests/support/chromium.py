"""Debian's Chromium, driven by Playwright; whatever a page must not do fails the test.

async with chromium() as browser, tab(browser, dark=True, width=390) as page:
    await page.goto(url)
    ...
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    async_playwright,
    expect,
)

from tests.support.require import require

expect.set_options(timeout=20_000)


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    program = require("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def tab(
    browser: Browser, *, dark: bool = False, width: int = 900, language: str = "en"
) -> AsyncIterator[Page]:
    """A window of its own. Fails at the end on a dialog, an error or a policy's complaint on the
    console, and a request to another host than the page's."""
    context = await browser.new_context(
        viewport={"width": width, "height": 844},
        color_scheme="dark" if dark else "light",
        locale=language,
        ignore_https_errors=True,
        reduced_motion="reduce",
    )
    page = await context.new_page()
    page.set_default_timeout(20_000)
    bad: list[str] = []
    hosts: set[str] = set()

    async def on_dialog(dialog: Dialog) -> None:
        bad.append(f"a dialog: {dialog.message}")
        await dialog.dismiss()

    def on_console(message: ConsoleMessage) -> None:
        refused = "the server responded with a status of 4" in message.text  # a form with a mistake
        if message.type == "error" and not refused:
            bad.append(message.text)

    def on_request(request: Request) -> None:
        if not request.url.startswith("data:"):
            hosts.add(request.url.split("/")[2])

    page.on("dialog", on_dialog)
    page.on("console", on_console)
    page.on("pageerror", lambda error: bad.append(str(error)))
    page.on("request", on_request)
    try:
        yield page
    finally:
        await context.close()
    assert bad == []
    assert len(hosts) == 1, hosts


async def faults(page: Page) -> list[str]:
    """What axe-core finds serious or critical on the page as it is now."""
    found = await Axe().run(page)
    return [
        f"{each['id']}: {each['help']}: {[node['html'] for node in each['nodes']]}"
        for each in found.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
