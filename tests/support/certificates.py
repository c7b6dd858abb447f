"""Certificates of a test's own CA, as a server reads them from files."""

from __future__ import annotations

import datetime
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.tls import ServerCertificate


def write(folder: Path, authority: trustme.CA) -> tuple[Path, Path]:
    """A new leaf for this machine: the files of certificate and key, made or overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    issued = authority.issue_cert("127.0.0.1", "localhost")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.touch(mode=0o600)
    key.write_bytes(issued.private_key_pem.bytes())
    return certificate, key


def server_certificate(folder: Path, authority: trustme.CA) -> ServerCertificate:
    return ServerCertificate.from_files(*write(folder, authority))


def with_a_NUL() -> tuple[bytes, bytes]:
    """A CA that signs whatever it is given, and a leaf of it with its key (CVE-2009-2666)."""
    now = datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lax CA")])]
    names.append(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost\0.evil.example")]))
    pem = []
    for subject, is_ca in zip(names, (True, False), strict=True):
        usage: x509.ExtensionType = x509.BasicConstraints(ca=True, path_length=None)
        if not is_ca:
            usage = x509.SubjectAlternativeName([x509.DNSName("localhost\0.evil.example")])
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(usage, critical=is_ca)
            .sign(key, hashes.SHA256())
        )
        pem.append(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    plain = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem[0], pem[1] + plain
