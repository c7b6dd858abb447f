"""OAuth 2 as far as a mail program needs it: sign in on a device or in a browser, renew tokens.

Rules:
- Three requests, all of them POST over TLS (plain HTTP to this machine alone); secrets are never
  in a URL, and a redirect is an error. An answer is capped in octets and seconds.
- The authorization code comes with PKCE and a `state`, so that a code that was put in our way, or
  taken from it, is of no use.
- Every failure is an `OAuthError`: `auth` when a person must sign in again, `connect` and
  `temporary` when waiting helps. No secret is in its text, also where the provider repeats one.
- Nothing is kept here: see `tokens`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlencode, urlsplit

from bridge import limits, tls
from bridge.logs import printable
from bridge.model import Secret

Trouble = Literal["auth", "connect", "temporary"]
Sleep = Callable[[float], Awaitable[None]]
Json = dict[str, object]

_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"  # RFC 8628 3.4
_INTERVAL = 5.0  # seconds between two questions, RFC 8628 3.2
_LEAST_INTERVAL = 1.0
_LIFETIME = 3600  # of an access token whose provider does not say


class OAuthError(Exception):
    """The provider did not give a token. `code` is the error of RFC 6749 5.2, or ""."""

    def __init__(self, kind: Trouble, text: str, code: str = "") -> None:
        super().__init__(text)
        self.kind: Trouble = kind
        self.code = code


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a provider's doors are, and what we ask it for.

    `device` is empty where it has no device flow for mail; `more` goes with the authorization
    request. `redirect_host` is how it wants this machine named.
    """

    name: str
    token: str
    scope: str
    device: str = ""
    authorization: str = ""
    redirect_host: str = "127.0.0.1"  # RFC 8252 8.3
    more: tuple[tuple[str, str], ...] = ()


_MICROSOFT = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/"
MICROSOFT = Provider(
    name="Microsoft",
    token=_MICROSOFT + "token",
    device=_MICROSOFT + "devicecode",
    authorization=_MICROSOFT + "authorize",
    # offline_access: without it there is no refresh token.
    scope="https://outlook.office.com/POP.AccessAsUser.All offline_access",
    redirect_host="localhost",  # the only name whose port may be any in an app's registration
)
# Google's device flow does not give the scope of mail.
GOOGLE = Provider(
    name="Google",
    token="https://oauth2.googleapis.com/token",  # noqa: S106  # an address
    authorization="https://accounts.google.com/o/oauth2/v2/auth",
    scope="https://mail.google.com/",
    # Without both of them a second sign-in gives no refresh token.
    more=(("access_type", "offline"), ("prompt", "consent")),
)


def microsoft(tenant: str) -> Provider:
    """The doors for one organisation, for `consumers` (outlook.com) or for all (`common`)."""
    return replace(
        MICROSOFT,
        token=MICROSOFT.token.format(tenant=tenant),
        device=MICROSOFT.device.format(tenant=tenant),
        authorization=MICROSOFT.authorization.format(tenant=tenant),
    )


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are to a provider: what its owner registered there (RFC 6749 2.2)."""

    provider: Provider
    client_id: str
    client_secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a provider gave: `lifetime` of the access token in seconds; `refresh` is "" where it
    gave no new one, `refresh_lifetime` None where it does not say when that ends."""

    access: Secret
    refresh: Secret
    lifetime: int
    refresh_lifetime: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What a person needs to sign in on another device (RFC 8628 3.2). Seconds."""

    code: Secret
    user_code: str
    uri: str
    interval: float
    lifetime: float


def why_unsafe(url: str) -> str:
    """What is wrong with an endpoint, or "": tokens go over TLS, or stay on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.fragment:
        return "is no URL of https without user and fragment"
    if parts.scheme == "http" and not _is_loopback(host):
        return "is http: a token would cross the network in clear"
    return ""


# --- the device flow (RFC 8628) -----------------------------------------------------------


async def start_device(client: Client) -> DeviceCode:
    """Asks for a code that a person enters elsewhere. Raises OAuthError."""
    form = _identity(client) | {"scope": client.provider.scope}
    said = await _ask(client.provider.device, form)
    uri = _text(said, "verification_uri") or _text(said, "verification_url")  # Google's spelling
    code, user_code = _text(said, "device_code"), _text(said, "user_code")
    if not code or not user_code or not uri.startswith(("https://", "http://")):
        raise OAuthError("temporary", f"{_host(client.provider.device)} sent no device code")
    return DeviceCode(
        code=Secret(code),
        user_code=printable(user_code, 100),
        uri=printable(uri, 300),
        interval=max(_LEAST_INTERVAL, _number(said, "interval", _INTERVAL)),
        lifetime=min(_number(said, "expires_in", 900), limits.OAUTH_LOGIN_SECONDS),
    )


async def await_device(client: Client, code: DeviceCode, *, sleep: Sleep = asyncio.sleep) -> Tokens:
    """Asks until the person has signed in. Raises OAuthError: refused, or too late."""
    form = _identity(client) | {"grant_type": _DEVICE_GRANT, "device_code": code.code.reveal()}
    interval, waited = code.interval, 0.0
    while waited < code.lifetime:
        await sleep(interval)
        waited += interval
        try:
            return _tokens(await _ask(client.provider.token, form), client)
        except OAuthError as error:
            # RFC 8628 3.5
            if error.code == "slow_down":
                interval += 5.0
            elif error.code == "access_denied":
                raise OAuthError("auth", "the sign-in was declined", error.code) from None
            elif error.code == "expired_token":
                break
            elif error.kind == "connect":
                interval *= 2
            elif error.code != "authorization_pending" and error.kind == "auth":
                raise
    raise OAuthError("auth", "nobody signed in in time", "expired_token")


# --- the browser on this machine (RFC 8252, RFC 7636) -------------------------------------


@dataclass(frozen=True, slots=True)
class Authorization:
    """A sign-in that has begun: the page to open, and what proves that the code is ours."""

    url: str
    redirect_uri: str
    state: str
    verifier: Secret


def authorize(client: Client, redirect_uri: str) -> Authorization:
    """Begins a sign-in in a browser, which ends at `redirect_uri`."""
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
    # RFC 7636 4.2
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "scope": client.provider.scope,
        "state": state,
        "code_challenge": challenge.decode(),
        "code_challenge_method": "S256",
    }
    query.update(client.provider.more)
    door = client.provider.authorization
    url = door + ("&" if urlsplit(door).query else "?") + urlencode(query)
    return Authorization(url, redirect_uri, state, Secret(verifier))


async def exchange(client: Client, authorization: Authorization, code: Secret) -> Tokens:
    """RFC 6749 4.1.3 with the verifier of RFC 7636 4.5. Raises OAuthError."""
    form = _identity(client) | {
        "grant_type": "authorization_code",
        "code": code.reveal(),
        "redirect_uri": authorization.redirect_uri,
        "code_verifier": authorization.verifier.reveal(),
    }
    return _tokens(await _ask(client.provider.token, form), client)


async def refresh(client: Client, token: Secret) -> Tokens:
    """RFC 6749 6. Raises OAuthError."""
    form = _identity(client) | {"grant_type": "refresh_token", "refresh_token": token.reveal()}
    return _tokens(await _ask(client.provider.token, form), client)


# --- requests -----------------------------------------------------------------------------


def _identity(client: Client) -> dict[str, str]:
    form = {"client_id": client.client_id}
    if client.client_secret is not None:
        form["client_secret"] = client.client_secret.reveal()
    return form


async def _ask(url: str, form: Mapping[str, str]) -> Json:
    """One POST, and the JSON of its success. Raises OAuthError."""
    import httpx2  # here: most installations need no OAuth, and it costs 230 ms

    host = _host(url)
    if unsafe := why_unsafe(url):
        raise OAuthError("auth", f"the endpoint {printable(url, 200)} {unsafe}; nothing was sent")
    try:
        async with asyncio.timeout(limits.OAUTH_SECONDS):
            status, body = await _post(url, form)
    except TimeoutError:
        raise OAuthError("connect", f"{host} did not answer in time") from None
    except ValueError:
        raise OAuthError("temporary", f"{host} answers without end") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        reason = printable(str(error), 200) or type(error).__name__
        raise OAuthError("connect", f"{host} cannot be reached: {reason}") from None
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if status == 200 and isinstance(said, dict):
        return said
    if 300 <= status < 400:
        raise OAuthError("temporary", f"{host} sends us elsewhere ({status}), which is refused")
    code = _text(said, "error") if isinstance(said, dict) else ""
    if not code or status >= 500 or status == 429 or code in _PASSING:
        raise OAuthError("temporary", f"{host} answers {status} {printable(code, 60)}".rstrip())
    why = _text(said, "error_description") if isinstance(said, dict) else ""
    for name, value in form.items():
        if name in _SECRET:
            why = why.replace(value, "***")
    shown = ": ".join(filter(None, (printable(code, 60), printable(why, 300))))
    raise OAuthError("auth", f"{host} says {shown}", code)


_PASSING = frozenset({"temporarily_unavailable", "server_error"})
_SECRET = frozenset({"client_secret", "device_code", "code", "code_verifier", "refresh_token"})


_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


async def _post(url: str, form: Mapping[str, str]) -> tuple[int, bytes]:
    """Status and body. Raises ValueError for a body over the cap."""
    import httpx2

    loopback = _is_loopback(urlsplit(url).hostname or "")
    async with (
        httpx2.AsyncClient(
            verify=tls.client_context(None),
            timeout=limits.OAUTH_SECONDS,
            trust_env=not loopback,  # HTTPS_PROXY
        ) as http,
        http.stream("POST", url, data=form, headers=_HEADERS) as response,
    ):
        body = bytearray()
        async for piece in response.aiter_raw():  # unpacked, a small one may be huge
            body += piece
            if len(body) > limits.OAUTH_ANSWER:
                raise ValueError("too long")
        return response.status_code, bytes(body)


def _tokens(said: Json, client: Client) -> Tokens:
    """RFC 6749 5.1. Raises OAuthError."""
    host = _host(client.provider.token)
    access, new = _text(said, "access_token"), _text(said, "refresh_token")
    for token in (access, new):
        if len(token) > limits.OAUTH_TOKEN or not all(" " < each <= "~" for each in token):
            raise OAuthError("temporary", f"{host} sent something that is no token")
    if not access or _text(said, "token_type").lower() != "bearer":
        raise OAuthError("temporary", f"{host} sent no bearer token")
    # Not of RFC 6749: Google sends it, 7 days for an app whose consent screen is in "testing".
    ends = int(_number(said, "refresh_token_expires_in", 0)) or None
    return Tokens(Secret(access), Secret(new), int(_number(said, "expires_in", _LIFETIME)), ends)


def _text(said: object, key: str) -> str:
    value = said.get(key) if isinstance(said, dict) else None
    return value if isinstance(value, str) else ""


def _number(said: Json, key: str, default: float) -> float:
    """Seconds. Some providers send them as text."""
    value = said.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return default
    return float(value)


def _host(url: str) -> str:
    try:
        return printable(urlsplit(url).netloc.rpartition("@")[2], 100)
    except ValueError:
        return "the provider"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
