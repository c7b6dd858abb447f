"""What a message carries beside its bytes, and the names of mailboxes as files have them.

Pure. Names that come from a disk or a server are data: they lose what a mailbox name cannot have.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from bridge import limits
from bridge.model import Flag

TRUNCATED = "$Truncated"
"""The keyword of a message whose end is missing in the file it came from."""

_ATOM = re.compile(r"[^\x00-\x20\x7f-\U0010ffff(){%*\"\\\]]+")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SAFE = re.compile(r"[^A-Za-z0-9 _.,+=@()'\-\u00a1-\U0010ffff]")
_SUFFIXES = ("mbox", "eml", "part", "jsonl")
_FILE_NAME = 120  # octets of a level's name as a file; the file system takes 255


@dataclass(frozen=True, slots=True)
class Marks:
    """Flags (`model.Flag`), keywords, and INTERNALDATE in seconds, None where nothing tells it."""

    flags: int = 0
    keywords: tuple[str, ...] = ()
    date: int | None = None


def keywords(words: Iterable[str]) -> tuple[str, ...]:
    """Those that IMAP can carry, each once, without regard to case (RFC 5788 2)."""
    kept: dict[str, str] = {}
    for word in words:
        if len(word) <= limits.KEYWORD_NAME and _ATOM.fullmatch(word):
            kept.setdefault(word.lower(), word)
    return tuple(kept.values())


def mailbox_name(levels: Iterable[str]) -> str:
    """["Lists", "a/b", ""] -> "Lists/a_b"; "inbox" is INBOX in any case, nothing at all too."""
    clean = [_CONTROLS.sub("_", level).replace("/", "_") for level in levels if level]
    clean = clean[: limits.MAILBOX_DEPTH]
    while clean and len("/".join(clean).encode()) > limits.MAILBOX_NAME:
        room = limits.MAILBOX_NAME - len("/".join(clean[:-1]).encode()) - 1
        cut = clean.pop().encode()[: max(room, 0)].decode(errors="ignore")
        if cut:
            clean.append(cut)
    if not clean or clean[0].upper() == "INBOX":
        clean[:1] = ["INBOX"]
    return "/".join(clean)


def file_name(level: str) -> str:
    """One level of a mailbox name as a file name: "%" and two hexadecimal digits for each octet
    that a file system could take amiss; a long name is cut and has a hash at its end."""
    name = _SAFE.sub(lambda found: "".join(f"%{o:02X}" for o in found[0].encode()), level)
    if name[:1] in (".", " ", "-"):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if name[-1:] in (".", " "):
        name = f"{name[:-1]}%{ord(name[-1]):02X}"
    stem, dot, suffix = name.rpartition(".")
    if dot and suffix.lower() in _SUFFIXES:  # a folder "a.mbox" beside the file of the mailbox "a"
        name = f"{stem}%2E{suffix}"
    octets = name.encode()
    if len(octets) > _FILE_NAME:
        mark = hashlib.sha256(octets).hexdigest()[:16]
        name = f"{octets[: _FILE_NAME - 20].decode(errors='ignore')}%~{mark}"
    return name


def level_of(name: str) -> str:
    """What `file_name` made a file of; a name that it did not make stays."""

    def octet(found: re.Match[bytes]) -> bytes:
        return bytes([int(found[1], 16)])

    octets = name.encode(errors="surrogateescape")
    try:
        return re.sub(rb"%([0-9A-F]{2})", octet, octets).decode()
    except UnicodeDecodeError:
        return octets.decode(errors="replace")


def summary(flags: int) -> str:
    """ "\\\\Seen \\\\Flagged", for a manifest and for IMAP."""
    return " ".join(
        f"\\{flag.name.capitalize()}" for flag in Flag if flag & flags and flag.name is not None
    )
