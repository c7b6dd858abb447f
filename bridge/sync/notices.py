"""Messages from popbridge itself, as octets: a stub for what cannot be had, an alert for an
account that needs its owner. They stand in the INBOX, the one place that every user watches.

Rules: plain text, ASCII headers, CRLF; whatever a provider said is made one printable line first.
The same values give the same octets, so that a message is known again.

Pure: values in, octets out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

_LONGEST = 200  # characters of what a provider said, in a header


def stub(
    address: str, *, now: int, size: int | None, uidl: bytes | None, said: str, subject: str
) -> bytes:
    """What is shown for a message that cannot be fetched."""
    shown = one_line(subject) or "without a known subject"
    lines = [
        f"A message in the maildrop of {address} cannot be fetched.",
        "",
        f"Subject:  {shown}",
        f"Size:     {'unknown' if size is None else f'{size:,} octets'}",
        f"Id there: {'none' if uidl is None else one_line(ascii(uidl)[2:-1])}",
        f"Why:      {one_line(said)}",
        "",
        "It is still at the provider: read it in the provider's web mail. popbridge goes on",
        "asking for it, once a day at last, and replaces this note when it comes.",
    ]
    return _message(address, f"Not fetched: {shown}", lines, now)


def alert(address: str, *, now: int, title: str, said: str, advice: str) -> bytes:
    """What is shown while an account needs its owner."""
    lines = [
        f"{one_line(title)}.",
        "",
        f"What happened: {one_line(said)}",
        f"What to do:    {one_line(advice)}",
        "",
        "popbridge writes this once, and removes it when the account is well again.",
    ]
    return _message(address, title, lines, now)


def one_line(text: str) -> str:
    """Printable, on one line, without needless blanks."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(shown.encode(errors="replace").decode().split())


def _message(address: str, subject: str, lines: Sequence[str], now: int) -> bytes:
    message = EmailMessage(policy=SMTP)
    key = hashlib.sha256("\0".join((address, subject, str(now), *lines)).encode()).hexdigest()
    to = "".join(each for each in address if (each.isascii() and each.isalnum()) or each in "@.-_+")
    message["From"] = "popbridge <popbridge@localhost>"
    message["To"] = to if to.count("@") == 1 and all(to.split("@")) else "owner@localhost"
    message["Subject"] = one_line(subject)[:_LONGEST]
    message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    message["Message-ID"] = f"<{key[:32]}@popbridge.localhost>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 5: nobody shall answer it
    message.set_content("\r\n".join(lines) + "\r\n", cte="quoted-printable")
    return message.as_bytes()
