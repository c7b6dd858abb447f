"""The page that a phone opens to get its settings: three big buttons, good for 15 minutes, once.

    https://192.168.1.20:8026/phone/k7qm2x9hde

Rules:
- It listens only while a code is open, over TLS alone and with the certificate that mail programs
  will see: a device password never crosses the network in clear. The person compares the
  fingerprint, which the status page shows beside the code.
- A code is 50 random bits and lasts `limits.PHONE_SECONDS`; GET changes nothing, so that a preview
  uses nothing up; the first button that is pressed makes the device and its password, and the code
  is spent. Apple's profile, which holds no password, stays there until the time is over.
- After `limits.PHONE_WRONG_CODES` wrong codes all codes are void and nothing listens any more.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge import limits, logs
from bridge.web import words
from bridge.web.devices import NewDevice
from bridge.web.guard import Guard
from bridge.web.listener import Listener, bound_socket
from bridge.web.seams import DeskError
from bridge.web.site import form_of, qr_of, static
from bridge.web.templating import language_of, page

log = logs.get_logger()
AddDevice = Callable[[str, str], Awaitable[NewDevice]]
KINDS = ("iphone", "android", "other")
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is taken for another
_LENGTH = 10


@dataclass(slots=True)
class _Code:
    """`device` is there soon after it was spent."""

    login: str
    name: str
    timer: asyncio.TimerHandle
    spent: bool = False
    device: NewDevice | None = None


class PhonePages:
    """The codes that are open, and their listener. `add_device` makes a device and raises
    DeskError; `names` are hosts that phones may call us by; `ca` is our CA in DER."""

    def __init__(
        self,
        listen: tuple[str, int],
        context: ssl.SSLContext,
        add_device: AddDevice,
        *,
        names: Sequence[str] = (),
        ca: bytes | None = None,
    ) -> None:
        self._listen = listen
        self._context = context
        self._add_device = add_device
        self._names = names
        self._ca = ca
        self._codes: dict[bytes, _Code] = {}
        self._wrong = 0
        self._listener: Listener | None = None
        self._port = 0
        self.idle = asyncio.Event()  # nothing listens
        self.idle.set()
        self._changing = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self, login: str, name: str) -> tuple[str, int]:
        """A new code's path, and the port. Raises DeskError where the port cannot be had."""
        async with self._changing:
            if len(self._codes) >= limits.PHONE_CODES:
                raise DeskError("too many phones are waited for: try again in some minutes")
            if self._listener is None:
                await self._start()
            text = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
            key = _digest(text)
            loop = asyncio.get_running_loop()
            timer = loop.call_later(limits.PHONE_SECONDS, self._over, key)
            self._codes[key] = _Code(login, name, timer)
        return f"/phone/{text}", self._port

    async def stop(self) -> None:
        """Voids all codes; nothing listens any more."""
        async with self._changing:
            for code in self._codes.values():
                code.timer.cancel()
            self._codes.clear()
            self._wrong = 0
            if self._listener is not None:
                await self._listener.stop()
                self._listener = None
            self.idle.set()

    async def _start(self) -> None:
        try:
            bound = await bound_socket(*self._listen, "web.phone")
        except OSError as error:
            raise DeskError(f"the page for the phone cannot listen: {error.strerror}") from None
        self.idle.clear()
        self._port = bound.getsockname()[1]
        app = Starlette(
            routes=[
                Route("/static/{name}", static, methods=["GET"]),
                Route("/phone/{code}", self._ask, methods=["GET"]),
                Route("/phone/{code}", self._give, methods=["POST"]),
                Route("/phone/{code}/popbridge.mobileconfig", self._profile, methods=["GET"]),
            ]
        )
        app.router.redirect_slashes = False
        self._listener = Listener(Guard(app, self._names), bound, self._context)
        await self._listener.start()

    def _over(self, key: bytes) -> None:
        self._codes.pop(key, None)
        if not self._codes:
            self._close()

    def _close(self) -> None:
        task = asyncio.ensure_future(self.stop())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    # --- what is asked --------------------------------------------------------------------

    def _code(self, request: Request) -> _Code | None:
        found = self._codes.get(_digest(request.path_params["code"]))
        if found is None:
            self._wrong += 1
            if self._wrong >= limits.PHONE_WRONG_CODES:
                log.warning("phone page closed", why="too many wrong codes")
                self._close()
        return found

    async def _ask(self, request: Request) -> Response:
        code = self._code(request)
        if code is None or code.spent:
            return page(request, "phone-over.html", 410, session=None, trouble="")
        path = f"/phone/{request.path_params['code']}"
        return page(request, "phone.html", session=None, name=code.name, path=path)

    async def _give(self, request: Request) -> Response:
        code = self._code(request)
        kind = (await form_of(request)).get("kind", "")
        if code is None or code.spent or kind not in KINDS:
            return page(request, "phone-over.html", 410, session=None, trouble="")
        code.spent = True  # before anybody else is heard
        try:
            device = code.device = await self._add_device(code.login, code.name)
        except DeskError as error:
            code.spent = False
            return page(request, "phone-over.html", 422, session=None, trouble=str(error))
        title = words.say(language_of(request), "qr title")
        return page(
            request,
            "phone-made.html",
            session=None,
            device=device,
            kind=kind,
            qr=qr_of(device, title),
            profile=f"/phone/{request.path_params['code']}/popbridge.mobileconfig",
            has_ca=self._ca is not None,
        )

    async def _profile(self, request: Request) -> Response:
        from bridge.profiles.mobileconfig import CONTENT_TYPE, mobileconfig  # with its XML: memory

        code = self._code(request)
        if code is None or code.device is None or not code.device.clients:
            return page(request, "phone-over.html", 410, session=None, trouble="")
        octets = mobileconfig(code.device.clients[0], ca=self._ca)
        name = 'attachment; filename="popbridge.mobileconfig"'
        return Response(octets, media_type=CONTENT_TYPE, headers={"Content-Disposition": name})


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
