"""Logging in to the scripted POP3 server: USER and PASS, APOP, and every SASL of our client."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping

from tests.support.pop3_connection import Connection


class Cancelled(Exception):
    """The client gave an AUTH exchange up."""


class Logins(Connection):
    """The authorization state (RFC 1939 4)."""

    def log_in(self) -> None:
        """The maildrop is locked: a snapshot (RFC 1939 3)."""
        server = self.server
        self.ledger.logged_in = True
        server.ledger.logins += 1
        self.items = list(server.items)[: server.lists_only]
        server.ledger.offered.update((item.octets, None) for item in self.items)

    async def _check(self, right: bool) -> None:
        if right:
            self.log_in()
            await self.send(b"+OK logged in\r\n")
        else:
            self.server.ledger.failed_logins += 1
            await self.send(b"-ERR [AUTH] authentication failed\r\n")

    async def capa(self, argument: bytes) -> None:
        server = self.server
        if not server.capa:
            await self.send(b"-ERR unknown command\r\n")
            return
        if server.capabilities is not None:
            lines = list(server.capabilities[1 if self.tls else 0])
        else:
            lines = [b"USER", b"RESP-CODES", *server.extra_capabilities]
            lines += [b"TOP"] if server.top else []
            lines += [b"UIDL"] if server.uidl else []
            lines += [b"PIPELINING"] if server.pipelining else []
            lines += [b"SASL " + b" ".join(server.sasl)] if server.sasl else []
            lines += [b"STLS"] if server.security == "starttls" and not self.tls else []
        await self.send(b"+OK\r\n" + b"".join(line + b"\r\n" for line in lines) + b".\r\n")

    async def stls(self, argument: bytes) -> None:
        if self.server.security != "starttls" or self.tls:
            await self.send(b"-ERR not now\r\n")
            return
        await self.send(b"+OK begin TLS\r\n" + self.server.injected)
        await self.start_tls()

    async def username(self, argument: bytes) -> None:
        self.user = argument
        await self.send(b"+OK\r\n")

    async def password(self, argument: bytes) -> None:
        server = self.server
        right = (server.username.encode(), server.password.encode())
        await self._check((self.user, argument) == right)

    async def apop(self, argument: bytes) -> None:
        server = self.server
        digest = hashlib.md5(self.stamp + server.password.encode()).hexdigest()
        await self._check(server.apop and argument == f"{server.username} {digest}".encode())

    async def utf8(self, argument: bytes) -> None:
        """RFC 6856 2.1: before the login only."""
        right = not self.ledger.logged_in and not argument
        await self.send(b"+OK UTF8\r\n" if right else b"-ERR not now\r\n")

    async def auth(self, argument: bytes) -> None:
        mechanism, space, response = argument.partition(b" ")
        if mechanism.upper() not in self.server.sasl:
            await self.send(b"-ERR unsupported mechanism\r\n")
            return
        if self.server.auth_alone and space:
            await self.send(b"-ERR Protocol error. Connection is closed. 10\r\n")
            await self.hang_up()
        initial = base64.b64decode(response.removeprefix(b"=")) if space else None
        try:
            right = await self._mechanisms()[mechanism.upper()](initial)
        except Cancelled:
            await self.send(b"-ERR cancelled\r\n")
            return
        await self._check(right)

    async def _challenge(self, challenge: bytes) -> bytes:
        """What the client answers to a challenge."""
        await self.send(b"+ " + base64.b64encode(challenge) + b"\r\n")
        line = await self.line()
        self.ledger.commands.append(line)
        if line == b"*":
            raise Cancelled
        return base64.b64decode(line)

    async def _auth_plain(self, initial: bytes | None) -> bool:
        said = initial if initial is not None else await self._challenge(b"")
        return said == f"\0{self.server.username}\0{self.server.password}".encode()

    async def _auth_login(self, initial: bytes | None) -> bool:
        user = initial if initial is not None else await self._challenge(b"Username:")
        word = await self._challenge(b"Password:")
        return (user, word) == (self.server.username.encode(), self.server.password.encode())

    async def _auth_cram(self, initial: bytes | None) -> bool:
        challenge = b"<1896.697170952@postoffice.reston.mci.net>"
        said = await self._challenge(challenge)
        digest = hmac.digest(self.server.password.encode(), challenge, "md5").hex()
        return said == f"{self.server.username} {digest}".encode()

    async def _auth_scram(self, initial: bytes | None) -> bool:
        """RFC 5802 3, written out: a second opinion on what the client's library computes."""
        said = initial if initial is not None else await self._challenge(b"")
        bare = said.partition(b"n,,")[2]
        nonce = bare.partition(b",r=")[2] + b"fyko"
        salt = b"sixteen octets.."
        first = b"r=%b,s=%b,i=%d" % (nonce, base64.b64encode(salt), self.server.iterations)
        final = await self._challenge(first)
        without_proof, _, proof = final.partition(b",p=")
        password = self.server.password.encode()
        salted = hashlib.pbkdf2_hmac("sha256", password, salt, self.server.iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        signed = b",".join([bare, first, without_proof])
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        expected = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        if not self.server.impostor and base64.b64decode(proof) != expected:
            await self._challenge(b"e=invalid-proof")
            return False
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        proof = hmac.digest(b"?" if self.server.impostor else server_key, signed, "sha256")
        await self._challenge(b"v=" + base64.b64encode(proof))
        return True

    async def _auth_xoauth2(self, initial: bytes | None) -> bool:
        said = initial if initial is not None else await self._challenge(b"")
        expected = {
            f"user={self.server.username}\x01auth=Bearer {token}\x01\x01".encode()
            for token in self.server.tokens
        }
        if said in expected:
            return True
        self.ledger.failure_answer = await self._challenge(
            b'{"status":"401","schemes":"bearer","scope":"https://mail.example.org/"}'
        )
        return False

    async def _auth_oauthbearer(self, initial: bytes | None) -> bool:
        """RFC 7628 3.1: the host and port may be those that the client dialled."""
        said = initial if initial is not None else await self._challenge(b"")
        head, *pairs, _, _ = said.split(b"\x01")
        right = head == f"n,a={self.server.username},".encode()
        tokens = {f"auth=Bearer {token}".encode() for token in self.server.tokens}
        if right and tokens.intersection(pairs):
            return True
        self.ledger.failure_answer = await self._challenge(b'{"status":"invalid_token"}')
        return False

    def _mechanisms(self) -> Mapping[bytes, Callable[[bytes | None], Awaitable[bool]]]:
        return {
            b"PLAIN": self._auth_plain,
            b"LOGIN": self._auth_login,
            b"CRAM-MD5": self._auth_cram,
            b"SCRAM-SHA-256": self._auth_scram,
            b"XOAUTH2": self._auth_xoauth2,
            b"OAUTHBEARER": self._auth_oauthbearer,
        }
