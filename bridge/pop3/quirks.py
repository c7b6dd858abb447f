"""Known sins of POP3 servers, each with its source; and what a refusal in plain words means.

Rules: pure; a quirk is named after who has it; a text is only looked at where the server gave
no response code (RFC 2449 8, RFC 3206), and always in lower case. Host names are compared, never
asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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

MINUTE = 60


@dataclass(frozen=True, slots=True)
class Quirk:
    """What one provider or server wants otherwise than the RFCs say.

    It is known by the end of its host name, or by a word of its greeting (in lower case).
    `least_interval` is in seconds: polled sooner, it refuses or locks. `auth_alone`: AUTH must be
    sent without its initial response. `apop_for_few`: the timestamp of its greeting does not mean
    that this user can log in by APOP. `refused` says what a refused login probably means there.
    """

    name: str
    source: str
    hosts: tuple[str, ...] = ()
    greeting: str = ""
    least_interval: int = 0
    auth_alone: bool = False
    apop_for_few: bool = False
    refused: str = ""


_NO_QUIRK = Quirk("", "")
_OFF = "POP3 is off until you switch it on in the provider's settings"

QUIRKS: tuple[Quirk, ...] = (
    Quirk(
        "GMX",
        "GMX help pages; yam issue 638: switched off again after disuse, and then it answers "
        "'authentication failed'",
        hosts=("pop.gmx.net", "pop.gmx.com"),
        least_interval=10 * MINUTE,
        refused=f"{_OFF}, and GMX switches it off again when it was not used for long; with "
        "two-factor login it also wants an application password.",
    ),
    Quirk(
        "WEB.DE",
        "Mozilla ISPDB: 15 minutes between logins, otherwise it fails like a wrong password; the "
        "user name is the local part; yam issue 305",
        hosts=("pop3.web.de",),
        least_interval=15 * MINUTE,
        refused="WEB.DE answers so when it is asked more often than every 15 minutes, also by "
        f"another program. Else: {_OFF}; the user name is what stands before @web.de.",
    ),
    Quirk(
        "T-Online",
        "Mozilla ISPDB; chatmail provider-db: a separate password for e-mail programs",
        hosts=("securepop.t-online.de",),
        least_interval=10 * MINUTE,
        refused="T-Online wants the separate password for e-mail programs that you set in its "
        "customer centre, not the one of its web page.",
    ),
    Quirk(
        "freenet",
        "chatmail provider-db: POP3, IMAP and SMTP are ticked in the settings",
        hosts=("mx.freenet.de",),
        least_interval=10 * MINUTE,
        refused=f"{_OFF} (Postfach-Einstellungen: Jetzt POP3, IMAP und SMTP aktivieren).",
    ),
    Quirk(
        "Posteo",
        "chatmail provider-db: app passwords are required since January 2026",
        hosts=("posteo.de",),
        least_interval=10 * MINUTE,
        refused="Posteo wants an app password, made in its settings.",
    ),
    Quirk(
        "mailbox.org",
        "mailbox.org help pages: application passwords with two-factor login; the main address",
        hosts=("pop3.mailbox.org",),
        refused="mailbox.org wants your main address as user name and, with two-factor login, an "
        "application password.",
    ),
    Quirk(
        "Gmail",
        "Gmail help pages; frappe issue 20675 quotes Google: under 10 minutes is blocked",
        hosts=("pop.gmail.com",),
        least_interval=10 * MINUTE,
        refused="Gmail wants POP switched on in its settings, and an app password (with 2-step "
        "verification) or pop3.oauth instead of your Google password.",
    ),
    Quirk(
        "Microsoft",
        "Microsoft Learn, 'POP protocol exchange': AUTH XOAUTH2 in two lines; getmail6 issue 256 "
        "and mpop issue 11: '-ERR Protocol error. Connection is closed. 10' otherwise; frappe "
        "issue 242: 'login limit for a 15 minute period'; passwords ended in September 2024",
        hosts=("outlook.office365.com", "outlook.com", "hotmail.com", "live.com"),
        least_interval=15 * MINUTE,
        auth_alone=True,
        refused="Microsoft takes no passwords, only pop3.oauth; and 'Let devices and apps use "
        "POP' must be on in the settings of Outlook.com (or POP for this mailbox in Microsoft "
        "365).",
    ),
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
    Quirk(
        "Yahoo and AOL",
        "Yahoo and AOL help pages; email-oauth2-proxy README: OAuth is closed to new programs",
        hosts=("pop.mail.yahoo.com", "pop.aol.com"),
        least_interval=10 * MINUTE,
        refused="Yahoo and AOL want an app password, made in the account's security settings.",
    ),
    Quirk(
        "Comcast",
        "Mozilla ISPDB: access by other programs must be allowed",
        hosts=("mail.comcast.net",),
        refused="Comcast wants third-party access allowed in its e-mail settings.",
    ),
    Quirk(
        "Free",
        "Mozilla ISPDB: the user name is the local part",
        hosts=("pop.free.fr",),
        refused="The user name of Free is what stands before @free.fr.",
    ),
    Quirk(
        "Mail.ru",
        "Mozilla ISPDB; chatmail provider-db: a password for external applications",
        hosts=("pop.mail.ru",),
        refused="Mail.ru wants a password for external applications, made in its settings.",
    ),
    Quirk(
        "QQ and NetEase",
        "chatmail provider-db: POP3 is switched on by SMS, and a code replaces the password",
        hosts=("pop.qq.com", "pop.163.com"),
        refused=f"{_OFF}; it then shows a code that is used instead of the password.",
    ),
    Quirk(
        "inbox.lv",
        "inbox.lv help pages: POP is switched off after 2 months without use or after too many "
        "connections",
        hosts=("inbox.lv",),
        least_interval=10 * MINUTE,
        refused="inbox.lv switches POP3 off after two months without use, or after too many "
        "connections: switch it on again in its settings.",
    ),
)


def of(host: str, greeting: bytes = b"") -> Quirk:
    """The quirk of a host, else the one that a greeting tells, else one without effect."""
    host = host.lower().rstrip(".")
    for quirk in QUIRKS:
        if any(host == end or host.endswith("." + end) for end in quirk.hosts):
            return quirk
    words = greeting.decode("ascii", "replace").lower()
    told = (quirk for quirk in QUIRKS if quirk.greeting and quirk.greeting in words)
    return next(told, _NO_QUIRK)
