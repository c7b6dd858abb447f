"""Alerts to a webhook and to ntfy, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from bridge import limits
from bridge.messenger import PAUSES, Alert, Messenger

REFUSED = Alert("me@gmx.de", "auth", "popbridge cannot log in to me@gmx.de", "-ERR no", "look")
WELL = Alert("me@gmx.de", "", "All is well again with me@gmx.de")


@dataclass
class Hook:
    """Remembers requests as (first line, headers, body); answers by `codes`, then with 200. The
    code 0 is silence."""

    url: str
    codes: list[int] = field(default_factory=list)
    heard: asyncio.Queue[tuple[str, dict[str, str], str]] = field(default_factory=asyncio.Queue)


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Hook]:
    silent = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (e.partition(": ") for e in lines)}
        body = (await reader.readexactly(int(headers["content-length"]))).decode()
        hook.heard.put_nowait((first, headers, body))
        code = hook.codes.pop(0) if hook.codes else 200
        if not code:
            await silent.wait()
        location = "Location: http://attacker.example/\r\n" if code == 302 else ""
        writer.write(f"HTTP/1.1 {code} X\r\n{location}Content-Length: 0\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    hook = Hook(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/topic")
    try:
        yield hook
    finally:
        silent.set()
        server.close()
        await server.wait_closed()


async def test_a_webhook_hears_of_it_and_that_it_is_over() -> None:
    async with listening() as hook:
        messenger = Messenger(hook.url, None)
        messenger.tell(REFUSED)
        messenger.tell(WELL)
        first, headers, body = await hook.heard.get()
        assert first == "POST /topic HTTP/1.1"
        assert headers["content-type"] == "application/json"
        assert json.loads(body) == {
            "account": "me@gmx.de",
            "cause": "auth",
            "title": "popbridge cannot log in to me@gmx.de",
            "said": "-ERR no",
            "advice": "look",
        }
        assert json.loads((await hook.heard.get())[2])["cause"] == ""
        await messenger.close()


async def test_ntfy() -> None:
    async with listening() as hook:
        messenger = Messenger(None, hook.url)
        messenger.tell(REFUSED)
        _, headers, body = await hook.heard.get()
        assert headers["title"] == "popbridge cannot log in to me@gmx.de"
        assert headers["priority"] == "high"
        assert body == "-ERR no\nlook"
        messenger.tell(Alert("jürgen@gmx.de", "auth", "Ärger\r\nX: y"))
        _, headers, _ = await hook.heard.get()
        assert headers["title"].startswith("=?utf-8?B?")
        assert "x" not in headers
        await messenger.close()


@pytest.mark.parametrize("code", [500, 404, 302])
async def test_it_is_tried_again_and_given_up(code: int) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with listening() as hook:
        hook.codes = [code] * (len(PAUSES) + 1)
        messenger = Messenger(hook.url, None, sleep=sleep)
        messenger.tell(REFUSED)
        messenger.tell(WELL)  # comes when the first was given up
        for _ in range(len(PAUSES) + 1):
            assert json.loads((await hook.heard.get())[2])["cause"] == "auth"
        assert json.loads((await hook.heard.get())[2])["cause"] == ""
        assert pauses == list(PAUSES)
        await messenger.close()


async def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MESSENGER_SECONDS", 0.1)

    async def sleep(seconds: float) -> None:
        return None

    async with listening() as hook:
        hook.codes = [0, 200]
        messenger = Messenger(hook.url, None, sleep=sleep)
        messenger.tell(REFUSED)
        await hook.heard.get()
        await hook.heard.get()
        await messenger.close()


async def test_a_full_disk_is_one_alert() -> None:
    full = [Alert(f"{name}@gmx.de", "disk", "nearly full") for name in ("one", "two")]
    async with listening() as hook:
        messenger = Messenger(hook.url, None)
        for each in (*full, REFUSED, WELL, full[0]):
            messenger.tell(each)
        causes = [json.loads((await hook.heard.get())[2])["cause"] for _ in range(4)]
        assert causes == ["disk", "auth", "", "disk"]
        await messenger.close()


async def test_without_a_url_nothing_runs() -> None:
    messenger = Messenger(None, None)
    messenger.tell(REFUSED)
    await messenger.close()
