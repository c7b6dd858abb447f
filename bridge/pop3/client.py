"""A POP3 session with a provider: connect, TLS, log in, list, retrieve, delete, leave.

Rules:
- TLS, where it is asked for, is verified before the first octet of a user name; what was learnt
  in clear is forgotten after STLS, and octets that came with its +OK end the session.
- What a former session learnt (`Learnt`) saves round trips: CAPA and login go out together, LIST
  and UIDL too. Nothing is sent behind the login: Courier 1.0 announces PIPELINING and throws away
  what came with the password.
- A refused password is refused once (see `authentication`). An access token that is refused
  although it looked fresh is renewed once, and tried in a new connection.
- Every error is a `Pop3Error`, except what a sink raises. No password is in any text, and where
  a server repeats it, it is masked.
- A session that is out of step is never mended: it ends without QUIT, so that the provider
  neither removes nor hides a message.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bridge import limits, tls
from bridge.auth.tokens import AccessToken, TokenError
from bridge.model import Auth, Endpoint, ListedItem, Secret, Security, Sink
from bridge.pop3 import quirks
from bridge.pop3.authentication import AHEAD, Authentication
from bridge.pop3.errors import Pop3Error, escape
from bridge.pop3.protocol import (
    Capabilities,
    Expect,
    LineSplitter,
    NumberedLines,
    Status,
    join_listing,
    parse_capabilities,
)
from bridge.pop3.retrieval import Retrieval, Retrieved
from bridge.pop3.tops import Tops
from bridge.pop3.wire import Wire

__all__ = ["Capabilities", "Learnt", "Pop3Error", "Pop3Session", "Retrieved"]

_LOST = ("connect", "protocol")
_JOIN_SLICE = 4096  # items of a listing made in one step of the event loop


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a session learnt for the next one with its endpoint.

    `pipelining` was announced at any time, some servers tell it only after the login; `ahead` is
    the way in which the login may go out together with CAPA, or None.
    """

    pipelining: bool = False
    ahead: Auth | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """A server before anybody logs in: its greeting (escaped), what it announces, and its TLS:
    `TLSv1.3` and the certificate in DER, both empty without."""

    greeting: str
    capabilities: Capabilities
    tls: str = ""
    certificate: bytes = b""


def _nowhere() -> Sink:
    raise AssertionError("nothing is fetched where nobody logs in")


class Pop3Session:
    """One session, logged in. Use it from one task. `notices` are sentences about what the server
    got wrong and we could bear; `degraded` says that its listing was not whole or not sound, so
    that nothing should be deleted by it; `gave_up_pipelining`: commands sent ahead were answered
    wrongly."""

    def __init__(self, endpoint: Endpoint, new_sink: Callable[[], Sink], pipelining: bool) -> None:
        self.capabilities = Capabilities()
        self.notices: list[str] = []
        self.degraded = False
        self.gave_up_pipelining = False
        self._endpoint = endpoint
        self._new_sink = new_sink
        self._may_pipeline = pipelining
        self._asked_again = False  # for capabilities, after the login
        self._deleted = False
        self._ahead: Auth | None = None
        self._wire = Wire(endpoint)

    @classmethod
    async def open(
        cls,
        endpoint: Endpoint,
        password: Secret,
        *,
        new_sink: Callable[[], Sink],
        pipelining: bool = True,
        learnt: Learnt | None = None,
    ) -> Pop3Session:
        """Connects, secures, logs in. `pipelining` False keeps to one command at a time, whatever
        the server announces. `learnt` is what the last session with this endpoint had in `learnt`
        at its end. Raises Pop3Error."""
        if not isinstance(password, AccessToken):
            return await cls(endpoint, new_sink, pipelining)._opened(password.reveal(), learnt)
        token = await _obtained(password)
        try:
            return await cls(endpoint, new_sink, pipelining)._opened(token, learnt)
        except Pop3Error as error:
            if error.kind != "auth":
                raise
        token = await _obtained(password, refused=token)
        try:
            return await cls(endpoint, new_sink, pipelining)._opened(token, learnt)
        except Pop3Error as error:
            if error.kind == "auth":
                error.advice = f"{password.advice} {error.advice}"
            raise

    @classmethod
    async def look(cls, endpoint: Endpoint) -> Look:
        """What a server says of itself to anybody: nobody logs in. Raises Pop3Error."""
        session = cls(endpoint, _nowhere, False)
        try:
            greeting = await session._connect()
            capabilities = await session._ask_capabilities()
            look = Look(escape(greeting), capabilities, *session._wire.protection)
            await session.quit()
        finally:
            await session.abort()
        return look

    async def _opened(self, secret: str, learnt: Learnt | None) -> Pop3Session:
        learnt = learnt if learnt is not None and self._may_pipeline else Learnt()
        try:
            greeting = await self._connect()
            login = Authentication(self._wire, self._endpoint, secret, greeting)
            # RFC 2595 4: what was announced before TLS must be forgotten and asked again.
            together = login.begin(learnt.ahead) if learnt.ahead is not None else ()
            self._wire.send_all([(b"CAPA", Expect.MULTI), *together])
            self.capabilities = await self._capabilities()
            way = await login.run(self.capabilities)
        except BaseException as error:
            await self.abort()
            if isinstance(error, Pop3Error):
                error.fatal = True
                # A server that threw away what came together is not asked in this way again.
                error.in_window |= learnt.ahead is not None and error.kind in _LOST
            raise
        self._ahead = way if self.capabilities.pipelining and way in AHEAD else None
        if self.capabilities.known and learnt.pipelining:
            self.capabilities = replace(self.capabilities, pipelining=True)
        return self

    @property
    def learnt(self) -> Learnt:
        """What this session knows now, for the next one."""
        return Learnt(self.capabilities.pipelining, self._ahead)

    @property
    def _pipelining(self) -> bool:
        return self._may_pipeline and self.capabilities.pipelining

    # --- the maildrop -------------------------------------------------------------------

    async def listing(self) -> Sequence[ListedItem]:
        """The maildrop by number: LIST and UIDL together. All `uidl` are None where the server
        refuses UIDL, all `size` where it refuses LIST. Raises Pop3Error."""
        # LIST goes first: what comes in between is then in UIDL only, and waits (RFC 1939 5, 7).
        if self._pipelining:
            self._wire.send(b"LIST", b"UIDL", shape=Expect.MULTI)
            sizes = await self._numbered("LIST")
        else:
            self._wire.send(b"LIST", shape=Expect.MULTI)
            sizes = await self._numbered("LIST")
            self._wire.send(b"UIDL", shape=Expect.MULTI)
        uidls = await self._numbered("UIDL")
        if isinstance(sizes, Status) and isinstance(uidls, Status):
            kind = quirks.refusal(sizes.code)
            raise self._wire.refusal(kind, "would not list the maildrop", sizes.text)
        if isinstance(sizes, Status) or isinstance(uidls, Status):
            # A stray -ERR before a reply looks the same, and would make a message of that reply.
            await self._wire.command(b"NOOP")
        elif _mixed_up(sizes.values, uidls.values):
            raise self._wire.out_of_step("answered UIDL with sizes", b"")
        known_sizes = None if isinstance(sizes, Status) else sizes.values
        known_uidls = None if isinstance(uidls, Status) else uidls.values
        if known_sizes is not None and known_uidls is not None:
            only_uidl = len(known_uidls.keys() - known_sizes.keys())
            only_list = len(known_sizes.keys() - known_uidls.keys())
            last = max(known_sizes, default=0)
            # What is only at the end of UIDL came in between, and is no fault.
            gaps = sum(1 for number in known_uidls.keys() - known_sizes.keys() if number < last)
            self.degraded = self.degraded or bool(gaps or only_list)
            if only_uidl or only_list:
                self.notices.append(
                    f"LIST and UIDL disagree: {only_uidl} messages are only in UIDL and wait for "
                    f"the next poll, {only_list} have no UIDL"
                )
        self._note_uidls(known_uidls or {})
        items: list[ListedItem] = []
        for item in join_listing(known_sizes, known_uidls):
            items.append(item)
            if len(items) % _JOIN_SLICE == 0:
                await asyncio.sleep(0)
        return items

    def _note_uidls(self, uidls: Mapping[int, bytes]) -> None:
        long = sum(len(uidl) > limits.POP3_UIDL for uidl in uidls.values())
        blank = sum(not uidl for uidl in uidls.values())
        shared = len(uidls) - blank - len({uidl for uidl in uidls.values() if uidl})
        if long:
            self.notices.append(f"{long} UIDLs are longer than {limits.POP3_UIDL} octets")
        if shared:
            self.notices.append(f"{shared} messages share the UIDL of another one")

    async def _numbered(self, command: str) -> NumberedLines | Status:
        status = await self._wire.status()
        if not status.ok:
            self.notices.append(f"{command} was refused: {escape(status.text)}")
            return status
        listing = NumberedLines()
        while (data := await self._wire.content()) is not None:
            with self._wire.understood():
                listing.feed(data)
        with self._wire.understood():
            listing.finish()
        if listing.rejected:
            self.degraded = True
            self.notices.append(f"{listing.rejected} lines of {command} make no sense")
        return listing

    async def retrieve(
        self, items: Sequence[ListedItem], *, until: float | None = None
    ) -> AsyncGenerator[Retrieved, None]:
        """One `Retrieved` an item, in the order of `items` (one that is asked again comes later).
        What was not asked for `until` then, by the loop's clock, is left out.

        Take it with `contextlib.aclosing`: leaving early drops the connection. Raises Pop3Error;
        not fatal after an -ERR that tells to come back later, which is raised when all that was
        asked for before has been handed out.
        """
        if len(items) > 1:
            await self._learn_capabilities()
        retrieval = Retrieval(
            self._wire, items, self._new_sink, pipelining=self._pipelining, until=until
        )
        try:
            async for retrieved in retrieval.run():
                yield retrieved
        finally:
            self.gave_up_pipelining |= self._pipelining and not retrieval.pipelining
            self._may_pipeline = self._may_pipeline and (
                retrieval.pipelining or not self.capabilities.pipelining
            )
            self.notices += retrieval.notices
            if self._wire.busy:
                await self.abort()

    async def tops(
        self, numbers: Sequence[int]
    ) -> AsyncGenerator[tuple[int, bytes | Pop3Error], None]:
        """(number, header) of each, in their order, pipelined where the server can; the Pop3Error
        says why there is none. Ends early where the server refuses one after another. Take it
        with `contextlib.aclosing`: leaving early drops the connection. Raises Pop3Error when the
        session is gone."""
        try:
            async for top in Tops(self._wire, numbers, pipelining=self._pipelining).run():
                yield top
        finally:
            if self._wire.busy:
                await self.abort()

    async def top(self, number: int, lines: int = 0) -> bytes:
        """Header and `lines` lines of the body, cut at POP3_TOP; never take it for the whole
        message: servers cut it. Raises Pop3Error, not fatal where the server just refused."""
        async with contextlib.aclosing(
            Tops(self._wire, [number], lines, pipelining=False).run()
        ) as tops:
            async for _, content in tops:
                if isinstance(content, Pop3Error):
                    raise content
                return content
        raise AssertionError("one answer a message")

    async def delete(self, number: int) -> None:
        """Marks a message for removal at `quit`. Raises Pop3Error, not fatal where refused."""
        status = await self._wire.command(b"DELE %d" % number)
        if not status.ok:
            kind = quirks.refusal(status.code)
            raise self._wire.refusal(kind, f"would not delete message {number}", status.text)
        self._deleted = True

    async def delete_all(self, numbers: Sequence[int]) -> dict[int, str]:
        """Marks messages for removal at `quit`, pipelined where the server can. Returns those
        that it refused, with what it said. After a Pop3Error, which is always fatal here, nothing
        is removed."""
        refused: dict[int, str] = {}
        ahead = limits.POP3_WINDOW_COMMANDS if self._pipelining else 1
        for start in range(0, len(numbers), ahead):
            window = numbers[start : start + ahead]
            self._wire.send(*(b"DELE %d" % number for number in window))
            for number in window:
                status = await self._wire.status()
                if status.ok:
                    self._deleted = True
                else:
                    refused[number] = escape(status.text) or "refused without a reason"
        return refused

    async def quit(self) -> bool:
        """Ends the session; the server removes what was marked (RFC 1939 6). Returns whether it
        confirmed that. Raises Pop3Error only where something was marked and it did not."""
        try:
            status = await self._wire.command(b"QUIT")
        except Pop3Error:
            if self._deleted:
                raise
            return False
        await self._wire.close()
        if self._deleted and not status.ok:
            kind = quirks.refusal(status.code)
            what = "did not remove every message that was marked for it"
            raise self._wire.error(kind, what, status.text)
        return status.ok

    async def abort(self) -> None:
        """Drops the connection without QUIT: nothing is removed at the provider."""
        self._wire.abort()
        await asyncio.sleep(0)  # the loop closes the socket in its next step

    # --- connecting ---------------------------------------------------------------------

    async def _connect(self) -> bytes:
        """Ends protected; returns the text of the greeting."""
        endpoint, wire = self._endpoint, self._wire
        context = None
        if endpoint.security is not Security.NONE:
            try:
                context = tls.client_context(
                    endpoint.ca_file,
                    certificate=endpoint.client_cert,
                    key=endpoint.client_key,
                    pinned=endpoint.fingerprint is not None,
                )
            except tls.CertificateError as error:
                advice = "Correct ca_file, client_cert or client_key in the config."
                raise Pop3Error("tls", str(error), advice=advice) from error
        await wire.dial()
        if context is not None and endpoint.security is Security.TLS:
            await wire.start_tls(context)
        greeting = await self._greeting()
        if context is not None and endpoint.security is Security.STARTTLS:
            before = await self._ask_capabilities()
            if before.known and not before.stls:
                raise wire.error(
                    "tls",
                    "does not offer STLS, so nothing was sent to it",
                    advice="If the provider has TLS on port 995, set port: 995, security: tls.",
                )
            # RFC 2595 4
            status = await wire.command(b"STLS")
            if not status.ok:
                raise wire.error("tls", "refused STLS, so nothing was sent to it", status.text)
            await wire.start_tls(context)
        return greeting.text

    async def _greeting(self) -> Status:
        self._wire.expect(Expect.LINE)
        try:
            greeting = await self._wire.status()
        except Pop3Error as error:
            if error.kind == "protocol":
                error.advice = quirks.other_service(error.server_text) or error.advice
            raise
        if not greeting.ok:
            kind = quirks.login_refusal(greeting.code, greeting.text)
            # Nobody has logged in yet: no word about credentials can be meant.
            kind = "temporary" if kind == "auth" else kind
            raise self._wire.error(kind, "turned us away", greeting.text)
        return greeting

    async def _ask_capabilities(self) -> Capabilities:
        self._wire.send(b"CAPA", shape=Expect.MULTI)
        return await self._capabilities()

    async def _capabilities(self) -> Capabilities:
        """RFC 2449 5; a server without CAPA is one of which nothing is known."""
        if not (await self._wire.status()).ok:
            return Capabilities()
        splitter = LineSplitter(limits.POP3_CAPABILITIES)
        lines: list[bytes] = []
        while (data := await self._wire.content()) is not None:
            with self._wire.understood():
                lines += splitter.feed(data)
        return parse_capabilities(lines + splitter.finish())

    async def _learn_capabilities(self) -> None:
        """Some servers tell PIPELINING only after the login, as RFC 2449 5 allows."""
        known = self.capabilities
        if self._asked_again or known.pipelining or not known.known or not self._may_pipeline:
            return
        self._asked_again = True
        after = await self._ask_capabilities()
        if after.known:
            self.capabilities = after


def _mixed_up(sizes: Mapping[int, bytes], uidls: Mapping[int, bytes]) -> bool:
    """Whether the answer to LIST came twice, or changed places with that to UIDL; in the first
    case the next one would be read as a message."""
    if not sizes or not all(uidl.isdigit() for uidl in uidls.values()):
        return False
    return sizes == uidls or (
        bool(uidls) and not any(size[:1].isdigit() for size in sizes.values())
    )


async def _obtained(token: AccessToken, *, refused: str = "") -> str:
    try:
        return await token.obtain(refused=refused)
    except TokenError as error:
        raise Pop3Error(error.kind, str(error), advice=error.advice) from error
