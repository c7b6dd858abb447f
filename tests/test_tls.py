"""TLS of both sides: what we check, what we show, and what is on disk for it."""

from __future__ import annotations

import asyncio
import datetime
import os
import shutil
import socket
import ssl
import stat
import subprocess
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from bridge import tls
from bridge.tls import CertificateError, ServerCertificate, client_context
from tests.support.certificates import write

DAY = datetime.timedelta(days=1)


async def shown(
    certificate: ServerCertificate,
    client: ssl.SSLContext,
    name: str = "localhost",
) -> tuple[bytes, str]:
    """What a device sees that trusts `client`: the leaf in DER, and the TLS version."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificate.context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname=name
        )
        tunnel = writer.get_extra_info("ssl_object")
        seen = tunnel.getpeercert(binary_form=True), tunnel.version()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert isinstance(seen[0], bytes)
    return seen


def leaf(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "tls" / "server.pem").read_bytes())


def names(certificate: x509.Certificate) -> set[str]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in extension.value}


# --- as a client --------------------------------------------------------------------------


def test_a_client_checks_chain_and_name_and_wants_TLS_1_2() -> None:
    context = client_context(None)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert client_context(None) is context


def test_a_ca_file_is_trusted_instead_of_the_system_and_read_again_when_it_changes(
    tmp_path: Path,
) -> None:
    first, second = trustme.CA(), trustme.CA()
    ca_file = tmp_path / "ca.pem"
    first.cert_pem.write_to_path(str(ca_file))
    trusted = client_context(str(ca_file)).get_ca_certs(binary_form=True)
    assert trusted == [ssl.PEM_cert_to_DER_cert(first.cert_pem.bytes().decode())]
    second.cert_pem.write_to_path(str(ca_file))
    os.utime(ca_file, ns=(1, 1))
    trusted = client_context(str(ca_file)).get_ca_certs(binary_form=True)
    assert trusted == [ssl.PEM_cert_to_DER_cert(second.cert_pem.bytes().decode())]


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_ca_file_without_certificates_is_named(tmp_path: Path, content: str | None) -> None:
    ca_file = tmp_path / "private-ca.pem"
    if content is not None:
        ca_file.write_text(content)
    with pytest.raises(CertificateError, match=r"private-ca\.pem"):
        client_context(str(ca_file))


# --- our own certificate ------------------------------------------------------------------


async def test_a_device_that_trusts_our_CA_connects_by_every_name(tmp_path: Path) -> None:
    certificate = ServerCertificate.auto(tmp_path, ["mail.home.example", "192.0.2.7"])
    device = client_context(str(certificate.ca_pem_path))
    for name in ("localhost", "127.0.0.1", "::1", socket.gethostname(), "mail.home.example"):
        der, version = await shown(certificate, device, name)
        assert version == "TLSv1.3"
    assert "192.0.2.7" in names(leaf(tmp_path))
    digest = x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256())
    assert certificate.fingerprint == digest.hex(":").upper()


async def test_a_device_that_does_not_trust_our_CA_does_not(tmp_path: Path) -> None:
    certificate = ServerCertificate.auto(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        await shown(certificate, client_context(None))


def test_openssl_finds_the_chain_sound_for_a_server(tmp_path: Path) -> None:
    """A second opinion, with the strict rules of RFC 5280."""
    ServerCertificate.auto(tmp_path)
    openssl = shutil.which("openssl")
    assert openssl is not None
    folder = tmp_path / "tls"
    said = subprocess.run(
        [
            *(openssl, "verify", "-x509_strict", "-purpose", "sslserver"),
            *("-verify_hostname", "localhost", "-CAfile", folder / "ca.pem"),
            folder / "server.pem",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr


def test_the_leaf_is_one_that_phones_accept(tmp_path: Path) -> None:
    ServerCertificate.auto(tmp_path)
    certificate = leaf(tmp_path)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life <= 825 * DAY
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca


def test_X002_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        ServerCertificate.auto(tmp_path / "data")
    finally:
        os.umask(old)
    folder = tmp_path / "data" / "tls"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert files == {"ca.pem": 0o600, "ca.key": 0o600, "server.pem": 0o600}


def test_everything_is_kept_over_restarts(tmp_path: Path) -> None:
    first = ServerCertificate.auto(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    second = ServerCertificate.auto(tmp_path)
    assert first.fingerprint == second.fingerprint
    assert {path: path.read_bytes() for path in (tmp_path / "tls").iterdir()} == before


def test_near_its_end_the_leaf_is_renewed_with_its_key_and_its_CA(tmp_path: Path) -> None:
    now = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    ServerCertificate.auto(tmp_path, now=now)
    first, ca = leaf(tmp_path), (tmp_path / "tls" / "ca.pem").read_bytes()
    ServerCertificate.auto(tmp_path, now=first.not_valid_after_utc - 61 * DAY)
    assert leaf(tmp_path) == first
    later = first.not_valid_after_utc - 59 * DAY
    ServerCertificate.auto(tmp_path, now=later)
    second = leaf(tmp_path)
    assert second.not_valid_after_utc == later + tls.LEAF_DAYS * DAY
    assert second.public_key() == first.public_key()
    assert second.serial_number != first.serial_number
    assert (tmp_path / "tls" / "ca.pem").read_bytes() == ca


def test_a_CA_at_its_end_is_made_anew(tmp_path: Path) -> None:
    now = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    ServerCertificate.auto(tmp_path, now=now)
    ca = (tmp_path / "tls" / "ca.pem").read_bytes()
    ServerCertificate.auto(tmp_path, now=now + (tls.CA_DAYS - 30) * DAY)
    assert (tmp_path / "tls" / "ca.pem").read_bytes() != ca
    assert leaf(tmp_path).not_valid_after_utc > now + tls.CA_DAYS * DAY


def test_a_new_host_name_makes_a_new_leaf_and_keeps_the_CA(tmp_path: Path) -> None:
    ServerCertificate.auto(tmp_path, ["old.example"])
    ca = (tmp_path / "tls" / "ca.pem").read_bytes()
    ServerCertificate.auto(tmp_path, ["new.example", "bücher.example"])
    assert {"new.example", "xn--bcher-kva.example", "localhost"} <= names(leaf(tmp_path))
    assert (tmp_path / "tls" / "ca.pem").read_bytes() == ca


@pytest.mark.parametrize("left", [["ca.key"], ["ca.key", "ca.pem"], ["ca.key", "server.new"], []])
def test_a_start_that_was_killed_is_made_good(tmp_path: Path, left: list[str]) -> None:
    """Whatever a kill left behind, the next start has a CA and a leaf that it signed."""
    whole = tmp_path / "whole"
    ServerCertificate.auto(whole)
    (tmp_path / "tls").mkdir()
    for name in left:
        source = whole / "tls" / name
        (tmp_path / "tls" / name).write_bytes(source.read_bytes() if source.exists() else b"half")
    certificate = ServerCertificate.auto(tmp_path)
    assert certificate.ca_pem_path is not None
    ca = x509.load_pem_x509_certificate(certificate.ca_pem_path.read_bytes())
    leaf(tmp_path).verify_directly_issued_by(ca)


def test_a_lost_CA_key_matters_only_when_a_new_leaf_is_needed(tmp_path: Path) -> None:
    ServerCertificate.auto(tmp_path)
    (tmp_path / "tls" / "ca.key").unlink()
    ServerCertificate.auto(tmp_path)
    with pytest.raises(CertificateError, match=r"ca\.key.*devices must then trust"):
        ServerCertificate.auto(tmp_path, ["new.example"])


def test_a_host_name_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="not a host name"):
        ServerCertificate.auto(tmp_path, ["ü" * 80])


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("a file")
    with pytest.raises(CertificateError, match="tls"):
        ServerCertificate.auto(tmp_path)


# --- files from elsewhere, and reload -----------------------------------------------------


async def test_a_certificate_from_files_is_reloaded_into_the_same_context(tmp_path: Path) -> None:
    authority = trustme.CA()
    device = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    certificate = ServerCertificate.from_files(*write(tmp_path, authority))
    assert certificate.ca_pem_path is None
    context, before = certificate.context, certificate.fingerprint
    first, _ = await shown(certificate, device)
    write(tmp_path, authority)
    certificate.reload()
    second, _ = await shown(certificate, device)
    assert certificate.context is context
    assert certificate.fingerprint != before
    assert first != second


@pytest.mark.parametrize("broken", ["cert gone", "key gone", "junk", "another key", "empty"])
async def test_I059_a_broken_file_at_reload_keeps_the_old_certificate(
    tmp_path: Path, broken: str
) -> None:
    authority = trustme.CA()
    device = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    file, key = write(tmp_path, authority)
    certificate = ServerCertificate.from_files(file, key)
    fingerprint = certificate.fingerprint
    before, _ = await shown(certificate, device)
    other = tmp_path / "other"
    other.mkdir()
    new_file, new_key = write(other, authority)
    if broken == "cert gone":
        file.unlink()
    elif broken == "key gone":
        key.unlink()
    elif broken == "junk":
        file.write_text("junk")
    elif broken == "empty":
        key.write_text("")
    else:
        file.write_bytes(new_file.read_bytes())
    with pytest.raises(CertificateError, match=r"cert\.pem|key\.pem"):
        certificate.reload()
    assert (await shown(certificate, device))[0] == before
    assert certificate.fingerprint == fingerprint
    file.write_bytes(new_file.read_bytes())
    key.write_bytes(new_key.read_bytes())
    certificate.reload()
    assert (await shown(certificate, device))[0] != before


async def test_old_TLS_is_refused(tmp_path: Path) -> None:
    certificate = ServerCertificate.auto(tmp_path)
    device = client_context(str(certificate.ca_pem_path))
    assert (await shown(certificate, device))[1] == "TLSv1.3"
    openssl = shutil.which("openssl")
    assert openssl is not None

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificate.context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for version, works in (("-tls1_1", False), ("-tls1_2", True)):
            process = await asyncio.create_subprocess_exec(
                openssl,
                *("s_client", "-connect", f"127.0.0.1:{port}", version),
                *("-cipher", "ALL:@SECLEVEL=0"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await process.communicate()
            assert (b"Cipher is ECDHE" in said) == works
