"""The part tree -> BODYSTRUCTURE and BODY (RFC 3501 7.4.2, 9), as wire bytes.

Rules: written in one pass with a list of what is still open, never recursively; lists balance
for every input. Types and parameter names keep the case of the message.
"""

from __future__ import annotations

import re

from bridge.mime.headers import Fields, first, shown
from bridge.mime.tree import Kind, Part
from bridge.mime.wire import nstring, parameters, string

_LANGUAGE = re.compile(rb"[^ \t,()<>@;:\\\"\[\].?=]++")


def structures(parts: list[Part]) -> tuple[bytes, bytes]:
    """(BODYSTRUCTURE, BODY) of the parts in the order of `tree.scan_parts`."""
    full: list[bytes] = []
    short: list[bytes] = []
    open_: list[Part] = []
    for part in parts:
        while open_ and open_[-1].depth >= part.depth:
            _close(open_.pop(), full, short)
        _begin(part, full, short)
        if part.kind is not Kind.LEAF:
            open_.append(part)
    while open_:
        _close(open_.pop(), full, short)
    return b"".join(full), b"".join(short)


def _begin(part: Part, full: list[bytes], short: list[bytes]) -> None:
    """All of a leaf; of others what stands before their parts."""
    if part.kind is Kind.MULTIPART:
        full.append(b"(")
        short.append(b"(")
        return
    found = part.fields
    pairs = part.parameters
    text = part.type.lower() == b"text"
    # RFC 2045 5.2: the default
    if text and not any(name.lower() == b"charset" and value for name, value in pairs):
        pairs = [pair for pair in pairs if pair[0].lower() != b"charset"]
        pairs.append((b"charset", b"us-ascii"))
    basic = b"(%b %b %b %b %b %b %d" % (
        string(part.type),
        string(part.subtype),
        parameters(pairs),
        nstring(shown(first(found, b"content-id"))),
        nstring(shown(first(found, b"content-description"))),
        string(part.encoding),
        part.end - part.body,
    )
    if part.kind is Kind.MESSAGE:
        basic = b"%b %b " % (basic, part.envelope)
        full.append(basic)
        short.append(basic)
        return
    if text:
        basic = b"%b %d" % (basic, part.lines)
    full.append(b"%b %b %b)" % (basic, nstring(first(found, b"content-md5")), _extension(part)))
    short.append(basic + b")")


def _close(part: Part, full: list[bytes], short: list[bytes]) -> None:
    """What stands after the parts of a multipart or message/rfc822."""
    if part.kind is Kind.MULTIPART:
        subtype = string(part.subtype)
        full.append(b" %b %b %b)" % (subtype, parameters(part.parameters), _extension(part)))
        short.append(b" %b)" % subtype)
    else:
        md5 = nstring(first(part.fields, b"content-md5"))
        full.append(b" %d %b %b)" % (part.lines, md5, _extension(part)))
        short.append(b" %d)" % part.lines)


def _extension(part: Part) -> bytes:
    """RFC 3501 9: disposition, language and location of body-ext-1part and body-ext-mpart."""
    if part.disposition is None:
        disposition = b"NIL"
    else:
        name, pairs = part.disposition
        disposition = b"(%b %b)" % (string(name), parameters(pairs))
    location = nstring(first(part.fields, b"content-location"))
    return b"%b %b %b" % (disposition, _languages(part.fields), location)


def _languages(found: Fields) -> bytes:
    """RFC 3282 2, the tags of Content-Language: `("en" "de")` or NIL."""
    value = first(found, b"content-language")
    tags = _LANGUAGE.findall(value) if value else []
    return b"(%b)" % b" ".join(string(tag) for tag in tags[:100]) if tags else b"NIL"
