"""`popbridge account`: add, list, pause, resume, remove, sign in, test.

Rules: what is in the config is changed there, with every other line left alone; stored mail and
the provider's copies are touched by none of these. Beside a daemon or without one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from bridge.cli.common import ConfigOption, Exit, Failure, JsonOption, complain, print_table
from bridge.cli.setup import setup

if TYPE_CHECKING:
    from bridge.auth.oauth import Client, Tokens
    from bridge.config import AccountConfig, Config
    from bridge.store.api import WriteTx
    from bridge.web.status import Json

Address: TypeAlias = Annotated[str, typer.Argument(help="The account, as in the config.")]
account = typer.Typer(
    help="Accounts: add, list, pause, resume, remove, login, test.", no_args_is_help=True
)
account.command("add")(setup)


@account.callback()
def _account() -> None:
    """Accounts: add, list, pause, resume, remove, login, test."""


@account.command("list")
def list_accounts(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The accounts of the config, and how each is."""
    from bridge.cli.control import ask
    from bridge.config import find, load
    from bridge.web.status import status_of_json

    settings = load(find(config))
    try:
        states = {
            each.account.address: each.state
            for each in status_of_json(ask(config, "GET", "/status")).accounts
        }
    except Failure as failure:
        if failure.code != Exit.UNAVAILABLE:
            raise
        states = {}
    found: list[dict[str, Json]] = [
        {
            "address": each.address,
            "host": each.pop3.host,
            "interval": each.interval,
            "login": each.login_name,
            "mailbox": each.mailbox,
            "state": states.get(each.address, "no daemon runs"),
        }
        for each in settings.accounts
    ]
    if as_json:
        print(json.dumps(found, indent=2))
    elif not found:
        print("there is no account yet; add one: popbridge setup ADDRESS")
    else:
        keys = ("address", "host", "login", "state")
        print_table(keys, [[str(each[key]) for key in keys] for each in found])


@account.command()
def pause(address: Address, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Leave an account alone until it is resumed, also over restarts; its mail stays readable."""
    _set_paused(config, address, paused=True, as_json=as_json)


@account.command()
def resume(address: Address, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Poll a paused account again."""
    _set_paused(config, address, paused=False, as_json=as_json)


def _set_paused(config: Path | None, address: str, *, paused: bool, as_json: bool) -> None:
    from bridge.cli.control import ask, target

    where = target(f"/accounts/{'pause' if paused else 'resume'}", address=address)
    try:
        ask(config, "POST", where)
    except Failure as failure:
        if failure.code != Exit.UNAVAILABLE:
            raise
        _without_daemon(config, address, paused)
    if as_json:
        print(json.dumps({"address": address, "paused": paused}))
    else:
        print(f"{address} is {'paused' if paused else 'polled again'}.")


def _without_daemon(config: Path | None, address: str, paused: bool) -> None:
    import asyncio

    from bridge.store.opening import open_store

    settings, found = _found(config, address)

    def work(tx: WriteTx) -> None:
        login = tx.ensure_login(found.login_name)
        tx.set_paused(tx.ensure_account(address, login.id, found.mailbox).id, paused)

    async def write() -> None:
        store = await open_store(settings.data_dir, settings.database)
        try:
            await store.write(work)
        finally:
            await store.close()

    asyncio.run(write())


@account.command()
def remove(
    address: Address,
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take an account out of the config. Its mail stays, here and at the provider."""
    import sys

    from bridge import arrival
    from bridge.cli.control import ask
    from bridge.config import find
    from bridge.config.edit import CannotEdit

    path = find(config)
    _found(config, address)
    if not yes:
        if not sys.stdin.isatty():
            raise Failure(Exit.USAGE, f"say --yes to take {address} out of {path}")
        if input(f"Take {address} out of {path}? [y/N] ").strip().lower() not in ("y", "yes"):
            raise Failure(Exit.USAGE, "nothing was changed")
    try:
        secret = arrival.drop(path, address)
    except CannotEdit as error:
        raise Failure(Exit.CONFIG, f"{path}: {error}") from None
    try:
        ask(config, "POST", "/reload")
    except Failure as failure:
        if failure.code != Exit.UNAVAILABLE:
            raise
    if as_json:
        said = {"address": address, "password_file": str(secret) if secret else None}
        print(json.dumps(said))
        return
    print(f"{address} is not polled any more. Its mail stays readable; the provider has it too.")
    if secret is not None:
        print(f"Its password is still in {secret}.")


@account.command("test")
def try_login(address: Address, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Log in at the provider with what is saved, and say what lies there.

    With a daemon this is a poll. Ends with 0, 69 (not reached), 75 (too soon) or 77 (refused).
    """
    from bridge.cli.control import ask, target
    from bridge.web.status import reports_of_json

    _found(config, address)
    try:
        said = ask(config, "POST", target("/poll", address=address), seconds=None)
    except Failure as failure:
        if failure.code != Exit.UNAVAILABLE:
            raise
        _show_test(address, _look_in(config, address), as_json)
        return
    (report,) = reports_of_json(said)
    if report.error:
        codes = {"auth": Exit.PERMISSION, "busy": Exit.TRY_LATER, "store": Exit.TRY_LATER}
        text = "; ".join(filter(None, (f"{address}: {report.error}", report.advice)))
        raise Failure(codes.get(report.error_class, Exit.UNAVAILABLE), text)
    _show_test(address, {"messages": report.listed}, as_json)


def _show_test(address: str, found: Mapping[str, Json], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"address": address, "ok": True, **found}))
    else:
        shown = ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in found.items())
        print(f"{address}: the login works; {shown}")


def _look_in(config: Path | None, address: str) -> Mapping[str, Json]:
    """One session that fetches nothing."""
    import asyncio

    from bridge.auth.tokens import AccessToken, Grants
    from bridge.pop3.client import Pop3Session
    from bridge.pop3.errors import Pop3Error
    from bridge.spool import Spool

    settings, found = _found(config, address)
    oauth = found.pop3.oauth

    async def look() -> Mapping[str, Json]:
        password = (
            AccessToken(Grants(settings.data_dir), address, oauth.client)
            if oauth is not None
            else await asyncio.to_thread(found.password)
        )
        session = await Pop3Session.open(
            found.endpoint, password, new_sink=lambda: Spool(settings.data_dir)
        )
        try:
            items = await session.listing()
            await session.quit()
        finally:
            await session.abort()
        octets = sum(item.size or 0 for item in items)
        stable = len({item.uidl for item in items if item.uidl is not None}) == len(items)
        return {"messages": len(items), "bytes": octets, "stable_ids": stable}

    try:
        return asyncio.run(look())
    except Pop3Error as error:
        codes = {"auth": Exit.PERMISSION, "busy": Exit.TRY_LATER, "temporary": Exit.TRY_LATER}
        text = f"{address}: {error}. {error.advice}"
        raise Failure(codes.get(error.kind, Exit.UNAVAILABLE), text) from None


def _found(config: Path | None, address: str) -> tuple[Config, AccountConfig]:
    from bridge.config import find, load

    settings = load(find(config))
    for each in settings.accounts:
        if each.address == address:
            return settings, each
    known = ", ".join(each.address for each in settings.accounts) or "none"
    raise Failure(Exit.USAGE, f"there is no account {address}; the config has {known}")


@account.command()
def login(
    address: Address,
    config: ConfigOption = None,
    browser: Annotated[
        bool,
        typer.Option("--browser", help="In a browser on this machine, not by a code elsewhere."),
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            help="Where the browser comes back to, for a tunnel: ssh -L PORT:127.0.0.1:PORT.",
            show_default="a free one",
        ),
    ] = 0,
) -> None:
    """Sign in for an account that logs in by OAuth (pop3.oauth); the daemon may run meanwhile.

    What the provider gives is kept encrypted in data_dir, and renewed by the daemon from then on.
    """
    import asyncio

    from bridge.auth.oauth import OAuthError
    from bridge.auth.tokens import Grants

    settings, found = _found(config, address)
    if found.pop3.oauth is None:
        text = f"{address} logs in with a password; for OAuth write pop3.oauth in the config"
        raise Failure(Exit.CONFIG, text)
    client = found.pop3.oauth.client
    by_browser = browser or not client.provider.device
    if by_browser and not client.provider.authorization:
        raise Failure(
            Exit.USAGE, "this provider has no sign-in for a browser; go without --browser"
        )
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        tokens = asyncio.run(_by_browser(client, port) if by_browser else _by_device(client))
    except OAuthError as error:
        code = Exit.PERMISSION if error.kind == "auth" else Exit.TRY_LATER
        raise Failure(code, f"no sign-in for {address}: {error}") from None
    if not tokens.refresh.reveal():
        complain(f"{client.provider.name} gave no refresh token: this sign-in will not last")
    Grants(settings.data_dir).sign_in(address, client, tokens)
    print(f"Signed in; kept for {address}.")
    _poll(address, config)


async def _by_device(client: Client) -> Tokens:
    """RFC 8628: a code, to be entered on any device."""
    from bridge.auth import oauth

    code = await oauth.start_device(client)
    print(f"Open {code.uri} on any device and enter this code:\n\n    {code.user_code}\n")
    print(f"Waiting, up to {code.lifetime / 60:.0f} minutes ...", flush=True)
    return await oauth.await_device(client, code)


async def _by_browser(client: Client, port: int) -> Tokens:
    """RFC 8252: the browser comes back to this machine."""
    from bridge.auth import oauth
    from bridge.auth.redirect import Redirect

    async with Redirect(client.provider.redirect_host, port) as redirect:
        authorization = oauth.authorize(client, redirect.uri)
        print(f"Open this page in a browser on this machine:\n\n    {authorization.url}\n")
        tunnel = f"ssh -L {redirect.port}:127.0.0.1:{redirect.port}"
        print(f"(From another machine: {tunnel}, then open it there.) Waiting ...", flush=True)
        code = await redirect.code(authorization.state)
        return await oauth.exchange(client, authorization, code)


def _poll(address: str, config: ConfigOption) -> None:
    """Asks a daemon that runs to use it at once."""
    from bridge.cli.control import ask, target
    from bridge.web.status import reports_of_json

    try:
        reports = reports_of_json(ask(config, "POST", target("/poll", address=address)))
    except Failure as failure:
        if failure.code != Exit.UNAVAILABLE:
            complain(f"popbridge: {failure}")
        print("The daemon takes it at its next poll.")
        return
    for each in reports:
        if each.error:
            raise Failure(
                Exit.PERMISSION if each.error_class == "auth" else Exit.TRY_LATER,
                "; ".join(filter(None, (f"{address}: {each.error}", each.advice))),
            )
        print(f"The daemon polled {address}: {each.listed} listed, {each.new} new.")
