"""How setup talks: in one language, to a person or to a program.

Rules: a question has an answer without a person, by --yes or by its safe default; in JSON nothing
but the one object is printed; whatever a provider or a server said is shown as one harmless line.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.words import Words, language
from bridge.logs import printable
from bridge.model import Security

if TYPE_CHECKING:
    from bridge.web.status import Json

_QR = "\x1b[38;5;16;48;5;231m"  # how the lines of a QR code begin


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said."""

    address: str
    host: str | None
    port: int | None
    security: Security | None
    username: str | None
    password_file: Path | None
    oauth: bool
    client_id: str | None
    login: str | None
    data_dir: Path | None
    config: Path | None
    device: str
    lang: str | None
    offline: bool
    start: bool
    yes: bool
    as_json: bool


class Talk:
    """`said` is what --json prints."""

    def __init__(self, options: Options) -> None:
        self.o = options
        self.words = Words(language(options.lang))
        self.interactive = sys.stdin.isatty() and not options.as_json
        self.said: dict[str, Json] = {}

    def say(self, key: str, **values: object) -> None:
        self.line(self.words(key, **values))

    def line(self, text: str) -> None:
        """Texts of providers and servers are among them: one harmless line each."""
        if self.o.as_json:
            return
        for each in text.split("\n"):
            print(each if each.startswith(_QR) else printable(each, 1_000), flush=True)

    async def ask(self, key: str, default: bool) -> bool:
        """Yes or no: by --yes, by a person, else `default`."""
        from bridge.cli.person import answer

        if self.o.yes:
            return True
        if not self.interactive:
            return default
        marks = "[Y/n] " if default or key == "start" else "[y/N] "
        said = (await answer(self.words(key) + marks)).strip().lower()
        return said in ("y", "yes", "j", "ja") or (not said and marks == "[Y/n] ")
