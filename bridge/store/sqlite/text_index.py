"""Trigrams of message texts (FTS5): which messages may hold a needle, and which surely do not.

    message_text    contentless, a row a message: its trigrams, without positions
    meta            text_to: messages up to this id are in it; text_version: how texts were made;
                    text_stale: rows of messages that were purged since

Rules: a prefilter, never an answer. It may name messages that do not match, and must name all that
do. It is derivable: where FTS5 is missing, or the version is another, every message may match.
Contentless rows cannot be deleted before SQLite 3.43: they stay until all is made anew.
"""

from __future__ import annotations

import re
import sqlite3
from itertools import pairwise
from typing import Final

_CREATE: Final = """CREATE VIRTUAL TABLE IF NOT EXISTS message_text USING fts5(text, content='',
    columnsize=0, detail=none, tokenize='trigram case_sensitive 1')"""
_MARK: Final = "\x02"  # before one or two characters that are words by themselves
_WORDS_FROM: Final = "\u1100"  # Hangul, CJK and beyond: one or two characters are a word
_SHORT_WORDS: Final = re.compile(f"[{_WORDS_FROM}-\U0010ffff]")
_TERMS: Final = 24  # trigrams of a long needle that are asked for


def prepare(db: sqlite3.Connection) -> bool:
    """Makes the index if it is not there; False where this SQLite cannot have it."""
    try:
        db.execute(_CREATE)
    except sqlite3.OperationalError:
        return False
    return True


def indexed(text: str) -> str:
    """What is put into the index: the text, and its short words with a mark before them."""
    # The tokenizer stops at a NUL; a needle holds none.
    text = text.replace("\0", " ")
    if _SHORT_WORDS.search(text) is None:
        return text
    text = text.encode(errors="replace").decode()  # lone surrogates
    short = {text_ for text_ in text if text_ >= _WORDS_FROM}
    if not short:
        return text
    pairs = {a + b for a, b in pairwise(text) if a >= _WORDS_FROM and b >= _WORDS_FROM}
    marked = [_MARK * (3 - len(word)) + word for word in sorted(short | pairs)]
    return " ".join([text, *marked])


def query(needle: str) -> str | None:
    """The FTS5 query for what a message must have to hold the needle; None where the index cannot
    say: shorter than three characters, unless these are words by themselves."""
    if "\0" in needle or any("\ud800" <= character <= "\udfff" for character in needle):
        return None
    if len(needle) < 3:
        if not needle or any(character < _WORDS_FROM for character in needle):
            return None
        needle = _MARK * (3 - len(needle)) + needle
    terms = dict.fromkeys(needle[at : at + 3] for at in range(len(needle) - 2))
    quoted = ('"' + term.replace('"', '""') + '"' for term in list(terms)[:_TERMS])
    return " AND ".join(quoted)
