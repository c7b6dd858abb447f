"""SASL mechanisms: challenges in, responses out; the examples of the RFCs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import limits
from bridge.auth import sasl
from bridge.auth.sasl import (
    CramMd5,
    Login,
    Mechanism,
    OAuthBearer,
    Plain,
    SaslError,
    ScramSha256,
    XOAuth2,
    decode,
    encode,
    plain,
    prepare,
)

MECHANISMS: dict[str, Callable[[str, str], Mechanism]] = {
    "PLAIN": Plain,
    "LOGIN": Login,
    "CRAM-MD5": CramMd5,
    "SCRAM-SHA-256": ScramSha256,
    "XOAUTH2": XOAuth2,
    "OAUTHBEARER": lambda user, token: OAuthBearer(user, token, "pop.example.org", 995),
}


def test_the_example_of_RFC_4616_4() -> None:
    assert plain("tim", "tanstaaftanstaaf") == b"\0tim\0tanstaaftanstaaf"
    assert plain("Kurt", "xipj3plmq", "Ursel") == b"Ursel\0Kurt\0xipj3plmq"


def test_the_example_of_RFC_2195_2() -> None:
    mechanism = CramMd5("tim", "tanstaaftanstaaf")
    assert mechanism.initial() is None
    response = mechanism.respond(b"<1896.697170952@postoffice.reston.mci.net>")
    assert response == b"tim b913a602c7eda7a495b4e6e7334d3890"


def test_the_example_of_RFC_7677_3() -> None:
    mechanism = ScramSha256("user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    assert mechanism.initial() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    response = mechanism.respond(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert response == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    with pytest.raises(SaslError):
        mechanism.confirm()
    assert mechanism.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""
    mechanism.confirm()


def test_the_example_of_RFC_7628_4_1() -> None:
    mechanism = OAuthBearer("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
                            "server.example.com", 143)  # fmt: skip
    assert encode(mechanism.initial() or b"") == (
        b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVy"
        b"IHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )


def test_RFC_5801_a_comma_in_a_name_is_escaped() -> None:
    assert (OAuthBearer("a,b=c", "t", "h", 1).initial() or b"").startswith(b"n,a=a=2Cb=3Dc,\x01")


def test_RFC_5034_6_a_response_is_base64_on_one_line() -> None:
    assert encode(plain("test", "test", "test")) == b"dGVzdAB0ZXN0AHRlc3Q="
    assert b"\n" not in encode(b"x" * 1000)
    assert decode(encode(b"x" * 1000)) == b"x" * 1000


@pytest.mark.parametrize("line", [b"***", b"YQ", b"YQ==YQ==", b"Y Q=", b"\xff"])
def test_RFC_5034_4_what_is_not_base64_is_refused(line: bytes) -> None:
    with pytest.raises(SaslError, match="base64"):
        decode(line)


def test_everything_is_UTF_8() -> None:
    assert plain("jürgen", "pässword€") == "\0jürgen\0pässword€".encode()


@pytest.mark.parametrize(
    ("username", "password", "authorize_as"),
    [
        ("a\0b", "hunter2", ""),
        ("u", "hunter2\0", ""),
        ("u", "hunter2", "a\0"),
        ("", "hunter2", ""),
        ("u", "", ""),
    ],
)
def test_what_would_break_the_message_is_refused_and_not_shown(
    username: str, password: str, authorize_as: str
) -> None:
    with pytest.raises(ValueError, match=r"needed|cannot be sent") as raised:
        plain(username, password, authorize_as)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize(
    ("username", "secret"), [("", "hunter2"), ("u", ""), ("u", "hunter2\0"), ("a\0b", "hunter2")]
)
def test_no_mechanism_takes_what_would_break_it(name: str, username: str, secret: str) -> None:
    with pytest.raises(SaslError) as raised:
        MECHANISMS[name](username, secret)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("name", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize(("user", "token"), [("u", "a\x01b"), ("u", "a b"), ("u\x01auth=", "t")])
def test_no_field_of_a_bearer_message_can_begin_another(name: str, user: str, token: str) -> None:
    with pytest.raises(SaslError):
        MECHANISMS[name](user, token)


@pytest.mark.parametrize("iterations", ["", "0", "4095", "1e9", "-1", "٤٠٩٦", "9" * 5000])
def test_iterations_that_are_unsafe_or_no_number(iterations: str) -> None:
    mechanism = ScramSha256("u", "p", nonce="n" * 20)
    mechanism.initial()
    with pytest.raises(SaslError):
        mechanism.respond(f"r={'n' * 20}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={iterations}".encode())
    assert not mechanism.proved


def test_the_most_iterations() -> None:
    mechanism = ScramSha256("u", "p", nonce="n" * 20)
    first = f"r={'n' * 20}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={limits.SCRAM_ITERATIONS}"
    assert mechanism.respond(first.encode()).startswith(b"c=biws")


@pytest.mark.parametrize(
    ("challenge", "status"),
    [
        (b'{"status":"invalid_token"}', "invalid_token"),
        (b'{"status":"400","schemes":"Bearer","scope":"x"}', "400"),
        (b"[" * 100_000, "no reason given"),
        (b"null", "no reason given"),
        (b"\xff", "no reason given"),
    ],
)
def test_what_a_refused_token_is_told(challenge: bytes, status: str) -> None:
    mechanism = OAuthBearer("u", "t", "h", 1)
    assert mechanism.respond(challenge) == b"\x01"
    assert mechanism.explanation == status
    with pytest.raises(SaslError):
        mechanism.respond(challenge)


def test_RFC_4013_3_prepared_passwords() -> None:
    assert [prepare(text) for text in ("user", "\u2168", "I\xadX")] == ["user", "IX", "IX"]
    with pytest.raises(SaslError):
        prepare("\u0627\u0031")
    with pytest.raises(SaslError):
        prepare("é\x07")


@settings(deadline=None)
@given(st.sampled_from(sorted(MECHANISMS)), st.lists(st.binary(max_size=60), max_size=6))
def test_a_server_can_only_be_answered_or_refused(name: str, challenges: list[bytes]) -> None:
    """Whatever it says, in whatever order: octets or SaslError, and after a few rounds the end."""
    mechanism = MECHANISMS[name]("user", "secret")
    mechanism.initial()
    answered = 0
    for challenge in challenges:
        try:
            assert isinstance(mechanism.respond(challenge), bytes)
        except SaslError:
            break
        answered += 1
    assert answered <= 2


def test_the_names_are_those_on_the_wire() -> None:
    assert {name: make("u", "p").name for name, make in MECHANISMS.items()} == {
        name: name for name in MECHANISMS
    }
    assert sasl.ScramSha256.slow
