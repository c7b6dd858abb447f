"""TLS: the context with which we check a provider, and the certificate that we show devices.

Rules:
- TLS 1.2 or newer on both sides. A client context checks chain and name, against the system's
  CAs or against one file instead of them; a pinned certificate is the only other proof.
- The own CA lives ten years. The leaf is kept over restarts and upgrades, so that a device that
  trusted it is not asked again; near its end it is renewed with the same key and the same CA.
- Files are made 0600 before a secret is in them, are on disk before they have their name, and
  certificate and key of the leaf share one file: no crash leaves half a pair.
- `reload` changes new handshakes only, and a broken file changes nothing. Each certificate has a
  context of its own, with its own keys for resumption: what a device resumes with us was begun
  under the certificate that the connection's context names.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import os
import socket
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
LEAF_DAYS = 800  # Apple refuses server certificates that live longer than 825 days
RENEW_DAYS = 60  # before the end of the leaf
_SKEW = timedelta(days=1)  # a device whose clock is behind


class CertificateError(Exception):
    """A certificate or key cannot be used. The text is fit for a person and names the file."""


def client_context(
    ca_file: str | None,
    *,
    certificate: str | None = None,
    key: str | None = None,
    pinned: bool = False,
) -> ssl.SSLContext:
    """A context that verifies the server: by the CAs of `ca_file` alone, or by the system's.

    `certificate` and `key` are PEM files by which the server knows us; the key may be in the
    first. With `pinned` neither chain nor name are checked: whoever asks for that compares the
    `fingerprint` of what the server shows before a word is sent. Raises CertificateError when a
    file cannot be read or holds something else.
    """
    files = tuple(file for file in (ca_file, certificate, key) if file is not None)
    try:
        changed = tuple(os.stat(file).st_mtime_ns for file in files)
    except OSError as error:
        raise CertificateError(f"{error.filename}: cannot be read: {error.strerror}") from error
    return _client_context(ca_file, certificate, key, pinned, changed)


@functools.lru_cache(maxsize=64)
def _client_context(
    ca_file: str | None,
    certificate: str | None,
    key: str | None,
    pinned: bool,
    changed: tuple[int, ...],
) -> ssl.SSLContext:
    """Reading the system's CAs takes up to 50 ms: once is enough, until a file changes."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(f"{ca_file}: no CA certificates to read here: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if pinned:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        try:
            # Without a password of ours OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, password=b"")
        except (OSError, ssl.SSLError) as error:
            raise CertificateError(
                f"{certificate} with {key or certificate}: not a certificate and its key in PEM, "
                f"or the key has a password: {error}"
            ) from error
    return context


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate in DER, as mail programs and openssl show it: "4F:1C:...:A2"."""
    return hashlib.sha256(certificate).digest().hex(":").upper()


class ShownContext(ssl.SSLContext):
    """The context of one certificate, which every TLS connection keeps (`SSLObject.context`).
    `end_point` is its channel binding tls-server-end-point, None where it has none."""

    end_point: bytes | None = None


class _Current(ssl.SSLContext):
    """Stands before the contexts of all certificates that there will be; asyncio and uvloop get
    their handshakes from `wrap_bio`."""

    now: ShownContext

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return self.now.wrap_bio(incoming, outgoing, server_side, server_hostname, session)


class ServerCertificate:
    """What our endpoint shows to devices. Make one by `auto` or `from_files`.

    `context` is good for any number of listeners and stays the same object for ever.
    """

    def __init__(self, certificate: Path, key: Path, ca_pem_path: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self.ca_pem_path = ca_pem_path
        self._current = _Current(ssl.PROTOCOL_TLS_SERVER)
        self.fingerprint = ""
        self._pems = b""
        self.reload()

    @property
    def context(self) -> ssl.SSLContext:
        return self._current

    @classmethod
    def auto(
        cls, data_dir: Path, hostnames: Iterable[str] = (), *, now: datetime | None = None
    ) -> ServerCertificate:
        """Own CA and leaf in `data_dir/tls`, made where missing. `hostnames` must be in the leaf:
        one that is not makes a new leaf; the machine's own names and addresses are in it too."""
        folder = data_dir / "tls"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _ensure_files(folder, list(hostnames), now or datetime.now(UTC))
        except OSError as error:
            raise CertificateError(f"{folder}: cannot keep certificates here: {error}") from error
        leaf = folder / "server.pem"
        return cls(leaf, leaf, folder / "ca.pem")

    @property
    def ca(self) -> bytes | None:
        """Our CA in DER; None where the certificate is another's."""
        return None if self.ca_pem_path is None else _der(self.ca_pem_path)

    @property
    def ends(self) -> int:
        """When the certificate that is shown ends, in seconds since the epoch."""
        return self._ends

    @classmethod
    def from_files(cls, certificate: Path, key: Path) -> ServerCertificate:
        """A certificate (leaf first, then its chain) and key from elsewhere, in PEM."""
        return cls(certificate, key, None)

    def reload(self) -> None:
        """Reads the files again, for the handshakes to come. Raises CertificateError; then what
        was shown until now is shown on."""
        try:
            pems = self._certificate.read_bytes() + self._key.read_bytes()
            if pems == self._pems:
                return  # devices go on resuming their sessions
            leaf = _leaf(self._certificate)
            context = _server_context()
            context.load_cert_chain(self._certificate, self._key)
        except OSError as error:  # ssl.SSLError is one
            raise CertificateError(
                f"{self._certificate} with {self._key}: not a certificate and its key in PEM, or "
                f"not readable: {error}"
            ) from error
        context.end_point = _end_point(leaf)
        self._current.now, self._pems = context, pems
        self.fingerprint = leaf.fingerprint(hashes.SHA256()).hex(":").upper()
        self._ends = int(leaf.not_valid_after_utc.timestamp())


def _server_context() -> ShownContext:
    context = ShownContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _der(certificate: Path) -> bytes:
    return _leaf(certificate).public_bytes(serialization.Encoding.DER)


def _leaf(certificate: Path) -> x509.Certificate:
    """The first certificate of the file."""
    pem = certificate.read_bytes()
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise CertificateError(f"{certificate}: no certificate in PEM: {error}") from error


def _end_point(leaf: x509.Certificate) -> bytes | None:
    """RFC 5929 4.1: the certificate by the hash of its signature, but SHA-256 for MD5 and SHA-1.
    A signature without a hash of its own (Ed25519) has no binding."""
    try:
        algorithm = leaf.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    if algorithm is None:
        return None
    weak = isinstance(algorithm, hashes.MD5 | hashes.SHA1)
    return leaf.fingerprint(hashes.SHA256() if weak else algorithm)


# --- making our own -----------------------------------------------------------------------


def _ensure_files(folder: Path, hostnames: list[str], now: datetime) -> None:
    ca_pem, ca_key, leaf_pem = (folder / name for name in ("ca.pem", "ca.key", "server.pem"))
    if not ca_pem.exists() or _ends_soon(ca_pem.read_bytes(), now):
        # The key is written first: a certificate without its key cannot be left behind.
        key = ec.generate_private_key(ec.SECP256R1())
        _write(ca_key, _key_pem(key))
        _write(ca_pem, _make_ca(key, now).public_bytes(serialization.Encoding.PEM))
        leaf_pem.unlink(missing_ok=True)
    leaf, leaf_key = _read_leaf(leaf_pem)
    if leaf is not None and leaf_key is not None:
        lasts = leaf.not_valid_after_utc - now >= timedelta(days=RENEW_DAYS)
        if lasts and _names(leaf).issuperset(_alternative_name(n) for n in hostnames):
            return
    try:
        ca = x509.load_pem_x509_certificate(ca_pem.read_bytes())
        signer = serialization.load_pem_private_key(ca_key.read_bytes(), None)
    except (OSError, ValueError) as error:
        raise CertificateError(
            f"{ca_key}: the key of our CA is needed to make a new server certificate, and cannot "
            f"be read: {error}. Without it, remove {folder} for a new CA; devices must then trust "
            f"that one"
        ) from error
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{ca_key}: not a key that we made")
    kept_key = leaf_key or ec.generate_private_key(ec.SECP256R1())
    made = _make_leaf(kept_key, ca, signer, [*hostnames, *_own_names()], now)
    pem = [made.public_bytes(serialization.Encoding.PEM), ca_pem.read_bytes(), _key_pem(kept_key)]
    _write(leaf_pem, b"".join(pem))


def _ends_soon(pem: bytes, now: datetime) -> bool:
    """Whether the CA is too old to sign another leaf."""
    try:
        ca = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise CertificateError(f"ca.pem is no certificate any more: {error}") from error
    return ca.not_valid_after_utc - now < timedelta(days=RENEW_DAYS)


def _read_leaf(path: Path) -> tuple[x509.Certificate | None, ec.EllipticCurvePrivateKey | None]:
    """The leaf and its key, or None where there is none that we can use."""
    try:
        pem = path.read_bytes()
        key = serialization.load_pem_private_key(pem[pem.index(b"-----BEGIN PRIVATE") :], None)
        leaf = x509.load_pem_x509_certificate(pem)
    except (OSError, ValueError):
        return None, None
    return leaf, key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _make_ca(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    # Two installations must not share a name: a device looks the issuer up by it.
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "popbridge"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"popbridge CA {os.urandom(4).hex()}"),
        ]
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _make_leaf(
    key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
    names: list[str],
    now: datetime,
) -> x509.Certificate:
    alternatives = list(dict.fromkeys(_alternative_name(name) for name in names))
    common_name = names[0] if len(names[0]) <= 64 else "popbridge"  # RFC 5280 A.1: ub-common-name
    ends = min(now + timedelta(days=LEAF_DAYS), ca.not_valid_after_utc)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name if name.isascii() else name.encode("idna").decode("ascii"))
    except ValueError as error:
        raise CertificateError(f"{name}: not a host name for a certificate: {error}") from error


def _names(leaf: x509.Certificate) -> set[x509.GeneralName]:
    try:
        return set(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return set()


def _own_names() -> list[str]:
    """What devices may call this machine. mDNS gives it hostname.local."""
    host = socket.gethostname()
    names = [host] if host else []
    if host and "." not in host:
        names.append(f"{host}.local")
    return [*names, "localhost", "127.0.0.1", "::1", *lan_addresses()]


def lan_addresses() -> list[str]:
    """The addresses that the routes out of here start from. Nothing is sent: a connected UDP
    socket only looks the route up. The targets are documentation addresses."""
    found = []
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                found.append(str(probe.getsockname()[0]))
        except OSError:
            continue
    return found


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, data: bytes) -> None:
    """Writes a file that is whole or not there at all, readable for its owner only."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
