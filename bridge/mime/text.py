"""Headers and bodies as text: what SEARCH, SORT and previews read.

Rules: charsets come from the allow-list; undecodable octets become U+FFFD and nothing raises;
encoded-words over the cap stay as they are; work is linear in the octets. For a reader 8-bit
octets without a charset are guessed; SEARCH takes them for UTF-8 or nothing, as Dovecot does.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from bridge.limits import MIME_ENCODED_WORDS, MIME_HEADER_BLOCK
from bridge.mime.charsets import decode
from bridge.mime.headers import fields, first, raw_fields, unfold
from bridge.mime.markup import plain_words
from bridge.mime.section import Part, walk
from bridge.mime.tree import Kind
from bridge.model import Octets

# RFC 2047 2; spaces in the text of a Q word are wrong and common
_WORD = re.compile(rb"=\?([^?\s]{1,60}+)\?([bBqQ])\?([^?]*+)\?=")
_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
)
_LINE_BLANKS = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
_BLANK_ENDS = (b" \r", b" \n", b"\t\r", b"\t\n")
TRANSFER_ENCODINGS = frozenset({"7bit", "8bit", "binary", "base64", "quoted-printable"})
_SUBJECT = 10_000  # characters
_PIECE = 4 * 1024 * 1024  # octets of a part that are decoded at a time
_OVERLAP = 256 * 1024
_RUNS = 1_000  # padded runs of base64 in one part that are told apart


def decode_header(value: bytes, *, guess: bool = True) -> str:
    """A header value as text: unfolded, RFC 2047 encoded-words decoded; raw 8 bit is UTF-8, or
    with `guess` perhaps Windows-1252."""
    value = unfold(value)
    if b"=?" not in value:
        return decode(value, "", guess=guess)
    out: list[str] = []
    pending, charset = b"", b""  # words in a row of one charset: a character may span two
    pos = 0
    for count, match in enumerate(_WORD.finditer(value)):
        if count >= MIME_ENCODED_WORDS:
            break
        between = value[pos : match.start()]
        # RFC 2047 6.2: white space between two encoded-words is not shown
        adjacent = count > 0 and not between.strip(b" \t\r\n")
        if not (adjacent and match[1].lower() == charset):
            out.append(decode(pending, charset.decode("latin-1")))
            pending, charset = b"", match[1].lower()
        if not adjacent:
            out.append(decode(between, "", guess=guess))
        pending += _encoded_text(match[2], match[3])
        pos = match.end()
    out.append(decode(pending, charset.decode("latin-1")))
    out.append(decode(value[pos:], "", guess=guess))
    return "".join(out)


def header_values(header: bytes, name: bytes) -> list[str]:
    """All values of a field in a header block, decoded and unfolded, for SEARCH HEADER."""
    return [decode_header(value, guess=False) for value in fields(header).get(name.lower(), ())]


def header_text(header: bytes) -> str:
    """A whole header block decoded, one field a line, for SEARCH TEXT."""
    split = (raw.partition(b":") for _, raw in raw_fields(header[:MIME_HEADER_BLOCK]))
    return "\r\n".join(
        f"{decode_header(name, guess=False)}: {decode_header(value, guess=False)}"
        if colon
        else decode_header(name, guess=False)
        for name, colon, value in split
    )


def header_texts(octets: Octets, parts: bytes) -> Iterator[str]:
    """The decoded header blocks of all parts of a message but its own, for SEARCH TEXT."""
    for part in islice(walk(parts), 1, None):
        if part.body_start > part.start:
            yield header_text(octets[part.start : part.body_start])


def body_texts(octets: Octets, parts: bytes) -> Iterator[str]:
    """The decoded text and message parts, for SEARCH BODY and TEXT.

    HTML comes twice: as it is, and as the words that a reader sees. A part over 4 MiB comes in
    pieces that overlap by 256 KiB at most and begin at line ends, so that a needle of the length
    that a client may send is not missed.
    """
    for part in walk(parts):
        if part.kind is Kind.LEAF and part.type in ("text", "message") and _is_text(octets, part):
            for raw in _pieces(octets, part):
                text = decode(transfer_decoded(raw, part.encoding), part.charset, guess=False)
                yield text
                if part.subtype == "html":
                    yield plain_words(text)


def _is_text(octets: Octets, part: Part) -> bool:
    """Whether the octets say something to a reader: their encoding is known, and the part is
    not text only because its Content-Type was too broken to be read."""
    if part.encoding not in TRANSFER_ENCODINGS:
        return False
    if (part.type, part.subtype, part.charset) != ("text", "plain", ""):
        return True
    said = first(fields(octets[part.start : part.body_start][:MIME_HEADER_BLOCK]), b"content-type")
    return said is None or said.lower().startswith((b"text/", b"message/")) or b"/" not in said


def _pieces(octets: Octets, part: Part) -> Iterator[bytes]:
    """The body of a part in overlapping pieces."""
    start = part.body_start
    while part.end - start > _PIECE:
        upto = start + _PIECE
        yield octets[start:upto]
        start = octets.find(b"\n", upto - _OVERLAP, upto) + 1 or upto - _OVERLAP
    yield octets[start : part.end]


def part_text(octets: Octets, part: Part, most: int | None = None) -> str:
    """One leaf part as text, transfer encoding and charset undone; at most about `most` octets
    of it are looked at."""
    end = part.end if most is None else min(part.end, part.body_start + most)
    return decode(transfer_decoded(octets[part.body_start : end], part.encoding), part.charset)


def transfer_decoded(raw: bytes, encoding: str) -> bytes:
    """RFC 2045 6: the octets behind a Content-Transfer-Encoding; damaged input as far as it
    goes, an unknown encoding as it is."""
    if encoding == "base64":
        return _base64(raw)
    if encoding == "quoted-printable":
        # RFC 2045 6.7 (3): white space at the end of a line was added in transport
        return binascii.a2b_qp(_LINE_BLANKS.sub(b"", raw) if _may_end_blank(raw) else raw)
    return raw


def _may_end_blank(raw: bytes) -> bool:
    """Whether a line may end with a blank: most texts have none, and this is soon known."""
    return raw.endswith((b" ", b"\t")) or any(end in raw for end in _BLANK_ENDS)


def _encoded_text(encoding: bytes, text: bytes) -> bytes:
    """RFC 2047 4"""
    if encoding in b"bB":
        return _base64(text)
    return binascii.a2b_qp(text.replace(b" ", b"_"), header=True)


def _base64(raw: bytes) -> bytes:
    """RFC 2045 6.8: other characters are skipped; padding in the middle starts a new run."""
    out: list[bytes] = []
    for clean in raw.translate(None, _NOT_BASE64).split(b"=", _RUNS):
        rest = len(clean) % 4
        if rest == 1:
            clean = clean[:-1]
        elif rest:
            clean += b"=" * (4 - rest)
        if clean:
            out.append(binascii.a2b_base64(clean))
    return b"".join(out)


def fold(text: str) -> str:
    """The form in which SEARCH compares: without case, compatibility characters decomposed
    (RFC 5051 says titlecase; casefold finds more). Folding twice changes nothing."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


def casemap(text: str) -> str:
    """The form in which SORT compares (i;unicode-casemap, RFC 5051): characters in titlecase,
    then decomposed. What stands first has the smaller UTF-8 octets."""
    if text.isascii():
        return text.upper()
    # RFC 5051 2: the titlecase of UnicodeData is one character, or none
    titles = (character.title() for character in text)
    mapped = (t if len(t) == 1 else c for c, t in zip(text, titles, strict=True))
    return unicodedata.normalize("NFKD", "".join(mapped))


# RFC 5256 5, subj-blob and subj-refwd without their blobs
_BLOBS = re.compile(r"(?:\[[^\[\]]*+\][ \t]*+)*+")
_REFWD = re.compile(r"(?:re|fwd?)[ \t]*+(?:\[[^\[\]]*+\][ \t]*+)?+:[ \t]*+", re.IGNORECASE)


class Subject(NamedTuple):
    """A subject without what replies, forwards and lists put around it. `is_reply` tells of a
    reply or a forward (RFC 5256 3, THREAD)."""

    base: str
    is_reply: bool


def base_subject(subject: str) -> Subject:
    """RFC 5256 2.1 on a decoded subject, in the case that it has; looks at 10,000 characters."""
    # (1) runs of white space are one space
    text = " ".join(subject[:_SUBJECT].split())
    start, end = 0, len(text)
    is_reply = False
    while True:
        # (2) subj-trailer
        while text[start:end].endswith(" ") or text[max(start, end - 5) : end].lower() == "(fwd)":
            is_reply = is_reply or text[end - 1] != " "
            end -= 1 if text[end - 1] == " " else 5
        # (3) subj-leader, (4) subj-blob, (5) again
        while True:
            while start < end and text[start] == " ":
                start += 1
            blobs = _BLOBS.match(text, start, end)
            after = blobs.end() if blobs else start
            if match := _REFWD.match(text, after, end):
                start = match.end()
                is_reply = True
                continue
            # blobs go too, unless nothing would be left: then the last one stays
            if after == end and after > start:
                after = text.rindex("[", start, end)
            if after == start:
                break
            start = after
        # (6) subj-fwd
        if text[start : start + 5].lower() != "[fwd:" or text[end - 1 : end] != "]":
            return Subject(text[start:end], is_reply)
        start, end = start + 5, end - 1
        is_reply = True
