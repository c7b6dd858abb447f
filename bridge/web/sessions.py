"""Who may see the page: one password, sessions in memory, a token in every form.

Rules:
- The password is checked as those of logins are: argon2 or a comparison in constant time, slower
  with each failure from one address.
- A session is 256 random bits in a cookie that no script and no other site can use (HttpOnly,
  SameSite=Strict, Secure over TLS); we keep its SHA-256. It ends by log out, after
  `limits.WEB_SESSION_SECONDS` without a request, and with the process.
- Every form carries the token of its session; a POST without it changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from bridge import limits
from bridge.auth.passwords import Passwords, Verifier
from bridge.auth.throttle import LoginThrottle
from bridge.model import Secret

COOKIE = "popbridge"
_PAGE = "page"  # the one login that there is here


@dataclass(slots=True)
class Session:
    """Somebody who knew the password. `said` is shown on the next page, once."""

    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    used: float = 0.0
    said: str = ""
    trouble: str = ""


class Sessions:
    """The sessions of one page. `verifier` None: there is no password, and nobody gets in."""

    def __init__(
        self,
        verifier: Verifier | None,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._passwords = None if verifier is None else Passwords({_PAGE: verifier})
        self._throttle = LoginThrottle(clock)
        self._clock = clock
        self._sleep = sleep
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    @property
    def has_password(self) -> bool:
        return self._passwords is not None

    def close(self) -> None:
        if self._passwords is not None:
            self._passwords.close()

    async def knows(self, peer: str, password: str) -> bool:
        """Is this the password? A refusal takes its time, and longer with each in a row."""
        if self._passwords is None:
            return False
        if await self._passwords.verify(_PAGE, Secret(password)):
            self._throttle.succeeded(peer)
            return True
        await self._sleep(self._throttle.failed(peer))
        return False

    def begin(self, request: Request, response: Response) -> None:
        """A new session, whose cookie goes with `response`."""
        name = secrets.token_urlsafe(32)
        self._sessions[_digest(name)] = Session(used=self._clock())
        while len(self._sessions) > limits.WEB_SESSIONS:
            self._sessions.popitem(last=False)
        response.set_cookie(
            COOKIE,
            name,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def session(self, request: Request) -> Session | None:
        """The session of this request's cookie, if it is one of ours that still lasts."""
        name = request.cookies.get(COOKIE)
        if not name:
            return None
        key = _digest(name)
        found = self._sessions.get(key)
        if found is None:
            return None
        now = self._clock()
        if now - found.used > limits.WEB_SESSION_SECONDS:
            del self._sessions[key]
            return None
        found.used = now
        self._sessions.move_to_end(key)
        return found

    def end(self, request: Request, response: Response) -> None:
        self._sessions.pop(_digest(request.cookies.get(COOKIE, "")), None)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def is_token_of(session: Session, token: str) -> bool:
    return hmac.compare_digest(session.token.encode(), token.encode("utf-8", "replace"))


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()
