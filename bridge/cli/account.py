"""`popbridge account login`: a person signs in at the provider, and the daemon may poll again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.common import ConfigOption, Exit, Failure, complain

if TYPE_CHECKING:
    from bridge.auth.oauth import Client, Tokens

account = typer.Typer(help="One account: sign in.", no_args_is_help=True)


@account.callback()
def _account() -> None:
    """One account: sign in."""


@account.command()
def login(
    address: Annotated[str, typer.Argument(help="The account, as in the config.")],
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
    from bridge.auth.oauth import OAuthError
    from bridge.auth.tokens import Grants
    from bridge.config import find, load

    settings = load(find(config))
    found = next((each for each in settings.accounts if each.address == address), None)
    if found is None:
        known = ", ".join(each.address for each in settings.accounts)
        raise Failure(
            Exit.USAGE, f"there is no account {address}; the config has {known or 'none'}"
        )
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
