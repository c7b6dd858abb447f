"""`popbridge backup` and `popbridge restore`: the whole store as one file, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.common import ConfigOption, Exit, Failure, JsonOption


def backup(
    file: Annotated[Path, typer.Argument(help="The new file; one that is there is not touched.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the whole store into one file, while the daemon goes on; with a daemon or without.

    It has all mail, flags and what is known of the providers' mail; config, passwords and
    certificates are in files of their own.
    """
    from bridge.cli.control import ask, target
    from bridge.cli.door import daemon_runs
    from bridge.config import find, load

    settings = load(find(config))
    path = file.absolute()
    if path.exists():
        raise Failure(Exit.USAGE, f"{path} is there already; name a new file")
    if daemon_runs(settings):
        ask(config, "POST", target("/backup", file=str(path)), seconds=None)
    else:
        import asyncio

        asyncio.run(_alone(settings.data_dir, settings.database, path))
    octets = path.stat().st_size
    if as_json:
        print(json.dumps({"file": str(path), "octets": octets}))
    else:
        print(f"{path}: {octets} octets. On another machine: popbridge restore {path.name}")


async def _alone(data_dir: Path, database: str, path: Path) -> None:
    from bridge.store.opening import open_store

    store = await open_store(data_dir, database)
    try:
        await store.backup(path)
    finally:
        await store.close()


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `popbridge backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Set a store that has mail aside; it is kept.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the store out of a backup, checked to its last octet; the daemon must not run.

    Nothing is downloaded again. Every mailbox gets a new UIDVALIDITY, so that a device that saw
    mail after the backup forgets its copy and reads anew.
    """
    from bridge.config import find, load
    from bridge.store.opening import restore_store

    settings = load(find(config))
    import asyncio

    messages = asyncio.run(restore_store(settings.data_dir, file, replace=replace))
    if as_json:
        print(json.dumps({"file": str(file), "messages": messages}))
    else:
        print(f"{messages} messages are back in {settings.data_dir}; start: popbridge run")
