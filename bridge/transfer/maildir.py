"""Maildir and Maildir++: a file a message, flags in its name, folders beside each other.

Sources: maildir(5) of Courier; https://cr.yp.to/proto/maildir.html; the keywords of Dovecot.

    cur/1700000000.M1P2.host,S=123:2,FSa     flagged, seen, and keyword 0 of dovecot-keywords
    .Lists.python/cur/...                    the mailbox Lists/python, in modified UTF-7

Pure: names in, values out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.imap.protocol import utf7
from bridge.imap.protocol.errors import ParseError
from bridge.model import Flag
from bridge.transfer.marks import Marks, keywords, mailbox_name

KEYWORDS_FILE = "dovecot-keywords"
_FORWARDED = "$Forwarded"  # maildir(5): "P", the user has resent or forwarded it
_LETTERS = {
    "D": Flag.DRAFT, "F": Flag.FLAGGED, "R": Flag.ANSWERED, "S": Flag.SEEN, "T": Flag.DELETED,
}  # fmt: skip
_KEYWORDS = "abcdefghijklmnopqrstuvwxyz"
_LONGEST = 200  # octets of a folder's name


def marks(name: str, names: Mapping[str, str], date: int | None) -> Marks:
    """What a file name says: `names` are the keywords by letter, see `keyword_letters`."""
    _, _, info = name.rpartition(":2,")
    if info == name or "/" in info:
        return Marks(0, (), date)
    flags = 0
    words = []
    for letter in info:
        flags |= _LETTERS.get(letter, 0)
        if letter == "P":
            words.append(_FORWARDED)
        elif letter in names:
            words.append(names[letter])
    return Marks(flags, keywords(words), date)


def base(name: str) -> str:
    """The part of a file name that never changes."""
    return name.partition(":2,")[0]


def info(given: Marks, letters: Mapping[str, str]) -> str:
    """ ":2,FS": letters in the order of ASCII. `letters` by keyword in lower case; a keyword that
    has none is not in the name."""
    found = {letter for letter, flag in _LETTERS.items() if given.flags & flag}
    for word in given.keywords:
        if word.lower() == _FORWARDED.lower():
            found.add("P")
        elif word.lower() in letters:
            found.add(letters[word.lower()])
    return ":2," + "".join(sorted(found))


def keyword_letters(file: bytes) -> dict[str, str]:
    """ "0 $Junk\\n1 work\\n" -> {"a": "$Junk", "b": "work"}; other lines do not count."""
    found = {}
    for line in file[: 64 * 1024].decode(errors="replace").splitlines():
        number, _, word = line.partition(" ")
        if number.isascii() and number.isdigit() and len(number) < 3 and int(number) < 26 and word:
            found[_KEYWORDS[int(number)]] = word
    return found


def keyword_file(words: Sequence[str]) -> tuple[bytes, dict[str, str]]:
    """The file for the first 26 of the keywords, and the letters by keyword in lower case."""
    chosen = [word for word in words if word.lower() != _FORWARDED.lower()][:26]
    lines = "".join(f"{number} {word}\n" for number, word in enumerate(chosen))
    return lines.encode(), {
        word.lower(): letter for word, letter in zip(chosen, _KEYWORDS, strict=False)
    }


def folder(mailbox: str) -> str:
    """ "Lists/Käse" -> ".Lists.K&AOQ-se"; "" for INBOX, which is the Maildir itself. A dot inside
    a level becomes "&AC4-", which is no canonical spelling and so is nobody's else."""
    if mailbox == "INBOX":
        return ""
    levels = [
        utf7.encode(level).decode("ascii").replace(".", "&AC4-") for level in mailbox.split("/")
    ]
    return "." + ".".join(levels)


def fits(mailbox: str) -> bool:
    """Whether the folder's name is short enough for a file system."""
    return len(folder(mailbox)) <= _LONGEST


def mailbox(name: str) -> str:
    """The mailbox of a folder; one that is not in modified UTF-7 counts as it is written."""
    return mailbox_name(_level(level) for level in name.lstrip(".").split("."))


def _level(level: str) -> str:
    # "&AC4-" may stand next to another shift: each is decoded alone.
    parts = []
    for part in level.split("&AC4-"):
        try:
            parts.append(utf7.decode(part.encode("ascii")))
        except (ParseError, UnicodeEncodeError):
            parts.append(part)
    return ".".join(parts)
