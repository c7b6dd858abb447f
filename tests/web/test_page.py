"""What the first screen shows, in both languages."""

from __future__ import annotations

import re
import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model import AccountState, Progress
from bridge.web import words
from bridge.web.page import AccountFacts, Event, Facts, screen
from bridge.web.status import AccountStatus, DeviceFacts, Status, Storage
from bridge.web.words import WORDS, Language
from tests.web.test_status import statuses

NOW = 1_795_788_602
ME = "me@gmx.de"


def facts(*accounts: AccountStatus, ok: bool = True, by: str = "file") -> Facts:
    status = Status("1.0", 1, ("imaps://0.0.0.0:1993",), ok, 3, accounts)
    return Facts(status, {ME: AccountFacts("pop.gmx.net", by, ME)})  # type: ignore[arg-type]


def account(state: str, *, progress: Progress | None = None, **keys: object) -> AccountStatus:
    known = AccountState(ME, **keys)  # type: ignore[arg-type]  # fields of the dataclass
    return AccountStatus(known, state, NOW + 600, progress)


def row(status: AccountStatus, language: Language = "en", by: str = "file") -> dict[str, object]:
    found = screen(facts(status, by=by), language, NOW).accounts[0]
    return {
        "mark": found.mark,
        "word": found.word,
        "button": found.button and found.button.action,
        "numbers": found.numbers,
        "checks": found.checks,
    }


def test_all_is_well() -> None:
    well = account("up to date", last_success=NOW - 240, listed=2143, stored=2190)
    assert row(well) == {
        "mark": "good",
        "word": "up to date",
        "button": None,
        "numbers": "2,143 on the server · 2,190 kept here",
        "checks": "last check 4 min ago · next check in 10 min",
    }
    assert row(well, "de") == {
        "mark": "good",
        "word": "aktuell",
        "button": None,
        "numbers": "2.143 beim Anbieter · 2.190 hier",
        "checks": "zuletzt geprüft vor 4 Min. · nächste Prüfung in 10 Min.",
    }
    shown = screen(facts(well), "de", NOW)
    assert (shown.headline, shown.mark, shown.moving) == ("Alle Post ist aktuell", "good", False)


def test_the_first_sync() -> None:
    progress = Progress("fetching", 812, 2143, 498_000_000, 1_300_000_000, 160.0)
    found = row(account("polling", progress=progress))
    assert found["word"] == "first sync 37 %"
    assert found["numbers"] == "812 of 2,143 messages · 3.1 MB/s · about 4 min left"
    assert found["button"] is None
    again = row(account("polling", progress=progress, last_success=NOW - 600), "de")
    assert again["word"] == "wird abgeholt 37 %"
    assert screen(facts(account("polling", progress=progress)), "en", NOW).moving


@pytest.mark.parametrize(
    ("state", "error_class", "by", "button"),
    [
        ("needs attention", "auth", "file", "/accounts/password"),
        ("needs attention", "auth", "oauth", "/accounts/sign-in"),
        ("needs attention", "auth", "elsewhere", "/accounts/check"),
        ("needs attention", "tls", "file", "/accounts/check"),
        ("needs attention", "nonsense", "file", "/accounts/check"),
        ("waiting", "connect", "file", "/accounts/check"),
        ("waiting", "busy", "oauth", "/accounts/check"),
        ("waiting", "auth", "file", "/accounts/password"),
        ("never polled", "", "file", "/accounts/check"),
        ("paused", "", "file", "/accounts/resume"),
        ("paused", "auth", "file", "/accounts/resume"),
    ],
)
@pytest.mark.parametrize("language", words.LANGUAGES)
def test_what_is_not_green_has_a_button(
    state: str, error_class: str, by: str, button: str, language: Language
) -> None:
    found = account(state, error="-ERR no" if error_class else "", error_class=error_class)
    shown = screen(facts(found, by=by), language, NOW).accounts[0]
    assert shown.button is not None
    assert shown.button.action == button
    assert shown.mark in ("bad", "idle")
    if error_class and state != "paused":
        assert shown.reason
        assert shown.said == "-ERR no"


def test_the_headline() -> None:
    bad = account("needs attention", error="x", error_class="auth")
    assert screen(facts(bad), "en", NOW).headline == "Something needs you"
    assert screen(facts(bad), "en", NOW).mark == "bad"
    assert screen(facts(), "en", NOW).headline == "No account yet"
    assert screen(facts(ok=False), "de", NOW).headline == "Die Datenbank antwortet nicht"


def test_devices_storage_events() -> None:
    status = replace(
        facts().status,
        devices=[DeviceFacts(ME, "iPhone", NOW), DeviceFacts(ME, "Tablet", None)],
        storage=Storage(1_900_000_000, 41_000_000_000),
    )
    found = Facts(
        status,
        events=[Event(NOW - 7200, "warning", ME, "poll failed")],
    )
    shown = screen(found, "en", NOW)
    assert [each.seen for each in shown.devices] == ["last seen just now", "never seen"]
    assert shown.storage == "1.9 GB used, 41.0 GB free on this disk"
    assert shown.events[0].when == "2 h ago"
    assert screen(found, "de", NOW).storage == "1,9 GB belegt, 41,0 GB frei"


@given(statuses, st.sampled_from(words.LANGUAGES))
def test_any_status_has_a_screen(status: Status, language: Language) -> None:
    """And exactly one button where an account is neither green nor at work."""
    shown = screen(Facts(status), language, NOW)
    for each in shown.accounts:
        assert (each.button is None) == (each.mark in ("good", "busy"))
        assert each.word


def test_both_languages_fill_in_the_same() -> None:
    fields = string.Formatter()
    for key, text in WORDS["en"].items():
        wanted = {name for _, name, _, _ in fields.parse(text) if name}
        german = {name for _, name, _, _ in fields.parse(WORDS["de"][key]) if name}
        assert wanted == german, key


def test_every_word_is_used_and_there() -> None:
    """Templates and code name words that exist, and none stands there for nobody."""
    from bridge.web.templating import HERE

    said = ""
    for path in [*HERE.glob("templates/*.html"), *HERE.glob("*.py"), HERE.parent / "desk.py"]:
        if path.name != "words.py":
            said += path.read_text()
    asked = set(re.findall(r'\bt\("([^"]+)"', said))
    assert asked <= WORDS["en"].keys()
    computed = {key for key in WORDS["en"] if key.startswith("why ")}
    computed |= {
        "days",
        "hours",
        "minutes",
        "seconds",
        "now",
        "soon",
        "ago",
        "in",
    }  # of words.py itself
    unused = {key for key in WORDS["en"] if f'"{key}"' not in said} - computed
    assert unused == {"up to date", "waiting", "never polled"} & unused  # states, by their name


@pytest.mark.parametrize(
    ("seconds", "english", "german"),
    [
        (0, "just now", "gerade eben"),
        (-59, "just now", "gerade eben"),
        (59, "any moment", "gleich"),
        (60, "in 1 min", "in 1 Min."),
        (7199, "in 119 min", "in 119 Min."),
        (-120, "2 min ago", "vor 2 Min."),
        (-3 * 86400, "3 d ago", "vor 3 Tagen"),
    ],
)
def test_moments(seconds: int, english: str, german: str) -> None:
    assert words.moment("en", NOW + seconds, NOW) == english
    assert words.moment("de", NOW + seconds, NOW) == german


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de-CH,de;q=0.9,en;q=0.5", "de"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
        ("fr,de;q=0.3", "de"),
        ("fr", "en"),
        ("", "en"),
        ("DE", "de"),
        ("de;q=x,en;q=0.1", "en"),
        ("de;q=0", "en"),
        ("," * 5_000 + "de", "en"),
    ],
)
def test_the_language_of_a_browser(header: str, language: str) -> None:
    assert words.wanted(header) == language


@given(st.text())
def test_any_header_wants_a_language(header: str) -> None:
    assert words.wanted(header) in words.LANGUAGES
