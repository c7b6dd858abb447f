"""What the docs hand to a home server: units, compose file, alerts, image."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from bridge import config
from bridge.model import AccountState
from bridge.web.metrics import metrics
from bridge.web.page import Facts
from bridge.web.status import AccountStatus, Status, Storage
from tests.support.require import require

DOCS = Path(__file__).parents[1] / "docs"
UNITS = [("popbridge.service", 2.0), ("popbridge-user.service", 7.0)]


@pytest.mark.parametrize(("name", "most"), UNITS)
def test_a_unit_is_hardened(name: str, most: float) -> None:
    program = require("systemd-analyze")
    done = subprocess.run(
        [program, "security", "--offline=true", "--no-pager", DOCS / "systemd" / name],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= most
    comment = re.search(r'says "([\d.]+) ', (DOCS / "systemd" / name).read_text())
    assert comment is None or comment[1] == found[1]


def test_the_system_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    program = require("systemd-analyze")
    text = (DOCS / "systemd" / "popbridge.service").read_text()
    unit = tmp_path / "popbridge.service"
    unit.write_text(text.replace("/opt/popbridge/bin/popbridge", "/bin/true"))
    done = subprocess.run([program, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", [name for name, _ in UNITS])
def test_a_unit_speaks_of_what_the_daemon_does(name: str) -> None:
    text = (DOCS / "systemd" / name).read_text()
    assert "Type=notify" in text
    assert "RestartPreventExitStatus=64 78" in text  # usage and config: no use in trying again
    assert "ExecReload=/bin/kill -HUP $MAINPID" in text


def test_compose_drops_what_it_can() -> None:
    service = yaml.safe_load((DOCS / "docker-compose.yaml").read_text())["services"]["popbridge"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["user"] == "10001:10001"
    assert service["volumes"] == ["popbridge:/data"]


def test_the_image() -> None:
    text = (DOCS.parent / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(stages) == 2
    last = text.rpartition("\nFROM ")[2]
    assert "\nUSER 10001\n" in last
    assert "sqlite_version_info >= (3, 51, 3)" in last
    assert '"popbridge", "healthcheck"' in last
    assert "pip install" not in last


def named(text: str) -> Iterator[str]:
    yield from re.findall(r"\bpopbridge_\w+", text)


def test_alerts_ask_for_metrics_that_there_are() -> None:
    account = AccountStatus(AccountState("me@gmx.de"), "up to date")
    status = Status("1.0", 1, (), True, 0, (account,), (), Storage(1, 2))
    told = set(named(metrics(Facts(status, certificate_end=3), named=True).decode()))
    groups = yaml.safe_load((DOCS / "prometheus-alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) >= 5
    for rule in rules:
        asked = set(named(rule["expr"]))
        assert asked
        assert asked <= told, rule["alert"]
        assert rule["annotations"]["summary"]


def test_every_key_in_the_docs_is_one(tmp_path: Path) -> None:
    """The snippets of config in home-server.md, put beside an account, are taken."""
    text = (DOCS / "home-server.md").read_text()
    for name in ("page", "fullchain.pem", "privkey.pem"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text("x\n")
    snippets = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        path = tmp_path / "config.yaml"
        snippet = snippet.replace("/etc/popbridge/tls/", "").replace("secrets/page", "page")
        path.write_text(snippet + "accounts: []\n")
        config.load(path)


def test_links_lead_somewhere() -> None:
    for page in [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), (page.name, link)
