"""Config files with an account more or less: everything else stays as it was written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import tree
from bridge.config.edit import CannotEdit, Item, add, fresh, remove, scalar

ACCOUNT: Item = {
    "address": "me@gmx.de",
    "pop3": {"host": "pop.gmx.net", "username": "me@gmx.de", "password_file": "secrets/me"},
    "interval": "10m",
}
LINES = """\
- address: me@gmx.de
    pop3:
      host: pop.gmx.net
      username: me@gmx.de
      password_file: secrets/me
    interval: '10m'
"""
COMMENTED = """\
# mine
data_dir: ./data   # here
accounts:
  # the first
  - address: you@web.de   # hers
    pop3: {host: pop3.web.de, username: you, password: 'a # b'}  # short
  # nothing more

# who signs in
logins:
  - {name: you@web.de, password: "x"}
web: {listen: null}
"""


def read(text: str) -> tree.Value:
    found = tree.read(text)
    assert found.problems == ()
    return found.value


def test_a_fresh_file() -> None:
    text = fresh({"data_dir": "/var/lib/my mail", "web": {"listen": "127.0.0.1:8025"}})
    text = add(add(text, "accounts", ACCOUNT), "logins", {"name": "me@gmx.de"})
    assert text.endswith(
        "data_dir: '/var/lib/my mail'\nweb:\n  listen: '127.0.0.1:8025'\n"
        f"accounts:\n  {LINES}logins:\n  - name: me@gmx.de\n"
    )


def test_a_second_account_goes_below_the_first_and_every_comment_stays() -> None:
    text = add(COMMENTED, "accounts", ACCOUNT)
    first, second = COMMENTED.split("  # nothing more\n")
    assert text == first + "  " + LINES + "  # nothing more\n" + second
    text = add(text, "logins", {"name": "me@gmx.de"})
    assert '  - {name: you@web.de, password: "x"}\n  - name: me@gmx.de\nweb:' in text
    assert remove(remove(text, "accounts", 1), "logins", 1) == COMMENTED


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("accounts: []\n", "accounts: [{"),
        ("accounts: [ ]  # none yet\n", "}]  # none yet\n"),
        ("accounts: [{address: a}]\n", "accounts: [{address: a}, {"),
        ("accounts: [{address: a},]\n", "accounts: [{address: a}, {"),
        ('{"accounts": [{"address": "a"}], "logins": []}', '"a"}, {'),
        ("{}", '{"accounts": [{'),
        ("", "accounts:\n  - address: me@gmx.de\n"),
        ("logins: []", "logins: []\naccounts:\n"),
        ("accounts:\n- address: a\n", "a\n- address: me@gmx.de\n  pop3:\n    host"),
        ("accounts:\n  - address: a", "a\n  - address: me@gmx.de\n"),
        ("accounts:\n  - address: >\n      a\n\n\n\nlogins: []\n", "a\n  - address: me@gmx.de\n"),
        ("a: &x {address: a}\naccounts:\n  - *x\n", "- *x\n  - address: me@gmx.de\n"),
        ("accounts:\n  - address: a\n    pop3:\n", "pop3:\n  - address: me@gmx.de\n"),
    ],
)
def test_forms(text: str, end: str) -> None:
    made = add(text, "accounts", ACCOUNT)
    assert end in made
    before = read(text) or {}
    assert isinstance(before, dict)
    after = read(made)
    assert isinstance(after, dict)
    accounts = after.pop("accounts")
    assert isinstance(accounts, list)
    last = accounts.pop()
    assert isinstance(last, dict)
    assert last["pop3"] == ACCOUNT["pop3"]
    assert accounts == before.pop("accounts", [])
    assert after == before


@pytest.mark.parametrize("text", ["accounts: 5\n", "accounts: {a: b}\n", "- a\n", "a: b: c\n"])
def test_what_is_not_edited(text: str) -> None:
    with pytest.raises(CannotEdit):
        add(text, "accounts", ACCOUNT)


def test_the_last_account_leaves_an_empty_list() -> None:
    assert remove("accounts:  # mine\n  - address: a\nlogins: []\n", "accounts", 0) == (
        "accounts: []  # mine\nlogins: []\n"
    )
    assert remove("accounts: [{address: a}]\n", "accounts", 0) == "accounts: []\n"
    assert remove('{"accounts": [{"address": "a"}, 7, 8]}', "accounts", 1) == (
        '{"accounts": [{"address": "a"}, 8]}'
    )
    assert remove("accounts: [1, 2]\n", "accounts", 1) == "accounts: [1]\n"


@given(st.text(max_size=30))
def test_any_value_is_read_as_it_was(value: str) -> None:
    if not value or any(0xD800 <= ord(each) < 0xE000 for each in value):
        return
    assert read(f"a: {scalar(value)}") == {"a": value}


words = st.text("abc#'\" :-[]{}&*!%@\\,", max_size=8)


@given(st.lists(st.fixed_dictionaries({"address": words.filter(bool)}), max_size=4), st.booleans())
def test_what_was_added_is_there_and_can_be_taken_away(
    accounts: list[dict[str, str]], flow: bool
) -> None:
    text = json.dumps({"accounts": accounts}) if flow else "accounts: []  # none\n"
    if not flow and accounts:
        lines = (f"  - address: {scalar(each['address'])}  # c\n" for each in accounts)
        text = "accounts:  # all\n" + "".join(lines)
    made = add(text, "accounts", ACCOUNT)
    found = read(made)
    assert isinstance(found, dict)
    assert isinstance(found["accounts"], list)
    assert found["accounts"][:-1] == accounts
    assert read(remove(made, "accounts", len(accounts))) == {"accounts": accounts}
