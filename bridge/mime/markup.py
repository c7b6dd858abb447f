"""HTML -> its words, for previews and SEARCH: no parser, three linear passes."""

from __future__ import annotations

import html
import re

# what is not shown; scripts, styles and comments that never close run to the end
_HIDDEN = re.compile(
    r"<(script|style)\b.*?(?:</\1\s*+>|\Z)|<!--.*?(?:-->|\Z)|<title\b[^<]*+</title\s*+>",
    re.DOTALL | re.IGNORECASE,
)
# tags inside of a word do not part it
_INLINE = re.compile(
    r"</?+(?:a|b|em|font|i|small|span|strong|sub|sup|u|wbr)\b[^<>]*+>", re.IGNORECASE
)
_TAGS = re.compile(r"(?:<[^<>]*+>?+\s*+)++")


_ENTITY = re.compile(r"&(?:#\w{1,8}|\w{1,32});")


def words(text: str) -> str:
    """The visible text of an HTML document, entities as characters, white space collapsed."""
    return " ".join(html.unescape(_without_tags(text)).split())


def plain_words(text: str) -> str:
    """The same for SEARCH: entities stay but for those of ASCII characters and of the space that
    does not break, as Dovecot and Cyrus find no letter that is written as an entity."""
    return " ".join(_ENTITY.sub(_plain, _without_tags(text)).split())


def _without_tags(text: str) -> str:
    return _TAGS.sub(" ", _INLINE.sub("", _HIDDEN.sub(" ", text)))


def _plain(entity: re.Match[str]) -> str:
    character = html.unescape(entity[0])
    return character if character.isascii() or character == "\xa0" else entity[0]
