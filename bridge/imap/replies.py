"""What a command ends in: a `Reply`, or one of the errors that become one.

Rules: texts are for people; codes are those of RFC 3501 7.1 and RFC 5530.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """The tagged answer. `code` is what stands in brackets: b"READ-WRITE"."""

    text: str
    code: bytes | None = None
    status: bytes = b"OK"


class CommandError(Exception):
    """The command ends here, and nothing that it asked for was done."""

    status = b"NO"

    def __init__(self, text: str, code: bytes | None = None) -> None:
        super().__init__(text)
        self.reply = Reply(text, code, self.status)


class No(CommandError):
    """The command was understood and could not be done."""


class Bad(CommandError):
    """The command was not understood, or must not come now."""

    status = b"BAD"


class Bye(Exception):
    """The session ends at once with this untagged BYE."""
