"""Known sins of POP3 servers, each with its source; and what a refusal in plain words means.

Rules: pure; a quirk is named after who has it; a text is only looked at where the server gave
no response code (RFC 2449 8, RFC 3206), and always in lower case. Host names are compared, never
asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.discovery import providers

Kind = Literal["auth", "busy", "connect", "tls", "protocol", "temporary", "permanent", "limit"]

# What each response code makes us do. busy: wait, nobody is at fault. temporary: back off.
# permanent: a person must act, so ask rarely. auth: the credentials; three in a row stop the polls.
# RFC 2449 8.1: LOGIN-DELAY and IN-USE. RFC 3206: SYS/TEMP, SYS/PERM, AUTH. RFC 6856 5: UTF8.
_CODES: dict[str, Kind] = {
    "IN-USE": "busy",
    "LOGIN-DELAY": "busy",
    "SYS/TEMP": "temporary",
    "SYS/PERM": "permanent",
    "SYS": "temporary",
    "AUTH": "auth",
    "UTF8": "permanent",
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
    """What a -ERR to a login means: a refused password, unless its code or text says better.

    Also where AUTH-RESP-CODE is announced an uncoded -ERR counts as a refused password, although
    RFC 3206 6 reads as if it were none: asking on would lock the account out if it is one.
    """
    if (kind := _meaning(code)) is not None:
        return kind
    words = text.decode("ascii", "replace").lower()
    return next((kind for part, kind in _TEXTS if part in words), "auth")


def refusal(code: str) -> Kind:
    """What a -ERR to any other command means."""
    return _meaning(code) or "temporary"


def _meaning(code: str) -> Kind | None:
    """RFC 2449 8: codes are hierarchical; of one that we do not know its beginning counts."""
    while code not in _CODES and "/" in code:
        code = code.rpartition("/")[0]
    return _CODES.get(code)


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


# --- providers and servers by name --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Quirk:
    """What one provider or server wants otherwise than the RFCs say.

    It is known by the end of its host name, or by a word of its greeting (in lower case).
    `least_interval` is in seconds: polled sooner, it refuses or locks. `auth_alone`: AUTH must be
    sent without its initial response. `apop_for_few`: the timestamp of its greeting does not mean
    that this user can log in by APOP. `refused` says what a refused login probably means there,
    `note` what its users should know. `pops_oldest`: it lists the oldest few that were not
    retrieved yet, and takes note of that at QUIT.
    """

    name: str
    source: str
    hosts: tuple[str, ...] = ()
    greeting: str = ""
    least_interval: int = 0
    auth_alone: bool = False
    apop_for_few: bool = False
    refused: str = ""
    note: str = ""
    pops_oldest: bool = False


_NO_QUIRK = Quirk("", "")

# Of server software; those of providers are in the table of bridge/discovery.
SOFTWARE: tuple[Quirk, ...] = (
    Quirk(
        "Exchange",
        "Microsoft Learn, 'POP protocol exchange': AUTH XOAUTH2 in two lines",
        greeting="microsoft exchange",
        auth_alone=True,
    ),
    Quirk(
        "Solid POP3",
        "solid-pop3d 0.15 of Debian (tests/peers): greets everybody with a timestamp, has secrets "
        "for APOP only of whom pop_auth gave one, and hangs up after the refusal",
        greeting="solid pop3 server",
        apop_for_few=True,
    ),
)


def of(host: str, greeting: bytes = b"") -> Quirk:
    """The quirk of a host, else the one that a greeting tells, else one without effect."""
    provider = providers.of_host(host)
    if provider is not None:
        return Quirk(
            provider.name,
            provider.source,
            hosts=(provider.host, *provider.hosts),
            least_interval=provider.least_interval,
            auth_alone=provider.auth_alone,
            refused=provider.refused,
            note=provider.note.en if provider.note is not None else "",
            pops_oldest=provider.pops_oldest,
        )
    words = greeting.decode("ascii", "replace").lower()
    told = (quirk for quirk in SOFTWARE if quirk.greeting and quirk.greeting in words)
    return next(told, _NO_QUIRK)
