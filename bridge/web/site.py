"""The status page: what a person sees and presses. Everything is text until a template escapes it.

    GET /                 the first screen         GET /live       its moving part, for htmx
    GET, POST /login      POST /logout             GET /log        the last events
    POST /accounts/...    check, test, pause, resume, password, sign-in; the wizard at /accounts/new
    POST /devices/...     new, revoke, phone

Rules: without a session there is the login and nothing else; GET changes nothing; each POST
carries the token of its session; after a POST comes a redirect, but where a password is shown,
which is once; a form works without a script.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from bridge import limits
from bridge.model import Secret
from bridge.profiles.qr import qr_svg
from bridge.web import page as pages
from bridge.web import words
from bridge.web.devices import NewDevice
from bridge.web.seams import Desk, DeskError, Found
from bridge.web.sessions import Session, Sessions, is_token_of
from bridge.web.templating import HERE, language_of, page, render

Form = Mapping[str, str]
Handler = Callable[[Request, Session], Awaitable[Response]]
Action = Callable[[Request, Session, Form], Awaitable[Response]]
STATIC = {
    "htmx.min.js": "text/javascript",
    "page.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
}
_FORM_FIELDS = 20
_EVENTS_AT_HOME = 8
_SECURITIES = {"tls": "TLS", "starttls": "STARTTLS"}


async def form_of(request: Request) -> Form:
    """The fields of a posted form; an odd one is an empty one."""
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_FORM_FIELDS)
    except ValueError:
        return {}
    return dict(pairs)


async def static(request: Request) -> Response:
    """One of our few files, by its exact name."""
    name = request.path_params["name"]
    if name not in STATIC:
        return Response("There is nothing here.\n", 404, media_type="text/plain")
    return FileResponse(
        HERE / "static" / name,
        headers={"Cache-Control": "public, max-age=3600"},
        media_type=STATIC[name],
    )


def qr_of(device: NewDevice, title: str) -> str:
    """The QR code of a new device as SVG; empty where the format has no room for its address."""
    return "" if device.qr is None else qr_svg(device.qr, title=title)


class Site:
    """The routes of the page over a `Desk`. `wall` gives seconds since the epoch."""

    def __init__(
        self, desk: Desk, sessions: Sessions, wall: Callable[[], float] = time.time
    ) -> None:
        self._desk = desk
        self._sessions = sessions
        self._wall = wall

    def routes(self) -> list[Route]:
        seen, done = self._seen, self._done
        gets: Mapping[str, Handler] = {
            "/": self._home,
            "/live": self._live,
            "/log": self._log,
            "/accounts/new": self._account_form,
            "/accounts/password": self._password_form,
            "/accounts/sign-in": self._sign_in_form,
            "/devices/new": self._device_form,
        }
        posts: Mapping[str, Action] = {
            "/logout": self._log_out,
            "/accounts/check": self._check,
            "/accounts/test": self._test,
            "/accounts/pause": functools.partial(self._pause, paused=True),
            "/accounts/resume": functools.partial(self._pause, paused=False),
            "/accounts/password": self._new_password,
            "/accounts/sign-in": self._start_sign_in,
            "/accounts/find": self._find,
            "/accounts/new": self._add_account,
            "/devices/new": self._add_device,
            "/devices/revoke": self._revoke_device,
            "/devices/phone": self._open_phone,
        }
        return [
            Route("/static/{name}", static, methods=["GET"]),
            Route("/login", self._login_form, methods=["GET"]),
            Route("/login", self._log_in, methods=["POST"]),
            *(Route(path, seen(handler), methods=["GET"]) for path, handler in gets.items()),
            *(Route(path, done(action), methods=["POST"]) for path, action in posts.items()),
        ]

    # --- sessions -------------------------------------------------------------------------

    def _seen(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """What only somebody with a session may look at."""

        async def answer(request: Request) -> Response:
            session = self._sessions.session(request)
            if session is None:
                if request.headers.get("hx-request"):  # a fragment: the whole page must go there
                    return Response(status_code=204, headers={"HX-Redirect": "/login"})
                return RedirectResponse("/login", 303)
            return await handler(request, session)

        return answer

    def _done(self, action: Action) -> Callable[[Request], Awaitable[Response]]:
        """What only a form of a session may do."""

        async def answer(request: Request) -> Response:
            session = self._sessions.session(request)
            if session is None:
                return RedirectResponse("/login", 303)
            form = await form_of(request)
            if not is_token_of(session, form.get("token", "")):
                return page(request, "message.html", 403, session=session, key="expired")
            return await action(request, session, form)

        return answer

    async def _login_form(self, request: Request) -> Response:
        if self._sessions.session(request) is not None:
            return RedirectResponse("/", 303)
        return page(
            request, "login.html", session=None, can=self._sessions.has_password, wrong=False
        )

    async def _log_in(self, request: Request) -> Response:
        form = await form_of(request)
        peer = request.client.host if request.client else ""
        if not await self._sessions.knows(peer, form.get("password", "")):
            can = self._sessions.has_password
            return page(request, "login.html", 403, session=None, can=can, wrong=True)
        response = RedirectResponse("/", 303)
        self._sessions.begin(request, response)
        return response

    async def _log_out(self, request: Request, _: Session, __: Form) -> Response:
        response = RedirectResponse("/login", 303)
        self._sessions.end(request, response)
        return response

    # --- the first screen -----------------------------------------------------------------

    async def _home(self, request: Request, session: Session) -> Response:
        said, session.said = session.said, ""
        trouble, session.trouble = session.trouble, ""
        live = await self._fragment(request, session)
        return page(request, "home.html", session=session, live=live[1], said=said, trouble=trouble)

    async def _live(self, request: Request, session: Session) -> Response:
        """The moving part. 204, which htmx leaves alone, while nothing changed: a screen reader
        and the focus are not disturbed."""
        version, text = await self._fragment(request, session)
        if request.query_params.get("seen") == version:
            return Response(status_code=204)
        return Response(text, media_type="text/html", headers={"Vary": "Accept-Language"})

    async def _fragment(self, request: Request, session: Session) -> tuple[str, str]:
        facts = await self._desk.facts()
        language = language_of(request)
        screen = pages.screen(facts, language, int(self._wall()))
        events = screen.events[:_EVENTS_AT_HOME]
        values = {"screen": screen, "events": events, "session": session}
        version = hashlib.sha256(repr((screen, events, language)).encode()).hexdigest()[:16]
        return version, render(language, "live.html", seen=version, **values)

    async def _log(self, request: Request, session: Session) -> Response:
        rows = pages.event_rows(self._desk.events(), language_of(request), int(self._wall()))
        return page(request, "log.html", session=session, events=rows)

    # --- accounts -------------------------------------------------------------------------

    async def _try(
        self, request: Request, session: Session, work: Awaitable[None], key: str, **values: object
    ) -> Response:
        """Does it, and says on the first screen how it went."""
        try:
            async with asyncio.timeout(limits.WEB_ACTION_SECONDS):
                await work
        except DeskError as error:
            session.trouble = str(error)
        except TimeoutError:
            session.trouble = words.say(language_of(request), "problem")
        else:
            session.said = words.say(language_of(request), key, **values)
        return RedirectResponse("/", 303)

    async def _check(self, request: Request, session: Session, form: Form) -> Response:
        address = form.get("address") or None
        key = "done check" if address else "done check all"
        return await self._try(request, session, self._desk.check(address), key, address=address)

    async def _test(self, request: Request, session: Session, form: Form) -> Response:
        work = self._desk.test(form.get("address", ""))
        return await self._try(request, session, work, "done test")

    async def _pause(
        self, request: Request, session: Session, form: Form, *, paused: bool
    ) -> Response:
        address = form.get("address", "")
        work = self._desk.pause(address, paused=paused)
        key = "done pause" if paused else "done resume"
        return await self._try(request, session, work, key, address=address)

    async def _password_form(self, request: Request, session: Session) -> Response:
        address = request.query_params.get("address", "")
        return page(request, "password.html", session=session, address=address, trouble="")

    async def _new_password(self, request: Request, session: Session, form: Form) -> Response:
        address, password = form.get("address", ""), form.get("password", "")
        try:
            async with asyncio.timeout(limits.WEB_ACTION_SECONDS):
                await self._desk.new_password(address, Secret(password))
        except (DeskError, TimeoutError) as error:
            trouble = str(error) or words.say(language_of(request), "problem")
            return page(
                request, "password.html", 422, session=session, address=address, trouble=trouble
            )
        session.said = words.say(language_of(request), "done password")
        return RedirectResponse("/", 303)

    async def _sign_in_form(self, request: Request, session: Session) -> Response:
        address = request.query_params.get("address", "")
        found = self._desk.sign_in(address)
        if found is not None and found.state == "done":
            session.said = words.say(language_of(request), "done sign in", address=address)
            if request.headers.get("hx-request"):
                return Response(status_code=204, headers={"HX-Redirect": "/"})
            return RedirectResponse("/", 303)
        template = "sign-in-part.html" if request.headers.get("hx-request") else "sign-in.html"
        return page(request, template, session=session, address=address, found=found)

    async def _start_sign_in(self, request: Request, session: Session, form: Form) -> Response:
        address = form.get("address", "")
        try:
            async with asyncio.timeout(limits.WEB_ACTION_SECONDS):
                await self._desk.start_sign_in(address)
        except (DeskError, TimeoutError) as error:
            session.trouble = str(error) or words.say(language_of(request), "problem")
            return RedirectResponse("/", 303)
        return RedirectResponse(f"/accounts/sign-in?address={quote(address, safe='')}", 303)

    # --- the wizard -----------------------------------------------------------------------

    async def _account_form(self, request: Request, session: Session) -> Response:
        return page(request, "account.html", session=session, found=None, trouble="", how=())

    async def _find(self, request: Request, session: Session, form: Form) -> Response:
        address = form.get("address", "").strip()
        trouble = ""
        try:
            async with asyncio.timeout(limits.WEB_ACTION_SECONDS):
                found = await self._desk.find(address, language_of(request))
        except (DeskError, TimeoutError) as error:
            trouble = str(error) or words.say(language_of(request), "problem")
            found = Found(address, username=address)
        trouble = trouble or found.refusal
        return page(
            request,
            "account.html",
            session=session,
            found=found if not found.refusal else None,
            trouble=trouble,
            how=_SECURITIES,
        )

    async def _add_account(self, request: Request, session: Session, form: Form) -> Response:
        port = form.get("port", "")
        found = Found(
            address=form.get("address", "").strip(),
            host=form.get("host", "").strip(),
            port=int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 995,
            security=form.get("security", "tls") if form.get("security") in _SECURITIES else "tls",
            username=form.get("username", "").strip(),
        )
        try:
            async with asyncio.timeout(limits.WEB_ACTION_SECONDS):
                await self._desk.add_account(found, Secret(form.get("password", "")))
        except (DeskError, TimeoutError) as error:
            trouble = str(error) or words.say(language_of(request), "problem")
            return page(
                request,
                "account.html",
                422,
                session=session,
                found=found,
                trouble=trouble,
                how=_SECURITIES,
            )
        session.said = words.say(language_of(request), "done account", address=found.address)
        return RedirectResponse("/", 303)

    # --- devices --------------------------------------------------------------------------

    async def _device_form(self, request: Request, session: Session) -> Response:
        logins = await self._desk.logins()
        return page(request, "device.html", session=session, logins=logins, trouble="", name="")

    async def _device_trouble(
        self, request: Request, session: Session, form: Form, error: DeskError
    ) -> Response:
        return page(
            request,
            "device.html",
            422,
            session=session,
            logins=await self._desk.logins(),
            trouble=str(error),
            name=form.get("name", ""),
        )

    async def _add_device(self, request: Request, session: Session, form: Form) -> Response:
        name = form.get("name", "").strip()
        try:
            device = await self._desk.add_device(form.get("login", ""), name)
        except DeskError as error:
            return await self._device_trouble(request, session, form, error)
        title = words.say(language_of(request), "qr title")
        return page(
            request, "device-made.html", session=session, device=device, qr=qr_of(device, title)
        )

    async def _revoke_device(self, request: Request, session: Session, form: Form) -> Response:
        name = form.get("name", "")
        work = self._desk.revoke_device(form.get("login", ""), name)
        return await self._try(request, session, work, "done revoke", name=name)

    async def _open_phone(self, request: Request, session: Session, form: Form) -> Response:
        name = form.get("name", "").strip()
        try:
            url = await self._desk.open_phone_page(form.get("login", ""), name)
        except DeskError as error:
            return await self._device_trouble(request, session, form, error)
        qr = qr_svg(url, title=url)
        fingerprint = self._desk.fingerprint
        return page(
            request, "phone-open.html", session=session, url=url, qr=qr, fingerprint=fingerprint
        )
