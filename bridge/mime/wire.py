"""IMAP strings: octets -> quoted string or literal (RFC 3501 4.3), safe for any content.

Rules: a quoted string holds printable US-ASCII without quotes and backslashes and is short;
everything else goes as a literal, so that no content can end a line or a list early.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_QUOTED = re.compile(rb"[ !#-\[\]-~]{0,1000}+").fullmatch

Parameters = Iterable[tuple[bytes, bytes]]


def string(value: bytes) -> bytes:
    """RFC 3501 9, string: `"value"`, or `{5}\\r\\nvalue`.

    A NUL may not stand in a literal; it becomes 0x80, the octet that Dovecot puts there.
    """
    if _QUOTED(value):
        return b'"%b"' % value
    if b"\0" in value:
        value = value.replace(b"\0", b"\x80")
    return b"{%d}\r\n%b" % (len(value), value)


def nstring(value: bytes | None) -> bytes:
    """RFC 3501 9, nstring: a string or NIL."""
    return b"NIL" if value is None else string(value)


def parameters(pairs: Parameters) -> bytes:
    """RFC 3501 9, body-fld-param: `("charset" "utf-8")` or NIL."""
    flat = [string(item) for pair in pairs for item in pair]
    return b"(%b)" % b" ".join(flat) if flat else b"NIL"
