"""`popbridge check`: every mistake of the config at once."""

from __future__ import annotations

import typer

from bridge.cli.common import ConfigOption, Exit


def check(config: ConfigOption = None) -> None:
    """Read the config and say every mistake in it: file:line:column key: what; what to write.

    Ends with 0 when there is none, else with 78. No server is asked, no password command run.
    """
    from bridge.config import ConfigError, find, load

    path = find(config)
    try:
        found = load(path)
    except ConfigError as error:
        print(error)
        raise typer.Exit(Exit.CONFIG) from None
    accounts, logins = len(found.accounts), len(found.logins)
    print(
        f"{path}: ok, {accounts} account{'s' * (accounts != 1)}, "
        f"{logins} login{'s' * (logins != 1)}, data in {found.data_dir}"
    )
