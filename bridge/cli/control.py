"""How the commands talk to the running daemon: HTTP over the socket in data_dir."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import cast
from urllib.parse import quote

from bridge.cli.common import Exit, Failure
from bridge.web import control_socket
from bridge.web.status import Json

ANSWER_SECONDS = 30.0


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("daemon")
        self._path = path
        self._seconds = timeout

    def connect(self) -> None:
        self.sock = control_socket.connected(self._path, self._seconds)


def ask(
    config: Path | None,
    method: str,
    target: str,
    *,
    body: Json = None,
    seconds: float | None = ANSWER_SECONDS,
) -> Json:
    """One request to the daemon of this config, and the JSON that it answers.

    Raises Failure: no daemon there, not ours to ask, gone meanwhile, or what it refused.
    """
    from bridge.config import find, load

    config_path = find(config)
    path = load(config_path).data_dir / control_socket.NAME
    connection = Connection(path, seconds)
    try:
        connection.request(method, target, None if body is None else json.dumps(body))
        response = connection.getresponse()
        said = cast(Json, json.loads(response.read()))
    except (FileNotFoundError, ConnectionRefusedError):
        text = f"no daemon is running on {path.parent}; start it: popbridge run --config "
        raise Failure(Exit.UNAVAILABLE, f"{text}{config_path}") from None
    except PermissionError:
        text = f"{path} belongs to another user; ask as the one who runs the daemon"
        raise Failure(Exit.PERMISSION, text) from None
    except TimeoutError:
        text = f"the daemon did not answer within {seconds:.0f} s; look at its log"
        raise Failure(Exit.TRY_LATER, text) from None
    except (http.client.HTTPException, OSError, ValueError) as error:
        text = f"the daemon went away before it answered ({type(error).__name__}); ask again"
        raise Failure(Exit.TRY_LATER, text) from None
    finally:
        connection.close()
    if response.status == http.client.OK:
        return said
    reason = said.get("error") if isinstance(said, dict) else None
    ours = (http.client.NOT_FOUND, http.client.BAD_REQUEST)
    code = Exit.USAGE if response.status in ours else Exit.TRY_LATER
    raise Failure(code, str(reason or f"the daemon answered {response.status}; look at its log"))


def target(path: str, **query: str | None) -> str:
    """`target("/poll", address="me@gmx.de")` -> `/poll?address=me%40gmx.de`."""
    pairs = [f"{key}={quote(value, safe='')}" for key, value in query.items() if value is not None]
    return "?".join([path, *(["&".join(pairs)] if pairs else [])])
