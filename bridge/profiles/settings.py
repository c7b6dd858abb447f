"""What a mail program must know: where mail is read, where it is sent, and as whom."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.model import Security


@dataclass(frozen=True, slots=True)
class MailServer:
    """One server, as a mail program is told of it: `mail.gmx.net`, 465, TLS, `me@gmx.de`."""

    host: str
    port: int
    security: Security
    username: str


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """One account in a mail program: `imap` is ours, `smtp` the provider's own.

    `address` is what mail is sent from, `name` how the account is called on the device.
    """

    address: str
    imap: MailServer
    smtp: MailServer
    name: str = ""

    @property
    def label(self) -> str:
        return self.name or self.address


def ascii_host(host: str) -> str:
    """`bücher.example` -> `xn--bcher-kva.example`; addresses stay. Raises ValueError."""
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError(f"{host!r} is no host name: {error}") from None
