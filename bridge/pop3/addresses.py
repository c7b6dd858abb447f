"""Which addresses of a host name are asked: those of the Internet, or what the config allows.

Rules:
- A public name that leads into a private network (RFC 1918, loopback, link-local, the metadata
  address of a cloud) is a mistake or an attack: its addresses are not asked, unless the account
  says `private_network: true`.
- An address in place of a name, and a name that can only be a local one, say so by themselves.
- Unspecified and multicast addresses are nobody's; link-local ones are only asked when the config
  names them or a name of the local network has them.

Pure: the caller resolves, and connects to what is left.
"""

from __future__ import annotations

import ipaddress

_LOCAL = (".localhost", ".local", ".localdomain", ".lan", ".home", ".home.arpa", ".internal")


def is_local_name(host: str) -> bool:
    """Whether only this machine or its network can mean this name."""
    name = host.rstrip(".").lower()
    return ("." not in name and not _is_number(name)) or name.endswith(_LOCAL)


def may_be_asked(host: str, address: str, *, private: bool) -> bool:
    """`address` is one of those that `host` has; `private` is what the config says."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_unspecified or found.is_multicast:
        return False
    if is_address(host) or is_local_name(host):
        return True
    return found.is_global or (private and not found.is_link_local)


def is_address(host: str) -> bool:
    """Whether the host is an address as one writes it; 0x7f000001 is none."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_number(name: str) -> bool:
    """The old spellings of an IPv4 address in one number: 2130706433, 0x7f000001."""
    return name.isdigit() or name.startswith("0x")
