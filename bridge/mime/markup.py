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


def words(text: str) -> str:
    """The visible text of an HTML document, entities as characters, white space collapsed."""
    text = _INLINE.sub("", _HIDDEN.sub(" ", text))
    return " ".join(html.unescape(_TAGS.sub(" ", text)).split())
