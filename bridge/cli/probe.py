"""`popbridge probe HOST`: what a POP3 server says of itself; nobody logs in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.common import Exit, Failure, JsonOption, TlsWord

if TYPE_CHECKING:
    from bridge.pop3.client import Look
    from bridge.web.status import Json


def probe(
    server: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="Port 995 without one.")],
    security: Annotated[
        TlsWord | None, typer.Option(help="tls, unless the port is 110: then starttls.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a POP3 server announces: TLS, capabilities, how often it may be asked.

    Ends with 0, or 69 when it is not reached or no POP3 server.
    """
    import asyncio

    from bridge.model import Endpoint, Security
    from bridge.pop3.client import Pop3Session
    from bridge.pop3.errors import Pop3Error

    host, port = _place(server)
    chosen = Security(security or ("starttls" if port == 110 else "tls"))
    try:
        look = asyncio.run(Pop3Session.look(Endpoint(host, port, chosen, "")))
    except Pop3Error as error:
        raise Failure(Exit.UNAVAILABLE, f"{error}. {error.advice}") from None
    said = _json(host, port, chosen.value, look)
    if as_json:
        print(json.dumps(said, indent=2))
        return
    from bridge.logs import printable

    for key, value in said.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        if shown not in (None, ""):
            print(f"{key.replace('_', ' '):<20} {printable(str(shown))}")


def _place(server: str) -> tuple[str, int]:
    """`pop.gmx.net:995`, `[::1]:110`, `pop.gmx.net`. Raises Failure."""
    host, colon, port = server.rpartition(":")
    if not colon or server.endswith("]") or (":" in host and not host.startswith("[")):
        return server.strip("[]"), 995
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise Failure(Exit.USAGE, f"{port} is no port; write HOST:PORT, such as pop.gmx.net:995")
    return host.strip("[]"), int(port)


def _json(host: str, port: int, security: str, look: Look) -> dict[str, Json]:
    from bridge import tls
    from bridge.discovery.providers import of_host

    known, provider = look.capabilities, of_host(host)
    words = {
        "UIDL": known.uidl,
        "TOP": known.top,
        "USER": known.user,
        "PIPELINING": known.pipelining,
        "STLS": known.stls,
        "UTF8": known.utf8_user,
    }
    return {
        "server": f"{host}:{port}",
        "security": security,
        "tls": look.tls or None,
        "certificate_sha256": tls.fingerprint(look.certificate) if look.certificate else None,
        "greeting": look.greeting,
        "implementation": known.implementation or None,
        "capabilities": [word for word, there in words.items() if there] if known.known else None,
        "sasl": sorted(known.sasl),
        "login_delay": known.login_delay,
        "expire": known.expire,
        "provider": provider.name if provider is not None else None,
        "least_interval": provider.least_interval if provider is not None else None,
    }
