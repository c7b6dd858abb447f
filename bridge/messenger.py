"""Alerts to the outside: a webhook and ntfy, beside the message in the INBOX.

    webhook   POST {"account": "me@gmx.de", "cause": "auth", "title": "...", "said": "...", ...}
    ntfy      POST text, with Title and Priority (https://docs.ntfy.sh/publish/)

Rules: told when a cause comes and when it goes, once each, however many accounts have it (a full
disk is one alert); sent in the background, in order, tried again with growing pauses, then given
up with a line in the log; no redirect is followed and no answer is read; a URL is a secret (ntfy's
topic opens it), so no log shows one.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from bridge import limits, logs, tls

log = logs.get_logger()
PAUSES = (5.0, 60.0, 600.0)  # seconds, between four tries
_WAITING = 100  # alerts; older ones give way


@dataclass(frozen=True, slots=True)
class Alert:
    """What a person should know. `cause` is a word for machines, empty when all is well again."""

    account: str
    cause: str
    title: str
    said: str = ""
    advice: str = ""


class Messenger:
    """Sends alerts to those of the two URLs that are not None. Made inside a running loop."""

    def __init__(
        self,
        webhook: str | None,
        ntfy: str | None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._webhook = webhook
        self._ntfy = ntfy
        self._sleep = sleep
        self._waiting: asyncio.Queue[Alert] = asyncio.Queue(_WAITING)
        self._last: dict[str, str] = {}  # title by cause, of what was told of more than an account
        self._task = asyncio.create_task(self._run()) if webhook or ntfy else None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def tell(self, alert: Alert) -> None:
        """Does not wait."""
        if self._task is None:
            return
        if alert.cause == "disk":  # of the machine, and told of each account
            if self._last.get("disk"):
                return
            self._last["disk"] = alert.title
        elif not alert.cause:
            self._last.clear()
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait(alert)

    async def _run(self) -> None:
        while True:
            alert = await self._waiting.get()
            if self._webhook is not None:
                body = json.dumps(asdict(alert)).encode()
                await self._send("webhook", self._webhook, body, _JSON)
            if self._ntfy is not None:
                text = "\n".join(filter(None, (alert.said, alert.advice))) or alert.title
                await self._send("ntfy", self._ntfy, text.encode(), _ntfy_headers(alert))

    async def _send(self, name: str, url: str, body: bytes, headers: dict[str, str]) -> None:
        why = ""
        for pause in (*PAUSES, None):
            why = await _post(url, body, headers)
            if not why:
                return
            if pause is not None:
                await self._sleep(pause)
        log.warning("alert not sent", to=name, error=why)


_JSON = {"Content-Type": "application/json"}


def _ntfy_headers(alert: Alert) -> dict[str, str]:
    """Headers are ASCII: ntfy takes another title as RFC 2047 writes it."""
    title = logs.printable(alert.title)
    if not title.isascii():
        title = f"=?utf-8?B?{base64.b64encode(title.encode()).decode()}?="
    return {
        "Title": title,
        "Priority": "high" if alert.cause else "default",
        "Tags": "warning" if alert.cause else "white_check_mark",
    }


async def _post(url: str, body: bytes, headers: dict[str, str]) -> str:
    """Empty when it was taken, else why not."""
    import httpx2

    proxied = (urlsplit(url).hostname or "") not in ("localhost", "127.0.0.1", "::1")
    try:
        async with (
            asyncio.timeout(limits.MESSENGER_SECONDS),
            httpx2.AsyncClient(verify=tls.client_context(None), trust_env=proxied) as http,
            http.stream("POST", url, content=body, headers=headers) as response,
        ):
            code = response.status_code
            return "" if 200 <= code < 300 else f"it answered {code}"
    except (httpx2.HTTPError, OSError, TimeoutError) as error:
        return type(error).__name__
