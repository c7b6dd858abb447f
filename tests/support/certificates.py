"""A certificate of a test's own CA, as the server reads it from files."""

from __future__ import annotations

from pathlib import Path

import trustme

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
