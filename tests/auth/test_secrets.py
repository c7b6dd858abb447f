"""A password command that does not end, and one that says too much."""

from __future__ import annotations

import pytest

from bridge import limits
from bridge.auth.secrets import SecretError, run_secret


def test_a_command_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECRET_COMMAND_SECONDS", 0.05)
    with pytest.raises(SecretError, match="password_command sleep took over 0 s"):
        run_secret(("sleep", "600"))


def test_the_longest_password() -> None:
    said = "x" * limits.PASSWORD
    assert run_secret(("echo", said)).reveal() == said
    with pytest.raises(SecretError, match="printed no password"):
        run_secret(("echo", said + "x"))
