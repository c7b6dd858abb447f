"""Address lists -> ENVELOPE address structures (RFC 5322 3.4, RFC 3501 7.4.2).

Rules: what is not an address still becomes a valid structure (a placeholder stands for what is
missing) and ends the list, since nothing after it can be told apart; a comment after a bare
address is its display name, other comments go. Nothing read here may decide about access.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bridge.limits import MIME_ADDRESS_TOKENS, MIME_ADDRESSES, MIME_COMMENT_DEPTH
from bridge.mime.wire import nstring

Address = tuple[bytes | None, bytes | None, bytes | None, bytes | None]
"""(display name, route, mailbox, host); a group opens with host None, closes with all None."""

# RFC 3501 7.4.2 gives NIL as mailbox or host to groups: what is missing needs a name
MISSING_MAILBOX = b"MISSING_MAILBOX"
MISSING_DOMAIN = b"MISSING_DOMAIN"
SYNTAX_ERROR = b"SYNTAX_ERROR"

# RFC 5322 3.2.3, atext; octets over 127 are let through (RFC 6532, and raw 8 bit)
_ATEXT = rb"!#$%&'*+\-/0-9=?A-Z^_`a-z{|}~\x80-\xff"
_ATOM = rb"[" + _ATEXT + rb"][." + _ATEXT + rb"]*+"
_WS = rb"[ \t\r\n]*+"
_END = _WS + rb"(?:,|\Z)"
_SPEC = rb"(" + _ATOM + rb")@(" + _ATOM + rb")"
# the forms that nearly all mail has, in one step; anything else is taken apart into tokens
_BARE = re.compile(_WS + _SPEC + _END)
_NAMED = re.compile(
    _WS + rb'(?:"([^"\\\r\n]*+)"|(' + _ATOM + rb"(?: [." + _ATEXT + rb"]++)*+))?+"
    rb"" + _WS + rb"<" + _SPEC + rb">" + _END
)
_TOKEN = re.compile(
    _WS + rb"(?:([." + _ATEXT + rb"]++)"
    rb'|"((?:[^"\\]++|\\.)*+)"'
    rb"|(\[(?:[^\]\\]++|\\.)*+\])"
    rb"|([^ \t\r\n]))",
    re.DOTALL,
)
_PAREN = re.compile(rb"[()\\]")
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_FOLD = re.compile(rb"\r?\n")


def addresses(value: bytes, most: int = MIME_ADDRESSES) -> list[Address]:
    """The first `most` address structures of a From, To, ... value (folded or not)."""
    found: list[Address] = []
    pos, end = 0, len(value)
    while pos < end and len(found) < most:
        if match := _NAMED.match(value, pos):
            quoted, words, mailbox, host = match.groups()
            found.append((quoted or words or None, None, mailbox, host))
        elif match := _BARE.match(value, pos):
            found.append((None, None, match[1], match[2]))
        else:
            found += _Parser(_tokens(value, pos), most - len(found)).run()
            break
        pos = match.end()
    return found


def address_list(value: bytes) -> bytes:
    """RFC 3501 9, the parenthesised list of an env-from, env-to, ...: `(("A" NIL "a" "b"))`."""
    return wire(addresses(value))


def wire(found: list[Address]) -> bytes:
    """Address structures as they go into ENVELOPE; NIL when there are none."""
    if not found:
        return b"NIL"
    return b"(%b)" % b"".join(
        b"(%b %b %b %b)" % (nstring(name), nstring(route), nstring(mailbox), nstring(host))
        for name, route, mailbox, host in found
    )


@dataclass(slots=True)
class _Tokens:
    """Parallel lists. Kinds: b"w" word (dots included), b"q" quoted string, b"d" domain literal,
    else the special itself; one b"" at the end. `comments` holds the comment after each."""

    kinds: list[bytes] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    comments: list[bytes] = field(default_factory=list)
    spaced: list[bool] = field(default_factory=list)  # white space or a comment stands before it


def _tokens(value: bytes, pos: int) -> _Tokens:
    """RFC 5322 3.2 lexical tokens from `pos` on; an unclosed string or comment ends them."""
    out = _Tokens()
    spaced = False
    for _ in range(MIME_ADDRESS_TOKENS):
        match = _TOKEN.match(value, pos)
        if match is None:
            break
        word, quoted, literal, special = match.groups()
        spaced = spaced or match.start(match.lastindex or 0) > pos + (quoted is not None)
        pos = match.end()
        if special == b"(":
            comment, pos = _comment(value, pos)
            if out.comments:
                out.comments[-1] = comment
            spaced = True
            continue
        if word is not None:
            kind, text = b"w", word
        elif quoted is not None:
            kind, text = b"q", _ESCAPE.sub(rb"\1", _FOLD.sub(b"", quoted))
        elif literal is not None:
            kind, text = b"d", literal
        elif special in b'"[':
            break  # never closed
        else:
            kind, text = special, special
        out.kinds.append(kind)
        out.texts.append(text)
        out.comments.append(b"")
        out.spaced.append(spaced)
        spaced = False
    out.kinds.append(b"")
    out.texts.append(b"")
    out.comments.append(b"")
    out.spaced.append(True)
    return out


def _comment(value: bytes, pos: int) -> tuple[bytes, int]:
    """RFC 5322 3.2.2, the comment whose parenthesis opened before `pos` -> (text, its end).

    One that never closes, or nests deeper than the limit, swallows the rest.
    """
    start, level = pos, 1
    while match := _PAREN.search(value, pos):
        pos = match.end()
        if match[0] == b"\\":
            pos += 1
            continue
        level += 1 if match[0] == b"(" else -1
        if level == 0:
            return _ESCAPE.sub(rb"\1", value[start : pos - 1]), pos
        if level > MIME_COMMENT_DEPTH:
            break
    return b"", len(value)


class _Parser:
    """One address list, token by token; `at` is the next token."""

    __slots__ = ("at", "found", "kinds", "most", "tokens")

    def __init__(self, tokens: _Tokens, most: int) -> None:
        self.tokens = tokens
        self.kinds = tokens.kinds
        self.most = most
        self.at = 0
        self.found: list[Address] = []

    def run(self) -> list[Address]:
        """RFC 5322 3.4, address-list (and 4.4: empty members)."""
        while self.kinds[self.at] and len(self.found) < self.most:
            if self.kinds[self.at] != b",":
                self._address()
                if self.kinds[self.at] != b",":
                    break
            self.at += 1
        return self.found

    def _address(self) -> None:
        """RFC 5322 3.4: address = mailbox / group"""
        start = self.at
        name = self._phrase()
        if self.kinds[self.at] != b":":
            self.at = start
            self._mailbox()
            return
        self.at += 1
        self.found.append((None, None, name, None))
        while self.kinds[self.at] not in (b"", b";") and len(self.found) < self.most:
            if self.kinds[self.at] != b",":
                self._mailbox()
                if self.kinds[self.at] != b",":
                    break
            self.at += 1
        if self.kinds[self.at] == b";":
            self.at += 1
        self.found.append((None, None, None, None))

    def _mailbox(self) -> None:
        """RFC 5322 3.4: mailbox = name-addr / addr-spec"""
        start = self.at
        name = self._phrase()
        if self.kinds[self.at] == b"<":
            self.at += 1
            route, mailbox, host = self._angle()
            self.found.append((name or None, route, mailbox, host))
            return
        words = self.at - start
        if words > 1 and self.kinds[self.at] in (b"", b",", b";"):
            # a name alone: "undisclosed recipients"
            self.found.append((name, None, MISSING_MAILBOX, MISSING_DOMAIN))
            return
        self.at = start
        mailbox = self._local_part() or MISSING_MAILBOX
        host = self._host()
        comment = b""
        for said in self.tokens.comments[start : self.at]:
            comment = said or comment
        self.found.append((comment or None, None, mailbox, host or MISSING_DOMAIN))

    def _phrase(self) -> bytes:
        """RFC 5322 3.2.5 and 4.1; words of a display name, one space between them."""
        start = self.at
        while self.kinds[self.at] in (b"w", b"q"):
            self.at += 1
        return b" ".join(self.tokens.texts[start : self.at])

    def _angle(self) -> tuple[bytes | None, bytes, bytes]:
        """RFC 5322 3.4 and 4.4: what stands after "<" -> (route, mailbox, host)."""
        route = None
        if self.kinds[self.at] == b"@":
            start = self.at
            while self.kinds[self.at] in (b"@", b",", b"w", b"d"):
                self.at += 1
            if self.kinds[self.at] != b":":
                return b"INVALID_ROUTE", MISSING_MAILBOX, SYNTAX_ERROR
            route = b"".join(self.tokens.texts[start : self.at])
            self.at += 1
        if self.kinds[self.at] == b">":
            self.at += 1
            return route, MISSING_MAILBOX, MISSING_DOMAIN
        mailbox = self._local_part()
        host = self._host()
        if self.kinds[self.at] != b">":
            return route, mailbox or MISSING_MAILBOX, SYNTAX_ERROR
        self.at += 1
        return route, mailbox or MISSING_MAILBOX, host or MISSING_DOMAIN

    def _local_part(self) -> bytes:
        """RFC 5322 3.4.1: a quoted string, or atoms with dots (4.4: white space around them)."""
        if self.kinds[self.at] == b"q":
            self.at += 1
            return self.tokens.texts[self.at - 1]
        return self._dot_atom()

    def _host(self) -> bytes:
        """RFC 5322 3.4.1: "@" and a domain, or nothing."""
        if self.kinds[self.at] != b"@":
            return b""
        self.at += 1
        if self.kinds[self.at] == b"d":
            self.at += 1
            return self.tokens.texts[self.at - 1]
        return self._dot_atom()

    def _dot_atom(self) -> bytes:
        """Words that touch, or have a dot between them."""
        texts = self.tokens.texts
        if self.kinds[self.at] != b"w" or texts[self.at].startswith(b"."):
            return b""
        start = self.at
        self.at += 1
        while self.kinds[self.at] == b"w" and (
            texts[self.at].startswith(b".") or texts[self.at - 1].endswith(b".")
        ):
            self.at += 1
        return b"".join(texts[start : self.at])
