"""An identity provider of our own, on loopback: device flow, authorization code with PKCE,
refresh with rotation, revocation; and a ledger of what it was asked.

    with IdentityProvider() as provider:
        client = provider.client()
        code = await oauth.start_device(client)
        provider.approve(code.user_code)
        tokens = await oauth.await_device(client, code)
        assert tokens.access.reveal() in provider.live

Rules: RFC 6749, RFC 7636 and RFC 8628 by the letter, so that a client which is not exact is told so
(`invalid_request`); every answer may be replaced by `answers`; it runs in a thread of its own,
so that commands and coroutines alike may ask it.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit

from bridge.auth.oauth import Client, Provider
from bridge.model import Secret

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(slots=True)
class _Device:
    user_code: str
    answers: deque[str] = field(default_factory=deque)  # errors to give before the state counts
    state: str = "authorization_pending"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its path and form, and the error that it got, or ""."""

    path: str
    form: dict[str, str]
    error: str


class IdentityProvider:
    """See the module.

    `rotates`: each refresh gives a new refresh token, and the old one dies when the new one is
    used (`strict`: at once). `answers`: (status, body) for the next requests to a path.
    `refresh_lifetime` is told beside a token, as Google does. `on_token` is called before a token
    is given. `owner` is whose mail its tokens open.
    """

    def __init__(
        self,
        *,
        client_id: str = "popbridge-test",
        client_secret: str | None = None,
        rotates: bool = True,
        strict: bool = False,
        lifetime: int = 3600,
        interval: int = 1,
    ) -> None:
        self.mark = ""  # stands in every token
        self.client_id = client_id
        self.client_secret = client_secret
        self.rotates = rotates
        self.strict = strict
        self.lifetime = lifetime
        self.interval = interval
        self.refresh_lifetime: int | None = None
        self.live: set[str] = set()  # access tokens that a mail server may take
        self.refreshable: set[str] = set()
        self.asked: list[Asked] = []
        self.answers: dict[str, deque[tuple[int, bytes]]] = {}
        self.headers: dict[str, str] = {}
        self.owner = "user"
        self.on_token: Callable[[], None] = lambda: None
        self.given = threading.Event()  # a device code was given
        self._devices: dict[str, _Device] = {}
        self._codes: dict[str, dict[str, str]] = {}
        self._parents: dict[str, str] = {}  # new refresh token -> the one that it replaces
        self._serial = itertools.count(1)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def client(self) -> Client:
        """What a config with provider: custom would say."""
        provider = Provider(
            name="the test",
            token=f"{self.url}/token",
            device=f"{self.url}/device",
            authorization=f"{self.url}/authorize",
            scope="mail offline_access",
        )
        secret = Secret(self.client_secret) if self.client_secret is not None else None
        return Client(provider, self.client_id, secret)

    # --- what a person does -------------------------------------------------------------------

    def approve(self, user_code: str, *before: str) -> None:
        """The person signs in; the errors `before` are given first."""
        self._set(user_code, "approved", before)

    def decline(self, user_code: str) -> None:
        self._set(user_code, "access_denied", ())

    def expire(self, user_code: str) -> None:
        self._set(user_code, "expired_token", ())

    def _set(self, user_code: str, state: str, before: tuple[str, ...]) -> None:
        found = next(each for each in self._devices.values() if each.user_code == user_code)
        found.answers.extend(before)
        found.state = state

    def browse(self, url: str, *, declined: bool = False) -> str:
        """What a browser is sent to when the person has signed in on the page at `url`."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert urlsplit(url).path == "/authorize"
        assert query["response_type"] == "code"
        assert query["client_id"] == self.client_id
        assert query["code_challenge_method"] == "S256"
        if declined:
            said = {"error": "access_denied", "state": query["state"]}
        else:
            code = f"code-{next(self._serial)}"
            self._codes[code] = query
            said = {"code": code, "state": query["state"]}
        return f"{query['redirect_uri']}?{urlencode(said)}"

    def revoke(self) -> None:
        """The person takes everything back."""
        self.live.clear()
        self.refreshable.clear()

    # --- what a program asks ------------------------------------------------------------------

    def handle(self, path: str, form: dict[str, str]) -> tuple[int, bytes]:
        scripted = self.answers.get(path)
        if scripted:
            status, body = scripted.popleft()
            self.asked.append(Asked(path, form, f"scripted {status}"))
            return status, body
        status, said = self._answer(path, form)
        self.asked.append(Asked(path, form, str(said.get("error", ""))))
        return status, json.dumps(said).encode()

    def _answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        if form.get("client_id") != self.client_id:
            return _error("invalid_client", 401)
        if form.get("client_secret") != self.client_secret:
            return _error("invalid_client", 401)
        if path == "/device":
            return self._start_device(form)
        if path != "/token":
            return 404, {"error": "not_found"}
        grants = {
            DEVICE_GRANT: self._by_device,
            "authorization_code": self._by_code,
            "refresh_token": self._by_refresh,
        }
        grant = grants.get(form.get("grant_type", ""))
        return _error("unsupported_grant_type") if grant is None else grant(form)

    def _start_device(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        if not form.get("scope"):
            return _error("invalid_scope")
        number = next(self._serial)
        self._devices[f"device-{number}"] = _Device(f"WDJB-{number:04}")
        self.given.set()
        return 200, {
            "device_code": f"device-{number}",
            "user_code": f"WDJB-{number:04}",
            "verification_uri": "https://id.example.org/device",
            "expires_in": 900,
            "interval": self.interval,
        }

    @property
    def user_codes(self) -> list[str]:
        return [each.user_code for each in self._devices.values()]

    def _by_device(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        device = self._devices.get(form.get("device_code", ""))
        if device is None:
            return _error("invalid_grant")
        if device.answers:
            return _error(device.answers.popleft())
        if device.state != "approved":
            return _error(device.state)
        del self._devices[form["device_code"]]
        return self._give(None)

    def _by_code(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        query = self._codes.pop(form.get("code", ""), None)  # RFC 6749 4.1.2: once
        if query is None or form.get("redirect_uri") != query["redirect_uri"]:
            return _error("invalid_grant")
        verifier = form.get("code_verifier", "")
        digest = hashlib.sha256(verifier.encode()).digest()
        if not 43 <= len(verifier) <= 128:  # RFC 7636 4.1
            return _error("invalid_request")
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != query["code_challenge"]:
            return _error("invalid_grant")
        return self._give(None)

    def _by_refresh(self, form: dict[str, str]) -> tuple[int, dict[str, object]]:
        token = form.get("refresh_token", "")
        if token not in self.refreshable:
            return _error("invalid_grant", description=f"the token {token} was revoked")
        if (parent := self._parents.pop(token, None)) is not None:
            self.refreshable.discard(parent)
        if self.strict and self.rotates:
            self.refreshable.discard(token)
        return self._give(token)

    def _give(self, before: str | None) -> tuple[int, dict[str, object]]:
        number = next(self._serial)
        access = f"access-{self.mark}{number}"
        said: dict[str, object] = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.lifetime,
        }
        if before is None or self.rotates:
            said["refresh_token"] = refresh = f"refresh-{self.mark}{number}"
            self.refreshable.add(refresh)
            if before is not None:
                self._parents[refresh] = before
        if self.refresh_lifetime is not None:
            said["refresh_token_expires_in"] = self.refresh_lifetime
        self.live.add(access)
        self.on_token()
        return 200, said


def _error(code: str, status: int = 400, description: str = "") -> tuple[int, dict[str, object]]:
    return status, {"error": code, **({"error_description": description} if description else {})}


def _handler(provider: IdentityProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(length).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._say(*provider.handle(self.path, form))

        def do_GET(self) -> None:
            """What a mail server asks: whose token is this?"""
            token = parse_qs(urlsplit(self.path).query).get("access_token", [""])[0]
            known = token in provider.live
            said = {"email": provider.owner} if known else {"error": "invalid_token"}
            self._say(200 if known else 401, json.dumps(said).encode())

        def _say(self, status: int, said: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.send_header("Connection", "close")
            for name, value in provider.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr; `asked` is the ledger."""

    return Handler
