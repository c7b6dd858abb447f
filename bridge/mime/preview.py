"""The first words of a message, for a list of messages (RFC 8970 3).

Rules: at most 200 characters from at most 16 KiB of the first text part that is not empty;
plain text before HTML inside what is looked at; never cut inside a character.
"""

from __future__ import annotations

import re

from bridge.mime.markup import words
from bridge.mime.section import Part, walk
from bridge.mime.text import part_text
from bridge.mime.tree import Kind
from bridge.model import Octets

CHARACTERS = 200  # RFC 8970 3.1: a server should give at most 200
_OCTETS = 16 * 1024
_CANDIDATES = 5  # text parts that are tried
_PARTS = 50  # parts that are looked at

# padding that newsletters put behind their own preview, and invisible marks
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\0-\x08\x0e-\x1f\x7f]"
)


def preview(octets: Octets, parts: bytes) -> str:
    """Up to 200 characters, white space collapsed; "" when there is no text."""
    best = ""
    tried = 0
    for count, part in enumerate(walk(parts)):
        if tried >= _CANDIDATES or count >= _PARTS:
            break
        if part.kind is not Kind.LEAF or part.type != "text":
            continue
        tried += 1
        if text := _words(octets, part):
            best = best or text
            if part.subtype == "plain":
                return text
    return best


def _words(octets: Octets, part: Part) -> str:
    text = part_text(octets, part, _OCTETS)
    if part.subtype == "html":
        text = words(text)
    # The beginning, as a rule, has enough words.
    for most in (4 * CHARACTERS, _OCTETS // 2):
        visible = _INVISIBLE.sub("", text[:most]).replace("\ufffd", " ")
        found = " ".join(visible.split())
        if len(found) >= CHARACTERS:
            break
    return found[:CHARACTERS].rstrip()
