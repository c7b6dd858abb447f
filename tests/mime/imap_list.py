"""A reader of IMAP lists for the tests: wire bytes -> nested lists, independent of the writer."""

from __future__ import annotations

from typing import TypeAlias

Value: TypeAlias = "int | bytes | list[Value] | None"


def parse(wire: bytes) -> Value:
    """The one value that is all of `wire`: NIL -> None, numbers, strings, lists. Raises
    ValueError for anything that RFC 3501 9 does not allow in an ENVELOPE or BODYSTRUCTURE."""
    outer: list[Value] = []
    stack = [outer]
    pos = 0
    while pos < len(wire):
        octet = wire[pos : pos + 1]
        if octet == b"(":
            inner: list[Value] = []
            stack[-1].append(inner)
            stack.append(inner)
            pos += 1
        elif octet == b")":
            stack.pop()
            if not stack:
                raise ValueError("a list closes that never opened")
            pos += 1
        elif octet == b" ":
            pos += 1
        elif octet == b'"':
            end = wire.index(b'"', pos + 1)
            text = wire[pos + 1 : end]
            if b"\\" in text or any(not 0x20 <= octet < 0x7F for octet in text):
                raise ValueError(f"not fit for a quoted string: {text!r}")
            stack[-1].append(text)
            pos = end + 1
        elif octet == b"{":
            end = wire.index(b"}\r\n", pos)
            start = end + 3
            end = start + int(wire[pos + 1 : end])
            literal = wire[start:end]
            if end > len(wire) or b"\0" in literal:
                raise ValueError("a literal that is cut, or has a NUL")
            stack[-1].append(literal)
            pos = end
        else:
            end = pos
            while end < len(wire) and wire[end : end + 1] not in b" ()":
                end += 1
            atom = wire[pos:end]
            if atom != b"NIL" and not atom.isdigit():
                raise ValueError(f"neither NIL nor a number: {atom[:40]!r}")
            stack[-1].append(None if atom == b"NIL" else int(atom))
            pos = end
    if len(stack) != 1 or len(outer) != 1:
        raise ValueError("lists do not balance")
    return outer[0]


def items(wire: bytes) -> list[Value]:
    """Like `parse`, for what must be a list."""
    value = parse(wire)
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


def body_shape(value: Value) -> object:
    """A BODY or BODYSTRUCTURE as nested type names: ["mixed", "text/plain", ["rfc822", ...]].

    Raises ValueError where the members do not have the types of RFC 3501 9, body.
    """
    if not isinstance(value, list) or not value:
        raise ValueError("a body is a list")
    if isinstance(value[0], list):
        parts: list[object] = []
        while isinstance(value[len(parts)], list):
            parts.append(body_shape(value[len(parts)]))
        subtype = value[len(parts)]
        if not isinstance(subtype, bytes):
            raise ValueError("a multipart without subtype")
        return [subtype.decode().lower(), *parts]
    kind, subtype, params, identity, description, encoding, size = value[:7]
    if not isinstance(kind, bytes) or not isinstance(subtype, bytes):
        raise ValueError("a part without type")
    if not (params is None or (isinstance(params, list) and params and len(params) % 2 == 0)):
        raise ValueError("parameters come in pairs")
    for text in (identity, description):
        if not (text is None or isinstance(text, bytes)):
            raise ValueError("id and description are strings")
    if not isinstance(encoding, bytes) or not isinstance(size, int):
        raise ValueError("encoding and size")
    name = f"{kind.decode('latin-1')}/{subtype.decode('latin-1')}".lower()
    if name == "message/rfc822":
        envelope, inner, lines = value[7:10]
        if not isinstance(envelope, list) or len(envelope) != 10 or not isinstance(lines, int):
            raise ValueError("a message has envelope, body and lines")
        return [name, body_shape(inner)]
    if kind.lower() == b"text" and not isinstance(value[7], int):
        raise ValueError("a text has lines")
    return name
