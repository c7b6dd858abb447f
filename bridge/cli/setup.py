"""`popbridge setup ADDRESS`: what may be said on the command line. `arriving` does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.common import ConfigOption, Failure, JsonOption, TlsWord


def setup(
    address: Annotated[str, typer.Argument(help="Your mail address, such as me@gmx.de.")],
    host: Annotated[
        str | None, typer.Option(help="The POP3 server, where it is not to be looked up.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Its port.")] = None,
    security: Annotated[TlsWord | None, typer.Option(help="Its TLS.")] = None,
    username: Annotated[str | None, typer.Option(help="The user name there.")] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help="A file with the password in one line; - reads standard input."),
    ] = None,
    oauth: Annotated[
        bool, typer.Option("--oauth", help="Sign in by a code instead of a password.")
    ] = False,
    client_id: Annotated[
        str | None, typer.Option(help="What you registered at the provider, for --oauth.")
    ] = None,
    login: Annotated[
        str | None, typer.Option(help="The IMAP login that shows the mail; else the address.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where mail is stored, in a new config.")
    ] = None,
    config: ConfigOption = None,
    device: Annotated[
        str, typer.Option(help="What to call the device that gets the first password.")
    ] = "first device",
    lang: Annotated[str | None, typer.Option(help="de or en; else that of your session.")] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask nobody in the net for the settings.")
    ] = False,
    no_start: Annotated[
        bool, typer.Option("--no-start", help="Do not go on serving, and install no service.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Say yes to every question.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Set up an account: find its server, log in, save it, and show what a phone must know.

    Ends with 0, or 64 (wrong usage), 69 (not found, not reached), 75 (too soon), 77 (refused).
    """
    import asyncio

    from bridge.cli.arriving import Setup
    from bridge.cli.talk import Options
    from bridge.model import Security

    tls = Security(security.value) if security is not None else None
    options = Options(
        address, host, port, tls, username, password_file, oauth, client_id, login, data_dir,
        config, device, lang, offline, not no_start, yes, as_json,
    )  # fmt: skip
    try:
        asyncio.run(Setup(options).run())
    except Failure as failure:
        if as_json:
            print(json.dumps({"error": str(failure), "code": int(failure.code)}, indent=2))
        raise
