"""Debian's Thunderbird on a screen of its own, driven from outside.

    async with Thunderbird(require("thunderbird"), require("Xvfb"), folder, prefs) as program:
        subjects = await program.run("return messages('INBOX')")
        await program.screenshot(folder / "screen.png")

Xvfb is the screen. Marionette, the remote control that is part of Thunderbird, takes JavaScript
and runs it with all rights inside the program: length, colon, JSON, over TCP
(https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html).

Rules: profile, home and display are its own, nothing of the user's is read; the network is not
touched, but for what the profile's account names; both processes are gone with the `async with`.
A second `Thunderbird` on the same folder is the same installation, started again.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

Pref = str | int | bool
QUIET: Mapping[str, Pref] = {
    "app.donation.eoy.version.viewed": 9999,
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "calendar.timezone.useSystemTimezone": True,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.update.enabled": False,
    "mail.inappnotifications.enabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.rights.version": 1,
    "mail.shell.checkDefaultClient": False,
    "mail.spotlight.firstRunDone": True,
    "mail.winsearch.firstRunDone": True,
    "mailnews.start_page.enabled": False,
    "marionette.port": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "http://127.0.0.1:9/",
    "toolkit.telemetry.enabled": False,
}


_SCRIPT_MS = 60_000  # that a script may wait


class ScriptError(Exception):
    """A script raised inside Thunderbird; the text is its error and stack."""


class Thunderbird:
    """A running Thunderbird; see the module. `prefs` go over QUIET into the profile, `prelude` is
    JavaScript that each script sees."""

    def __init__(
        self, program: str, xvfb: str, folder: Path, prefs: Mapping[str, Pref], prelude: str = ""
    ) -> None:
        self.profile = folder / "profile"
        self._folder = folder
        self._program = program
        self._xvfb = xvfb
        self._prefs = {**QUIET, **prefs}
        self._prelude = prelude
        self._serial = 0
        self._stack = contextlib.AsyncExitStack()
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def run(self, script: str, *args: object) -> object:
        """What the body of an async JavaScript function returns, with `args` as its `args`.
        Raises ScriptError."""
        body = (
            f"const args = [...arguments]; return (async () => {{ {self._prelude}\n{script} }})()"
        )
        answer = await self._ask("WebDriver:ExecuteScript", script=body, args=list(args))
        return answer["value"]

    async def screenshot(self, path: Path) -> None:
        """The window as PNG."""
        answer = await self._ask("WebDriver:TakeScreenshot", full=False, hash=False)
        picture = base64.b64decode(str(answer["value"]))
        await asyncio.to_thread(path.write_bytes, picture)

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        self.profile.mkdir(parents=True, exist_ok=True)
        (self.profile / "user.js").write_text(
            "".join(
                f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
                for name, value in self._prefs.items()
            )
        )
        display = await self._start_screen(stack)
        said = stack.enter_context((self._folder / "thunderbird.log").open("wb"))
        process = await asyncio.create_subprocess_exec(
            self._program,
            "--profile",
            str(self.profile),
            "--no-remote",
            "-marionette",
            # Without it, scripts see pages only (since Firefox 138).
            "-remote-allow-system-access",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=said,
            env={
                "DISPLAY": display,
                "HOME": str(self._folder),
                "LANG": "C.UTF-8",
                "MOZ_CRASHREPORTER_DISABLE": "1",
                "NO_AT_BRIDGE": "1",
                "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            },
        )
        stack.push_async_callback(_end, process)
        assert process.stdout is not None
        while line := await process.stdout.readline():
            # "1648226453917  Marionette  INFO  Listening on port 38791"
            if b"Listening on port" in line:
                break
        else:
            raise RuntimeError(
                f"Thunderbird ended: {(self._folder / 'thunderbird.log').read_text()}"
            )
        drain = asyncio.create_task(process.stdout.read())
        stack.callback(drain.cancel)
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", int(line.split()[-1]), limit=64 * 2**20
        )
        stack.callback(self._writer.close)
        await self._receive()
        await self._ask("WebDriver:NewSession")
        await self._ask("Marionette:SetContext", value="chrome")
        await self._ask("WebDriver:SetTimeouts", script=_SCRIPT_MS)
        stack.push_async_callback(self._quit, process)

    async def _quit(self, process: asyncio.subprocess.Process) -> None:
        """Lets it close its databases, as the Quit of its menu does."""
        with contextlib.suppress(ScriptError, OSError, EOFError, TimeoutError):
            async with asyncio.timeout(10):
                await self._ask("Marionette:Quit", flags=["eForceQuit"])
                await process.wait()

    async def _start_screen(self, stack: contextlib.AsyncExitStack) -> str:
        """Starts Xvfb and returns the display that it chose: `:99`."""
        inlet, outlet = os.pipe()
        with os.fdopen(inlet, "rb") as chosen:
            screen = await asyncio.create_subprocess_exec(
                self._xvfb,
                "-displayfd",
                str(outlet),
                *("-screen", "0", "1280x800x24", "-nolisten", "tcp"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                pass_fds=[outlet],
            )
            stack.push_async_callback(_end, screen)
            os.close(outlet)
            number = await asyncio.to_thread(chosen.readline)
        if not number:
            raise RuntimeError("Xvfb does not start")
        return f":{int(number)}"

    async def _ask(self, command: str, **parameters: object) -> dict[str, object]:
        self._serial += 1
        message = json.dumps([0, self._serial, command, parameters]).encode()
        self._writer.write(b"%d:%s" % (len(message), message))
        answer = await self._receive()
        assert isinstance(answer, list)
        _, serial, error, result = answer
        assert serial == self._serial
        if error is not None:
            raise ScriptError(f"{error['message']}\n{error['stacktrace']}")
        assert isinstance(result, dict)
        return result

    async def _receive(self) -> object:
        length = await self._reader.readuntil(b":")
        return json.loads(await self._reader.readexactly(int(length[:-1])))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Asks, then insists."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
