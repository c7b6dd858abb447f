"""Which mailbox here is which mailbox there: names, delimiters, prefixes, special uses. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.transfer.imap_wire import BadResponse, Response, Token, mailbox_of
from bridge.transfer.marks import mailbox_name

_USES = ("\\Drafts", "\\Sent", "\\Junk", "\\Trash", "\\Archive")
NOT_MAILBOXES = {"\\NOSELECT", "\\NONEXISTENT"}
VIEWS = {"\\FLAGGED", "\\IMPORTANT"}  # RFC 6154 2: their messages lie elsewhere
ALL = "\\ALL"


@dataclass(frozen=True, slots=True)
class Listed:
    """A mailbox as LIST shows it (RFC 3501 7.2.2); attributes in upper case."""

    name: str
    delimiter: str | None
    attributes: frozenset[str]

    @property
    def use(self) -> str | None:
        return next((use for use in _USES if use.upper() in self.attributes), None)


def listed(response: Response) -> Listed:
    """Raises BadResponse."""
    tokens = response.tokens
    if len(tokens) < 4 or not isinstance(tokens[1], list):
        raise BadResponse("a LIST that is none")
    delimiter = tokens[2].decode("latin-1") if isinstance(tokens[2], bytes) else None
    attributes = frozenset(
        word.decode("latin-1").upper() for word in tokens[1] if isinstance(word, bytes)
    )
    return Listed(mailbox_of(tokens[3]), delimiter or None, attributes)


def personal(response: Response) -> tuple[str, str | None]:
    """(prefix, delimiter) of one's own mailboxes, of a NAMESPACE response (RFC 2342 5)."""
    first: Token = response.tokens[1] if len(response.tokens) > 1 else None
    if isinstance(first, list) and first and isinstance(first[0], list) and len(first[0]) >= 2:
        prefix, delimiter = first[0][:2]
        if isinstance(prefix, bytes):
            shown = delimiter.decode("latin-1") if isinstance(delimiter, bytes) else None
            return mailbox_of(prefix), shown or None
    return "", None


@dataclass(frozen=True, slots=True)
class Names:
    """The mailboxes of a server, and how a name of ours is written there."""

    mailboxes: dict[str, Listed]
    prefix: str = ""
    delimiter: str | None = "/"

    @classmethod
    def of(cls, found: Iterable[Listed], namespace: tuple[str, str | None]) -> Names:
        mailboxes = {each.name: each for each in found}
        delimiter = namespace[1] or next(
            (each.delimiter for each in mailboxes.values() if each.delimiter), None
        )
        return cls(mailboxes, namespace[0], delimiter)

    def there(self, name: str, use: str | None) -> str:
        """The name there of a mailbox of ours: the one with its special use, else its own."""
        if name == "INBOX":
            return name
        if use is not None:
            for each in self.mailboxes.values():
                if each.use == use and not each.attributes & NOT_MAILBOXES:
                    return each.name
        levels = name.split("/")
        if self.delimiter is None:
            return "_".join(levels)
        levels = [level.replace(self.delimiter, "_") for level in levels]
        if levels[0] == "INBOX":
            return self.delimiter.join(levels)
        return self.prefix + self.delimiter.join(levels)

    def here(self, each: Listed, uses: dict[str, str]) -> str:
        """The name here of a mailbox there: the one with its special use (`uses`), else its own."""
        if each.use is not None and each.use in uses:
            return uses[each.use]
        name = each.name
        if self.prefix and name.startswith(self.prefix):
            name = name[len(self.prefix) :]
        return mailbox_name(name.split(each.delimiter) if each.delimiter else [name])
