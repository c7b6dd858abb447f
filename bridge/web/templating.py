"""Templates to pages: jinja2 with autoescape on, in the language of the request.

Rules: whatever goes in is text, whoever said it; what is markup already (an SVG of ours) is said
to be so in the template, by name; jinja2 is imported when the first page is asked for, for a
daemon without a page needs no template engine in memory.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse

from bridge import __version__
from bridge.web import words

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def language_of(request: Request) -> words.Language:
    return words.wanted(request.headers.get("accept-language", ""))


def render(language: words.Language, template: str, **values: object) -> str:
    """The text of a template. In it `t(key, name=...)` gives our words."""
    return (
        _environment()
        .get_template(template)
        .render(t=functools.partial(words.say, language), lang=language, **values)
    )


def page(request: Request, template: str, code: int = 200, **values: object) -> HTMLResponse:
    """A whole page. Browsers send the language anew each time, so it is no part of the URL."""
    text = render(language_of(request), template, version=__version__, **values)
    return HTMLResponse(text, code, {"Vary": "Accept-Language"})
