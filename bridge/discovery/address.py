"""A mail address, taken apart and checked before anything is asked because of it. Pure.

Rules: lengths are capped before a domain is encoded (encoding is quadratic in a label's length);
a domain that is not ASCII goes on in its ASCII form (RFC 5890), which is what a person is shown:
letters that look alike differ there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import idna

from bridge import limits

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


class NotAnAddress(ValueError):
    """What was typed is no mail address; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Address:
    """`local@domain`, the domain in lower case and ASCII. `typed` is the domain as it was written
    where that was something else."""

    local: str
    domain: str
    typed: str = ""

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def parse(text: str) -> Address:
    """`me@Bücher.example` -> me, xn--bcher-kva.example. Raises NotAnAddress."""
    text = text.strip()
    if len(text) > limits.ADDRESS:
        raise NotAnAddress(f"an address has at most {limits.ADDRESS} characters")
    if text.count("@") != 1:
        raise NotAnAddress(f"{text!r} is no address: it has {text.count('@')} @, one is wanted")
    local, _, domain = text.partition("@")
    # RFC 5321 4.5.3.1.1
    if not local or len(local.encode(errors="replace")) > 64:
        raise NotAnAddress("an address wants 1 to 64 octets before the @")
    if not local.isprintable() or any(each in local for each in ' "(),:;<>[\\]'):
        raise NotAnAddress(f"{text!r} is no address: there are odd characters before the @")
    ascii_domain = to_ascii(domain)
    typed = "" if domain.lower().rstrip(".") == ascii_domain else domain
    return Address(local, ascii_domain, typed)


def to_ascii(domain: str) -> str:
    """A host name in lower case and ASCII, without its last dot. Raises NotAnAddress."""
    if len(domain) > limits.HOST_NAME:
        raise NotAnAddress(f"a domain has at most {limits.HOST_NAME} characters")
    domain = domain.removesuffix(".")
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except (idna.IDNAError, UnicodeError) as error:
            raise NotAnAddress(f"{domain!r} is no domain: {error}") from None
    domain = domain.lower()
    # RFC 1035 2.3.4
    if len(domain) > 253 or not all(_LABEL.fullmatch(each) for each in domain.split(".")):
        raise NotAnAddress(f"{domain!r} is no domain: letters, digits, - and dots are wanted")
    return domain


def base_domains(host: str) -> tuple[str, ...]:
    """Whose domain a host may be in, the longest first: `mx1.mail.example.co.uk` ->
    (mail.example.co.uk, example.co.uk). The public suffix is guessed: two short labels at the end,
    such as co.uk and ne.jp, are one."""
    labels = host.split(".")
    if len(labels) < 2 or labels[-1].isdigit():
        return ()
    suffix = 2 if len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3 else 1
    base = ".".join(labels[-suffix - 1 :])
    full = ".".join(labels[1:]) if len(labels) > suffix + 1 else base
    return tuple(dict.fromkeys((full, base)))
