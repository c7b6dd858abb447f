"""TLS: stripped, injected, stalled, badly proved, or cut. No credential before a proved server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from bridge import limits, tls
from bridge.model import PollReport
from tests.pcases.home import Home, maildrop
from tests.support.certificates import with_a_NUL
from tests.support.pop3_server import Pop3Server, stuff

CREDENTIALS = (b"USER", b"PASS", b"APOP", b"AUTH")
OldTLS = pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")


def on_both_loops(test: Callable[[Home], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that asyncio and uvloop must pass: their TLS is not the same code."""

    def on_a_loop(tmp_path: Path, run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        async def whole() -> None:
            async with Home(tmp_path) as home:
                await test(home)

        run(whole())

    loops = [asyncio.run, uvloop.run]
    marked: Callable[..., None] = pytest.mark.parametrize("run", loops, ids=["asyncio", "uvloop"])(
        on_a_loop
    )
    return marked


async def refused(home: Home, server: Pop3Server, **more: Any) -> PollReport:
    """A poll that ends before any credential is sent; nobody is asked again soon."""
    report = await home.poll(server, **more)
    await server.idle()
    assert report.error_class == "tls"
    assert report.advice
    assert not any(line.upper().startswith(CREDENTIALS) for line in server.ledger.commands)
    return report


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Pop3Server]:
    async with Pop3Server(maildrop(3), **options) as server:
        yield server


async def is_well(home: Home, server: Pop3Server) -> None:
    assert (await home.poll(server)).error == ""
    await home.check(server)


async def test_P084_STLS_is_stripped(home: Home) -> None:
    clear: tuple[list[bytes], list[bytes]] = ([b"USER", b"UIDL"], [])
    async with serving(security="starttls", capabilities=clear) as server:
        report = await refused(home, server)
        assert "does not offer STLS" in report.error
        server.capabilities = None
        await is_well(home, server)


@pytest.mark.parametrize("capa", [True, False])
async def test_P085_STLS_is_refused(home: Home, capa: bool) -> None:
    async with serving(security="starttls", capa=capa) as server:
        server.replies[b"STLS"] = b"-ERR no\r\n"
        await refused(home, server)
        assert server.ledger.commands == [b"CAPA", b"STLS"]
        server.replies.clear()
        await is_well(home, server)


@on_both_loops
async def test_P086_words_injected_after_STLS(home: Home) -> None:
    for injected in (
        b"+OK\r\nPIPELINING\r\n.\r\n",
        b"+OK\r\nSASL PLAIN\r\n.\r\n",
        b"+",
        b"-ERR x\r\n",
    ):
        for segment in (None, 15):
            async with serving(security="starttls", injected=injected, segment=segment) as server:
                await refused(home, server)
                server.injected = b""
                await is_well(home, server)


@on_both_loops
async def test_P087_silence_after_STLS(home: Home) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "POP3_HANDSHAKE_SECONDS", 0.1)
        async with serving(security="starttls", handshake=False) as server:
            report = await refused(home, server)
            assert "in time" in report.error
            patch.undo()
            server.handshake = True
            await is_well(home, server)


@on_both_loops
async def test_P088_certificates_that_prove_nothing(home: Home) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    past, future = datetime.datetime(2020, 1, 1), datetime.datetime(2999, 1, 1)
    names = ("127.0.0.1", "localhost")
    own = stranger.issue_cert(*names)
    leaves = {
        "another CA": own,
        "another name": authority.issue_cert("pop.example.org"),
        "expired": authority.issue_cert(*names, not_before=past, not_after=past.replace(month=2)),
        "not yet": authority.issue_cert(
            *names, not_before=future, not_after=future.replace(month=2)
        ),
    }
    for leaf in leaves.values():
        for security in ("tls", "starttls"):
            async with serving(security=security, certificate=leaf) as server:
                assert server.ca_file is not None
                authority.cert_pem.write_to_path(server.ca_file)
                report = await refused(home, server)
                assert "not to be trusted" in report.error
                # The system's authorities know it no better, and there is no way to look away
                # but to name this very certificate.
                await refused(home, server, ca_file=None)
                der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
                pinned = await home.poll(server, ca_file=None, fingerprint=tls.fingerprint(der))
                assert pinned.error == ""
                await home.check(server)

    ca, chain = with_a_NUL()
    (home.folder / "nul.pem").write_bytes(chain)
    (home.folder / "nul-ca.pem").write_bytes(ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    async with serving(security="tls", tls_context=context) as server:
        context.load_cert_chain(home.folder / "nul.pem")
        server.host, server.ca_file = "localhost", str(home.folder / "nul-ca.pem")
        report = await refused(home, server)
        assert "ostname mismatch" in report.error


@on_both_loops
async def test_P089_the_pinned_certificate_changes(home: Home) -> None:
    old = trustme.CA().issue_cert("127.0.0.1")
    pin = tls.fingerprint(ssl.PEM_cert_to_DER_cert(old.cert_chain_pems[0].bytes().decode()))
    async with serving(security="tls", certificate=old) as server:
        assert (await home.poll(server, ca_file=None, fingerprint=pin)).error == ""
    new = trustme.CA().issue_cert("127.0.0.1")
    shown = tls.fingerprint(ssl.PEM_cert_to_DER_cert(new.cert_chain_pems[0].bytes().decode()))
    async with serving(security="tls", certificate=new) as server:
        report = await refused(home, server, ca_file=None, fingerprint=pin)
        assert pin in report.error
        assert shown in report.error
        assert shown in report.advice
        assert (await home.poll(server, ca_file=None, fingerprint=shown)).new == 0
        await home.check(server)


@OldTLS
@pytest.mark.parametrize("weakness", ["TLS 1.1", "NULL", "aNULL"])
async def test_P090_weak_TLS(home: Home, weakness: str) -> None:
    """No old version, no cipher that hides nothing or proves nobody. RC4 is gone from OpenSSL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if weakness == "TLS 1.1":
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    else:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{weakness}:@SECLEVEL=0")
    async with serving(security="tls", tls_context=context) as server:
        for pin in (None, "AA:" * 31 + "AA"):
            assert "TLS" in (await refused(home, server, fingerprint=pin)).error


async def test_P091_a_greeting_that_says_logged_in(home: Home) -> None:
    options: dict[str, Any] = {"security": "starttls", "apop": True}
    async with serving(**options, greeting=b"+OK you are logged in <1@x>\r\n") as server:
        await is_well(home, server)
        assert server.ledger.sessions[0].in_clear == [b"CAPA", b"STLS"]
        assert server.ledger.count(b"APOP") == 0


async def test_P092_capabilities_before_TLS_are_others(home: Home) -> None:
    both = ([b"STLS", b"SASL CRAM-MD5", b"PIPELINING"], [b"USER", b"UIDL"])
    async with serving(security="starttls", capabilities=both, sasl=[b"CRAM-MD5"]) as server:
        await is_well(home, server)
        assert server.ledger.count(b"AUTH") == 0
        assert server.ledger.sessions[0].most_outstanding == 1


@pytest.mark.parametrize("rude", [False, True])
async def test_P093_TLS_ends_in_the_middle_of_a_message(home: Home, rude: bool) -> None:
    """A close_notify is no end mark."""
    async with serving(security="tls", rude=rude) as server:
        await home.poll(server, address="0@example.org")
        tail = len(b"+OK bye\r\n") + len(stuff(server.items[2].octets)) // 2
        server.cut_after = server.ledger.sessions[0].sent - tail
        report = await home.poll(server)
        assert (report.new, report.error_class) == (2, "connect")
        server.cut_after = None
        assert (await home.poll(server)).new == 1
        await home.check(server)


async def test_P094_TLS_ends_without_goodbye_after_the_end_mark(home: Home) -> None:
    async with serving(security="tls", rude=True) as server:
        await home.poll(server, address="0@example.org")
        server.cut_after = server.ledger.sessions[0].sent - len(b"+OK bye\r\n")
        assert (await home.poll(server)).new == 3
        server.cut_after = None
        assert (await home.poll(server)).octets == 0
        await home.check(server)
