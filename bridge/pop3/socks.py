"""SOCKS5 as a client speaks it: what to send, how much to read. Sans-IO.

The proxy resolves the host name, so that a name never leaves by another way (Tor, an ssh -D).
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Generator

Step = tuple[bytes, int]  # octets to send, then how many to read

_NO_AUTHENTICATION, _USERNAME, _NOTHING_FITS = 0x00, 0x02, 0xFF
_IPV4, _DOMAIN, _IPV6 = 0x01, 0x03, 0x04
_MOST_NAME = 255  # octets, RFC 1928 5 and RFC 1929 2

# RFC 1928 6
_REPLIES = {
    0x01: "general failure",
    0x02: "its rules do not allow it",
    0x03: "network unreachable",
    0x04: "host unreachable",
    0x05: "connection refused",
    0x06: "it took too long",
    0x07: "it cannot connect",
    0x08: "it does not know this kind of address",
}


class SocksError(Exception):
    """The proxy did not connect us. The text is fit for a person and holds no password."""


def connect(
    host: str, port: int, username: str = "", password: str = ""
) -> Generator[Step, bytes, None]:
    """The dialogue that ends when the proxy is connected to `host`. Raises SocksError."""
    # RFC 1928 3
    methods = bytes([_NO_AUTHENTICATION] + [_USERNAME] * bool(username))
    version, method = yield b"\x05" + bytes([len(methods)]) + methods, 2
    if version != 5:
        raise SocksError("it does not speak SOCKS5")
    if method == _NOTHING_FITS or method not in methods:
        raise SocksError("it wants another way to log in than we have")
    if method == _USERNAME:
        # RFC 1929 2
        name, word = _counted(username.encode()), _counted(password.encode())
        _, status = yield b"\x01" + name + word, 2
        if status != 0:
            raise SocksError("it refused the user name or password")
    # RFC 1928 4
    _, reply, _, kind = yield b"\x05\x01\x00" + _address(host) + struct.pack(">H", port), 4
    if reply != 0:
        raise SocksError(_REPLIES.get(reply, f"error {reply}"))
    # RFC 1928 6: the address that it uses, which says nothing to us, and its port
    if kind == _DOMAIN:
        (length,) = yield b"", 1
    elif kind in (_IPV4, _IPV6):
        length = 4 if kind == _IPV4 else 16
    else:
        raise SocksError("its answer is not SOCKS5")
    yield b"", length + 2


def _address(host: str) -> bytes:
    """RFC 1928 5. Raises SocksError for a name that is none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return bytes([_IPV4 if address.version == 4 else _IPV6]) + address.packed
    try:
        name = host[: _MOST_NAME + 1].encode("idna")
    except UnicodeError:
        raise SocksError("this is not a host name") from None
    return bytes([_DOMAIN]) + _counted(name)


def _counted(octets: bytes) -> bytes:
    if not 0 < len(octets) <= _MOST_NAME:
        raise SocksError("a name or password for it is empty or over 255 octets")
    return bytes([len(octets)]) + octets
