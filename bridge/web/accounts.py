"""What the control socket does with accounts: try a new one, read the config again, pause.

    POST /accounts/try   {"account": {...as in the config}, "password": "..."}
    POST /accounts/pause?address=   POST /accounts/resume?address=   POST /reload

Rules: a password comes in a body, which no log shows, and is in no answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.auth.secrets import SecretError
from bridge.model import MaildropFacts, PollReport, Secret
from bridge.store.api import StoreError
from bridge.tls import CertificateError
from bridge.web.status import Json, report_json


class AccountControl(Protocol):
    """What the daemon answers and does."""

    async def pause(self, address: str, *, paused: bool) -> None:
        """Leaves an account alone, or takes it up again. Raises LookupError with a sentence."""
        ...

    async def try_account(
        self, account: Mapping[str, object], password: Secret | None
    ) -> MaildropFacts | PollReport:
        """Logs in with a new account by its first poll. Raises ValueError with a sentence."""
        ...

    async def reread(self) -> None:
        """Takes the config file anew. Raises an Exception whose text says why it did not."""
        ...


def account_routes(daemon: AccountControl) -> list[Route]:
    async def pause(request: Request) -> Response:
        address = request.query_params.get("address", "")
        paused = request.url.path.endswith("/pause")
        try:
            await daemon.pause(address, paused=paused)
        except LookupError as error:
            return _failed(error, 404)
        return _json({"address": address, "paused": paused})

    async def try_account(request: Request) -> Response:
        said = await request.json()
        password = said.get("password")
        try:
            found = await daemon.try_account(
                said["account"], Secret(password) if isinstance(password, str) else None
            )
        except (ValueError, StoreError, SecretError, CertificateError) as error:
            return _failed(error, 400)
        if isinstance(found, PollReport):
            return _json({"ok": False, "report": report_json(found)})
        return _json(
            {
                "ok": True,
                "messages": found.messages,
                "bytes": found.octets,
                "stable_ids": found.stable_ids,
            }
        )

    async def reload(_: Request) -> Response:
        try:
            await daemon.reread()
        except Exception as error:
            return _failed(error, 400)
        return _json({"reloaded": True})

    return [
        Route("/accounts/pause", pause, methods=["POST"]),
        Route("/accounts/resume", pause, methods=["POST"]),
        Route("/accounts/try", try_account, methods=["POST"]),
        Route("/reload", reload, methods=["POST"]),
    ]


def _failed(error: Exception, code: int) -> Response:
    return _json({"error": str(error.args[0] if error.args else error)}, code)


def _json(value: Json, code: int = 200) -> Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(json.dumps(value, indent=2) + "\n", code, headers, "application/json")
