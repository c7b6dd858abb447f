"""What the control socket does with devices: list, add, revoke.

    GET /devices?login=   POST /devices?login=&name=   POST /devices/revoke?name=&login=

Rules: a new device's password is in the one answer that made it, and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.auth.devices import DeviceState
from bridge.model import Secret
from bridge.profiles.access import Access
from bridge.profiles.qr import thunderbird_qr
from bridge.profiles.settings import ClientSettings
from bridge.store.api import DeviceExists, StoreError, TooMany
from bridge.web.status import Json, iso


@dataclass(frozen=True, slots=True)
class NewDevice:
    """All that is needed to set a device up. `clients` has the settings for each account whose
    mail the login shows."""

    login: str
    name: str
    password: Secret
    access: Access
    clients: Sequence[ClientSettings] = ()

    @property
    def qr(self) -> str | None:
        """What the QR code for Thunderbird says, for the first account; None where it has no
        room for the address."""
        try:
            return thunderbird_qr(self.clients[0], self.password)
        except (IndexError, ValueError):
            return None


class DeviceControl(Protocol):
    """What the daemon answers and does."""

    async def devices(self, login: str | None) -> Sequence[DeviceState]:
        """Raises LookupError with a sentence when there is no such login."""
        ...

    async def add_device(self, login: str | None, name: str) -> NewDevice:
        """`login` may be None where there is one alone. Raises LookupError as `devices`,
        ValueError for a bad name, DeviceExists, TooMany."""
        ...

    async def revoke_device(self, name: str, login: str | None) -> DeviceState:
        """Raises LookupError when there is none of that name, or several."""
        ...


def device_json(state: DeviceState) -> dict[str, Json]:
    device = state.device
    return {
        "name": device.name,
        "login": device.login,
        "created": iso(device.created),
        "last_seen": iso(device.last_seen),
        "connections": state.connections,
    }


def new_device_json(made: NewDevice) -> dict[str, Json]:
    """The one place where the password is written."""
    access = made.access
    return {
        "login": made.login,
        "name": made.name,
        "password": made.password.reveal(),
        "imap": {"host": access.host, "port": access.port, "tls_port": access.tls_port},
        "hosts": list(access.hosts),
        "addresses": [each.address for each in made.clients],
        "certificate_sha256": access.certificate_sha256,
        "qr": made.qr,
    }


def device_routes(daemon: DeviceControl) -> list[Route]:
    async def devices(request: Request) -> Response:
        try:
            found = await daemon.devices(request.query_params.get("login"))
        except LookupError as error:
            return _failed(error, 404)
        return _json([device_json(each) for each in found])

    async def add(request: Request) -> Response:
        query = request.query_params
        try:
            made = await daemon.add_device(query.get("login"), query.get("name", ""))
        except LookupError as error:
            return _failed(error, 404)
        except (ValueError, DeviceExists, TooMany) as error:
            return _failed(error, 400)
        except StoreError as error:
            return _failed(error, 503)
        return _json(new_device_json(made))

    async def revoke(request: Request) -> Response:
        query = request.query_params
        try:
            gone = await daemon.revoke_device(query.get("name", ""), query.get("login"))
        except LookupError as error:
            return _failed(error, 404)
        except StoreError as error:
            return _failed(error, 503)
        return _json(device_json(gone))

    return [
        Route("/devices", devices, methods=["GET"]),
        Route("/devices", add, methods=["POST"]),
        Route("/devices/revoke", revoke, methods=["POST"]),
    ]


def _failed(error: Exception, code: int) -> Response:
    said: Mapping[str, Json] = {"error": str(error.args[0] if error.args else error)}
    return _json(said, code)


def _json(value: Json, code: int = 200) -> Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(json.dumps(value, indent=2) + "\n", code, headers, "application/json")
