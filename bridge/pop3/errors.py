"""What goes wrong with a provider, in one sentence for a person and one word for a machine.

Rules: no password is in any text; what a server said is shown escaped, on one line, and cut.
"""

from __future__ import annotations

from bridge.pop3.quirks import Kind

ADVICE: dict[Kind, str] = {
    "auth": "Check user name and password. Some providers want POP3 switched on in their settings "
    "first, or an app password.",
    "busy": "Another program reads this maildrop, or it was asked too often; it is tried again "
    "later by itself.",
    "connect": "Check host and port in the config, and the network; it is tried again by itself.",
    "tls": "Check host, port and security in the config.",
    "protocol": "It is tried again by itself. If it stays, check that host and port are those of "
    "a POP3 server.",
    "temporary": "The provider has a problem; it is tried again by itself.",
    "permanent": "The provider wants you to act: see its text, its settings or its support.",
    "limit": "It is tried again later by itself. If it stays, ask the provider.",
}


class Pop3Error(Exception):
    """A session, or one command of it, failed. str() is one sentence for a person.

    `server_text` is what the server said, escaped and cut; `advice` is what to do next. After a
    `fatal` error the connection is gone. `in_window` says that it broke with several commands
    outstanding: where that repeats, open with `pipelining=False`.
    """

    def __init__(
        self,
        kind: Kind,
        sentence: str,
        *,
        server_text: str = "",
        advice: str = "",
        fatal: bool = True,
        in_window: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.kind: Kind = kind
        self.server_text = server_text
        self.advice = advice or ADVICE[kind]
        self.fatal = fatal
        self.in_window = in_window


def escape(text: bytes, most: int = 200) -> str:
    """Octets from a peer as one printable line: controls as \\xNN, cut at `most` characters."""
    shown = "".join(
        character if character.isprintable() else f"\\x{ord(character):02x}"
        for character in text[: 4 * most].decode("utf-8", "backslashreplace")
    )
    return shown if len(shown) <= most else shown[: most - 1] + "…"
