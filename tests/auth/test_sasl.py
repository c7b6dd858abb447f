"""SASL encoders: text in, octets out."""

from __future__ import annotations

import pytest

from bridge.auth.sasl import encode, plain


def test_the_example_of_RFC_4616_4() -> None:
    assert plain("tim", "tanstaaftanstaaf") == b"\0tim\0tanstaaftanstaaf"
    assert plain("Kurt", "xipj3plmq", "Ursel") == b"Ursel\0Kurt\0xipj3plmq"


def test_RFC_5034_6_a_response_is_base64_on_one_line() -> None:
    assert encode(plain("test", "test", "test")) == b"dGVzdAB0ZXN0AHRlc3Q="
    assert b"\n" not in encode(b"x" * 1000)


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
