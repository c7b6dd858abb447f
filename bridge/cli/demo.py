"""`popbridge demo`: the whole house on loopback, without a config and without an account."""

from __future__ import annotations

import json
import secrets
import shlex
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.common import Exit, Failure

if TYPE_CHECKING:
    import asyncio

    from bridge.daemon import Daemon

MESSAGES = 200
USER = "demo"


def demo(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where IMAP listens, with TLS; 0: a free port.")
    ] = 0,
) -> None:
    """Try it: a POP3 server with 200 messages, and an IMAP server that collects and shows them.

    Everything is on this machine alone, in a temporary folder that is removed at the end.
    """
    import asyncio

    from bridge import logs
    from bridge.daemon import loop_factory

    logs.configure(level="warning", stream=sys.stderr)
    with (
        tempfile.TemporaryDirectory(prefix="popbridge-demo-") as folder,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        runner.run(_demo(Path(folder), port))


async def _demo(folder: Path, port: int) -> None:
    import asyncio

    from bridge.cli.demo_maildrop import DemoMaildrop
    from bridge.cli.demo_messages import sample_messages
    from bridge.config import load
    from bridge.daemon import Daemon

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    password = secrets.token_hex(8)
    messages = sample_messages(MESSAGES, datetime.now(UTC))
    print(f"Starting a POP3 server with {MESSAGES} messages and collecting them ...", flush=True)
    async with DemoMaildrop(messages, USER, password) as maildrop:
        config = folder / "config.yaml"
        _write_config(config, port, maildrop.port, password)
        async with Daemon(load(config)) as daemon:
            if not await _collected(daemon, stop):
                return
            _print_settings(daemon, password, config)
            await stop.wait()
    print("\nStopped; the temporary folder is removed.")


def _write_config(path: Path, imap_port: int, pop3_port: int, password: str) -> None:
    """JSON is YAML."""
    settings = {
        "data_dir": str(path.parent / "data"),
        "imap": {"listen": ["127.0.0.1:0"], "listen_tls": [f"127.0.0.1:{imap_port}"]},
        "web": {"listen": None},
        "accounts": [
            {
                "address": USER,
                "interval": "30s",
                "pop3": {
                    "host": "127.0.0.1",
                    "port": pop3_port,
                    "security": "none",
                    "username": USER,
                    "password": password,
                },
            }
        ],
        "logins": [{"name": USER, "password": password}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(settings, indent=2))


async def _collected(daemon: Daemon, stop: asyncio.Event) -> bool:
    """Waits for the first poll; False when somebody ended the demo meanwhile."""
    import asyncio

    poll = asyncio.ensure_future(daemon.poll(None))
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait((poll, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not poll.done():
        poll.cancel()
        return False
    (report,) = poll.result()
    stored = (await daemon.status()).accounts[0].account.stored
    if report.error or stored != MESSAGES:
        text = report.error or f"{stored} of {MESSAGES} messages arrived"
        raise Failure(Exit.UNAVAILABLE, f"the demo failed: {text}")
    return True


def _print_settings(daemon: Daemon, password: str, config: Path) -> None:
    port = daemon.imap_tls_ports[0]
    authority = daemon.certificate.ca_pem_path
    url = f"imaps://localhost:{port}/INBOX;MAILINDEX=1"
    curl = ["curl", "--silent", "--cacert", str(authority), "--user", f"{USER}:{password}", url]
    # As it was called: in a virtual environment it may not be on the PATH.
    program = shlex.quote(sys.argv[0]) if Path(sys.argv[0]).name == "popbridge" else "popbridge"
    print(
        f"""
{MESSAGES} messages are here. In any mail program, on this machine:

  Server     localhost
  Port       {port} (IMAP, TLS) or {daemon.imap_ports[0]} (IMAP, STARTTLS)
  User       {USER}
  Password   {password}
  Authority  {authority}

Read the first message:

  {shlex.join(curl)}

Ask how it is, or let it poll again:

  {program} status --config {shlex.quote(str(config))}
  {program} poll --config {shlex.quote(str(config))}

Ctrl-C ends it, and nothing is kept.""",
        flush=True,
    )
