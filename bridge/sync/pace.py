"""How often a provider may be asked: what is known of it, what it announced, what it taught us.

Rules: the largest of them counts; a refusal teaches only where its words say how often, or that it
was too often. [IN-USE] is somebody else's session and teaches nothing.
"""

from __future__ import annotations

import re

from bridge.discovery import providers
from bridge.pop3.client import Pop3Error

TOO_OFTEN = 15 * 60  # seconds, where a provider says "too often" and not how often
CUT_OFF = 60  # seconds; polled sooner, a connection that is cut is taken for an answer

_MINUTES = re.compile(r"([0-9]{1,3})[ -]min")
_SECONDS = re.compile(r"([0-9]{1,5})[ -]sec")
_OFTEN = ("login limit", "login-delay", "too many", "frequen", "too often", "too soon")


def minimum(host: str) -> int:
    """Seconds between two logins at this host, by the table of providers; 0: nothing is known."""
    found = providers.of_host(host)
    return found.least_interval if found is not None else 0


def taught(error: Exception, since: float | None) -> int:
    """Seconds between two logins that a failure teaches, or 0. `since` is how many seconds before
    it the last login was tried."""
    if not isinstance(error, Pop3Error):
        return 0
    words = str(error).lower()
    if error.kind == "busy" and any(each in words for each in _OFTEN):
        if found := _MINUTES.search(words):
            return min(int(found[1]) * 60, 24 * 3600)
        if found := _SECONDS.search(words):
            return min(int(found[1]), 24 * 3600)
        return TOO_OFTEN
    if error.kind == "connect" and since is not None and 0 <= since < CUT_OFF:
        return CUT_OFF
    return 0
