"""What `import imap` and `migrate` share: the other server, its password, the journal."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.common import Exit, Failure

if TYPE_CHECKING:
    from bridge.model import Secret
    from bridge.transfer.imap_client import Server
    from bridge.transfer.journal import Journal


def server_of(url: str, ca_file: Path | None) -> Server:
    """Raises Failure."""
    from bridge.transfer.imap_client import Server

    try:
        return Server.of_url(url, ca_file)
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error)) from None


def password_of(path: Path | None, option: str) -> Secret:
    """What a secret file holds, or what a person types. Raises Failure, SecretError."""
    import getpass
    import sys

    from bridge.auth.secrets import read_secret
    from bridge.model import Secret

    if path is not None:
        return read_secret(path)
    if not sys.stdin.isatty():
        raise Failure(Exit.USAGE, f"name the file with the password of the server: {option} FILE")
    return Secret(getpass.getpass("Password of the server: "))


def journal_of(folder: Path, way: str, login: str, server: Server) -> Journal:
    """The journal of this way (`import`, `migrate`) between this login and this server."""
    from bridge.transfer.journal import Journal

    text = "\0".join((way, login, server.user, server.host, str(server.port)))
    name = hashlib.sha256(text.encode()).hexdigest()[:32]
    return Journal(folder / "moving" / f"{name}.jsonl")
