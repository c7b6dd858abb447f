"""The QR code that Thunderbird for Android (and K-9) scan to add an account.

    [1,[1,1],[0,"192.168.1.20",1993,3,1,"me@gmx.de","","kelp..."],
     [[[0,"mail.gmx.net",465,3,1,"me@gmx.de"],["me@gmx.de","me@gmx.de"]]]]

Source: Thunderbird's 'Export for Mobile QR code format', version 1 (2025-02-06).

Rules: one account a code, because scanning a sequence of them fails (thunderbird-android #8520,
#10347, #11018); the format demands an outgoing server, so the provider's own is named; our device
password is in it, the provider's never; black on white, whatever the terminal's colours are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bridge.model import Secret, Security
from bridge.profiles.settings import ClientSettings, MailServer, ascii_host

if TYPE_CHECKING:
    from segno import QRCode

_SECURITY = {Security.NONE: 0, Security.STARTTLS: 2, Security.TLS: 3}
_PASSWORD_CLEARTEXT = 1
_BORDER = 4  # modules of white around it (ISO 18004 6.3.8)
_BLACK_ON_WHITE, _RESET = "\x1b[38;5;16;48;5;231m", "\x1b[0m"


def thunderbird_qr(settings: ClientSettings, password: Secret) -> str:
    """What the code says: JSON in one line. Raises ValueError where the format has no room: an
    address that is not ASCII, a host name that is none."""
    if not settings.address.isascii():
        raise ValueError(f"the QR code has no room for an address like {settings.address!r}")
    account = [
        1,  # the format's version
        [1, 1],  # the first code of one
        [0, *_server(settings.imap), settings.name, password.reveal()],
        [[[0, *_server(settings.smtp)], [settings.address, settings.label]]],
    ]
    return json.dumps(account, ensure_ascii=False, separators=(",", ":"))


def _server(server: MailServer) -> list[str | int]:
    return [
        ascii_host(server.host),
        server.port,
        _SECURITY[server.security],
        _PASSWORD_CLEARTEXT,
        server.username,
    ]


def qr_svg(text: str, *, title: str) -> str:
    """A code as an `<svg>` element to stand in a page: no style attribute, no script; `title` is
    for those who cannot see it. Raises ValueError when the text is too long for a code."""
    return str(
        _code(text).svg_inline(
            border=_BORDER, dark="#000", light="#fff", title=title, omitsize=True, svgclass="qr"
        )
    )


def qr_terminal(text: str) -> str:
    """A code as lines of half blocks, two modules a line: 31 lines of 61 columns for an account.
    Raises ValueError when the text is too long for a code."""
    rows = [list(row) for row in _code(text).matrix_iter(border=_BORDER)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    lines = (
        "".join(" ▀▄█"[upper + 2 * lower] for upper, lower in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    )
    return "\n".join(f"{_BLACK_ON_WHITE}{line}{_RESET}" for line in lines)


def _code(text: str) -> QRCode:
    import segno  # a daemon that draws no code needs it not in memory

    return segno.make_qr(text, error="m", encoding="utf-8", boost_error=False)
