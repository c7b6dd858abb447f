"""X001 and X005: a daemon lives through everything at debug level, and no secret is in anything
that it wrote: databases, logs, command lines, pages, backups, exports, what the commands print."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import imaplib
import io
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.auth.oauth import Tokens
from bridge.auth.tokens import Grants
from bridge.cli import control
from bridge.cli.main import main
from bridge.model import Secret
from bridge.store.opening import DATABASE
from tests.support import figures, secrets
from tests.support.identity_provider import IdentityProvider
from tests.support.page import Browser
from tests.support.pop3_server import Item, Pop3Server
from tests.support.process import DaemonProcess, write_config

ME = "me@example.org"
WAYS = ("user", "apop", "plain", "login", "cram-md5", "scram-sha-256")
# The daemon as `popbridge run` starts it, but with everything in its log.
AT_DEBUG = (
    sys.executable,
    "-c",
    "import functools; from bridge import logs; "
    "logs.configure = functools.partial(logs.configure, level='debug'); "
    "from bridge.cli.main import run; run()",
    "run",
    "--config",
)


def account(server: Pop3Server, address: str, **pop3: Any) -> dict[str, Any]:
    own = {
        "host": server.host, "port": server.port, "security": server.security,
        "username": server.username, "ca_file": server.ca_file,
    }  # fmt: skip
    whole = {key: value for key, value in (own | pop3).items() if value is not None}
    smtp = {
        "host": "smtp.example.org", "port": 465, "security": "tls", "username": server.username,
    }  # fmt: skip
    return {"address": address, "login": ME, "pop3": whole, "smtp": smtp}


def everything(
    server: Pop3Server, echoing: Pop3Server, provider: IdentityProvider
) -> list[dict[str, Any]]:
    """An account for each way to sign in, one by OAuth, one whose server repeats the password."""
    oauth = {
        "provider": "custom",
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "token_endpoint": f"{provider.url}/token",
        "device_endpoint": f"{provider.url}/device",
        "scope": "mail offline_access",
    }
    return [
        *(account(server, f"{way}@example.org", auth=way, password_file="pw") for way in WAYS),
        account(server, "oauth@example.org", oauth=oauth),
        account(echoing, "echo@example.org", auth="user", password=secrets.ECHOED),
    ]


def command(config: Path, *words: str) -> tuple[str, bytes]:
    """What a command prints, whatever its exit code."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        main([*words, "--config", str(config)])
    assert said.getvalue(), words
    return " ".join(words[:2]), said.getvalue().encode()


def devices(port: int, password: str) -> None:
    """Each way to sign in to us; with right passwords and wrong ones."""
    for login, secret in ((ME, password), (ME, secrets.LOGIN), (ME, secrets.GUESSED)):
        with imaplib.IMAP4("127.0.0.1", port, timeout=20) as client:
            wrong = secret == secrets.GUESSED
            answer = None
            try:
                answer, _ = client.login(login, secret)
            except imaplib.IMAP4.error:
                assert wrong
            if answer:
                client.select("INBOX")
                client.fetch("1:*", "(BODY.PEEK[])")
        with imaplib.IMAP4("127.0.0.1", port, timeout=20) as client:
            response = f"\0{login}\0{secret}".encode()
            try:
                client.authenticate("PLAIN", lambda _, said=response: said)  # type: ignore[misc]
            except imaplib.IMAP4.error:
                assert wrong
    # A password where no password belongs.
    with (
        imaplib.IMAP4("127.0.0.1", port, timeout=20) as client,
        pytest.raises(imaplib.IMAP4.error),
    ):
        client._simple_command("NOOP", secrets.LOGIN)


async def pages(port: int) -> list[tuple[str, bytes]]:
    browser = Browser(port, "127.0.0.1")
    wrong = await browser.log_in(secrets.GUESSED)
    found = [("/login", wrong.body.encode())]
    assert (await browser.log_in(secrets.PAGE)).code == 303
    for path in ("/", "/log", "/status.json", "/metrics", "/accounts/password?address=" + ME):
        answer = await browser.get(path)
        assert answer.code == 200, path
        found.append((path, repr(answer.headers).encode() + answer.body.encode()))
    return found


def of_process(pid: int) -> list[tuple[str, bytes]]:
    return [(name, Path(f"/proc/{pid}/{name}").read_bytes()) for name in ("cmdline", "environ")]


def leaves_no_core(pid: int) -> bool:
    limits = Path(f"/proc/{pid}/limits").read_text()
    return bool(re.search(r"Max core file size +0 +0 ", limits))


@pytest.mark.timeout(300)
@pytest.mark.case("X001", "X005")
async def test_no_secret_is_in_anything_that_is_written(tmp_path: Path) -> None:
    items = [Item(b"u1", b"Subject: one\r\n\r\nhello\r\n")]
    options: dict[str, Any] = {"username": ME, "security": "tls"}
    with IdentityProvider(client_secret=secrets.CLIENT_SECRET) as provider:
        provider.mark = secrets.TOKENS
        async with (
            Pop3Server(
                items, password=secrets.PROVIDER, apop=True,
                sasl=[b"PLAIN", b"LOGIN", b"CRAM-MD5", b"SCRAM-SHA-256", b"XOAUTH2"], **options,
            ) as server,
            Pop3Server(items, password=secrets.ECHOED, **options) as echoing,
        ):  # fmt: skip
            server.tokens = provider.live
            said = f"-ERR [AUTH] {secrets.ECHOED} is wrong for {ME}\r\n"
            echoing.replies = {b"PASS": said.encode()}
            home = tmp_path / "home"
            home.mkdir()
            secret_file(home / "pw", secrets.PROVIDER)
            config = write_config(
                home,
                everything(server, echoing, provider),
                web={"listen": "127.0.0.1:0", "password": secrets.PAGE},
                logins=[{"name": ME, "password": secrets.LOGIN}],
            )
            sign_in(home / "data", provider)
            made, more = await life(config, server, provider)
        sought = secrets.CANARIES | {"a device's password": made}
        search = await asyncio.to_thread(
            secrets.leaks, tmp_path, sought, may_hold={"config.yaml", "pw"}, more=more
        )
    assert search.found == []
    assert search.octets > 200_000
    figures.note(
        "canary secrets", tried=len(sought), files=search.files, octets=search.octets, leaks=0
    )


def secret_file(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def sign_in(data: Path, provider: IdentityProvider) -> None:
    data.mkdir(mode=0o700)
    _, said = provider._give(None)
    given = Tokens(Secret(str(said["access_token"])), Secret(str(said["refresh_token"])), 3600)
    Grants(data).sign_in("oauth@example.org", provider.client(), given)


async def life(
    config: Path, server: Pop3Server, provider: IdentityProvider
) -> tuple[str, list[tuple[str, bytes]]]:
    """Returns the password of the device that was made, and what was seen."""
    home = config.parent
    async with DaemonProcess(config, AT_DEBUG) as daemon:
        port = await daemon.listening()
        more = of_process(daemon.pid)
        assert leaves_no_core(daemon.pid)
        reports = await daemon.poll()
        provider.live.clear()  # the token is renewed, and the old one is of no use
        reports = await daemon.poll()
        assert [each["address"] for each in reports if each["error"]] == ["echo@example.org"]
        assert server.ledger.logins >= len(WAYS) + 1
        device = await asyncio.to_thread(
            control.ask, config, "POST", f"/devices?login={ME}&name=phone"
        )
        assert isinstance(device, dict)
        password = str(device["password"])
        await asyncio.to_thread(devices, port, password)
        page = re.search(r"page=http://[^ ]*:(\d+)", await daemon.said(" listening "))
        assert page is not None
        more += await pages(int(page[1]))
        for words in (
            ("status",), ("status", "--json"), ("account", "list"), ("device", "list"),
            ("backup", str(home / "backup")),
            ("export", "mbox", str(home / "export"), "--login", ME),
            ("poll", "--json"), ("doctor", "--offline"), ("check",),
        ):  # fmt: skip
            more.append(await asyncio.to_thread(command, config, *words))
        daemon.signal(signal.SIGABRT)
        await daemon.wait()
        more.append(("log", "\n".join(daemon.log).encode()))
    return password, more


def test_a_planted_leak_is_found(tmp_path: Path) -> None:
    """In clear, in base64 at any place, in hex, in a URL, in the name of a file."""
    sought = {"it": secrets.PROVIDER}
    plain = secrets.PROVIDER.encode()
    (tmp_path / "clean").write_bytes(b"nothing here")
    (tmp_path / "config.yaml").write_bytes(plain)
    assert secrets.leaks(tmp_path, sought, may_hold={"config.yaml"}).found == []
    planted = [
        plain, b"x" * 70_000 + plain, plain.hex().encode(), b"?p=canary%3A%20provider%207Jq%2Fw2",
        *(base64.b64encode(b"\0" * before + plain + b"tail") for before in range(5)),
    ]  # fmt: skip
    planted[3] += b"%2BZt"
    for number, octets in enumerate(planted):
        (tmp_path / "log").write_bytes(b"before " + octets + b" after")
        found = secrets.leaks(tmp_path, sought, may_hold={"config.yaml"}).found
        assert found == ["it in log"], number
    (tmp_path / "log").rename(tmp_path / DATABASE)
    (tmp_path / "config.yaml").unlink()
    assert secrets.of_stores(tmp_path).found == [f"provider in {DATABASE} of {tmp_path}"]
    (tmp_path / DATABASE).unlink()
    assert secrets.leaks(tmp_path, sought, may_hold={"config.yaml"}).found == []
    (tmp_path / secrets.PROVIDER.replace("/", "-")).touch()
    assert secrets.leaks(tmp_path, {"it": secrets.PROVIDER.replace("/", "-")}).found
