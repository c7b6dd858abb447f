"""The config file: every mistake at once, each with its place and what to write.

Long because each mistake that can be made is a row of one table, with the sentence that it gets.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import limits
from bridge.auth.passwords import PasswordHash
from bridge.auth.secrets import SecretError
from bridge.config import (
    AccountConfig,
    CertificateFiles,
    Config,
    ConfigError,
    ImapConfig,
    KeepOnServer,
    Listen,
    LoginConfig,
    OAuthConfig,
    Pop3Config,
    WebConfig,
    find,
    load,
)
from bridge.config import tree as yamltree
from bridge.model import Auth, Endpoint, Secret, Security

ROOT = Path(__file__).parent.parent
HASH = PasswordHash("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$o8Z4P7Jt6c3Cfb1XbY3aHg")
GOOD = """\
accounts:
  - address: me@gmx.de
    pop3: {host: pop.gmx.net, username: me, password: abc}
logins:
  - {name: me@gmx.de, password: abc}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own current folder, so that mistakes say `config.yaml:1:1`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "config.yaml", mode: int = 0o600) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def mistakes(text: str, mode: int = 0o600) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(write(text, mode=mode))
    return [str(each) for each in caught.value.mistakes]


def good(text: str) -> Config:
    return load(write(text))


def account(more: str = "", pop3: str = "") -> str:
    """GOOD with more lines in its account, and more keys in its pop3 section, on line 3."""
    text = GOOD.replace("password: abc}\nlogins", f"password: abc{pop3}}}\n{more}logins")
    assert text != GOOD or not (more or pop3)
    return text


BROKEN = {
    "an empty file": (
        "",
        ["config.yaml:1:1: is empty; write accounts: []"],
    ),
    "not a mapping": (
        "- a\n",
        ["config.yaml:1:1: has no keys; write accounts: []"],
    ),
    "not YAML": (
        GOOD + "web: {listen: [\n",
        [
            "config.yaml:7:1: is not YAML: did not find expected node content while parsing a flow "
            "node; put a value that holds : # * & ! % @ or quotes in 'single quotes'"
        ],
    ),
    "a control character": (
        GOOD + "web:\n  listen: \x07\n",
        ["config.yaml:7:11: holds a control character; delete it"],
    ),
    "two documents": (
        GOOD + "---\na: b\n",
        ["config.yaml:6:1: holds a second document after ---; delete the ---"],
    ),
    "no accounts": (
        "logins: []\n",
        [
            "config.yaml:1:1 accounts: is missing; write accounts: "
            "[{address: me@example.org, pop3: {...}}]"
        ],
    ),
    "a section with nothing in it": (
        GOOD + "imap:\n",
        ["config.yaml:6:1 imap: is empty, a section is wanted; write imap: {certificate: auto}"],
    ),
    "a section that is text": (
        GOOD + "imap: on\n",
        ["config.yaml:6:1 imap: is text, a section is wanted; write imap: {certificate: auto}"],
    ),
    "an account that is text": (
        "accounts:\n  - me@gmx.de\n",
        [
            "config.yaml:2:5 accounts[0]: is text, a mapping of keys is wanted; "
            "write accounts: {...}"
        ],
    ),
    "an unknown key near a known one": (
        account("    keep-on-serve: forever\n"),
        [
            "config.yaml:4:5 accounts[0].keep-on-serve: is not known; write keep_on_server",
        ],
    ),
    "a key of another section": (
        account("    host: pop.gmx.net\n"),
        [
            "config.yaml:4:5 accounts[0].host: is not known here, it belongs under pop3; "
            "move it there"
        ],
    ),
    "a key that nobody knows": (
        GOOD + "web: {colour: red}\n",
        [
            "config.yaml:6:7 web.colour: is not known; delete it; known here: password, "
            "password_file, listen, phone, password_hash, hosts, proxies, allow_plaintext"
        ],
    ),
    "W004: a page for the network without a password": (
        GOOD + 'web: {listen: "0.0.0.0:8025"}\n',
        [
            "config.yaml:6:7 web.listen: is reachable from the network, and the page has no "
            "password; write web: {password_file: secrets/page}, or listen: 127.0.0.1:8025"
        ],
    ),
    "two passwords of the page, and a file that is not there": (
        GOOD + "web: {password: 'x', password_file: secrets/page}\n",
        [
            "config.yaml:6:22 web.password_file: is a second source for this password, beside "
            "password; delete one of the two",
            "config.yaml:6:22 web.password_file: secrets/page cannot be read: No such file or "
            "directory; make it: install -m 600 /dev/null secrets/page",
        ],
    ),
    "a proxy that is no address": (
        GOOD + "web: {proxies: [nearby]}\n",
        [
            'config.yaml:6:17 web.proxies[0]: is "nearby", an address or a network is wanted; '
            "write proxies: [127.0.0.1]"
        ],
    ),
    "a key written twice": (
        GOOD + "database: sqlite\nweb: {listen: null}\ndatabase: sqlite\n",
        [
            "config.yaml:8:1 database: is written twice, first on line 6; delete one of the two",
        ],
    ),
    "a port that is a word": (
        account(pop3=", port: abc"),
        [
            'config.yaml:3:60 accounts[0].pop3.port: is "abc", a number from 1 to 65535 is wanted; '
            "write port: 995"
        ],
    ),
    "a port of 0": (
        account(pop3=", port: 0"),
        [
            'config.yaml:3:60 accounts[0].pop3.port: is "0", a number from 1 to 65535 is wanted; '
            "write port: 995"
        ],
    ),
    "a port of 65536": (
        account(pop3=", port: 65536"),
        [
            'config.yaml:3:60 accounts[0].pop3.port: is "65536", a number from 1 to 65535 is '
            "wanted; write port: 995"
        ],
    ),
    "a security that is none of ours": (
        account(pop3=", security: ssl"),
        [
            'config.yaml:3:60 accounts[0].pop3.security: is "ssl", tls, starttls or none is '
            "wanted; "
            "write security: tls"
        ],
    ),
    "plaintext off loopback": (
        account(pop3=", security: none"),
        [
            "config.yaml:3:60 accounts[0].pop3.security: is none: password and mail would "
            "cross the "
            "network in clear; write security: tls, or allow_plaintext: true beside it"
        ],
    ),
    "a bare number as interval": (
        account("    interval: 900\n"),
        [
            'config.yaml:4:5 accounts[0].interval: is "900", a time from 1s to 30d such as 30s, '
            "10m, 1h or 2d is wanted; write interval: 15m"
        ],
    ),
    "a quota without a unit": (
        account() + "imap: {quota: {storage: 10000}}\n",
        [
            'config.yaml:6:16 imap.quota.storage: is "10000", a size such as 500MB or 10GB is '
            "wanted; write storage: 10GB"
        ],
    ),
    "a quota of no messages": (
        account() + "imap: {quota: {messages: 0}}\n",
        [
            'config.yaml:6:16 imap.quota.messages: is "0", a number of messages is wanted; '
            "write messages: 100000"
        ],
    ),
    "a quota that is a size": (
        account() + "imap: {quota: 10GB}\n",
        [
            "config.yaml:6:8 imap.quota: is text, storage, messages or both is wanted; "
            "write quota: {storage: 10GB, messages: 100000}"
        ],
    ),
    "a revision that is neither on nor off": (
        account() + "imap: {rev2: 9051}\n",
        ['config.yaml:6:8 imap.rev2: is "9051", true or false is wanted; write rev2: true'],
    ),
    "an interval of nothing": (
        account("    interval: 0m\n"),
        [
            'config.yaml:4:5 accounts[0].interval: is "0m", a time from 1s to 30d such as 30s, '
            "10m, 1h or 2d is wanted; write interval: 15m"
        ],
    ),
    "an interval that is a list": (
        account("    interval: [10m]\n"),
        [
            "config.yaml:4:5 accounts[0].interval: is a list, a time from 1s to 30d such as 30s, "
            "10m, 1h or 2d is wanted; write interval: 15m"
        ],
    ),
    "deleting on the server": (
        account("    keep_on_server: never\n"),
        [
            'config.yaml:4:5 accounts[0].keep_on_server: is "never"; forever, or days such as '
            "30d, are wanted; write keep_on_server: forever"
        ],
    ),
    "a policy without rules": (
        account("    keep_on_server: {}\n"),
        [
            "config.yaml:4:5 accounts[0].keep_on_server: is an empty mapping; "
            "write keep_on_server: forever"
        ],
    ),
    "a policy with wrong rules": (
        account("    keep_on_server: {days: 0, after_device_delete: 5m, max_size: 12, trash: 1}\n"),
        [
            'config.yaml:4:22 accounts[0].keep_on_server.days: is "0"; forever, or days such as '
            "30d, are wanted; write keep_on_server: forever",
            'config.yaml:4:31 accounts[0].keep_on_server.after_device_delete: is "5m"; a grace '
            "time from 1h such as 12h or 7d is wanted; write after_device_delete: 7d",
            'config.yaml:4:56 accounts[0].keep_on_server.max_size: is "12"; a size such as 800MB '
            "or 2GB is wanted; write max_size: 800MB",
            "config.yaml:4:70 accounts[0].keep_on_server.trash: is not known; delete it; known "
            "here: days, after_device_delete, max_size",
        ],
    ),
    "a mailbox with an empty level": (
        account("    mailbox: a//b\n"),
        [
            "config.yaml:4:5 accounts[0].mailbox: is no mailbox name: levels parted by /, without "
            "control characters, * and %; write mailbox: INBOX"
        ],
    ),
    "PostgreSQL": (
        GOOD + "database: postgresql://me:hunter2@db/mail\n",
        ["config.yaml:6:1 database: is PostgreSQL, which comes later; write database: sqlite"],
    ),
    "an address without a port": (
        GOOD + "web: {listen: localhost}\n",
        [
            'config.yaml:6:7 web.listen: is "localhost", an address and a port are wanted; '
            "write 127.0.0.1:1143 or [::1]:1143"
        ],
    ),
    "IPv6 without brackets": (
        GOOD + "imap: {listen: ['::1:1143']}\n",
        [
            'config.yaml:6:17 imap.listen[0]: is "::1:1143", only IPv6 addresses go in [brackets], '
            "and they must; write [::1]:1143"
        ],
    ),
    "one address where a list is wanted": (
        GOOD + 'imap: {listen: "127.0.0.1:1143"}\n',
        [
            'config.yaml:6:8 imap.listen: is "127.0.0.1:1143", a list of addresses is wanted; '
            'write listen: ["127.0.0.1:1143"]'
        ],
    ),
    "an address used twice": (
        GOOD + 'imap: {listen: ["127.0.0.1:1143"]}\nweb: {listen: "127.0.0.1:1143"}\n',
        ["config.yaml:7:7 web.listen: is there twice, first on line 6; delete one of the two"],
    ),
    "two sources for a provider's password": (
        account(pop3=", password_command: pass show gmx"),
        [
            "config.yaml:3:60 accounts[0].pop3.password_command: is a second source for this "
            "password, beside password; delete one of the two"
        ],
    ),
    "two sources for a login's password": (
        GOOD.replace("name: me@gmx.de,", f"name: me@gmx.de, password_hash: {HASH.encoded!r},"),
        [
            "config.yaml:5:103 logins[0].password: is a second source for this password, beside "
            "password_hash; delete one of the two"
        ],
    ),
    "no password": (
        GOOD.replace(", password: abc}\nlogins", "}\nlogins"),
        [
            "config.yaml:3:5 accounts[0].pop3: has no password; write password_file: secrets/name, "
            "or password or password_command"
        ],
    ),
    "an empty password": (
        GOOD.replace("username: me, password: abc", "username: me, password: "),
        [
            "config.yaml:3:45 accounts[0].pop3.password: is empty, text is wanted; "
            "write password: 'the password, in single quotes'"
        ],
    ),
    "a password that YAML would cut": (
        "accounts: []\nlogins:\n  - name: me\n    password: abc #def\n",
        [
            "config.yaml:4:5 logins[0].password: has a # behind it: YAML would cut the password "
            "there; put the password in 'single quotes'"
        ],
    ),
    "a hash that is not argon2id": (
        "accounts: []\nlogins:\n  - {name: me, password_hash: $2b$12$abc}\n",
        [
            "config.yaml:3:16 logins[0].password_hash: is not an argon2 hash; "
            "write password_hash: '$argon2id$v=19$...'"
        ],
    ),
    "an account twice": (
        GOOD.replace(
            "logins:",
            "  - address: ME@gmx.de\n    login: me@gmx.de\n"
            "    pop3: {host: h, username: u, password: p}\nlogins:",
        ),
        [
            "config.yaml:4:5 accounts[1].address: is there twice, first on line 2; "
            "delete one of the two"
        ],
    ),
    "a login twice": (
        GOOD + "  - {name: me@gmx.de, password: def}\n",
        ["config.yaml:6:6 logins[1].name: is there twice, first on line 5; delete one of the two"],
    ),
    "an account whose login has no entry": (
        account("    login: family\n"),
        [
            'config.yaml:4:5 accounts[0].login: has no entry for its login "family" in logins; '
            'add under logins: - {name: "family", password_file: secrets/family}'
        ],
    ),
    "a login that is spelt in another case": (
        GOOD.replace("name: me@gmx.de", "name: Me@gmx.de"),
        [
            'config.yaml:2:5 accounts[0].address: has no entry for its login "me@gmx.de" in '
            "logins; "
            "write Me@gmx.de in both places"
        ],
    ),
    "a secret file that is not there": (
        GOOD.replace("{name: me@gmx.de, password: abc}", "{name: me@gmx.de, password_file: s/x}"),
        [
            "config.yaml:5:23 logins[0].password_file: s/x cannot be read: No such file or "
            "directory; make it: install -m 600 /dev/null s/x"
        ],
    ),
    "a CA file that is not there": (
        account(pop3=", ca_file: ca.pem"),
        [
            "config.yaml:3:60 accounts[0].pop3.ca_file: ca.pem cannot be read; "
            "name a file in PEM form"
        ],
    ),
    "a certificate that is half there": (
        GOOD + "imap: {certificate: {cert: a.pem}}\n",
        [
            "config.yaml:6:8 imap.certificate.key: is missing; write key: /etc/ssl/mail.key",
            "config.yaml:6:22 imap.certificate.cert: a.pem cannot be read; name a file in PEM form",
        ],
    ),
    "a certificate that is a word": (
        GOOD + "imap: {certificate: letsencrypt}\n",
        [
            "config.yaml:6:8 imap.certificate: is text, auto, or cert and key is wanted; "
            "write certificate: auto"
        ],
    ),
    "an alias of nothing": (
        "accounts: []\nlogins:\n  - {name: a, password: *hunter2}\n",
        [
            "config.yaml:3:25: is an alias (*) of an anchor (&) that is not there; put a "
            "value that "
            "holds : # * & ! % @ or quotes in 'single quotes'"
        ],
    ),
    "an alias of what it is in": (
        "accounts: &a [*a]\n",
        [
            "config.yaml:1:15: is an alias (*) of what it is written in; put a value that holds "
            ": # * & ! % @ or quotes in 'single quotes'"
        ],
    ),
    "a tag": (
        GOOD.replace("password: abc}\nlogins", "password: !hunter2 abc}\nlogins"),
        [
            "config.yaml:3:55: has a tag (!); put a value that holds : # * & ! % @ or quotes in "
            "'single quotes'"
        ],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_mistake(folder: Path, name: str) -> None:
    text, expected = BROKEN[name]
    assert mistakes(text) == expected


@pytest.mark.parametrize(
    ("written", "days", "grace", "size"),
    [
        ("forever", None, None, None),
        ("30d", 30 * 86_400, None, None),
        ("{days: 30}", 30 * 86_400, None, None),
        ("{after_device_delete: 7d}", None, 7 * 86_400, None),
        (
            "{days: 30d, after_device_delete: 12h, max_size: 800MB}",
            30 * 86_400,
            12 * 3_600,
            800_000_000,
        ),
        ("{max_size: 2GB}", None, None, 2_000_000_000),
    ],
)
def test_what_is_kept_on_the_server(
    folder: Path, written: str, days: int | None, grace: int | None, size: int | None
) -> None:
    kept = good(account(f"    keep_on_server: {written}\n")).accounts[0].keep_on_server
    assert (kept.days, kept.after_device_delete, kept.max_size) == (days, grace, size)


def test_all_mistakes_at_once(folder: Path) -> None:
    text = (
        "databse: sqlite\n"
        "imap: {listen: [nowhere]}\n"
        "accounts:\n"
        "  - address: a@b.c\n"
        "    interval: soon\n"
        "    pop3: {host: pop.b.c, port: x}\n"
    )
    assert [each.split(": ")[0] for each in mistakes(text)] == [
        "config.yaml:1:1 databse",
        "config.yaml:2:17 imap.listen[0]",
        "config.yaml:4:5 accounts[0].address",
        "config.yaml:5:5 accounts[0].interval",
        "config.yaml:6:5 accounts[0].pop3",
        "config.yaml:6:5 accounts[0].pop3.username",
        "config.yaml:6:27 accounts[0].pop3.port",
    ]


def test_the_example_is_right(folder: Path) -> None:
    config = good((ROOT / "config.example.yaml").read_text())
    addresses = ["me@example.org", "us@example.net", "you@outlook.com"]
    assert [each.address for each in config.accounts] == addresses
    assert config.accounts[1].login_name == "family"


def test_the_example_names_every_key() -> None:
    text = (ROOT / "config.example.yaml").read_text()

    sections = (Config, ImapConfig, CertificateFiles, WebConfig, AccountConfig, Pop3Config)
    last = (LoginConfig, OAuthConfig)
    keys = [key for section in (*sections, *last) for key in section.model_fields]
    assert [key for key in keys if f"{key}:" not in text] == []


def test_rev2_is_off_unless_it_is_asked_for(folder: Path) -> None:
    assert not good(GOOD).imap.rev2
    assert good(GOOD + "imap: {rev2: true}\n").imap.rev2


def test_quota_and_hidden_capabilities(folder: Path) -> None:
    config = good(
        GOOD.replace("logins:\n  - {", "logins:\n  - {hide_capabilities: [qresync, UTF8=ACCEPT], ")
        + "imap: {quota: {storage: 2gb, messages: 10}}\n"
    )
    assert config.imap.quota is not None
    assert (config.imap.quota.storage, config.imap.quota.messages) == (2 * 1024**3, 10)
    assert config.logins[0].hide_capabilities == ("QRESYNC", "UTF8=ACCEPT")


@pytest.mark.parametrize("word", ["IMAP4rev1", "'two words'", "''"])
def test_what_cannot_be_hidden(folder: Path, word: str) -> None:
    text = GOOD.replace("logins:\n  - {", f"logins:\n  - {{hide_capabilities: [{word}], ")
    (mistake,) = mistakes(text)
    assert "the name of a capability is wanted" in mistake


def test_defaults(folder: Path) -> None:
    config = good(GOOD)
    only = config.accounts[0]
    assert only.endpoint == Endpoint("pop.gmx.net", 995, Security.TLS, "me")
    assert (only.interval, only.keep_on_server, only.mailbox) == (900, KeepOnServer(), "INBOX")
    assert only.login_name == "me@gmx.de"
    assert config.imap.listen == (Listen("127.0.0.1", 1143),)
    assert config.imap.listen_tls == (Listen("0.0.0.0", 1993),)
    assert config.imap.certificate is None
    assert config.web.listen == Listen("127.0.0.1", 8025)


@pytest.mark.parametrize(
    ("security", "port"), [("tls", 995), ("starttls", 110), ("none, allow_plaintext: yes", 110)]
)
def test_default_port(folder: Path, security: str, port: int) -> None:
    config = good(account(pop3=f", security: {security}"))
    assert config.accounts[0].endpoint.port == port


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "'::1'"])
def test_plaintext_on_loopback_needs_no_word(folder: Path, host: str) -> None:
    text = account(pop3=", security: none").replace("pop.gmx.net", host)
    assert good(text).accounts[0].endpoint.security is Security.NONE


def test_an_existing_port_of_ipv6(folder: Path) -> None:
    config = good(GOOD + "imap: {listen: ['[::1]:0'], listen_tls: []}\nweb: {listen: null}\n")
    assert config.imap.listen == (Listen("::1", 0),)
    assert str(config.imap.listen[0]) == "[::1]:0"
    assert config.imap.listen[0].is_loopback
    assert config.web.listen is None


@pytest.mark.parametrize(
    ("written", "seconds"), [("30s", 30), ("10m", 600), ("1h", 3600), ("2d", 172_800)]
)
def test_duration(folder: Path, written: str, seconds: int) -> None:
    assert good(account(f"    interval: {written}\n")).accounts[0].interval == seconds


@pytest.mark.parametrize("written", ["no", "0123", "1e5", "true", "2026-01-01", "1_000", "0x1f"])
def test_text_stays_what_was_written(folder: Path, written: str) -> None:
    config = good(
        GOOD.replace("username: me, password: abc", f"username: {written}, password: {written}")
    )
    assert config.accounts[0].endpoint.username == written
    assert config.accounts[0].password().reveal() == written


@pytest.mark.case("X004")
@pytest.mark.parametrize(
    "password", [" #x", 'a"b', "pass wörd \U0001f511 ", "a: b", "*x", "'", "%%", "\\n"]
)
def test_any_password_in_single_quotes_and_in_a_file(folder: Path, password: str) -> None:
    # X004 of our list of hostile input: the same in the config and in a file
    quoted = "'" + password.replace("'", "''") + "'"
    write(password + "\n", "secret")
    text = GOOD.replace("username: me, password: abc", f"username: me, password: {quoted}")
    config = good(text.replace("me@gmx.de, password: abc", "me@gmx.de, password_file: secret"))
    verifier = config.logins[0].verifier()
    assert isinstance(verifier, Secret)
    assert config.accounts[0].password().reveal() == verifier.reveal() == password


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"a\nb\n", "has more than one line"),
        (b"\xff\n", "is not UTF-8 text"),
        (b"x" * (limits.PASSWORD + 1), f"is longer than {limits.PASSWORD} octets"),
    ],
)
def test_secret_file_that_is_none(folder: Path, content: bytes, said: str) -> None:
    write("", "secret").write_bytes(content)
    text = GOOD.replace("me@gmx.de, password: abc", "me@gmx.de, password_file: secret")
    assert mistakes(text) == [
        f"config.yaml:5:23 logins[0].password_file: secret {said}; "
        "write the password into it, on one line"
    ]


def test_longest_secret_file(folder: Path) -> None:
    write("x" * limits.PASSWORD + "\r\n", "secret")
    text = GOOD.replace("me@gmx.de, password: abc", "me@gmx.de, password_file: secret")
    assert good(text).logins[0].verifier() is not None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_secret_file_that_others_can_read(folder: Path, mode: int) -> None:
    write("abc\n", "my secret", mode)
    text = GOOD.replace("me@gmx.de, password: abc", "me@gmx.de, password_file: my secret")
    assert mistakes(text) == [
        f"config.yaml:5:23 logins[0].password_file: my secret can be read by others "
        f"(mode {mode:04o}); chmod 600 'my secret'"
    ]


def test_config_with_passwords_that_others_can_read(folder: Path) -> None:
    assert mistakes(GOOD, mode=0o644) == [
        "config.yaml:1:1: holds passwords and can be read by others (mode 0644); "
        "chmod 600 config.yaml"
    ]


def test_config_without_passwords_may_be_read_by_others(folder: Path) -> None:
    text = GOOD.replace("password: abc", "password_file: secret")
    write("abc", "secret")
    assert load(write(text, mode=0o644)).accounts[0].password().reveal() == "abc"


def test_private_key_that_others_can_read(folder: Path) -> None:
    write("cert", "c.pem", 0o644)
    write("key", "k.pem", 0o644)
    assert mistakes(GOOD + "imap: {certificate: {cert: c.pem, key: k.pem}}\n") == [
        "config.yaml:6:35 imap.certificate.key: k.pem can be read by others (mode 0644); "
        "chmod 600 k.pem"
    ]


def test_paths_start_at_the_folder_of_the_file(folder: Path) -> None:
    write("abc", "etc/secrets/gmx")
    text = "data_dir: ./data\n" + GOOD.replace(
        "password: abc}\nl", "password_file: secrets/gmx}\nl"
    )
    config = load(write(text, "etc/config.yaml"))
    assert config.data_dir == folder / "etc" / "data"
    assert config.accounts[0].password().reveal() == "abc"


def test_data_dir_when_not_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert good(GOOD).data_dir == Path("/state/popbridge")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/popbridge")
    assert good(GOOD).data_dir == Path("/var/lib/popbridge")


def command(words: str) -> str:
    return GOOD.replace("username: me, password: abc", f"username: me, password_command: {words}")


def test_password_command(folder: Path) -> None:
    config = good(command(f"[{sys.executable}, -c, 'print(\"a b\\n2nd\")']"))
    assert config.accounts[0].password().reveal() == "a b"


def test_password_command_is_not_run_by_load(folder: Path) -> None:
    good(command("touch ran"))
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("/not/there", "password_command /not/there: No such file or directory"),
        ("false", "password_command false ended with 1"),
        ("true", "password_command true printed no password"),
    ],
)
def test_password_command_that_fails(folder: Path, words: str, said: str) -> None:
    with pytest.raises(SecretError, match=f"^{said}$"):
        good(command(words)).accounts[0].password()


def test_nothing_shows_a_secret(folder: Path) -> None:
    text = GOOD.replace("abc", "hunter2") + "  - {name: x, password: [hunter2], pasword: hunter2}\n"
    config = good(GOOD.replace("abc", "hunter2"))
    assert "hunter2" not in repr(config) + str(config) + config.model_dump_json()
    assert "hunter2" not in "".join(mistakes(text))
    for broken in ("password: hunter2: x", 'password: "hunter2\\q"', "password: {hunter2: }"):
        said = mistakes(GOOD.replace("password: abc}\nl", broken + "}\nl"))
        assert said
        assert "hunter2" not in "".join(each.partition(": ")[2] for each in said)


OAUTH = "oauth: {provider: microsoft, client_id: abc, tenant: consumers}"
PIN = ":".join(["4F"] * 32)


def with_pop3(keys: str) -> str:
    """GOOD with these keys instead of its password, on line 3."""
    return GOOD.replace("username: me, password: abc}", f"username: me, {keys}}}")


def test_how_a_server_is_reached(folder: Path) -> None:
    for name, mode in (("client.pem", 0o644), ("client.key", 0o600)):
        write("words", name, mode)
    keys = (
        f"auth: scram-sha-256, tls_fingerprint: 'sha256:{PIN.lower()}', client_cert: client.pem, "
        "client_key: client.key, proxy: 'socks5://me:p%40ss%3A@[::1]:1080'"
    )
    endpoint = good(account(pop3=f", {keys}")).accounts[0].endpoint
    assert endpoint.auth is Auth.SCRAM_SHA_256
    assert endpoint.fingerprint == PIN
    assert endpoint.client_cert == str(folder / "client.pem")
    assert endpoint.client_key == str(folder / "client.key")
    assert not endpoint.bearer
    proxy = endpoint.proxy
    assert proxy is not None
    assert (proxy.host, proxy.port, proxy.username) == ("::1", 1080, "me")
    assert proxy.password is not None
    assert proxy.password.reveal() == "p@ss:"
    assert "p@ss" not in repr(endpoint)


@pytest.mark.parametrize("written", [PIN, PIN.replace(":", ""), f"SHA256:{PIN}", f"SHA-256={PIN}"])
def test_spellings_of_a_fingerprint(folder: Path, written: str) -> None:
    found = good(account(pop3=f", tls_fingerprint: '{written}'"))
    assert found.accounts[0].endpoint.fingerprint == PIN


@pytest.mark.parametrize("auth", ["auto", "xoauth2", "oauthbearer"])
def test_oauth_instead_of_a_password(folder: Path, auth: str) -> None:
    only = good(with_pop3(f"{OAUTH}, auth: {auth}")).accounts[0]
    assert only.endpoint.bearer
    assert only.pop3.oauth is not None
    client = only.pop3.oauth.client
    assert client.client_id == "abc"
    assert client.provider.token.startswith("https://login.microsoftonline.com/consumers/")


def test_a_command_that_prints_access_tokens(folder: Path) -> None:
    only = good(with_pop3("password_command: printf token, auth: xoauth2")).accounts[0]
    assert only.endpoint.bearer
    assert only.password().reveal() == "token"


def test_a_provider_of_ones_own(folder: Path) -> None:
    keys = (
        "provider: custom, client_id: abc, client_secret: canary, scope: 'a b', "
        "token_endpoint: https://id.example.org/t, device_endpoint: https://id.example.org/d"
    )
    config = good(with_pop3(f"oauth: {{{keys}}}"))
    oauth = config.accounts[0].pop3.oauth
    assert oauth is not None
    provider = oauth.client.provider
    assert (provider.token, provider.device) == (
        "https://id.example.org/t",
        "https://id.example.org/d",
    )
    assert (provider.scope, provider.authorization) == ("a b", "")
    assert "canary" not in repr(config) + config.model_dump_json()
    said = mistakes(with_pop3(f"oauth: {{{keys}}}"), mode=0o644)
    assert said == ["config.yaml:1:1: holds passwords and can be read by others (mode 0644); "
                    "chmod 600 config.yaml"]  # fmt: skip


REACHED = {
    "an unknown way to log in": (
        "password: abc, auth: kerberos",
        'auth: is "kerberos", auto, plain, login, cram-md5, scram-sha-256, apop, user, xoauth2, '
        "oauthbearer is wanted; write auth: auto",
    ),
    "a fingerprint that is none": (
        "password: abc, tls_fingerprint: 'SHA1:4F:1C'",
        'tls_fingerprint: is "SHA1:4F:1C", the SHA-256 of a certificate is wanted: 32 pairs of hex '
        "digits; write tls_fingerprint: 'SHA256:4F:1C:...:A2'",
    ),
    "a fingerprint and a CA": (
        f"password: abc, ca_file: config.yaml, tls_fingerprint: '{PIN}'",
        "tls_fingerprint: is a second proof of the server, beside ca_file; delete one of the two",
    ),
    "a fingerprint without TLS": (
        f"password: abc, security: none, allow_plaintext: yes, tls_fingerprint: '{PIN}'",
        "tls_fingerprint: means nothing where security is none; write security: tls, or delete it",
    ),
    "a key without its certificate": (
        "password: abc, client_key: config.yaml",
        "client_key: has no client_cert beside it; write client_cert: client.pem",
    ),
    "a proxy that is none": (
        "password: abc, proxy: 'http://me:canary@127.0.0.1:8080'",
        "proxy: is no SOCKS5 proxy; write proxy: socks5://127.0.0.1:1080",
    ),
    "a proxy without a port": (
        "password: abc, proxy: 'socks5://127.0.0.1'",
        "proxy: is no SOCKS5 proxy; write proxy: socks5://127.0.0.1:1080",
    ),
    "a password beside oauth": (
        f"password: abc, {OAUTH}",
        "oauth: is a second source for this password, beside password; delete one of the two",
    ),
    "a way with a password beside oauth": (
        f"{OAUTH}, auth: plain",
        "auth: is a way to log in with a password, and there is oauth; write auth: auto",
    ),
    "a token in clear": (
        f"{OAUTH}, security: none, allow_plaintext: yes",
        "security: is none, and a token must not cross the network in clear; write security: tls",
    ),
    "an unknown provider": (
        "oauth: {provider: yahoo, client_id: abc}",
        'oauth.provider: is "yahoo", microsoft, google or custom is wanted; '
        "write provider: microsoft",
    ),
    "oauth without a client": (
        "oauth: {provider: google}",
        "oauth.client_id: is missing; write client_id: 0f3c...",
    ),
    "an endpoint that is known": (
        "oauth: {provider: google, client_id: abc, scope: x}",
        "oauth.scope: is for provider: custom; delete it",
    ),
    "a tenant of nobody": (
        "oauth: {provider: google, client_id: abc, tenant: x}",
        "oauth.tenant: is for provider: microsoft; delete it",
    ),
    "a tenant that would be a path": (
        "oauth: {provider: microsoft, client_id: abc, tenant: a/b}",
        'oauth.tenant: is "a/b", no name of a tenant; write tenant: consumers',
    ),
    "a provider of ones own without endpoints": (
        "oauth: {provider: custom, client_id: abc, device_endpoint: 'https://x/d'}",
        "oauth: has no token_endpoint or no scope, which provider: custom needs; "
        "write token_endpoint: https://id.example.org/token",
    ),
    "a provider of ones own without a sign-in": (
        "oauth: {provider: custom, client_id: abc, scope: x, token_endpoint: 'https://x/t'}",
        "oauth: has no way to sign in: device_endpoint or authorization_endpoint; "
        "write device_endpoint: https://id.example.org/device",
    ),
    "X007 an endpoint in clear": (
        "oauth: {provider: custom, client_id: abc, scope: x, token_endpoint: 'http://x/t', "
        "device_endpoint: 'https://x/d'}",
        "oauth.token_endpoint: is http: a token would cross the network in clear; "
        "write https://id.example.org/token",
    ),
}


@pytest.mark.parametrize("name", REACHED)
def test_mistake_in_how_a_server_is_reached(folder: Path, name: str) -> None:
    keys, expected = REACHED[name]
    (said,) = mistakes(with_pop3(keys))
    assert said.partition("accounts[0].pop3.")[2] == expected
    assert "canary" not in said


def test_a_private_key_of_a_client_must_be_private(folder: Path) -> None:
    write("words", "client.pem", 0o644)
    (said,) = mistakes(account(pop3=", client_cert: client.pem, client_key: client.pem"))
    assert "client_key" in said
    assert "can be read by others" in said


def test_a_proxy_with_a_password_makes_the_file_a_secret(folder: Path) -> None:
    keys = "password_command: printf x, proxy: 'socks5://me:canary@127.0.0.1:1080'"
    text = with_pop3(keys).replace("name: me@gmx.de, password: abc", "name: me@gmx.de, HASH")
    text = text.replace("HASH", "password_file: secret")
    write("words", "secret", 0o600)
    (said,) = mistakes(text, mode=0o644)
    assert "holds passwords" in said
    assert "canary" not in repr(good(text))


def test_aliases_and_merges(folder: Path) -> None:
    config = good(
        "accounts:\n"
        "  - address: a@gmx.de\n"
        "    login: us\n"
        "    pop3: &gmx {host: pop.gmx.net, port: 995, username: a, password: x}\n"
        "  - address: b@gmx.de\n"
        "    login: us\n"
        "    pop3: {<<: *gmx, username: b}\n"
        "logins: [{name: us, password: p}]\n"
    )
    first, second = (each.endpoint for each in config.accounts)
    assert (first.host, first.username) == ("pop.gmx.net", "a")
    assert (second.host, second.username) == ("pop.gmx.net", "b")


def test_a_file_of_a_billion_laughs_is_refused(folder: Path) -> None:
    lines = ["l0: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    for level in range(1, 10):
        names = ", ".join([f"*l{level - 1}"] * 10)
        lines.append(f"l{level}: &l{level} [{names}]")
    (said,) = mistakes("\n".join(lines))
    assert f"unfolds into more than {limits.CONFIG_VALUES} values" in said


def test_depth_is_capped(folder: Path) -> None:
    (said,) = mistakes("accounts: " + "[" * 900 + "]" * 900)
    assert said.startswith(f"config.yaml:1:{10 + limits.CONFIG_DEPTH}: is nested deeper than")


def test_size_is_capped(folder: Path) -> None:
    assert mistakes("#" * (limits.CONFIG_FILE + 1)) == [
        "config.yaml:1:1: is larger than 1024 KiB; split it or shorten it"
    ]


def test_file_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml:1:1: cannot be read: No such file"):
        load(Path("nowhere.yaml"))


def test_file_that_is_not_text(folder: Path) -> None:
    Path("config.yaml").write_bytes(b"a: b\nc: \xff\n")
    with pytest.raises(ConfigError, match=r"config\.yaml:2:1: is not UTF-8 text"):
        load(Path("config.yaml"))


def test_which_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"XDG_CONFIG_HOME": str(folder)}
    assert find(None, environ) == Path("/etc/popbridge/config.yaml")
    write("", "popbridge/config.yaml")
    assert find(None, environ) == folder / "popbridge" / "config.yaml"
    environ["POPBRIDGE_CONFIG"] = "by-environment.yaml"
    assert find(None, environ) == Path("by-environment.yaml")
    assert find(Path("by-option.yaml"), environ) == Path("by-option.yaml")


yaml_text = st.text(alphabet="ab:-[]{}&*!|>'\"# \n\t,?%@`~<0", max_size=60)


@given(yaml_text)
def test_any_text_is_read_or_refused(text: str) -> None:
    """For any text, reading it raises nothing, and whatever has a path has a place in the text."""
    found = yamltree.read(text)
    lines = text.count("\n") + 1
    for place in found.places.values():
        assert 1 <= place.line <= lines
        assert place.column >= 1
    assert found.problems or found.places
