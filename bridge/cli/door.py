"""The way of a command into the store: over the control socket of the daemon that runs, or, where
none runs, into a store that this command opens itself.

Rules: the daemon has the store while it runs. A command that opened it holds its lock to the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from bridge.cli import control
from bridge.cli.common import Exit, Failure
from bridge.config import Config, find, load
from bridge.imap.protocol.numbers import format_ranges
from bridge.model import Octets
from bridge.spool import Spool
from bridge.store.api import NoSuchMailbox, StoreError, StoreFull
from bridge.store.opening import open_store
from bridge.transfer import frames
from bridge.transfer.door import Door, Folder, Kept, LocalDoor, Offer, Outcome
from bridge.transfer.marks import Marks
from bridge.web import control_socket

_FETCH = 256  # UIDs of one request
_STEP = 256 * 1024


class Gone(StoreError):
    """The daemon ended meanwhile."""


class DaemonDoor:
    """`bridge.transfer.door.Door` of a daemon, over its control socket."""

    def __init__(self, path: Path, login: str, spool_dir: Path) -> None:
        self._path = path
        self._login = login
        self._spool_dir = spool_dir

    async def folders(self) -> Sequence[Folder]:
        said = cast(list[dict[str, Any]], await self._ask("GET", "/transfer/folders"))
        return [Folder(**each) for each in said]

    async def make(self, folders: Iterable[Folder]) -> None:
        wanted = [
            {"name": each.name, "special_use": each.special_use, "subscribed": each.subscribed}
            for each in folders
        ]
        await self._ask("POST", "/transfer/folders", [json.dumps(wanted).encode()])

    async def take(self, offers: Sequence[Offer], *, dry: bool = False) -> Sequence[Outcome]:
        said = await self._ask(
            "POST", "/transfer/messages", _framed(offers), dry="1" if dry else "0"
        )
        return [Outcome(word, why) for word, why in cast(list[Any], said)]

    async def entries(self, mailbox: str, after: int = 0) -> Sequence[Kept]:
        said = await self._ask("GET", "/transfer/entries", mailbox=mailbox, after=str(after))
        return [
            Kept(uid, bytes.fromhex(digest), size, Marks(flags, tuple(words), date))
            for uid, digest, size, flags, words, date in cast(list[Any], said)
        ]

    async def fetch(self, mailbox: str, uids: Sequence[int]) -> AsyncIterator[tuple[int, Octets]]:
        wanted = sorted(uids)
        for start in range(0, len(wanted), _FETCH):
            some = format_ranges(wanted[start : start + _FETCH]).decode()
            target = self._target("/transfer/messages", mailbox=mailbox, uids=some)
            connection = control.Connection(self._path, control.ANSWER_SECONDS)
            reader = frames.Frames(lambda: Spool(self._spool_dir))
            try:
                answer = await asyncio.to_thread(_asked, connection, target)
                if answer.status != http.client.OK:
                    _refused(answer.status, await asyncio.to_thread(answer.read))
                while piece := await asyncio.to_thread(_read, answer):
                    for said, sink in reader.feed(piece):
                        with contextlib.closing(sink):
                            yield int(str(said["uid"])), sink.finish()
                if not reader.is_whole:
                    raise Gone("the daemon went away; start it and run this again")
            finally:
                reader.close()
                connection.close()

    async def close(self) -> None: ...

    def _target(self, path: str, **query: str) -> str:
        return f"{path}?{urlencode({'login': self._login, **query})}"

    async def _ask(
        self, method: str, path: str, body: Iterable[bytes] | None = None, **query: str
    ) -> object:
        def work() -> object:
            connection = control.Connection(self._path, None)
            try:
                answer = _answer(connection, method, self._target(path, **query), body)
                said = answer.read()
            except (http.client.HTTPException, OSError) as error:
                raise _gone(error) from None
            finally:
                connection.close()
            if answer.status != http.client.OK:
                _refused(answer.status, said)
            return json.loads(said)

        return await asyncio.to_thread(work)


def _answer(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: Iterable[bytes] | None,
) -> http.client.HTTPResponse:
    connection.request(method, target, body=body, encode_chunked=body is not None, headers={})
    return connection.getresponse()


def _asked(connection: http.client.HTTPConnection, target: str) -> http.client.HTTPResponse:
    try:
        return _answer(connection, "GET", target, None)
    except (http.client.HTTPException, OSError) as error:
        raise _gone(error) from None


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read1(_STEP)
    except (http.client.HTTPException, OSError) as error:
        raise _gone(error) from None


def _gone(error: Exception) -> Gone:
    text = "the daemon went away; start it and run this again: what was moved is kept"
    return Gone(f"{text} ({type(error).__name__})")


def _refused(status: int, body: bytes) -> None:
    """Raises what the daemon's answer says."""
    try:
        text = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        text = f"the daemon answered {status}; look at its log"
    if status == http.client.NOT_FOUND:
        raise NoSuchMailbox(text)
    if status == http.client.INSUFFICIENT_STORAGE:
        raise StoreFull(text)
    raise StoreError(text)


def _framed(offers: Sequence[Offer]) -> Iterator[bytes]:
    for offer in offers:
        marks = offer.marks
        yield frames.head(
            len(offer.octets),
            mailbox=offer.mailbox,
            flags=marks.flags,
            keywords=list(marks.keywords),
            date=marks.date,
            if_absent=offer.if_absent,
        )
        for at in range(0, len(offer.octets), _STEP):
            yield offer.octets[at : at + _STEP]


@contextlib.asynccontextmanager
async def open_door(config: Path | None, login: str) -> AsyncIterator[tuple[Door, Path]]:
    """The door of a login of the config, and a folder for large messages on their way. Raises
    Failure, StoreError."""
    settings = load(find(config))
    known = [each.name for each in settings.logins]
    if login not in known:
        text = f"there is no login {login}; the config has {', '.join(known) or 'none'}"
        raise Failure(Exit.USAGE, text)
    if daemon_runs(settings):
        with tempfile.TemporaryDirectory(prefix="popbridge-") as spool_dir:
            path = settings.data_dir / control_socket.NAME
            yield DaemonDoor(path, login, Path(spool_dir)), Path(spool_dir)
        return
    store = await open_store(settings.data_dir, settings.database)
    try:
        found = await store.write(lambda tx: tx.ensure_login(login))
        yield LocalDoor(store, found.id, settings.data_dir), settings.data_dir
    finally:
        await store.close()


def daemon_runs(settings: Config) -> bool:
    """Whether a daemon answers on the control socket. Raises Failure where it is not ours."""
    path = settings.data_dir / control_socket.NAME
    try:
        control_socket.connected(path, control.ANSWER_SECONDS).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except PermissionError:
        text = f"{path} belongs to another user; run this as the one who runs the daemon"
        raise Failure(Exit.PERMISSION, text) from None
    return True
