"""One IMAP connection, in words: events in, behaviour from the table, responses out.

Rules:
- One command at a time, in the order they came (RFC 3501 5.5); pipelined ones wait.
- No socket here: the `Wire` brings octets and takes them, with back pressure.
- After every command the client is told what is outstanding in its mailbox; EXPUNGE only where
  the table says so. A tagged OK is written after the commit that it speaks of.
- Whatever a client sends, only its own session suffers.

Over 500 lines because it is one machine: the loop, and the small verbs that commands use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import structlog

from bridge import limits
from bridge.imap.protocol.connection import (
    CommandReady,
    Connection,
    Event,
    Line,
    LiteralAnnounced,
    Malformed,
)
from bridge.imap.protocol.responses import (
    continuation,
    mailbox_name,
    quoted,
    tagged,
    untagged,
)
from bridge.imap.protocol.scanner import ParseError, Scanner
from bridge.imap.replies import Bad, Bye, CommandError, No, Reply
from bridge.imap.seams import (
    Disconnected,
    Follower,
    Request,
    Services,
    State,
    Teller,
    Watch,
    Wire,
)
from bridge.imap.view import View
from bridge.model import DeviceId, Login, MailboxId, Sink
from bridge.store.api import (
    MailboxExists,
    NoSuchMailbox,
    StoreDamaged,
    StoreError,
    StoreFull,
    TooMany,
    TooManyKeywords,
)

log = structlog.get_logger("imap")

# What RFC 9051 has folded in (Appendix E 2 and 3).
REV2 = frozenset(
    {
        "BINARY", "CHILDREN", "ENABLE", "ESEARCH", "IDLE", "LIST-EXTENDED", "LIST-STATUS", "MOVE",
        "NAMESPACE", "SASL-IR", "SEARCHRES", "SPECIAL-USE", "STATUS=SIZE", "UIDPLUS", "UNSELECT",
    }
)  # fmt: skip
ANNOUNCED = 64  # answers to CAPABILITY that are kept; there are a few
PIECE = 64 * 1024  # octets of an answer that are handed over at once
TURN_SECONDS = 0.005  # that a session runs before others have their turn


Run = Callable[["Session", Request, Scanner], Awaitable[Reply | None]]
"""Parses its arguments and does it; None where the tagged answer is written already."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the command table: the law of one command, and where it lives."""

    name: str
    run: Run
    states: State
    rfc: str
    may_expunge: bool = True  # whether EXPUNGE may be told when it ends (RFC 3501 7.4.1)
    capability: str | None = None
    until_rev2: bool = False  # gone once the client enabled IMAP4rev2
    announced: bool = True  # whether CAPABILITY shows the capability, too
    gates: tuple[str, ...] = ()  # capabilities without which there is no such command
    allowed: tuple[State, ...] = field(init=False)  # `states` one by one

    def __post_init__(self) -> None:
        one_by_one = tuple(state for state in State if state & self.states)
        object.__setattr__(self, "allowed", one_by_one)


class Session:
    """Lives as long as its connection."""

    def __init__(self, wire: Wire, services: Services, table: Mapping[str, Row]) -> None:
        self.wire = wire
        self.services = services
        self.table = table
        self.connection = Connection()
        self.activity = asyncio.Event()  # input came, or the mailbox changed, or stop was asked
        self.login: Login | None = None
        self._device: DeviceId | None = None  # whose password it signed in with
        self.view: View | None = None
        self.enabled: set[str] = set()  # extensions that change what we send (RFC 5161)
        self.hidden: frozenset[str] = frozenset()  # capabilities that this login is not offered
        self._working = 0.0, b""  # since when progress was not told, and the command's tag
        self.watch = Watch()
        self.teller: Teller | None = None  # after NOTIFY SET
        self.follower: Follower | None = None  # after SEARCH RETURN (UPDATE)
        self.made: set[int] = set()  # UIDs that this client put into its mailbox
        self._is_behind = False  # the view is: its mailbox could not be read
        self.closed_by_peer = False
        self.stopping = ""  # why, once the server wants this session to end
        self.over = False
        self._out: list[bytes] = []
        self._queued = 0  # octets of them
        self._leaving = False  # whether they leave as soon as the loop has its turn
        self._bad = 0
        self._sinks: list[Sink] = []  # of the messages of one APPEND
        self._appending = 0  # octets of them
        self._received = 0  # octets of all that came
        self._pace = 0.0, 0  # since when an APPEND's pace is looked at, and `_received` then
        self._literal_tag = b""
        self._login_until = 0.0

    # --- from outside -------------------------------------------------------------------

    def receive(self, octets: bytes) -> None:
        self._received += len(octets)
        self.connection.receive_data(octets)
        self.activity.set()

    def lost(self) -> None:
        self.closed_by_peer = True
        self.activity.set()

    def stop(self, why: str) -> None:
        """Ends the session with BYE as soon as its command is done."""
        self.stopping = why
        self.activity.set()

    # --- the loop -----------------------------------------------------------------------

    @property
    def state(self) -> State:
        if self.login is None:
            return State.NOT_AUTHENTICATED
        return State.AUTHENTICATED if self.view is None else State.SELECTED

    async def run(self) -> None:
        """Speaks until the connection ends. Never raises but for cancellation."""
        try:
            self.send(b"* OK [CAPABILITY " + self.capabilities() + b"] popbridge is ready\r\n")
            await self.flush()
            time = asyncio.get_running_loop().time
            self._login_until = time() + limits.IMAP_LOGIN_SECONDS
            turn_until = time() + TURN_SECONDS
            while not self.over:
                if self.stopping:
                    raise Bye(self.stopping)
                if time() > turn_until:
                    # Commands that wait for nothing would keep the loop to themselves.
                    await asyncio.sleep(0)
                    turn_until = time() + TURN_SECONDS
                self.activity.clear()
                event = self._next_event()
                if event is not None:
                    await self._handle(event)
                elif self._out:
                    await self.flush()
                elif self.login is None:
                    left = self._login_until - time()
                    if left <= 0 or not await self.wait(left):
                        raise Bye("Too slow to sign in")
                elif self._sinks:
                    await self._wait_for_message()
                elif await self._tell():
                    pass
                elif not await self.wait(limits.IMAP_AUTOLOGOUT_SECONDS):
                    # RFC 3501 5.4
                    raise Bye("Signed out after 30 minutes of silence")
            await self.flush()
        except Bye as bye:
            await self._say_bye(str(bye))
        except Disconnected:
            pass
        except NoSuchMailbox:
            await self._say_bye("The selected mailbox was deleted or numbered anew; connect again")
        except Exception:
            log.exception("session failed", peer=self.wire.peer)
            await self._say_bye("Internal error, please connect again")
        finally:
            self.leave_mailbox()
            self.set_watch(Watch(), None)
            self._sign_out()
            self._close_sinks()
            self._out.clear()

    async def _tell(self) -> bool:
        """After NOTIFY SET, what is new may be told between commands: whether anything was."""
        if self.teller is None:
            return False
        await self.sync(may_expunge=self.watch.immediate)
        await self.teller.tell()
        return bool(self._out)

    async def wait(self, seconds: float) -> bool:
        """Sleeps until something happens; False after `seconds`. Raises Disconnected, Bye."""
        if self.stopping:
            raise Bye(self.stopping)
        if self.closed_by_peer:
            raise Disconnected
        self.wire.resume()
        try:
            async with asyncio.timeout(seconds):
                await self.activity.wait()
        except TimeoutError:
            return False
        return True

    async def _wait_for_message(self) -> None:
        """Waits for more of an APPEND, which may not drip. Raises Bye, Disconnected."""
        now = asyncio.get_running_loop().time()
        began, before = self._pace
        if now - began >= limits.IMAP_SLOWEST_SECONDS:
            if self._received - before < limits.IMAP_SLOWEST * limits.IMAP_SLOWEST_SECONDS:
                raise Bye("The message comes too slowly")
            began, _ = self._pace = now, self._received
        await self.wait(began + limits.IMAP_SLOWEST_SECONDS - now)

    def _next_event(self) -> Event | None:
        try:
            return self.connection.next_event()
        except OSError as error:
            # A full disk under an APPEND: the rest of the command is thrown away, we live on.
            log.error("spool failed", error=error.strerror or type(error).__name__)
            self._close_sinks()
            self.send(
                tagged(self._literal_tag, b"NO", "There is no room to take the message", b"LIMIT")
            )
            return None

    async def _handle(self, event: Event) -> None:
        match event:
            case CommandReady():
                await self._command(event)
            case LiteralAnnounced():
                self._literal(event)
            case Malformed():
                self._close_sinks()
                self._count_bad()
                self.send(
                    tagged(event.tag, b"BAD", event.text)
                    if event.tag is not None
                    else untagged(b"BAD", event.text)
                )
                if event.fatal:
                    raise Bye("The conversation is out of step")
            case Line():
                raise Bye("Unexpected line")
        if self._queued > PIECE:
            await self.flush()

    def _literal(self, event: LiteralAnnounced) -> None:
        sink: Sink | None = None
        self._literal_tag = event.tag
        if event.message and self.login is not None:
            self._appending += event.size
            if self._appending > limits.IMAP_APPEND:
                self._close_sinks()
                self.connection.refuse_literal()
                self.send(
                    tagged(
                        event.tag,
                        b"NO",
                        f"At most {limits.IMAP_APPEND} octets are accepted in one APPEND",
                        b"TOOBIG",
                    )
                )
                if not event.synchronizing:
                    raise Bye("The literal is too large to be read away")
                return
            # Several messages together stay in memory as far as one would.
            left = limits.SPOOL_IN_MEMORY - (self._appending - event.size)
            sink = self.services.new_sink(max(0, left))
            if not self._sinks:
                self._pace = asyncio.get_running_loop().time(), self._received
            self._sinks.append(sink)
        self.connection.accept_literal(sink)
        if event.synchronizing:
            self.send(continuation("Go on"))

    async def _command(self, event: CommandReady) -> None:
        self._working = asyncio.get_running_loop().time(), event.tag
        row = self.table.get(event.name)
        uid = event.name.startswith("UID ")
        reply: Reply | None
        try:
            if row is None or self._hides(row) or (row.until_rev2 and self.rev2):
                raise Bad(f"There is no command {event.name[:40]}")
            if self.state not in row.allowed:
                raise Bad(WRONG_STATE[self.state])
            if self._is_behind and self.view is not None and row.states == State.SELECTED:
                # A UID that this session was not told of yet would be taken for none.
                await self._catch_up(self.view, may_expunge=False, with_uid=uid)
            request = Request(event.tag, event.name.removeprefix("UID "), uid)
            reply = await row.run(self, request, event.arguments)
        except ParseError as error:
            reply = Reply(f"{event.name[:40]}: {error}", error.code, error.status)
        except CommandError as error:
            reply = error.reply
        except StoreError as error:
            reply = _refusal(error)
            if isinstance(error, TooManyKeywords) and self.view is not None:
                self.send(*self.view.refuse_keywords())
        finally:
            self._close_sinks()
        if reply is None:
            return
        if reply.status == b"BAD":
            self._count_bad()
        elif self.login is not None:
            self._bad = 0  # nonsense in a row counts, not that of a session of many days
        if self.view is not None:
            await self.sync(may_expunge=row is not None and row.may_expunge, with_uid=uid)
        self.send(tagged(event.tag, reply.status, reply.text, reply.code))

    def _count_bad(self) -> None:
        self._bad += 1
        most = (
            limits.IMAP_BAD_COMMANDS_BEFORE_LOGIN
            if self.login is None
            else limits.IMAP_BAD_COMMANDS
        )
        if self._bad > most:
            raise Bye("Too many commands that make no sense")

    def _close_sinks(self) -> None:
        for sink in self._sinks:
            sink.close()
        self._sinks.clear()
        self._appending = 0

    # --- what commands use --------------------------------------------------------------

    @property
    def signed_in(self) -> Login:
        if self.login is None:
            raise Bad("Please sign in first")
        return self.login

    @property
    def selected(self) -> View:
        if self.view is None:
            raise Bad("Please select a mailbox first")
        return self.view

    @property
    def writable(self) -> View:
        """The selected view, if it may be changed. RFC 3501 6.3.2: EXAMINE is read-only."""
        view = self.selected
        if view.read_only:
            raise No("The mailbox was opened read-only; use SELECT", b"READ-ONLY")
        return view

    @property
    def utf8(self) -> bool:
        """Whether the client takes UTF-8 where RFC 3501 has ASCII (RFC 6855, RFC 9051)."""
        return self.connection.utf8 or self.connection.rev2

    @property
    def rev2(self) -> bool:
        """Whether the client speaks IMAP4rev2 (RFC 9051)."""
        return "IMAP4rev2" in self.enabled

    def mailbox_name(self, name: str) -> bytes:
        """The name in the octets that this client reads."""
        return mailbox_name(name, self.utf8)

    def capabilities(self) -> bytes:
        """Computed from the table: nothing is announced that is not there. Kept, as hundreds of
        devices that come back at once are told the same."""
        services = self.services
        may_sign_in = self.login is None and self.wire.private
        question = (
            self.wire.private,
            self._may_start_tls,
            may_sign_in and (services.passwords.offers_scram, bool(self.wire.bindings())),
            services.rev2,
            self.hidden,
        )
        told = services.announced.get(question)
        if told is None:
            if len(services.announced) >= ANNOUNCED:
                services.announced.clear()
            told = services.announced[question] = self._capabilities()
        return told

    def _capabilities(self) -> bytes:
        words = ["IMAP4rev1", "IMAP4rev2", "LITERAL+"]
        if not self.wire.private:
            words.append("LOGINDISABLED")
        for row in self.table.values():
            if row.capability is None or not row.announced:
                continue
            if row.name == "STARTTLS" and not self._may_start_tls:
                continue
            if row.name == "AUTHENTICATE" and (self.login is not None or not self.wire.private):
                continue
            words += [word for word in row.capability.split() if word not in words]
        figures = {"APPENDLIMIT": limits.IMAP_APPEND}  # RFC 7889 2: the same for every mailbox
        return " ".join(
            f"{word}={figures[word]}" if word in figures else word
            for word in words
            if self._announces(word)
        ).encode()

    def offers(self, capability: str) -> bool:
        """Whether this login may use it. RFC 9051 has some capabilities inside, which are there for
        who enabled it, announced or not."""
        return (self.rev2 and capability in REV2) or self._announces(capability)

    def _announces(self, capability: str) -> bool:
        """The config hides what a client of this login cannot bear."""
        if capability.startswith("AUTH=SCRAM-") and not self.services.passwords.offers_scram:
            return False
        if capability == "AUTH=SCRAM-SHA-256-PLUS" and not self.wire.bindings():
            return False
        if capability == "IMAP4rev2" and not self.services.rev2:
            return False
        return capability.upper() not in self.hidden

    def _hides(self, row: Row) -> bool:
        """Whether the command belongs to a hidden capability."""
        return bool(row.gates) and not all(map(self.offers, row.gates))

    def require(self, capability: str, what: str) -> None:
        """Raises Bad for what belongs to a hidden capability, as if we had never heard of it."""
        if not self.offers(capability):
            raise Bad(f"There is no {what}")

    def enable_utf8(self) -> None:
        """RFC 6855 3: mailbox names are UTF-8, both ways. ENVELOPE and BODYSTRUCTURE stay as they
        were written at ingest: what is not ASCII in them is a literal, which any client reads."""
        self.enabled.add("UTF8=ACCEPT")
        self.connection.utf8 = True

    def enable_rev2(self) -> None:
        """RFC 9051 6.3.1: from here on we speak IMAP4rev2."""
        self.enabled.add("IMAP4rev2")
        self.connection.rev2 = True
        self._retell()

    def _retell(self) -> None:
        """The view of the open mailbox writes what this client has enabled."""
        if self.view is not None:
            enabled = self.enabled
            self.view.tell(
                modseq="CONDSTORE" in enabled, vanished="QRESYNC" in enabled, rev2=self.rev2
            )

    def enable_condstore(self) -> None:
        """RFC 7162 3.1: every CONDSTORE enabling command comes here; from now on MODSEQ is told."""
        self.require("CONDSTORE", "CONDSTORE")
        if "CONDSTORE" in self.enabled:
            return
        self.enabled.add("CONDSTORE")
        self._retell()
        if self.view is not None:
            # RFC 7162 3.1.2.1: the client cannot know it from before.
            self.send(untagged(b"OK", "Highest MODSEQ", b"HIGHESTMODSEQ %d" % self.view.modseq))

    def enable_qresync(self) -> None:
        """RFC 7162 3.2.3: VANISHED instead of EXPUNGE, until the connection ends."""
        self.enabled.add("QRESYNC")
        self.enable_condstore()
        self._retell()

    def require_qresync(self) -> None:
        """Raises Bad unless the client enabled QRESYNC (RFC 7162 3.2.5, 3.2.6)."""
        if "QRESYNC" not in self.enabled:
            raise Bad("Please ENABLE QRESYNC first")

    @property
    def _may_start_tls(self) -> bool:
        return self.login is None and not self.wire.secure and self.services.starttls

    def send(self, *responses: bytes) -> None:
        """Queues whole responses; they leave in one piece at the next `flush`, or as soon as the
        session waits for anything: what pipelined commands say shares a write, and nothing that
        is said waits for the next command's work."""
        for response in responses:
            self._out.append(response)
            self._queued += len(response)
        if not self._leaving:
            self._leaving = True
            asyncio.get_running_loop().call_soon(self._leave)

    def _leave(self) -> None:
        self._leaving = False
        self._write()

    def _write(self) -> None:
        if self._out:
            out, self._out = self._out, []
            self._queued = 0
            self.wire.write(*(out if len(out) == 1 else _gathered(out)))

    async def send_many(self, responses: Iterable[bytes]) -> None:
        """Queues any number of responses, or pieces of them; every now and then waits for a slow
        reader, and lets others have their turn. Raises Disconnected."""
        time = asyncio.get_running_loop().time
        turn_until = time() + TURN_SECONDS
        for response in responses:
            self._out.append(response)
            self._queued += len(response)
            if self._queued > PIECE:
                await self.flush()
            if time() > turn_until:
                await asyncio.sleep(0)
                turn_until = time() + TURN_SECONDS

    async def progress(self, done: int, total: int) -> None:
        """Tells how far the command is, once a second at most (RFC 9585 4), and waits for a slow
        reader. Raises Disconnected."""
        now = asyncio.get_running_loop().time()
        since, tag = self._working
        if now - since < limits.IMAP_PROGRESS_SECONDS or not self.offers("INPROGRESS"):
            return
        self._working = now, tag
        # "]" may be in a tag; most clients end the code at it.
        shown = b"NIL" if b"]" in tag else quoted(tag)
        code = b"INPROGRESS (%b %d %d)" % (shown, done, total)
        self.send(untagged(b"OK", "Still looking", code))
        await self.flush()

    async def flush(self) -> None:
        """Hands over what is queued, and waits for a slow reader. Raises Disconnected."""
        self._write()
        await self.wire.drain()

    async def sync(self, *, may_expunge: bool, with_uid: bool = False) -> None:
        """Queues what the client must still be told of its mailbox. Raises NoSuchMailbox."""
        view = self.view
        if view is None:
            return
        try:
            await self._catch_up(view, may_expunge=may_expunge, with_uid=with_uid)
        except NoSuchMailbox:
            raise
        except StoreError as error:
            # What a command did is done, and is answered; what is new must wait.
            self._is_behind = True
            log.warning("news put off", peer=self.wire.peer, error=str(error))

    async def _catch_up(self, view: View, *, may_expunge: bool, with_uid: bool = False) -> None:
        """`sync`, where a mailbox that cannot be read is an error. Raises StoreError."""
        watch = self.watch
        await view.mailbox.refresh()
        if not watch.messages:
            self._is_behind = False
            return
        await self.claim_recent(view)
        top = view.top
        may_expunge = may_expunge or watch.immediate
        # All at once: the mailbox may move on whenever we wait.
        leaving: Iterable[bytes] = ()
        if self.follower is not None and may_expunge:
            leaving = list(self.follower.leaving(view, view.expunged()))
        updates = view.updates(
            may_expunge=may_expunge,
            # RFC 5465 5.1
            with_uid=with_uid or self.teller is not None,
            flags=watch.flags,
        )
        await self.send_many(chain(leaving, updates))
        if self.teller is not None and view.top > top:
            await self.teller.tell_new(view, top)
        if self.follower is not None:
            await self.follower.follow(view, top)
        self.made.clear()
        self._is_behind = False

    async def claim_recent(self, view: View) -> None:
        """\\Recent goes to the first read-write session that is told (RFC 3501 2.3.2)."""
        # Again when mail came in meanwhile: it is about to be told too.
        while view.unclaimed:
            view.claim(*await view.mailbox.claim_recent(look=view.read_only))

    def enter_mailbox(self, view: View) -> None:
        self.view = view
        self._retell()

    def leave_mailbox(self) -> None:
        if self.view is not None:
            self.services.mailboxes.release(self.view.mailbox, self.activity.set)
            self.view = self.follower = None
        self._is_behind = False
        self.made.clear()

    def set_watch(self, watch: Watch, teller: Teller | None) -> None:
        """What the client is told from now on (RFC 5465)."""
        if self.teller is not None:
            self.teller.close()
        self.watch, self.teller = watch, teller

    def note_made(self, mailbox: MailboxId, uids: Iterable[int]) -> None:
        """This client itself made these entries: they are no news to it (RFC 5465 5.2)."""
        if self.teller is not None and self.view is not None and self.view.mailbox.id == mailbox:
            self.made.update(uids)

    def welcome(self, login: Login, device: DeviceId | None = None) -> None:
        """The peer is who it says. Raises No at the cap of sessions a login."""
        held = self.services.logins.get(login.name, 0)
        if held >= limits.IMAP_CONNECTIONS_PER_LOGIN:
            raise No("Too many devices are connected; close one", b"LIMIT")
        self.services.logins[login.name] = held + 1
        self.login, self._device = login, device
        self.services.devices.enter(device, self)
        self.hidden = self.services.hidden.get(login.name, frozenset())
        self.connection.authenticated = True
        self.wire.signed_in()

    @property
    def by_own_password(self) -> str | None:
        """The login that this session signed in to by the login's own password."""
        return self.login.name if self.login is not None and self._device is None else None

    def forget_login(self) -> None:
        """RFC 8437 4.1: as if nobody had ever signed in here. Whatever else a session comes to
        remember is forgotten here."""
        self.leave_mailbox()
        self.set_watch(Watch(), None)
        self._sign_out()
        self._login_until = asyncio.get_running_loop().time() + limits.IMAP_LOGIN_SECONDS
        self.hidden = frozenset()
        self.enabled.clear()
        self.connection.authenticated = self.connection.utf8 = self.connection.rev2 = False

    def _sign_out(self) -> None:
        if self.login is not None:
            self.services.logins[self.login.name] -= 1
            self.services.devices.leave(self._device, self)
        self.login = self._device = None

    async def _say_bye(self, why: str) -> None:
        self.send(untagged(b"BYE", why))
        self.over = True
        try:
            async with asyncio.timeout(5):
                await self.flush()
        except (TimeoutError, Disconnected):
            pass


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same octets: what is small in one piece, what is large as it is, not copied."""
    small: list[bytes] = []
    for piece in pieces:
        if len(piece) < PIECE:
            small.append(piece)
            continue
        if small:
            yield b"".join(small)
            small.clear()
        yield piece
    if small:
        yield b"".join(small)


WRONG_STATE = {
    State.NOT_AUTHENTICATED: "Please sign in first",
    State.AUTHENTICATED: "Please select a mailbox first",
    State.SELECTED: "Not now: a mailbox is selected, or you are signed in already",
}


def _refusal(error: StoreError) -> Reply:
    """What the store could not do, in the codes of RFC 5530 3."""
    code: bytes | None = b"SERVERBUG"
    match error:
        case NoSuchMailbox():
            code = b"NONEXISTENT"
        case MailboxExists():
            code = b"ALREADYEXISTS"
        case TooMany():
            code = b"LIMIT"
        case StoreFull():
            code = b"UNAVAILABLE"
        case StoreDamaged():
            code = b"CORRUPTION"
    return Reply(str(error), code, b"NO")
