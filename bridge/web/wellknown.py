"""What mail programs ask a domain of one's own: autoconfig and Autodiscover, without a login.

    GET  https://autoconfig.home.example/mail/config-v1.1.xml
    GET  https://home.example/.well-known/autoconfig/mail/config-v1.1.xml
    POST https://autodiscover.home.example/autodiscover/autodiscover.xml

Rules: the name by which we are called says the domain, and it must be one that the config lists
(`web.hosts`) and that an account has; the answer tells servers and ports and names no account, for
anybody may ask. The POST changes nothing: it needs no Origin, and mail programs send none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bridge.profiles.settings import ClientSettings

AUTODISCOVER = "/autodiscover/autodiscover.xml"
_PREFIXES = ("autoconfig.", "autodiscover.")
Clients = Callable[[], Awaitable[Sequence[ClientSettings]]]


def wellknown_routes(clients: Clients) -> list[Route]:
    """`clients` has the settings of each account, as a device is told them."""

    async def settings_of(domain: str) -> ClientSettings | None:
        """Those of the first account of the domain, for any address of it."""
        for each in await clients():
            if each.address.rpartition("@")[2].lower() == domain:
                return each
        return None

    async def config(request: Request) -> Response:
        from bridge.profiles import autoconfig  # with its XML, once somebody asks: memory

        domain = _domain(request)
        found = await settings_of(domain)
        if found is None:
            return _nothing()
        anybody = autoconfig.ANY_ADDRESS
        own = found.imap.username == found.address
        told = replace(
            found,
            address=f"anybody@{domain}",
            name=domain,
            imap=replace(found.imap, username=anybody) if own else found.imap,
            smtp=replace(found.smtp, username=anybody),
        )
        return Response(autoconfig.autoconfig(told), media_type=autoconfig.CONTENT_TYPE)

    async def discover(request: Request) -> Response:
        from bridge.profiles import autodiscover

        try:
            address = autodiscover.requested_address(await request.body())
        except ValueError as error:
            return PlainTextResponse(f"This {error}.\n", 400)
        domain = _domain(request)
        found = await settings_of(domain)
        if found is None or address.rpartition("@")[2].lower() != domain:
            return _nothing()
        told = replace(
            found,
            address=address,
            name=address,
            imap=replace(found.imap, username=address),
            smtp=replace(found.smtp, username=address),
        )
        return Response(autodiscover.autodiscover(told), media_type=autodiscover.CONTENT_TYPE)

    return [
        Route("/mail/config-v1.1.xml", config, methods=["GET"]),
        Route("/.well-known/autoconfig/mail/config-v1.1.xml", config, methods=["GET"]),
        Route(AUTODISCOVER, discover, methods=["POST"]),
    ]


def _domain(request: Request) -> str:
    host = request.headers.get("host", "").partition(":")[0].lower().removesuffix(".")
    for prefix in _PREFIXES:
        host = host.removeprefix(prefix)
    return host


def _nothing() -> Response:
    return PlainTextResponse("No account here is of that domain.\n", 404)
