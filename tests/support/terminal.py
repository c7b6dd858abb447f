"""A terminal for programs with a screen: keys go in, what is drawn comes out.

    async with Terminal(require("aerc"), env={"HOME": str(folder)}) as terminal:
        await terminal.shows("INBOX")
        terminal.press(":flag\\r")

Rules: a pseudo-terminal of its own, 120 columns by 40 rows; what was drawn is text with the escape
sequences (ECMA-48 5.4) taken out, in the order of drawing; the program is gone with the
`async with`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import struct
import termios
from collections.abc import Mapping
from types import TracebackType
from typing import Self

_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\-~])")
_SECONDS = 20.0


class Terminal:
    """A running program and its terminal; see the module."""

    def __init__(self, *command: str, env: Mapping[str, str]) -> None:
        self._command = command
        self._env = {"TERM": "xterm", "LANG": "C.UTF-8", "PATH": os.environ.get("PATH", ""), **env}
        self._drawn = b""
        self._seen = 0
        self._more = asyncio.Event()
        self._master = -1
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        self._master, inside = os.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        # A program with a screen opens /dev/tty: the terminal must be the session's own.
        self._process = await asyncio.create_subprocess_exec(
            *("setsid", "--ctty", *self._command),
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=self._env,
        )
        os.close(inside)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)

    def text(self) -> str:
        """All that was drawn, one drawing after the other."""
        return _ESCAPE.sub(b" ", self._drawn).decode(errors="replace")

    def raw(self) -> str:
        """All that was drawn, with its escape sequences."""
        return self._drawn.decode(errors="replace")

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    async def shows(self, wanted: str) -> None:
        """Returns when `wanted` is drawn after what the last call waited for."""
        try:
            async with asyncio.timeout(_SECONDS):
                while (at := self.text().find(wanted, self._seen)) < 0:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"{wanted!r} is not in {self.text()[self._seen :]!r}") from None
        self._seen = at + len(wanted)

    async def ended(self) -> int:
        """The exit code, when the program has ended by itself."""
        return await asyncio.wait_for(self._process.wait(), _SECONDS)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody has the other end open
            octets = os.read(self._master, 65536)
            if octets:
                self._drawn += octets
                self._more.set()
                return
        asyncio.get_running_loop().remove_reader(self._master)
