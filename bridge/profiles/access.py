"""How a device reaches our IMAP endpoint: what every profile is made from.

Rules: a host that only this machine can use is said only where nothing else is listened on; what
the person wrote (`imap.hostname`) goes before what was found.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """`hosts` reach the TLS port, the best first. `port` has STARTTLS, `tls_port` TLS from the
    start; None where there is no such listener. `certificate_sha256` as mail programs show it."""

    hosts: Sequence[str]
    port: int | None
    tls_port: int | None
    certificate_sha256: str

    @property
    def host(self) -> str:
        return self.hosts[0]


def access(
    hostname: str | None,
    own: Sequence[str],
    listening: Sequence[tuple[str, int]],
    listening_tls: Sequence[tuple[str, int]],
    certificate_sha256: str,
) -> Access:
    """`own` are names and addresses of this machine that others reach, the best first; listeners
    are (host, port), the port as it is bound."""
    hosts: list[str] = []
    if hostname:
        hosts.append(hostname)
    for host, _ in [*listening_tls, *listening]:
        if _is_wildcard(host):
            hosts += own
        elif not _is_loopback(host):
            hosts.append(host)
    return Access(
        tuple(dict.fromkeys(hosts)) or ("127.0.0.1",),
        _first(listening),
        _first(listening_tls),
        certificate_sha256,
    )


def _first(listening: Sequence[tuple[str, int]]) -> int | None:
    """A port that others reach, or else one that this machine does."""
    outside = [port for host, port in listening if not _is_loopback(host)]
    inside = [port for _, port in listening]
    return next(iter([*outside, *inside]), None)


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
