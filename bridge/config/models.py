"""What may be written in the config file, and the frozen values that the daemon gets.

Rules: a field's `description` is what a mistake says is wanted, its first example what to write;
whatever came as text is made a value here, once; secrets never show in a repr. It is long because
every key that may be written stands here, and nowhere else.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationInfo,
)

from bridge import limits
from bridge.auth import oauth
from bridge.auth.passwords import PasswordHash, Verifier
from bridge.auth.secrets import read_secret, run_secret
from bridge.config import values
from bridge.config.values import quoted
from bridge.config.values import wrong as _wrong
from bridge.discovery import providers
from bridge.model import Auth, Endpoint, Proxy, Secret, Security
from bridge.profiles.access import Access
from bridge.profiles.settings import ClientSettings, MailServer

PORTS = {Security.TLS: 995, Security.STARTTLS: 110, Security.NONE: 110}
_INTERVAL = "a time from 1s to 30d such as 30s, 10m, 1h or 2d"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = "a size such as 500MB or 10GB"
_SIZES = {"KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


class Listen(NamedTuple):
    """Where to listen. Port 0 takes a free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Does this host name or address stay on this machine, without asking DNS?"""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(value: object) -> object:
    if not isinstance(value, str):
        return value
    wrong = _wrong(
        f"is {quoted(value)}, an address and a port are wanted",
        "write 127.0.0.1:1143 or [::1]:1143",
    )
    host, colon, port = value.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise wrong
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        if bracketed or not re.fullmatch(r"(?=.*[a-zA-Z])[a-zA-Z0-9.-]{1,253}", host):
            raise wrong from None
        return Listen(host, int(port))
    if (version == 6) != bracketed:
        advice = f"write [{host}]:{port}" if version == 6 else f"write {host}:{port}"
        raise _wrong(f'is "{value}", only IPv6 addresses go in [brackets], and they must', advice)
    return Listen(host, int(port))


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"([0-9]{1,7})\s?([smhd])", value)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 1 <= seconds <= 30 * _UNITS["d"]:  # a bare number is none: seconds or minutes?
        raise _wrong(f"is {quoted(value)}, {_INTERVAL} is wanted", "write interval: 15m")
    return seconds


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"([1-9][0-9]{0,6})\s?([KMGT]B)", value, re.IGNORECASE)
    if not found:  # a bare number is none: octets or megabytes?
        raise _wrong(f"is {quoted(value)}, {_SIZE} is wanted", "write storage: 10GB")
    return int(found[1]) * _SIZES[found[2].upper()]


def _capability(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(r"[A-Za-z0-9=+&.-]{1,60}", value) or value.upper() == "IMAP4REV1":
        raise _wrong(
            f"is {quoted(value)}, the name of a capability is wanted",
            "write hide_capabilities: [QRESYNC]",
        )
    return value.upper()


def _secret(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not value or len(value.encode(errors="replace")) > limits.PASSWORD:
        text = f"has {len(value)} characters, 1 to {limits.PASSWORD} octets are wanted"
        raise _wrong(text, "write the password, in 'single quotes'")
    if any(each in value for each in "\0\r\n"):
        raise _wrong("holds a line end, which no protocol can send", "write it on one line")
    return Secret(value)


def _hash(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return PasswordHash(value)
    except ValueError as error:
        raise _wrong(f"{error}", "write password_hash: '$argon2id$v=19$...'") from None


def _command(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, (str, list)):
        return value
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError:
        raise _wrong("has quotes that do not close", "write a list: [pass, show, gmx]") from None
    if info.context and words and isinstance(words[0], str) and "/" in words[0]:
        return [str(located(info.context["folder"], words[0])), *words[1:]]
    return words


def located(folder: Path, text: str) -> Path:
    """The file that `text` names, seen from the config file's folder."""
    try:
        return folder / Path(text).expanduser()
    except RuntimeError:  # ~somebody who is not there
        return folder / text


def _path(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    if not value or "\0" in value:
        raise _wrong("is no name of a file", "write a path, such as secrets/name")
    return located(info.context["folder"] if info.context else Path(), value)


def _name(value: object) -> object:
    if isinstance(value, str) and (
        not value.isprintable() or value != value.strip() or not 0 < len(value) <= 254
    ):
        raise _wrong(
            "is empty, too long or holds control characters or outer blanks", "write it anew"
        )
    return value


def _mailbox(value: object) -> object:
    if isinstance(value, str):
        levels = value.split("/")
        if not all(levels) or not value.isprintable() or any(each in value for each in "*%"):
            raise _wrong(
                "is no mailbox name: levels parted by /, without control characters, * and %",
                "write mailbox: INBOX",
            )
        if len(value.encode()) > limits.MAILBOX_NAME or len(levels) > limits.MAILBOX_DEPTH:
            raise _wrong("is too long or has too many levels", "write mailbox: INBOX")
        if value.upper() == "INBOX":
            return "INBOX"
    return value


def _database(value: object) -> object:
    if isinstance(value, str) and value.startswith(("postgresql:", "postgres:")):
        raise _wrong("is PostgreSQL, which comes later", "write database: sqlite")
    return value


def _keep(value: object) -> object:
    """`forever`, `30d`, or a mapping of `KeepOnServer`."""
    if value == "forever":
        return {}
    if isinstance(value, str):
        return {"days": _days(value)}
    if isinstance(value, dict) and not value:
        raise _wrong("is an empty mapping", "write keep_on_server: forever")
    return value


def _days(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"([0-9]{1,5})\s?d?", value)
    days = int(found[1]) if found else 0
    if not 1 <= days <= 36_500:
        raise _wrong(
            f"is {quoted(value)}; forever, or days such as 30d, are wanted",
            "write keep_on_server: forever",
        )
    return days * _UNITS["d"]


def _grace(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"([0-9]{1,5})\s?([hd])", value)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not _UNITS["h"] <= seconds <= 36_500 * _UNITS["d"]:
        raise _wrong(
            f"is {quoted(value)}; a grace time from 1h such as 12h or 7d is wanted",
            "write after_device_delete: 7d",
        )
    return seconds


def _octets(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"([0-9]{1,6})\s?(MB|GB)", value)
    if not found or int(found[1]) == 0:
        raise _wrong(
            f"is {quoted(value)}; a size such as 800MB or 2GB is wanted", "write max_size: 800MB"
        )
    return int(found[1]) * (10**6 if found[2] == "MB" else 10**9)


def _certificate(value: object) -> object:
    return None if value == "auto" else "" if value is None else value


ListenAt = Annotated[InstanceOf[Listen], BeforeValidator(_listen)]
SecretText = Annotated[
    Secret, BeforeValidator(_secret), PlainSerializer(lambda _: "***", return_type=str)
]
Hashed = Annotated[
    InstanceOf[PasswordHash],
    BeforeValidator(_hash),
    PlainSerializer(lambda _: "***", return_type=str),
]
Fingerprint = Annotated[str, BeforeValidator(values.fingerprint)]
ProxyUrl = Annotated[
    InstanceOf[Proxy],
    BeforeValidator(values.proxy),
    PlainSerializer(lambda _: "***", return_type=str),
]
EndpointUrl = Annotated[str, BeforeValidator(values.endpoint)]
Name = Annotated[str, BeforeValidator(_name)]
File = Annotated[Path, BeforeValidator(_path)]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )


class CertificateFiles(_Section):
    cert: File = Field(description="a file", examples=["/etc/ssl/mail.pem"])
    key: File = Field(description="a file", examples=["/etc/ssl/mail.key"])


class QuotaConfig(_Section):
    storage: Annotated[int, BeforeValidator(_size)] | None = Field(
        default=None, description=_SIZE, examples=["10GB"]
    )
    messages: int | None = Field(
        default=None, ge=1, le=2**32 - 1, description="a number of messages", examples=["100000"]
    )


class ImapConfig(_Section):
    listen: tuple[ListenAt, ...] = Field(
        default=(Listen("127.0.0.1", 1143),),
        description="a list of addresses",
        examples=['["127.0.0.1:1143"]'],
    )
    listen_tls: tuple[ListenAt, ...] = Field(
        default=(Listen("0.0.0.0", 1993),),  # noqa: S104  # devices in the house are the point; TLS only
        description="a list of addresses",
        examples=['["0.0.0.0:1993"]'],
    )
    hostname: Annotated[str, BeforeValidator(values.hostname)] | None = Field(
        default=None, description="a host name or an address", examples=["homeserver.local"]
    )
    certificate: Annotated[CertificateFiles | None, BeforeValidator(_certificate)] = Field(
        default=None,
        description="auto, or cert and key",
        examples=["auto", "{cert: FILE, key: FILE}"],
    )
    quota: QuotaConfig | None = Field(
        default=None,
        description="storage, messages or both",
        examples=["{storage: 10GB, messages: 100000}"],
    )
    rev2: bool = Field(default=False, description="true or false", examples=["true"])


class _HasSecret(_Section):
    password: SecretText | None = Field(
        default=None, repr=False, description="text", examples=["'the password, in single quotes'"]
    )
    password_file: File | None = Field(
        default=None, description="a file", examples=["secrets/name"]
    )


class WebConfig(_HasSecret):
    listen: ListenAt | None = Field(
        default=Listen("127.0.0.1", 8025),
        description="an address and a port, or null",
        examples=['"127.0.0.1:8025"'],
    )
    phone: ListenAt | None = Field(
        default=Listen("0.0.0.0", 8026),  # noqa: S104  # over TLS, while a phone is waited for
        description="an address and a port, or null",
        examples=['"0.0.0.0:8026"'],
    )
    password_hash: Hashed | None = Field(
        default=None, repr=False, description="an argon2id hash", examples=["'$argon2id$v=19$...'"]
    )
    hosts: tuple[Annotated[str, BeforeValidator(values.hostname)], ...] = Field(
        default=(), description="a list of host names", examples=["[mail.home.example]"]
    )
    proxies: tuple[Annotated[str, BeforeValidator(values.network)], ...] = Field(
        default=(), description="a list of addresses", examples=["[127.0.0.1]"]
    )
    allow_plaintext: bool = Field(default=False, description="true or false", examples=["true"])

    def verifier(self) -> Verifier | None:
        """What proves the page's password; None where it has none. Raises SecretError."""
        if self.password_hash is not None:
            return self.password_hash
        if self.password is not None:
            return self.password
        return read_secret(self.password_file) if self.password_file is not None else None


class AlertsConfig(_Section):
    """Who is told when an account needs its owner; beside the message in its INBOX."""

    webhook: EndpointUrl | None = Field(
        default=None, repr=False, description="a URL", examples=["https://example.org/hook"]
    )
    ntfy: EndpointUrl | None = Field(
        default=None, repr=False, description="a URL", examples=["https://ntfy.sh/my-secret-topic"]
    )


class OAuthConfig(_Section):
    """Who we are to an identity provider; instead of a password."""

    provider: Literal["microsoft", "google", "custom"] = Field(
        description="microsoft, google or custom", examples=["microsoft"]
    )
    client_id: Name = Field(
        description="the id that the provider gave your program", examples=["0f3c..."]
    )
    client_secret: SecretText | None = Field(
        default=None, repr=False, description="text", examples=["'the secret, in single quotes'"]
    )
    tenant: Annotated[str, BeforeValidator(values.tenant)] = Field(
        default="common", description="a tenant of Microsoft", examples=["consumers"]
    )
    token_endpoint: EndpointUrl | None = Field(
        default=None, description="a URL", examples=["https://id.example.org/token"]
    )
    device_endpoint: EndpointUrl | None = Field(
        default=None, description="a URL", examples=["https://id.example.org/device"]
    )
    authorization_endpoint: EndpointUrl | None = Field(
        default=None, description="a URL", examples=["https://id.example.org/authorize"]
    )
    scope: Name | None = Field(default=None, description="text", examples=["mail offline_access"])

    @property
    def client(self) -> oauth.Client:
        if self.provider == "microsoft":
            provider = oauth.microsoft(self.tenant)
        elif self.provider == "google":
            provider = oauth.GOOGLE
        else:
            provider = oauth.Provider(
                name="the provider",
                token=self.token_endpoint or "",
                device=self.device_endpoint or "",
                authorization=self.authorization_endpoint or "",
                scope=self.scope or "",
            )
        return oauth.Client(provider, self.client_id, self.client_secret)


class Pop3Config(_HasSecret):
    host: Name = Field(description="a host name", examples=["pop.example.org"])
    port: int | None = Field(
        default=None, ge=1, le=65535, description="a number from 1 to 65535", examples=[995]
    )
    security: Security = Field(
        default=Security.TLS, description="tls, starttls or none", examples=["tls"]
    )
    username: Name = Field(description="text", examples=["me@example.org"])
    password_command: Annotated[tuple[str, ...], BeforeValidator(_command)] | None = Field(
        default=None, min_length=1, repr=False, description="a command", examples=["pass show mail"]
    )
    oauth: OAuthConfig | None = Field(
        default=None,
        repr=False,
        description="a section",
        examples=["{provider: microsoft, client_id: ...}"],
    )
    auth: Auth = Field(default=Auth.AUTO, description=", ".join(Auth), examples=["auto"])
    ca_file: File | None = Field(default=None, description="a file", examples=["private-ca.pem"])
    tls_fingerprint: Fingerprint | None = Field(
        default=None, description="a SHA-256", examples=["'SHA256:4F:1C:...:A2'"]
    )
    client_cert: File | None = Field(default=None, description="a file", examples=["client.pem"])
    client_key: File | None = Field(default=None, description="a file", examples=["client.key"])
    proxy: ProxyUrl | None = Field(
        default=None,
        repr=False,
        description="a SOCKS5 proxy",
        examples=["socks5://127.0.0.1:1080"],
    )
    allow_plaintext: bool = Field(default=False, description="true or false", examples=["true"])
    private_network: bool = Field(default=False, description="true or false", examples=["true"])


class SmtpConfig(_Section):
    """Where devices send mail of an address: at its provider, with its provider's password."""

    host: Name = Field(description="a host name", examples=["smtp.example.org"])
    port: int = Field(
        default=465, ge=1, le=65535, description="a number from 1 to 65535", examples=[465]
    )
    security: Literal["tls", "starttls"] = Field(
        default="tls", description="tls or starttls", examples=["tls"]
    )
    username: Name | None = Field(default=None, description="text", examples=["me@example.org"])


class KeepOnServer(_Section):
    """What may be deleted at the provider, and when: seconds and octets; nothing by default."""

    days: Annotated[int, BeforeValidator(_days)] | None = Field(
        default=None, description="days", examples=["30"]
    )
    after_device_delete: Annotated[int, BeforeValidator(_grace)] | None = Field(
        default=None, description="a grace time", examples=["7d"]
    )
    max_size: Annotated[int, BeforeValidator(_octets)] | None = Field(
        default=None, description="a size", examples=["800MB"]
    )


class AccountConfig(_Section):
    address: Name = Field(description="text", examples=["me@example.org"])
    pop3: Pop3Config = Field(
        description="a section", examples=["{host: pop.example.org, username: ...}"]
    )
    interval: Annotated[int, BeforeValidator(_duration)] = Field(
        default=900,
        description=_INTERVAL,
        examples=["15m"],
    )
    keep_on_server: Annotated[KeepOnServer, BeforeValidator(_keep)] = Field(
        default=KeepOnServer(),
        description="forever, days such as 30d, or a mapping of rules",
        examples=["forever", "{days: 30, after_device_delete: 7d, max_size: 800MB}"],
    )
    smtp: SmtpConfig | None = Field(
        default=None, description="a section", examples=["{host: smtp.example.org}"]
    )
    login: Name | None = Field(default=None, description="text", examples=["family"])
    mailbox: Annotated[str, BeforeValidator(_mailbox)] = Field(
        default="INBOX", description="a mailbox name", examples=["INBOX"]
    )

    @property
    def login_name(self) -> str:
        """The IMAP login that sees this account's mail: its address unless the file says else."""
        return self.login or self.address

    @property
    def endpoint(self) -> Endpoint:
        pop3 = self.pop3
        return Endpoint(
            host=pop3.host,
            port=pop3.port or PORTS[pop3.security],
            security=pop3.security,
            username=pop3.username,
            ca_file=_text(pop3.ca_file),
            fingerprint=pop3.tls_fingerprint,
            client_cert=_text(pop3.client_cert),
            client_key=_text(pop3.client_key),
            auth=pop3.auth,
            bearer=pop3.oauth is not None or pop3.auth in (Auth.XOAUTH2, Auth.OAUTHBEARER),
            proxy=pop3.proxy,
            private_network=pop3.private_network,
        )

    @property
    def outgoing(self) -> MailServer:
        """Where mail of this address is sent: as the file says, else as the table of providers
        knows, else a guess beside the POP3 server: `pop.example.org` -> `smtp.example.org`."""
        pop3, smtp = self.pop3, self.smtp
        if smtp is not None:
            username = smtp.username or pop3.username
            return MailServer(smtp.host, smtp.port, Security(smtp.security), username)
        provider = providers.of_host(pop3.host)
        known = provider.outgoing(pop3.username) if provider is not None else None
        host = re.sub(r"^(?:pops?|pop3s?|mail)\.", "smtp.", pop3.host)
        return known or MailServer(host, 465, Security.TLS, pop3.username)

    def password(self) -> Secret:
        """The provider's password, read anew each time. Blocks (a file, a command of up to 30 s):
        call it in a thread. Raises SecretError."""
        pop3 = self.pop3
        if pop3.password is not None:
            return pop3.password
        if pop3.password_file is not None:
            return read_secret(pop3.password_file)
        return run_secret(pop3.password_command or ())


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None


class LoginConfig(_HasSecret):
    name: Name = Field(description="text", examples=["me@example.org"])
    password_hash: Hashed | None = Field(
        default=None, repr=False, description="an argon2id hash", examples=["'$argon2id$v=19$...'"]
    )
    hide_capabilities: tuple[Annotated[str, BeforeValidator(_capability)], ...] = Field(
        default=(), description="a list of capabilities", examples=["[QRESYNC]"]
    )

    def verifier(self) -> Verifier | None:
        """What `auth.passwords.Passwords` takes: None where there are passwords of devices
        alone. Raises SecretError."""
        if self.password_hash is not None:
            return self.password_hash
        if self.password is not None:
            return self.password
        return read_secret(self.password_file) if self.password_file is not None else None


def _state_folder() -> Path:
    """Where data lives when the file does not say: systemd's folder, or the user's."""
    if systemd := os.environ.get("STATE_DIRECTORY"):
        return Path(systemd.split(":")[0])
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "popbridge"


class Config(_Section):
    """The whole file. Built by `load`."""

    data_dir: File = Field(
        default_factory=_state_folder, description="a folder", examples=["./data"]
    )
    database: Annotated[Literal["sqlite"], BeforeValidator(_database)] = Field(
        default="sqlite", description="sqlite", examples=["sqlite"]
    )
    imap: ImapConfig = Field(
        default=ImapConfig(),
        description="a section",
        examples=["{certificate: auto}"],
    )
    web: WebConfig = Field(
        default=WebConfig(), description="a section", examples=["{listen: null}"]
    )
    alerts: AlertsConfig = Field(
        default=AlertsConfig(),
        description="a section",
        examples=["{ntfy: https://ntfy.sh/my-secret-topic}"],
    )
    accounts: tuple[AccountConfig, ...] = Field(
        description="a list of accounts",
        examples=["[{address: me@example.org, pop3: {...}}]"],
    )
    logins: tuple[LoginConfig, ...] = Field(
        default=(),
        description="a list of logins",
        examples=["[{name: me@example.org, password_file: ...}]"],
    )

    def clients(self, login: str, reach: Access) -> tuple[ClientSettings, ...]:
        """What mail programs must know, for each account whose mail the login shows."""
        tls = reach.tls_port is not None
        imap = MailServer(
            reach.host,
            (reach.tls_port if tls else reach.port) or 0,
            Security.TLS if tls else Security.STARTTLS,
            login,
        )
        return tuple(
            ClientSettings(each.address, imap, each.outgoing)
            for each in self.accounts
            if each.login_name == login
        )

    def login(self, name: str | None) -> str:
        """The login of that name, or the only one that there is. Raises LookupError with a
        sentence."""
        names = [each.name for each in self.logins]
        if name in names or (name is None and len(names) == 1):
            return name or names[0]
        known = ", ".join(names) or "none"
        if name is None:
            raise LookupError(f"there are several logins ({known}); say which, with --login")
        raise LookupError(f"there is no login {name}; the config has {known}")
