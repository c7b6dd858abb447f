"""SASL mechanisms as pure encoders: what a client says, as octets before or after base64.

Rules: no state, no I/O; a value that would break the message is refused with ValueError, whose
text never contains the value.
"""

from __future__ import annotations

import base64


def plain(username: str, password: str, authorize_as: str = "") -> bytes:
    """RFC 4616 2: [authzid] NUL authcid NUL passwd, in UTF-8, no base64.

    Raises ValueError for a NUL in any of them, an empty user name or an empty password.
    """
    if "\0" in username or "\0" in password or "\0" in authorize_as:
        raise ValueError("a user name or password with a NUL cannot be sent")
    if not username or not password:
        raise ValueError("a user name and a password are needed")
    return f"{authorize_as}\0{username}\0{password}".encode()


def encode(message: bytes) -> bytes:
    """A response as it goes on a line of POP3, IMAP or SMTP: base64 without line breaks."""
    return base64.b64encode(message)
