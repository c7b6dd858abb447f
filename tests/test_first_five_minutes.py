"""As a new user would: setup finds the provider, the QR code is scanned, mail is read; and what the
terminal showed is what docs/first-five-minutes.md shows."""

from __future__ import annotations

import asyncio
import imaplib
import json
import re
import ssl
import sys
import time
from pathlib import Path

import pytest

from tests.profiles.test_qr import of_terminal, read
from tests.support.dovecot import Dovecot
from tests.support.other_net import OtherNet, document
from tests.support.require import require
from tests.support.samples import samples
from tests.support.terminal import Terminal

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "docs" / "first-five-minutes.md").read_text()
ME = "me@example.lan"
MESSAGES = 7
SECONDS = 60.0
PASSWORD = r"(?:[a-km-np-z2-9]{5}-){4}[a-km-np-z2-9]{6}"
QR_LINE = re.compile(r"\x1b\[38;5;16;48;5;231m[ ▀▄█]+\x1b\[0m")
NAMES = ("example.lan", "*.example.lan", "v1.ispdb.net")


def answers(net: OtherNet, dovecot: Dovecot, source: str, folder: Path) -> dict[str, str]:
    """Lets this source, and no other, know where the Dovecot is. Returns environment for it."""
    if source == "the built-in list":
        table = folder / "providers.toml"
        table.write_text(
            '[mine]\nname = "Mine"\ndomains = ["example.lan"]\nhost = "pop.example.lan"\n'
            f'port = {dovecot.pop3s_port}\nusername = "{dovecot.username}"\nsource = "this test"\n'
        )
        return {"POPBRIDGE_PROVIDERS": str(table)}
    if source == "autoconfig.example.lan":
        net.pages["https://autoconfig.example.lan/mail/config-v1.1.xml"] = document(
            "pop.example.lan", port=dovecot.pop3s_port, username=dovecot.username
        )
    else:
        net.records["_pop3s._tcp.example.lan", "SRV"] = [
            f"0 0 {dovecot.pop3s_port} pop.example.lan."
        ]
    return {}


@pytest.mark.parametrize(
    "source",
    [
        "the built-in list",
        "autoconfig.example.lan",
        "the SRV record _pop3s._tcp.example.lan",
    ],
)
async def test_from_an_address_to_mail_on_a_phone(tmp_path: Path, source: str) -> None:
    require("dovecot")
    began = time.monotonic()
    home = tmp_path / "home"
    programs = home / "programs"
    programs.mkdir(parents=True)
    (programs / "setsid").symlink_to(require("setsid"))
    with Dovecot(tmp_path / "provider") as dovecot, OtherNet(tmp_path, NAMES) as net:
        dovecot.deliver(samples(MESSAGES))
        env = {
            "HOME": str(home),
            "PATH": str(programs),  # no systemd here
            "PYTHONPATH": f"{ROOT / 'tests' / 'support' / 'names'}:{ROOT}",
            "SSL_CERT_FILE": str(dovecot.ca_pem),
            "POPBRIDGE_NET": str(net.file),
            **answers(net, dovecot, source, tmp_path),
        }
        # The user name of this Dovecot is no address, and SRV records cannot say so.
        more = ("--username", dovecot.username) if source.startswith("the SRV") else ()
        program = (sys.executable, "-m", "bridge", "setup", ME, *more)
        async with Terminal(*program, env=env) as terminal:
            await terminal.shows(f"found in {source}")
            if more:
                await terminal.shows("These settings come from an unsigned source.")
                terminal.press("y\n")
            await terminal.shows("(not shown): ")
            terminal.press(f"{dovecot.password}\n")
            await terminal.shows("Serving until Ctrl-C.")
            drawn = terminal.raw().replace("\r\n", "\n")
            await asyncio.to_thread(read_mail, drawn, home)
            terminal.press("\x03")
            assert await terminal.ended() == 0
        assert time.monotonic() - began < SECONDS
        if source in DOCUMENT:
            assert shown(drawn, home) == transcript()
        assert dovecot.password not in drawn.replace("secrets", "")


def read_mail(drawn: str, home: Path) -> None:
    """What a phone does: scans the code, signs in with what it says, reads all mail."""
    code = "\n".join(QR_LINE.findall(drawn))
    (text,) = read(of_terminal(code))
    _, _, (_, host, port, security, _, user, _, password), _ = json.loads(text)
    assert (security, user) == (3, ME)
    assert password in drawn
    trust = ssl.create_default_context(
        cafile=home / ".local" / "state" / "popbridge" / "tls" / "ca.pem"
    )
    with imaplib.IMAP4_SSL(host, port, ssl_context=trust) as phone:
        phone.login(user, password)
        phone.select("INBOX", readonly=True)
        _, found = phone.fetch("1:*", "(BODY.PEEK[])")
        assert {each[1] for each in found if isinstance(each, tuple)} == set(samples(MESSAGES))


def shown(drawn: str, home: Path) -> list[str]:
    """The terminal's lines, with what differs from run to run as the document has it."""
    text = QR_LINE.sub("[the QR code]", drawn)
    text = re.sub(r"(?:\[the QR code\]\n)+", "[the QR code]\n", text)
    text = re.sub(r"\n\rFirst sync[^\n]*", "", text)
    for found, put in (
        (PASSWORD, "k7qm2-x9hde-4tnfw-apz3b-8ycgrs"),
        (r"\(Port \d+,", "(Port 1993,"),
        (r"IMAP     \S+(?: \([^)]*\))? port \d+", "IMAP     192.168.1.20 port 1993"),
        (r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", "4F:1C:...:A2"),
        (r"pop\.example\.lan:\d+", "pop.example.lan:995"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:8025"),
        (r"Start it with: .* --config \S*/home/", "Start it with: popbridge run --config ~/"),
        (r"popbridge \d+\.\d+\.\d+", "popbridge 0.1.0"),
    ):
        text = re.sub(found, put, text)
    return [line.rstrip() for line in text.strip().split("\n")]


def transcript() -> list[str]:
    """The lines of the document's first dialogue, below the command."""
    block = DOCUMENT.partition("```\n$ popbridge setup me@example.lan\n")[2].partition("```")[0]
    return [line.rstrip() for line in block.strip().split("\n")]
