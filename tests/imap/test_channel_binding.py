"""SCRAM-SHA-256-PLUS (RFC 5802 6, RFC 7677) over real TLS, with scramp as the client: it makes its
channel binding from the certificate and the handshake that it saw itself (RFC 5929)."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import scramp
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from bridge import limits
from bridge.daemon import loop_factory
from bridge.tls import ServerCertificate
from tests.support import certificates
from tests.support.endpoint import PASSWORD, Endpoint
from tests.support.imap_client import Client, Server

PLUS = "SCRAM-SHA-256-PLUS"
END_POINT, UNIQUE = "tls-server-end-point", "tls-unique"


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IMAP_FAILED_LOGIN_DELAY", 0.0)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def device(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


@pytest.fixture
def certificate(tmp_path: Path, authority: trustme.CA) -> ServerCertificate:
    return certificates.server_certificate(tmp_path / "tls", authority)


@pytest.fixture
async def endpoint(tmp_path: Path, certificate: ServerCertificate) -> AsyncIterator[Endpoint]:
    async with Endpoint(tmp_path, tls=certificate.context) as endpoint:
        yield endpoint


async def connect(endpoint: Endpoint, device: ssl.SSLContext, *, starttls: bool = False) -> Client:
    """Inside TLS; it has been told of -PLUS there, and not before."""
    if starttls:
        client = await Client.connect(Server("127.0.0.1", endpoint.port, {}, device))
        (greeting,) = await client.response()
        assert "AUTH=SCRAM-SHA-256 " in str(greeting)
        assert "-PLUS" not in str(greeting)
        assert str((await client.command("t STARTTLS"))[-1][0]).startswith("t OK")
        await client.start_tls()
    else:
        streams = await asyncio.open_connection("127.0.0.1", endpoint.tls_port, ssl=device)
        client = Client(*streams)
        (greeting,) = await client.response()
        assert f"AUTH={PLUS} AUTH=SCRAM-SHA-256 AUTH=PLAIN" in str(greeting)
    ((capabilities,), _) = await client.command("c CAPABILITY")
    assert f"AUTH={PLUS} AUTH=SCRAM-SHA-256 AUTH=PLAIN" in str(capabilities)
    return client


def tunnel(client: Client) -> ssl.SSLObject:
    found = client.writer.get_extra_info("ssl_object")
    assert isinstance(found, ssl.SSLObject)
    return found


async def sign_in(
    client: Client, binding: tuple[str, object] | None, *, mechanism: str = PLUS
) -> str:
    """The tagged answer; where it is OK, the server has proved itself too."""
    scram = scramp.ScramClient([mechanism], "alice", PASSWORD, channel_binding=binding)
    return await exchange(client, scram, mechanism, scram.get_client_first())


async def exchange(client: Client, scram: scramp.ScramClient, mechanism: str, first: str) -> str:
    await client.send(f"s AUTHENTICATE {mechanism} {encoded(first)}\r\n".encode())
    (heard,) = await client.response()
    if str(heard).startswith("s "):
        return str(heard)
    scram.set_server_first(decoded(heard))
    await client.send(encoded(scram.get_client_final()).encode() + b"\r\n")
    (heard,) = await client.response()
    if str(heard).startswith("s "):
        return str(heard)
    scram.set_server_final(decoded(heard))  # raises for a server that lies
    await client.send(b"\r\n")
    (heard,) = await client.response()
    return str(heard)


def encoded(message: str) -> str:
    return base64.b64encode(message.encode()).decode()


def decoded(response: str | bytes) -> str:
    assert isinstance(response, str)
    assert response.startswith("+ "), response
    return base64.b64decode(response[2:]).decode()


@pytest.mark.parametrize("starttls", [False, True], ids=["TLS", "STARTTLS"])
@pytest.mark.parametrize(
    ("version", "name"),
    [
        (ssl.TLSVersion.TLSv1_2, END_POINT),
        (ssl.TLSVersion.TLSv1_2, UNIQUE),
        (ssl.TLSVersion.TLSv1_3, END_POINT),
    ],
    ids=["1.2-end-point", "1.2-unique", "1.3-end-point"],
)
async def test_a_login_is_bound_to_its_connection(
    endpoint: Endpoint,
    device: ssl.SSLContext,
    version: ssl.TLSVersion,
    name: str,
    starttls: bool,
) -> None:
    device.maximum_version = device.minimum_version = version
    client = await connect(endpoint, device, starttls=starttls)
    answer = await sign_in(client, (name, tunnel(client)))
    assert answer.startswith("s OK [CAPABILITY ")
    assert "AUTH=" not in answer
    client.close()


def test_it_works_on_the_loop_of_production(
    tmp_path: Path, certificate: ServerCertificate, device: ssl.SSLContext
) -> None:
    async def run() -> None:
        async with Endpoint(tmp_path, tls=certificate.context) as endpoint:
            for starttls in (False, True):
                client = await connect(endpoint, device, starttls=starttls)
                assert (await sign_in(client, (END_POINT, tunnel(client)))).startswith("s OK")
                client.close()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run())


@pytest.mark.parametrize("name", [END_POINT, UNIQUE])
async def test_I050_another_binding_is_somebody_in_between(
    endpoint: Endpoint, device: ssl.SSLContext, name: str
) -> None:
    device.maximum_version = ssl.TLSVersion.TLSv1_2
    client = await connect(endpoint, device)
    other = await connect(endpoint, device)
    wrong = b"x" * 32 if name == END_POINT else tunnel(other).get_channel_binding(UNIQUE)
    answer = await sign_in(client, (name, wrong))
    assert answer.startswith("s NO [AUTHENTICATIONFAILED] TLS does not end here")
    # The same connection, and what it is bound to.
    assert (await sign_in(client, (name, tunnel(client)))).startswith("s OK")
    client.close()
    other.close()


async def test_a_wrong_password_is_a_wrong_password(
    endpoint: Endpoint, device: ssl.SSLContext
) -> None:
    client = await connect(endpoint, device)
    binding = END_POINT, tunnel(client)
    scram = scramp.ScramClient([PLUS], "alice", "guessed", channel_binding=binding)
    answer = await exchange(client, scram, PLUS, scram.get_client_first())
    assert answer == "s NO [AUTHENTICATIONFAILED] Wrong user name or password"
    client.close()


async def test_nobody_takes_the_binding_away(endpoint: Endpoint, device: ssl.SSLContext) -> None:
    """RFC 5802 6: "y" is a device that could bind, and was told that we cannot."""
    client = await connect(endpoint, device)
    bound = END_POINT, tunnel(client)
    answer = await sign_in(client, bound, mechanism="SCRAM-SHA-256")  # scramp says "y" here
    assert answer.startswith("s NO [AUTHENTICATIONFAILED] Your device was told that there is no")
    client.close()

    # One that cannot bind at all may come in without.
    client = await connect(endpoint, device)
    assert (await sign_in(client, None, mechanism="SCRAM-SHA-256")).startswith("s OK")
    client.close()


@pytest.mark.parametrize(
    ("mechanism", "header"),
    [
        (PLUS, "n,,"),
        (PLUS, "y,,"),
        (PLUS, "p=tls-exporter,,"),
        (PLUS, "p=tls-unique,,"),  # not over TLS 1.3
        (PLUS, "p=,,"),
        (PLUS, "p,,"),
        (PLUS, ""),
        ("SCRAM-SHA-256", f"p={END_POINT},,"),
    ],
)
async def test_the_header_must_fit_the_mechanism(
    endpoint: Endpoint, device: ssl.SSLContext, mechanism: str, header: str
) -> None:
    client = await connect(endpoint, device)
    scram = scramp.ScramClient(["SCRAM-SHA-256"], "alice", PASSWORD)
    bare = scram.get_client_first().removeprefix("n,,")
    answer = await exchange(client, scram, mechanism, header + bare)
    assert answer.startswith("s NO [AUTHENTICATIONFAILED] ")
    client.close()


async def test_in_clear_there_is_nothing_to_bind_to(endpoint: Endpoint) -> None:
    client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
    await client.response()
    assert (await sign_in(client, (END_POINT, b"x"))).startswith("s NO ")
    # A device that could bind says so, and is right that we cannot: no downgrade.
    assert (await sign_in(client, (END_POINT, b"x"), mechanism="SCRAM-SHA-256")).startswith("s OK")
    client.close()


async def test_the_certificate_of_the_connection_counts_not_the_newest(
    endpoint: Endpoint,
    device: ssl.SSLContext,
    certificate: ServerCertificate,
    authority: trustme.CA,
    tmp_path: Path,
) -> None:
    before = await connect(endpoint, device)
    waiting = await Client.connect(Server("127.0.0.1", endpoint.port, {}, device))
    await waiting.response()
    certificates.write(tmp_path / "tls", authority)
    certificate.reload()
    after = await connect(endpoint, device)
    await waiting.command("t STARTTLS")
    await waiting.start_tls()
    assert tunnel(before).getpeercert(True) != tunnel(after).getpeercert(True)
    assert tunnel(waiting).getpeercert(True) == tunnel(after).getpeercert(True)
    foreign = await sign_in(after, (END_POINT, tunnel(before)))
    assert foreign.startswith("s NO [AUTHENTICATIONFAILED] TLS does not end here")
    for client in (before, after, waiting):
        assert (await sign_in(client, (END_POINT, tunnel(client)))).startswith("s OK")
        client.close()


async def test_a_resumed_session_is_bound_to_its_certificate_alone(
    endpoint: Endpoint,
    device: ssl.SSLContext,
    certificate: ServerCertificate,
    authority: trustme.CA,
    tmp_path: Path,
) -> None:
    """RFC 7627 1: tls-unique of a resumed session may be that of somebody else's. And a session
    from before a new certificate came is not resumed: the device would bind to the old one."""
    device.maximum_version = ssl.TLSVersion.TLSv1_2

    def talk(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession, bool, str]:
        import socket

        with (
            socket.create_connection(("127.0.0.1", endpoint.tls_port)) as tcp,
            device.wrap_socket(tcp, server_hostname="127.0.0.1", session=session) as tls,
        ):
            reused = bool(tls.session_reused)
            binding = tls.get_channel_binding(UNIQUE)
            tls.recv(8192)
            first = encoded(f"p={UNIQUE},,n=alice,r=abcdef")
            tls.sendall(f"s AUTHENTICATE {PLUS} {first}\r\n".encode())
            answer = tls.recv(8192).decode()
            assert tls.session is not None
            assert binding
            return tls.session, reused, answer

    session, reused, answer = await asyncio.to_thread(talk, None)
    assert (reused, answer[:2]) == (False, "+ ")
    _, reused, answer = await asyncio.to_thread(talk, session)
    assert (reused, answer[:5]) == (True, "s NO ")
    certificates.write(tmp_path / "tls", authority)
    certificate.reload()
    _, reused, answer = await asyncio.to_thread(talk, session)
    assert (reused, answer[:2]) == (False, "+ ")


async def test_a_certificate_without_a_binding_is_not_offered_for_one(tmp_path: Path) -> None:
    """RFC 5929 4.1 defines none for a signature without a hash of its own: Ed25519."""
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, None)
    )
    file = tmp_path / "ed25519.pem"
    file.touch(mode=0o600)
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    shown = ServerCertificate.from_files(file, file)
    device = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    device.check_hostname, device.verify_mode = False, ssl.CERT_NONE
    async with Endpoint(tmp_path, tls=shown.context) as endpoint:
        streams = await asyncio.open_connection("127.0.0.1", endpoint.tls_port, ssl=device)
        client = Client(*streams)
        (greeting,) = await client.response()
        assert "AUTH=SCRAM-SHA-256 " in str(greeting)
        assert "-PLUS" not in str(greeting)
        client.close()
        device.maximum_version = ssl.TLSVersion.TLSv1_2
        client = await connect(endpoint, device)
        assert (await sign_in(client, (UNIQUE, tunnel(client)))).startswith("s OK")
        client.close()
