"""A Thunderbird profile: mbox files in Mail/ and ImapMail/, sub-folders in folders named *.sbd.

    Mail/Local Folders/Archives          the mbox of the folder Archives
    Mail/Local Folders/Archives.msf      its index, which we do not need
    Mail/Local Folders/Archives.sbd/2025 the mbox of Archives/2025

Flags and tags are in three fields that Thunderbird puts first into each message
(nsMsgMessageFlags.idl; X-Mozilla-Keys is padded with blanks). They are not part of the message.

Pure.
"""

from __future__ import annotations

import re

from bridge.model import Flag
from bridge.transfer import forms
from bridge.transfer.marks import Marks, keywords, mailbox_name

DROPPED = (b"x-mozilla-status", b"x-mozilla-status2", b"x-mozilla-keys")
LEADING = (b"x-account-key", b"x-uidl")  # its own where they stand first, else the provider's
_HEX = re.compile(rb"[0-9A-Fa-f]{1,8}")
_STATUS = {0x0001: Flag.SEEN, 0x0002: Flag.ANSWERED, 0x0004: Flag.FLAGGED}
_EXPUNGED = 0x0008
_FORWARDED = 0x1000
_DELETED2 = 0x00200000  # in X-Mozilla-Status2: marked as deleted on an IMAP server
_SUFFIXES = (".msf", ".dat", ".html", ".json", ".js", ".sqlite", ".db", ".log", ".txt", ".ini")


def marks(block: bytes, date: int | None) -> Marks | None:
    """What the fields of a header block say; None: the message was deleted, and is in the file
    only until Thunderbird compacts it."""
    flags = 0
    words: list[str] = []
    seen_field = False
    for _, _, name, value in forms.fields(block):
        if name == b"x-mozilla-status" and not seen_field and _HEX.fullmatch(value):
            seen_field = True
            bits = int(value, 16)
            if bits & _EXPUNGED:
                return None
            for bit, flag in _STATUS.items():
                flags |= flag if bits & bit else 0
            if bits & _FORWARDED:
                words.append("$Forwarded")
        elif name == b"x-mozilla-status2" and _HEX.fullmatch(value):
            flags |= Flag.DELETED if int(value, 16) & _DELETED2 else 0
        elif name == b"x-mozilla-keys":
            words += value.decode(errors="replace").split()
    return Marks(flags, keywords(words), date)


def is_folder(name: str) -> bool:
    """Whether a file beside others in Mail/x is an mbox, by its name."""
    return not name.startswith(".") and not name.lower().endswith(_SUFFIXES)


def mailbox(folders: tuple[str, ...], name: str) -> str:
    """("Archives.sbd",), "2025" -> "Archives/2025"; the folder Inbox is INBOX."""
    return mailbox_name([*(each.removesuffix(".sbd") for each in folders), name])
