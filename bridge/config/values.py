"""Text of the config -> values, for the keys that say how a server is reached; and the words in
which a value that is wrong is told.

Rule: a value that may hold a secret is not repeated.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import unquote, urlsplit

from pydantic_core import PydanticCustomError

from bridge.auth import oauth
from bridge.model import Proxy, Secret


def wrong(text: str, advice: str) -> PydanticCustomError:
    return PydanticCustomError("mistake", "{text}", {"text": text, "advice": advice})


def short(text: str) -> str:
    safe = "".join(each if each.isprintable() else "?" for each in text[:60])
    return safe + "..." if len(text) > 60 else safe


def quoted(text: str) -> str:
    return f'"{short(text)}"'


def fingerprint(value: object) -> object:
    """`SHA256:4F:1C:...:A2`, with or without the colons and the name -> `4F:1C:...:A2`."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(?i)(?:sha-?256[:=\s]\s?)?([0-9a-f]{2}(?::?[0-9a-f]{2}){31})", value)
    if found is None:
        raise wrong(
            f"is {quoted(value)}, the SHA-256 of a certificate is wanted: 32 pairs of hex digits",
            "write tls_fingerprint: 'SHA256:4F:1C:...:A2'",
        )
    return bytes.fromhex(found[1].replace(":", "")).hex(":").upper()


def proxy(value: object) -> object:
    """`socks5://[user:pass@]host:port`; what is special in user and pass is written as %NN."""
    if not isinstance(value, str):
        return value
    mistake = wrong("is no SOCKS5 proxy", "write proxy: socks5://127.0.0.1:1080")
    try:
        parts = urlsplit(value)
        port = parts.port
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
    except ValueError:
        raise mistake from None
    if parts.scheme not in ("socks5", "socks5h") or not parts.hostname or not port:
        raise mistake
    if parts.path not in ("", "/") or parts.query or parts.fragment or (password and not username):
        raise mistake
    return Proxy(parts.hostname, port, username, Secret(password) if username else None)


def hostname(value: object) -> object:
    """What devices call this machine: a DNS name, or an address without brackets."""
    if not isinstance(value, str):
        return value
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        if not re.fullmatch(r"(?=.*[a-zA-Z])[a-zA-Z0-9.-]{1,253}", value):
            raise wrong(
                f"is {quoted(value)}, a host name or an address is wanted",
                "write hostname: homeserver.local",
            ) from None
    return value


def network(value: object) -> object:
    """An address, or a network of them: 127.0.0.1, 10.0.0.0/8."""
    if not isinstance(value, str):
        return value
    try:
        return str(ipaddress.ip_network(value) if "/" in value else ipaddress.ip_address(value))
    except ValueError:
        raise wrong(
            f"is {quoted(value)}, an address or a network is wanted", "write proxies: [127.0.0.1]"
        ) from None


def endpoint(value: object) -> object:
    if isinstance(value, str) and (problem := oauth.why_unsafe(value)):
        raise wrong(problem, "write https://id.example.org/token")
    return value


def tenant(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9.-]{1,100}", value):
        raise wrong(f"is {quoted(value)}, no name of a tenant", "write tenant: consumers")
    return value
