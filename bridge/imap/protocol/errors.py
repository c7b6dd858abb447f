"""What the grammar says when octets are not IMAP."""

from __future__ import annotations


class ParseError(ValueError):
    """The command does not follow the grammar: answer it with `status`, `code` and `text`.

    `text` is one short ASCII line for the person who debugs the client. It never repeats what
    the client sent, which may be a password or an attempt to inject a response.
    """

    status = b"BAD"
    code: bytes | None = None

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class BadCharset(ParseError):
    """SEARCH in a charset that we do not read (RFC 3501 6.4.4): NO [BADCHARSET (...)]."""

    status = b"NO"

    def __init__(self, charsets: tuple[str, ...]) -> None:
        """`charsets` are the ones that we do read."""
        super().__init__("We do not read this charset")
        self.code = b"BADCHARSET (%b)" % " ".join(charsets).encode("ascii")
