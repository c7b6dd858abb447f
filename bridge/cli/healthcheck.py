"""`popbridge healthcheck`: is the daemon ready? For containers."""

from __future__ import annotations

from bridge.cli.common import ConfigOption, Exit, Failure


def healthcheck(config: ConfigOption = None) -> None:
    """Ends with 0 when IMAP listens and the database answers, else with 69.

    Whether every provider can be reached is no part of it: see `popbridge status`.
    """
    from bridge.cli.control import ask
    from bridge.web.status import status_of_json

    if not status_of_json(ask(config, "GET", "/status", seconds=5.0)).ready:
        raise Failure(Exit.UNAVAILABLE, "the daemon runs, but it is not ready; look at its log")
    print("ready")
