"""What the control socket answers to import, export, migrate and backup.

    GET  /transfer/folders?login=                POST /transfer/folders?login=   [{"name": ...}]
    GET  /transfer/entries?login=&mailbox=&after=
    GET  /transfer/messages?login=&mailbox=&uids=1:5,7     frames
    POST /transfer/messages?login=&dry=                    frames in, outcomes out
    POST /backup?file=                                     writes the file, says its size

Rules: as `bridge.web.server` has them; errors are JSON with one sentence: 404 for what is not
there, 507 when the disk is full, 503 for any other refusal of the store.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bridge.imap.protocol.errors import ParseError
from bridge.imap.protocol.numbers import NumberSet
from bridge.spool import Spool
from bridge.store.api import NoSuchMailbox, StoreError, StoreFull
from bridge.transfer.door import Folder, Kept, LocalDoor, Offer
from bridge.transfer.frames import BadFrame, Frames, head, marks_of

_UIDS = 100_000  # of one request


class Transfers(Protocol):
    """What the daemon gives."""

    async def door(self, login: str) -> LocalDoor:
        """Raises LookupError with a sentence when there is no such login."""
        ...

    def new_spool(self) -> Spool: ...

    async def backup(self, path: Path) -> int:
        """Writes a copy of the store; returns its octets. Raises StoreError."""
        ...


def transfer_routes(daemon: Transfers) -> list[Route]:
    async def folders(request: Request) -> Response:
        door = await _door(daemon, request)
        if request.method == "GET":
            return _json(
                [
                    {
                        "name": each.name,
                        "special_use": each.special_use,
                        "subscribed": each.subscribed,
                        "messages": each.messages,
                    }
                    for each in await door.folders()
                ]
            )
        said = await request.json()
        wanted = [
            Folder(str(each["name"]), each.get("special_use"), bool(each.get("subscribed")))
            for each in said
        ]
        await door.make(wanted)
        return _json([])

    async def entries(request: Request) -> Response:
        door = await _door(daemon, request)
        query = request.query_params
        found = await door.entries(query.get("mailbox", ""), int(query.get("after", "0")))
        # So many are a step too long for the event loop.
        text = await asyncio.to_thread(lambda: json.dumps([_kept(each) for each in found]))
        return Response(text, media_type="application/json")

    async def messages(request: Request) -> Response:
        door = await _door(daemon, request)
        query = request.query_params
        if request.method == "GET":
            ranges = NumberSet.parse(query.get("uids", "").encode()).ranges(0)
            if sum(high - low + 1 for low, high in ranges) > _UIDS:
                raise BadFrame("too many UIDs at once")
            uids = [uid for low, high in ranges for uid in range(low, high + 1)]
            return StreamingResponse(_sent(door, query.get("mailbox", ""), uids))
        return await _taken(request, daemon, door, dry=query.get("dry") == "1")

    async def backup(request: Request) -> Response:
        path = Path(request.query_params.get("file", ""))
        if not path.is_absolute():
            raise BadFrame("a backup wants an absolute path")
        return _json({"octets": await daemon.backup(path)})

    return [
        Route("/transfer/folders", _answered(folders), methods=["GET", "POST"]),
        Route("/transfer/entries", _answered(entries), methods=["GET"]),
        Route("/transfer/messages", _answered(messages), methods=["GET", "POST"]),
        Route("/backup", _answered(backup), methods=["POST"]),
    ]


async def _door(daemon: Transfers, request: Request) -> LocalDoor:
    return await daemon.door(request.query_params.get("login", ""))


async def _taken(request: Request, daemon: Transfers, door: LocalDoor, *, dry: bool) -> Response:
    spools: list[Spool] = []

    def new_sink() -> Spool:
        spools.append(daemon.new_spool())
        return spools[-1]

    frames = Frames(new_sink)
    offers = []
    try:
        async for piece in request.stream():
            for said, sink in frames.feed(piece):
                octets = sink.finish()
                mailbox, if_absent = str(said.get("mailbox", "")), said.get("if_absent") is True
                offers.append(Offer(mailbox, octets, marks_of(said), if_absent))
        if not frames.is_whole:
            raise BadFrame("the last message is not whole")
        outcomes = await door.take(offers, dry=dry)
    finally:
        for spool in spools:
            spool.close()
    return _json([list(each) for each in outcomes])


async def _sent(door: LocalDoor, mailbox: str, uids: list[int]) -> AsyncIterator[bytes]:
    async for uid, octets in door.fetch(mailbox, uids):
        yield head(len(octets), uid=uid)
        for at in range(0, len(octets), 1024 * 1024):
            yield octets[at : at + 1024 * 1024]


def _kept(each: Kept) -> list[object]:
    marks = each.marks
    return [each.uid, each.digest.hex(), each.size, marks.flags, list(marks.keywords), marks.date]


def _answered(
    work: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Errors as answers."""

    async def answer(request: Request) -> Response:
        try:
            return await work(request)
        except (NoSuchMailbox, LookupError) as error:
            return _json({"error": str(error.args[0] if error.args else error)}, 404)
        except StoreFull as error:
            return _json({"error": str(error)}, 507)
        except (StoreError, OSError) as error:
            return _json({"error": str(error)}, 503)
        except (BadFrame, ParseError, ValueError) as error:
            return _json({"error": f"this is no request of ours: {error}"}, 400)

    return answer


def _json(value: object, code: int = 200) -> Response:
    return Response(json.dumps(value), code, media_type="application/json")
