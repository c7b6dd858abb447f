"""Logging in: which ways, in which order, and what a refusal means.

Rules:
- `auto` takes what suits the server. Over TLS: SASL PLAIN, SCRAM-SHA-256, USER/PASS, SASL LOGIN,
  CRAM-MD5, APOP. In clear those that do not show the password come first. With an access token:
  XOAUTH2, which Google and Microsoft document for POP3, then OAUTHBEARER.
- The next way is tried only when the server did not know the one before, or nothing by which it
  could judge the secret was said: a refused secret is refused once.
- APOP that is refused without a code is no refused secret: servers greet everybody with a
  timestamp, and know the secrets of few. Where one hangs up then, it counts as refused.
- A named way is the only one, announced or not.
- A way of `AHEAD` that worked before may be begun before the capabilities are known; where it no
  longer fits what they say or the server does not know it, the others follow as always.
- Where the server announces UTF8 USER and the credentials are not ASCII, UTF8 is sent before them
  (RFC 6856 2.1 allows it in this state alone), and only then: in UTF-8 mode the server may send
  other octets of a message than without it, so a session without need stays in the old mode.
- A secret that the server repeats is masked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bridge.auth import sasl
from bridge.auth.sasl import Mechanism, SaslError
from bridge.model import Auth, Endpoint, Security
from bridge.pop3 import quirks
from bridge.pop3.errors import Pop3Error
from bridge.pop3.protocol import (
    Capabilities,
    Challenge,
    Expect,
    Status,
    apop_digest,
    timestamp,
)
from bridge.pop3.wire import Wire

_COMMAND_OCTETS = 255  # RFC 2449 4: a command with its CRLF

_Answer = tuple[Status, bool]  # and whether the server could judge the secret by then

_SASL = {
    Auth.PLAIN: "PLAIN",
    Auth.LOGIN: "LOGIN",
    Auth.CRAM_MD5: "CRAM-MD5",
    Auth.SCRAM_SHA_256: "SCRAM-SHA-256",
    Auth.XOAUTH2: "XOAUTH2",
    Auth.OAUTHBEARER: "OAUTHBEARER",
}
_IN_TLS = (Auth.PLAIN, Auth.SCRAM_SHA_256, Auth.USER, Auth.LOGIN, Auth.CRAM_MD5, Auth.APOP)
_IN_CLEAR = (Auth.SCRAM_SHA_256, Auth.APOP, Auth.CRAM_MD5, Auth.PLAIN, Auth.USER, Auth.LOGIN)
_BEARER = (Auth.XOAUTH2, Auth.OAUTHBEARER)


AHEAD = (Auth.PLAIN, Auth.USER)  # what needs no answer before its last line


class Authentication:
    """One log-in, with a password or an access token. `greeting` is what the server began with."""

    def __init__(self, wire: Wire, endpoint: Endpoint, secret: str, greeting: bytes) -> None:
        self._wire = wire
        self._endpoint = endpoint
        self._secret = secret
        self._capabilities = Capabilities()
        self._stamp = timestamp(greeting)
        self._quirk = quirks.of(endpoint.host, greeting)
        self._begun: Auth | None = None
        self._explanation = ""
        self._responses: list[bytes] = []

    def begin(self, way: Auth) -> Sequence[tuple[bytes, Expect]]:
        """The commands of a login of `AHEAD`, to be sent before `run`; none where that cannot
        be."""
        username, secret = self._endpoint.username, self._secret
        wanted = self._endpoint.auth in (Auth.AUTO, way) and not self._endpoint.bearer
        if not wanted or not (username + secret).isascii() or self._unspeakable():
            return ()
        if way is Auth.USER:
            said = (b"USER " + username.encode(), b"PASS " + secret.encode())
            self._begun = way
            return [(line, Expect.LINE) for line in said]
        line = b"AUTH PLAIN " + self._encoded(sasl.Plain(username, secret).initial())
        if self._quirk.auth_alone or len(line) + len(b"\r\n") > _COMMAND_OCTETS:
            return ()
        self._begun = way
        return [(line, Expect.CHALLENGE)]

    def _unspeakable(self) -> bool:
        said = self._endpoint.username + self._secret
        return any(mark in said for mark in "\r\n\0") or not self._secret

    async def run(self, capabilities: Capabilities) -> Auth:
        """Logs in; returns the way that it went. Raises Pop3Error."""
        self._capabilities = capabilities
        username, secret = self._endpoint.username, self._secret
        if self._unspeakable():
            raise Pop3Error(
                "auth",
                f"the user name or password for {self._wire.host} is empty or has a line break in "
                "it, so it was not sent",
                advice="Look for a stray line break in the config or the password file.",
            )
        if self._capabilities.utf8_user and not (username + secret).isascii():
            await self._wire.command(b"UTF8")  # a -ERR leaves things as they are
        status: Status | None = None
        unsaid = ""
        begun: tuple[Auth, ...] = () if self._begun is None else (self._begun,)
        for way in (*begun, *(each for each in self._ways() if each not in begun)):
            before: Status | None = status
            try:
                status, judged = await self._try(way, secret)
            except SaslError as error:  # nothing was said yet
                unsaid = f"cannot be logged in to by {way}: {error}"
                continue
            except Pop3Error as error:
                if before is not None and error.kind == "connect":  # it hung up on a refusal
                    raise self._refused(before, secret) from error
                raise
            if status.ok:
                return way
            judged = judged and (way is not Auth.APOP or status.code != "")
            if judged and not quirks.is_unknown_command(status.code, status.text):
                break
        raise self._wire.error("auth", unsaid) if status is None else self._refused(status, secret)

    def _ways(self) -> Sequence[Auth]:
        chosen = self._endpoint.auth
        if chosen is not Auth.AUTO:
            return (chosen,)
        if self._endpoint.bearer:
            return [way for way in _BEARER if self._offers(way)] or _BEARER[:1]
        order = _IN_CLEAR if self._endpoint.security is Security.NONE else _IN_TLS
        return [way for way in order if self._offers(way)]

    def _offers(self, way: Auth) -> bool:
        if way is Auth.APOP:
            return self._stamp is not None and not self._quirk.apop_for_few
        return way is Auth.USER or _SASL[way] in self._capabilities.sasl

    async def _try(self, way: Auth, secret: str) -> _Answer:
        """Raises SaslError where the way cannot be gone, before anything was said."""
        if way is Auth.USER:
            return await self._user_pass(secret)
        if way is Auth.APOP:
            return await self._apop(secret)
        return await self._sasl(self._mechanism(way, secret))

    def _mechanism(self, way: Auth, secret: str) -> Mechanism:
        endpoint = self._endpoint
        match way:
            case Auth.LOGIN:
                return sasl.Login(endpoint.username, secret)
            case Auth.CRAM_MD5:
                return sasl.CramMd5(endpoint.username, secret)
            case Auth.SCRAM_SHA_256:
                return sasl.ScramSha256(endpoint.username, secret)
            case Auth.XOAUTH2:
                return sasl.XOAuth2(endpoint.username, secret)
            case Auth.OAUTHBEARER:
                return sasl.OAuthBearer(endpoint.username, secret, endpoint.host, endpoint.port)
            case _:
                return sasl.Plain(endpoint.username, secret)

    # --- the ways ---------------------------------------------------------------------------

    async def _user_pass(self, password: str) -> _Answer:
        """RFC 1939 7. The password is sent only when the server took the user name; a refused
        user name is a refused login."""
        if self._begun is Auth.USER:
            self._begun = None
            named, status = await self._wire.status(), await self._wire.status()
            return status if named.ok else named, True
        status = await self._wire.command(b"USER " + self._endpoint.username.encode())
        if not status.ok:
            return status, True
        return await self._wire.command(b"PASS " + password.encode()), True

    async def _apop(self, password: str) -> _Answer:
        """RFC 1939 7."""
        if self._stamp is None:
            raise SaslError("its greeting has no timestamp for APOP")
        digest = apop_digest(self._stamp, sasl.prepare(password))
        line = f"APOP {self._endpoint.username} {digest}".encode()
        return await self._wire.command(line), True

    async def _sasl(self, mechanism: Mechanism) -> _Answer:
        """RFC 5034 4. The initial response goes with AUTH where the line may hold it, else it
        answers the first challenge."""
        wire = self._wire
        line = b"AUTH " + mechanism.name.encode()
        initial = mechanism.initial()
        judged = False
        if self._begun is Auth.PLAIN:
            self._begun, initial, judged = None, None, True
            line = b""
        elif initial is not None and not self._quirk.auth_alone:
            whole = line + b" " + self._encoded(initial)
            if len(whole) + len(b"\r\n") <= _COMMAND_OCTETS:
                line, initial, judged = whole, None, mechanism.proved
        if line:
            wire.send(line, shape=Expect.CHALLENGE)
        while True:  # no mechanism has more than two answers
            answer = await wire.answer()
            if isinstance(answer, Status):
                self._explanation = mechanism.explanation
                if answer.ok:
                    self._confirm(mechanism)
                return answer, judged
            if initial is not None:
                response, initial = initial, None
            else:
                try:
                    response = await _response(mechanism, answer.text)
                except SaslError as error:
                    return await self._give_up(mechanism, error, judged=judged)
            wire.go_on(self._encoded(response))
            judged = mechanism.proved

    def _encoded(self, response: bytes) -> bytes:
        line = sasl.encode(response)
        if line:
            self._responses.append(line)
        return line

    def _confirm(self, mechanism: Mechanism) -> None:
        try:
            mechanism.confirm()
        except SaslError as error:
            raise self._wire.error("protocol", f"is not to be trusted: {error}") from None

    async def _give_up(self, mechanism: Mechanism, error: SaslError, *, judged: bool) -> _Answer:
        """Cancels an exchange. Before anything was proved, another way may be tried."""
        self._wire.go_on(b"*")  # RFC 5034 4
        answer = await self._wire.answer()
        what = f"does not speak AUTH {mechanism.name} as it should: {error}"
        if isinstance(answer, Challenge) or answer.ok or judged:
            raise self._wire.error("protocol", what)
        self._explanation = str(error)
        return answer, False

    # --- refusals ---------------------------------------------------------------------------

    def _refused(self, status: Status, secret: str) -> Pop3Error:
        endpoint = self._endpoint
        kind = quirks.login_refusal(status.code, status.text)
        advice = ""
        if kind == "auth":
            advice = self._quirk.refused
        if endpoint.security is Security.NONE and self._capabilities.stls:
            advice = "Set security: starttls; the server offers it."
        alone = (secret.encode(), sasl.encode(secret.encode()))
        text = _without(status.text, [*self._responses, *alone])
        if self._explanation:
            text += f" ({self._explanation})".encode()
        return self._wire.error(
            kind, f"refused the login of {endpoint.username}", text, advice=advice
        )


async def _response(mechanism: Mechanism, challenge: bytes) -> bytes:
    decoded = sasl.decode(challenge)
    if mechanism.slow:
        return await asyncio.to_thread(mechanism.respond, decoded)
    return mechanism.respond(decoded)


def _without(text: bytes, secrets: Sequence[bytes]) -> bytes:
    """What a server said, without the secrets that it repeats."""
    for secret in secrets:
        text = text.replace(secret, b"***")
    return text
