"""SASL mechanisms as a client speaks them: challenges in, responses out, both before base64.

Rules: no I/O; a value that would break a message is refused with SaslError, whose text never
contains the value; what a server must prove is checked (SCRAM); what a server may make us compute
is capped. `proved` says whether what was said so far lets the server judge the secret: until then
another way may be tried without a second refused login.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json

import scramp
from scramp.utils import saslprep

from bridge import limits

# RFC 7677 4 wants servers to announce at least so many; fewer make the proof worth guessing at.
_LEAST_ITERATIONS = 4096


class SaslError(ValueError):
    """The exchange cannot go on: a value cannot be sent, or the server does not keep the rules."""


class Mechanism:
    """One exchange. `explanation` is what the server said about a failure inside of it."""

    name = ""
    slow = False  # whether `respond` computes for long

    def __init__(self) -> None:
        self.proved = False
        self.explanation = ""

    def initial(self) -> bytes | None:
        """What the client says first; None where the server begins."""
        return None

    def respond(self, challenge: bytes) -> bytes:
        """The answer to a challenge. Raises SaslError."""
        raise SaslError(f"the server asks for more than {self.name} has")

    def confirm(self) -> None:
        """The server took the login. Raises SaslError where it had to prove itself, and did not."""


class Plain(Mechanism):
    """RFC 4616. `proved` counts from when the initial response is on the wire."""

    name = "PLAIN"

    def __init__(self, username: str, password: str) -> None:
        super().__init__()
        self._message = plain(username, password)

    def initial(self) -> bytes:
        self.proved = True
        return self._message


class Login(Mechanism):
    """LOGIN (draft-murchison-sasl-login-00): the user name, then the password, whatever the server
    calls them when it asks."""

    name = "LOGIN"

    def __init__(self, username: str, password: str) -> None:
        super().__init__()
        plain(username, password)  # refuses what cannot be sent
        self._answers = [password.encode(), username.encode()]

    def respond(self, challenge: bytes) -> bytes:
        if not self._answers:
            return super().respond(challenge)
        answer = self._answers.pop()
        self.proved = not self._answers
        return answer


class CramMd5(Mechanism):
    """RFC 2195 2: a keyed MD5 of what the server made up."""

    name = "CRAM-MD5"

    def __init__(self, username: str, password: str) -> None:
        super().__init__()
        plain(username, password)
        self._username, self._password = username.encode(), password.encode()

    def respond(self, challenge: bytes) -> bytes:
        if self.proved or not challenge:
            return super().respond(challenge)
        self.proved = True
        digest = hmac.digest(self._password, challenge, "md5").hex()
        return self._username + b" " + digest.encode()


class ScramSha256(Mechanism):
    """RFC 5802 and RFC 7677: neither side shows the password, and both prove that they know it."""

    name = "SCRAM-SHA-256"
    slow = True

    def __init__(self, username: str, password: str, nonce: str | None = None) -> None:
        super().__init__()
        plain(username, password)
        try:
            self._client = scramp.ScramClient([self.name], username, password, c_nonce=nonce)
            self._first = str(self._client.get_client_first()).encode()
        except (scramp.ScramException, ValueError):
            text = "the user name or password has characters that SCRAM does not allow"
            raise SaslError(text) from None
        self._confirmed = False

    def initial(self) -> bytes:
        return self._first

    def respond(self, challenge: bytes) -> bytes:
        text = challenge.decode("utf-8", "replace")
        try:
            if not self.proved:
                _check_iterations(text)
                self._client.set_server_first(text)
                final = str(self._client.get_client_final()).encode()
                self.proved = True
                return final
            # RFC 5802 7: "e=invalid-proof"; the -ERR comes after our empty answer.
            if text.startswith("e="):
                self.explanation = text[2:102]
                return b""
            self._client.set_server_final(text)
        except (scramp.ScramException, ValueError, KeyError, IndexError) as error:
            if isinstance(error, SaslError):
                raise
            raise SaslError("the server's part of SCRAM is not right") from None
        self._confirmed = True
        return b""

    def confirm(self) -> None:
        # RFC 5802 5: a server that cannot sign does not know the password: it is another one.
        if not self._confirmed:
            raise SaslError("the server did not prove that it knows the password (SCRAM)")


class Bearer(Mechanism):
    """What XOAUTH2 and OAUTHBEARER share: one message with the access token, and a failure that
    is told as JSON in a challenge: {"status":"invalid_token",...}."""

    _last = b""  # what answers that challenge

    def __init__(self, message: str, token: str) -> None:
        super().__init__()
        if not token or not all(" " < each <= "~" for each in token):
            raise SaslError("this is no access token: it is empty or holds odd characters")
        self._message = message.encode()

    def initial(self) -> bytes:
        self.proved = True
        return self._message

    def respond(self, challenge: bytes) -> bytes:
        if self.explanation:
            return super().respond(challenge)
        self.explanation = _failure(challenge)
        return self._last


class XOAuth2(Bearer):
    """XOAUTH2, Google's forerunner of OAUTHBEARER; an empty line answers the failure."""

    name = "XOAUTH2"

    def __init__(self, username: str, token: str) -> None:
        _check_bearer_name(username)
        super().__init__(f"user={username}\x01auth=Bearer {token}\x01\x01", token)


class OAuthBearer(Bearer):
    """RFC 7628 3.1; a lone ^A answers the failure (RFC 7628 3.2.3)."""

    name = "OAUTHBEARER"
    _last = b"\x01"

    def __init__(self, username: str, token: str, host: str, port: int) -> None:
        _check_bearer_name(username)
        # RFC 5801 4: "," and "=" of a name are escaped in the gs2-header.
        name = username.replace("=", "=3D").replace(",", "=2C")
        start = f"n,a={name},\x01host={host}\x01port={port}"
        super().__init__(f"{start}\x01auth=Bearer {token}\x01\x01", token)


def plain(username: str, password: str, authorize_as: str = "") -> bytes:
    """RFC 4616 2: [authzid] NUL authcid NUL passwd, in UTF-8, no base64.

    Raises SaslError for a NUL in any of them, an empty user name or an empty password.
    """
    if "\0" in username or "\0" in password or "\0" in authorize_as:
        raise SaslError("a user name or password with a NUL cannot be sent")
    if not username or not password:
        raise SaslError("a user name and a password are needed")
    return f"{authorize_as}\0{username}\0{password}".encode()


def prepare(text: str) -> str:
    """SASLprep (RFC 4013) of a password, as APOP needs it (RFC 6856 2.2). Raises SaslError."""
    if text.isascii():
        return text
    try:
        return str(saslprep(text))
    except (scramp.ScramException, ValueError):
        raise SaslError("the password has characters that SASLprep does not allow") from None


def encode(message: bytes) -> bytes:
    """A response as it goes on a line of POP3, IMAP or SMTP: base64 without line breaks."""
    return base64.b64encode(message)


def decode(line: bytes) -> bytes:
    """A challenge from its line. Raises SaslError: RFC 5034 4 lets nothing but base64 pass."""
    try:
        return base64.b64decode(line.strip(b" "), validate=True)
    except binascii.Error:
        raise SaslError("the server's challenge is not base64") from None


def _check_iterations(server_first: str) -> None:
    found = [part[2:] for part in server_first.split(",") if part.startswith("i=")]
    digits = found[0] if found else ""
    if not digits.isascii() or not digits.isdigit() or len(digits) > 10:
        raise SaslError("the server's part of SCRAM is not right")
    if not _LEAST_ITERATIONS <= int(digits) <= limits.SCRAM_ITERATIONS:
        raise SaslError(
            f"the server wants {digits} SCRAM iterations; {_LEAST_ITERATIONS} to "
            f"{limits.SCRAM_ITERATIONS} are safe"
        )


def _check_bearer_name(username: str) -> None:
    if not username or any(each < " " for each in username):
        raise SaslError("the user name is empty or holds control characters")


def _failure(challenge: bytes) -> str:
    """The status of RFC 7628 3.2.2, such as "invalid_token"; XOAUTH2 has "401" there."""
    try:
        said = json.loads(challenge)
    except (ValueError, RecursionError):
        return "no reason given"
    status = said.get("status") if isinstance(said, dict) else None
    return str(status)[:100] if status is not None else "no reason given"
