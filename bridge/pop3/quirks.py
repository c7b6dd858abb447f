"""Known sins of POP3 servers, each with its source; and what a refusal in plain words means.

Rules: pure; a quirk is named after who has it; a text is only looked at where the server gave
no response code (RFC 2449 8, RFC 3206), and always in lower case.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["auth", "busy", "connect", "tls", "protocol", "temporary", "permanent", "limit"]

# RFC 2449 8.1: LOGIN-DELAY and IN-USE. RFC 3206: SYS/TEMP, SYS/PERM, AUTH.
_CODES: dict[str, Kind] = {
    "IN-USE": "busy",
    "LOGIN-DELAY": "busy",
    "SYS/TEMP": "temporary",
    "SYS/PERM": "permanent",
    "AUTH": "auth",
}

# Texts of refused logins without a code. First match counts.
_TEXTS: tuple[tuple[str, Kind], ...] = (
    # Hotmail: "Exceeded the login limit for a 15 minute period. Reduce the frequency of
    # requests to the POP3 server."
    ("login limit", "busy"),
    ("too many", "busy"),
    ("too frequent", "busy"),
    ("login frequency", "busy"),  # 163.com
    # qpopper: ".pop lock busy! Is another session active?"; RFC 1939 9: "maildrop already
    # locked".
    ("lock busy", "busy"),
    ("already locked", "busy"),
    ("maildrop lock", "busy"),
    ("another session", "busy"),
    ("in use", "busy"),
    ("try again later", "temporary"),  # Yahoo: "Server error - Please try again later."
    ("temporar", "temporary"),
    ("internal error", "temporary"),
    ("server busy", "temporary"),
)

# A mechanism or command that the server does not know: no password was looked at.
_UNKNOWN = (
    "unknown command",
    "unrecognized",
    "unrecognised",
    "not recognized",
    "not implemented",
    "unimplemented",
    "not supported",
    "unsupported",
    "invalid command",
    "bad command",
    "illegal command",
    "command not",
    "syntax error",
    "unknown auth",
)


def login_refusal(code: str, text: bytes) -> Kind:
    """What a -ERR to a login means: a refused password, unless its code or text says better."""
    if code in _CODES:
        return _CODES[code]
    words = text.decode("ascii", "replace").lower()
    return next((kind for part, kind in _TEXTS if part in words), "auth")


def refusal(code: str) -> Kind:
    """What a -ERR to any other command means."""
    return _CODES.get(code, "temporary")


def is_unknown_command(code: str, text: bytes) -> bool:
    """Whether a -ERR says that the server does not know the command or mechanism, so that
    another way to log in is no second failed login."""
    words = text.decode("ascii", "replace").lower()
    return code == "" and any(part in words for part in _UNKNOWN)


def without_second_ok(top: bytes) -> bytes:
    """FTGate answers TOP with two +OK lines (fetchmail FAQ): the second is no header."""
    if top[:3].upper() == b"+OK" and not top[3:4].isalnum() and top[3:4] != b":":
        return top[top.find(b"\n") + 1 :]
    return top


def other_service(greeting: str) -> str:
    """Advice where something else than POP3 answers, or "": what it probably is."""
    for start, service in _SERVICES:
        if greeting.startswith(start):
            return f"This looks like {service}: correct host, port and security in the config."
    return ""


_SERVICES = (
    ("* OK", "an IMAP server"),
    ("* PREAUTH", "an IMAP server"),
    ("220", "an SMTP or FTP server"),
    ("554", "an SMTP server"),
    ("SSH-", "an SSH server"),
    ("HTTP/", "a web server"),
    ("<", "a web server"),
    ("\\x15\\x03", "a port that begins with TLS (security: tls)"),
    ("\\x16\\x03", "a port that begins with TLS (security: tls)"),
)
