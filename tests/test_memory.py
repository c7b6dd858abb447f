"""What a daemon at rest takes: under 80 MB with three accounts over TLS and the page looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from bridge.web.status import Json
from tests.support.page import Browser
from tests.support.pop3_server import Pop3Server, authority
from tests.support.process import DaemonProcess, write_config

MOST_MB = 80
PASSWORD = "for the page"


def resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


async def test_an_idle_daemon_with_three_accounts(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(str(ca))
    messages = [(b"%d" % n, b"Subject: %d\r\n\r\nhello\r\n" % n) for n in range(100)]
    async with Pop3Server(messages, security="tls") as server:
        accounts: list[Mapping[str, Json]] = [
            {
                "address": f"{name}@example.org",
                "interval": "1h",
                "pop3": {
                    "host": server.host,
                    "port": server.port,
                    "username": server.username,
                    "password": server.password,
                    "ca_file": str(ca),
                },
            }
            for name in ("one", "two", "three")
        ]
        web = {"listen": "127.0.0.1:0", "password": PASSWORD}
        tls = {"listen": ["127.0.0.1:0"], "listen_tls": ["127.0.0.1:0"]}
        config = write_config(tmp_path, accounts, web=web, imap=tls)
        async with DaemonProcess(config) as daemon:
            line = await daemon.said(" listening ")
            await daemon.poll()
            page = re.search(r"page=http://127\.0\.0\.1:(\d+)", line)
            assert page is not None, line
            browser = Browser(int(page[1]), host="127.0.0.1")
            await browser.log_in(PASSWORD)
            assert "three@example.org" in (await browser.get("/")).body
            stored = json.loads((await browser.get("/status.json")).body)["accounts"]
            assert [each["stored"] for each in stored] == [100, 100, 100]
            used = resident_mb(daemon.pid)
            assert used < MOST_MB
