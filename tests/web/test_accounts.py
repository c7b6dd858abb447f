"""Accounts over the control socket: what is tried, what came of it, and what could not be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bridge.auth.secrets import SecretError
from bridge.cli.control import Connection
from bridge.model import MaildropFacts, PollReport, Secret
from bridge.store.api import StoreFull
from bridge.web.server import WebServer
from tests.support.page import FakeControl

ITEM = {"address": "me@x.test", "pop3": {"host": "pop.x.test", "username": "me"}}


class Trying(FakeControl):
    """Gives, or raises, what the test wants."""

    def __init__(self, outcome: MaildropFacts | PollReport | Exception) -> None:
        super().__init__()
        self.outcome = outcome
        self.tried: list[tuple[Mapping[str, object], str | None]] = []

    async def try_account(
        self, account: Mapping[str, object], password: Secret | None
    ) -> MaildropFacts | PollReport:
        self.tried.append((account, password.reveal() if password is not None else None))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def asked(daemon: Trying, folder: Path, body: object) -> tuple[int, Any]:
    path = folder / "control.sock"
    server = WebServer(daemon, public=None, control=path)
    await server.start()

    def ask() -> tuple[int, Any]:
        connection = Connection(path, 5.0)
        connection.request("POST", "/accounts/try", json.dumps(body))
        answer = connection.getresponse()
        found = answer.status, json.loads(answer.read())
        connection.close()
        return found

    try:
        return await asyncio.to_thread(ask)
    finally:
        await server.stop()


async def test_what_lies_there(tmp_path: Path) -> None:
    daemon = Trying(MaildropFacts(3, 4711, True))
    body = {"account": ITEM, "password": "pässword"}
    assert await asked(daemon, tmp_path, body) == (
        200,
        {"ok": True, "messages": 3, "bytes": 4711, "stable_ids": True},
    )
    assert daemon.tried == [(ITEM, "pässword")]


async def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    daemon = Trying(PollReport("me@x.test", error="refused", error_class="auth", advice="look"))
    code, said = await asked(daemon, tmp_path, {"account": ITEM, "password": None})
    assert (code, said["ok"], said["report"]["error_class"]) == (200, False, "auth")
    assert daemon.tried == [(ITEM, None)]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("this is no account"),
        StoreFull("the disk is full"),
        SecretError("secrets/other cannot be read"),
    ],
)
async def test_why_it_could_not_be_tried(tmp_path: Path, error: Exception) -> None:
    body = {"account": ITEM, "password": "x"}
    assert await asked(Trying(error), tmp_path, body) == (400, {"error": str(error)})
