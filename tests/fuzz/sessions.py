"""IMAP in its four states: before login, signed in, with a mailbox selected, in IDLE.

A real session over a real store, without a socket. The store lives through many inputs, because
what one does the next one meets; a new one is made every `INPUTS` of them.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import re
import shutil
import tempfile
from pathlib import Path

from bridge import limits
from tests.fuzz.targets import target
from tests.support.endpoint import PASSWORD, Core
from tests.support.imap_client import Talk

INPUTS = 2_000
ANSWER_SECONDS = 1.0
LITERAL = 2_000  # octets of one that an input may announce and need not bring
MESSAGE = b"Subject: x\r\n\r\nhi\r\n"
LOGIN = f'p1 LOGIN alice "{PASSWORD}"'
PROLOGUES = (
    (),
    (LOGIN,),
    (LOGIN, "p2 SELECT INBOX"),
    (LOGIN, "p2 SELECT INBOX"),
)
_ANNOUNCED = re.compile(rb"\{(\d{1,20})\+?\}")
_TAGGED = re.compile(rb"^z9 (OK|NO|BAD) ")


class Sessions:
    """One event loop and one store at a time."""

    def __init__(self) -> None:
        limits.IMAP_FAILED_LOGIN_DELAY = 0.0
        self._runner = asyncio.Runner()
        self._folder: Path | None = None
        self._core: Core | None = None
        self._left = 0
        atexit.register(self.close)

    def run(self, octets: bytes) -> None:
        self._runner.run(self._run(octets))

    def close(self) -> None:
        self._runner.run(self._shut())
        self._runner.close()

    async def _shut(self) -> None:
        if self._core is not None:
            await self._core.__aexit__(None, None, None)
            self._core = None
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    async def _run(self, octets: bytes) -> None:
        if self._core is None or not self._left:
            await self._shut()
            self._folder = Path(tempfile.mkdtemp(dir=_memory()))
            self._core = await Core(self._folder).__aenter__()
            self._left = INPUTS
        self._left -= 1
        state = octets[0] % 4 if octets else 0
        client = await self._core.connect()
        try:
            await client.response()
            for line in PROLOGUES[state]:
                heard = await client.command(line)
                if not str(heard[-1][0]).startswith(f"{line[:2]} OK"):
                    self._left = 0  # INBOX is full, or alice locked out: the next one starts anew
                    return
            if state == 3:
                await client.send(b"p3 IDLE\r\n")
                await client.response()
            async with asyncio.timeout(limits.IMAP_FAILED_LOGIN_DELAY + 10 * ANSWER_SECONDS):
                await self._talk(client, octets[1:])
        finally:
            client.close()

    async def _talk(self, client: Talk, octets: bytes) -> None:
        """The octets, then what ends any state they could have left: a command is answered, once,
        or the connection is closed."""
        await client.send(octets)
        if any(int(announced) > LITERAL for announced in _ANNOUNCED.findall(octets)):
            return  # who announces so much may never bring it, and hangs up here
        # The end of a literal, of a line, of an AUTHENTICATE, of an IDLE.
        await client.send(b"\r\n" * (LITERAL // 2) + b"*\r\nDONE\r\n")
        if b"COMPRESS" in octets.upper():
            return  # from here on octets are deflated: it is another target's
        await client.send(b"z9 NOOP\r\nz10 LOGOUT\r\n")
        answers = 0
        with contextlib.suppress(EOFError, asyncio.IncompleteReadError):
            while True:
                first = (await client.response())[0]
                said = first.encode() if isinstance(first, str) else first
                answers += bool(_TAGGED.match(said))
                if said.startswith((b"* BYE", b"z10 ")):
                    break
        assert answers <= 1 or b"z9" in octets, f"z9 was answered {answers} times"


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


_sessions: list[Sessions] = []


@target
def imap_sessions(octets: bytes) -> None:
    """In each state, whatever a client sends: every response is read by a second parser, the
    session answers or says BYE and closes, nothing escapes it, all within seconds."""
    if not _sessions:
        _sessions.append(Sessions())
    _sessions[0].run(octets)
