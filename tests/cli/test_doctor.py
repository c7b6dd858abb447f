"""`popbridge doctor` and `popbridge probe`: a test for each finding, with its next step."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from bridge import config as config_module
from bridge.cli import findings as doctor
from bridge.cli.findings import Finding
from bridge.cli.main import main
from bridge.config import Config
from bridge.daemon import Daemon
from bridge.store.opening import DATABASE
from tests.cli.test_commands import run
from tests.support.other_net import OtherNet
from tests.support.pop3_server import Pop3Server


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def written(folder: Path, **keys: object) -> Path:
    path = folder / "config.yaml"
    path.touch(mode=0o600)
    content: dict[str, object] = {
        "data_dir": str(folder / "data"),
        "imap": {"listen": ["127.0.0.1:0"], "listen_tls": ["127.0.0.1:0"]},
        "web": {"listen": None},
        "accounts": [],
    }
    path.write_text(json.dumps(content | keys))
    return path


def settings(folder: Path, **keys: object) -> Config:
    return config_module.load(written(folder, **keys))


def account(host: str, port: int, **more: object) -> dict[str, object]:
    pop3: dict[str, object] = {"host": host, "port": str(port), "username": "u", "password": "p"}
    return {"address": "me@x.test", "pop3": pop3 | more}


def login() -> list[Mapping[str, str]]:
    return [{"name": "me@x.test"}]


@pytest.fixture
def net(tmp_path: Path) -> Iterator[OtherNet]:
    with OtherNet(tmp_path, ("v1.ispdb.net",)) as running:
        yield running


# --- the whole --------------------------------------------------------------------------


def test_all_of_it_without_a_daemon(
    tmp_path: Path, net: OtherNet, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setenv("POPBRIDGE_NET", str(net.file))
    monkeypatch.setattr(doctor, "_SQLITE", (3, 0, 0))
    path = written(tmp_path)
    code, out, _ = run(capsys, "doctor", "--config", str(path))
    assert code == 0
    assert "ok  daemon       is not running\n" in out
    assert "ok  clock        is right\n" in out
    code, out, _ = run(capsys, "doctor", "--offline", "--json", "--config", str(path))
    found = json.loads(out)
    assert code == 0
    assert {each["topic"] for each in found} >= {"SQLite", "disk", "certificate", "clock"}
    assert all(each["ok"] for each in found)


def test_a_config_that_is_broken_and_a_secret_that_others_can_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x\n")
    secret.chmod(0o644)
    pop3 = {"host": "h", "username": "u", "password_file": str(secret)}
    path = written(tmp_path, accounts=[{"address": "me@x.test", "pop3": pop3}], databse="sqlite")
    code, out, _ = run(capsys, "doctor", "--json", "--config", str(path))
    assert code == 1
    found = [each for each in json.loads(out) if each["topic"] == "config"]
    said = "".join(each["said"] for each in found)
    assert "databse: is not known" in said
    assert "can be read by others (mode 0644)" in said
    assert f"chmod 600 {secret}" in [each["next_step"] for each in found]


async def test_beside_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with Pop3Server([(b"u1", b"A: 1\r\n\r\nb\r\n")], username="u", password="p") as server:
        there = account("127.0.0.1", server.port, security="none")
        path = written(tmp_path, accounts=[there], logins=login())
        async with Daemon(config_module.load(path)) as daemon:
            await daemon.poll(None)
            arguments = ["doctor", "--verify", "--offline", "--json", "--config", str(path)]
            capsys.readouterr()
            code = await asyncio.to_thread(main, arguments)
            out = capsys.readouterr().out
            found = json.loads(out[out.index("[\n") :])
    said = {each["topic"]: each["said"] for each in found}
    assert said["daemon"] == "is running"
    assert said["database"] == "is whole: every message and every count fits"
    assert said["account"] == "me@x.test: up to date"
    assert code == (0 if all(each["ok"] for each in found) else 1)


# --- one by one -------------------------------------------------------------------------


def is_bad(found: Finding, said: str, next_step: str) -> None:
    assert said in found.said
    assert next_step in found.next_step
    assert not found.is_well


def test_an_old_sqlite() -> None:
    is_bad(doctor.sqlite((3, 40, 1)), "version 3.40.1, older than 3.51.3", "take a newer Python")
    assert doctor.sqlite((3, 51, 3)) == Finding("SQLite", "version 3.51.3")


def test_what_others_can_read(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / DATABASE).touch(mode=0o600)
    (found,) = doctor.permissions(settings(tmp_path))
    assert found.is_well
    (data / DATABASE).chmod(0o640)
    (found,) = doctor.permissions(settings(tmp_path))
    is_bad(found, "can be read by others (mode 0640)", f"chmod 600 {data / DATABASE}")
    data.chmod(0o755)
    first, _ = doctor.permissions(settings(tmp_path))
    is_bad(first, f"{data} can be read by others", f"chmod 700 {data}")


def test_what_belongs_to_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (found,) = doctor.permissions(settings(tmp_path))
    is_bad(found, "cannot be used by user", "chown -R ")


def test_a_clock_that_went_back(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    now = time.time()
    assert doctor.clock_here(tmp_path, now).is_well
    is_bad(doctor.clock_here(tmp_path, now - 3600), "60 minutes behind the newest", "timedatectl")


async def test_a_clock_that_is_off(net: OtherNet) -> None:
    assert (await doctor.clock(net.net, time.time())).said == "is right"
    is_bad(await doctor.clock(net.net, time.time() + 3600), "60 minutes ahead", "timedatectl")
    is_bad(await doctor.clock(net.net, time.time() - 600), "10 minutes behind", "timedatectl")
    net.records["v1.ispdb.net", "A"] = ["127.0.0.9"]
    net.records["gone.test", "A"] = []
    found = await doctor.clock(net.net, time.time())
    assert found.is_well
    assert found.said.startswith("not compared with another one: not reached")


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        imap = {"listen": [f"127.0.0.1:{port}"], "listen_tls": ["192.0.2.77:1993"]}
        here = settings(tmp_path, imap=imap)
        first, second = doctor.ports(here, running=False)
        is_bad(first, f"127.0.0.1:{port} is taken by another program", "or write another port at")
        is_bad(second, "192.0.2.77:1993: EADDRNOTAVAIL", "write an address of this machine")
        assert all(each.is_well for each in doctor.ports(here, running=True))


def test_a_port_that_is_not_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.cli import ports

    monkeypatch.setattr(ports, "why_not", lambda host, port: "EACCES")
    here = settings(tmp_path, imap={"listen": ["127.0.0.1:143"], "listen_tls": []})
    (found,) = doctor.ports(here, running=False)
    is_bad(found, "may not be used by user", "write a port from 1024 on at imap.listen")


async def test_a_name_that_is_not_found(net: OtherNet) -> None:
    assert (await doctor.name(net.net, "pop.x.test")).is_well
    net.records["pop.x.test", "A"] = []
    found = await doctor.name(net.net, "pop.x.test")
    is_bad(found, "pop.x.test is not found: no such record", "check the spelling in the config")


def test_a_certificate_near_its_end(tmp_path: Path) -> None:
    here = settings(tmp_path)
    assert doctor.certificate(here, time.time()).said == "the first start makes one"

    async def start() -> None:
        async with Daemon(here):
            pass

    asyncio.run(start())
    assert doctor.certificate(here, time.time()).is_well
    soon = time.time() + 795 * 86400
    is_bad(doctor.certificate(here, soon), "in 5 days", "start the daemon again")
    is_bad(doctor.certificate(here, soon + 10 * 86400), "ended on ", "start the daemon again")
    leaf = trustme.CA().issue_cert("mail.x.test")
    files = {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    leaf.private_key_pem.write_to_path(files["key"])
    leaf.cert_chain_pems[0].write_to_path(files["cert"])
    Path(files["key"]).chmod(0o600)
    imap = {"listen": [], "listen_tls": [], "certificate": files}
    theirs = settings(tmp_path, imap=imap)
    is_bad(doctor.certificate(theirs, time.time() + 1e11), "ended on", f"renew {files['cert']}")
    Path(files["cert"]).write_text("no certificate")
    is_bad(doctor.certificate(theirs, time.time()), "no certificate in PEM", "in PEM form")


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "not" / "there"
    cases = ((10**12, 5 * 10**11, True), (10**12, 10**10, False), (10**9, 2 * 10**8, False))
    for total, free, well in cases:
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path, total=total, free=free: Usage(total, 0, free)
        )
        found = doctor.disk(missing)
        assert found.is_well == well
        if not well:
            is_bad(found, "nearly full: ", f"free some space on the disk of {tmp_path}")


async def test_a_database_that_is_damaged(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert doctor.database(data).said == "is not there yet"
    messages = [(b"u%d" % number, b"A: 1\r\n\r\n" + b"x" * 5000) for number in range(3)]
    async with Pop3Server(messages, username="u", password="p") as server:
        there = account("127.0.0.1", server.port, security="none")
        async with Daemon(settings(tmp_path, accounts=[there], logins=login())) as daemon:
            await daemon.poll(None)
    assert doctor.database(data).is_well
    file = data / DATABASE
    octets = file.read_bytes()
    at = octets.rindex(b"x" * 1000)
    file.write_bytes(octets[:at] + b"y" + octets[at + 1 :])
    found = doctor.database(data)
    is_bad(found, "the bytes of a message are those of its digest", "popbridge restore")
    file.write_bytes(octets[:8192] + b"\xff" * 4096 + octets[12288:])
    is_bad(doctor.database(data), "is damaged: ", "restore the last backup")
    file.write_bytes(b"no database at all" * 1000)
    is_bad(doctor.database(data), "it cannot be read: file is not a database", "restore")


async def test_providers(tmp_path: Path) -> None:
    async with Pop3Server([], extra_capabilities=[b"LOGIN-DELAY 900"]) as server:
        (there,) = settings(
            tmp_path, accounts=[account("127.0.0.1", server.port, security="none")], logins=login()
        ).accounts
        found = await doctor.provider(there)
        assert found.is_well
        assert found.said == (
            "me@x.test: 127.0.0.1 answers (no TLS, UIDL, PIPELINING, LOGIN-DELAY 900)"
        )
    is_bad(await doctor.provider(there), "cannot be reached", "Check host and port")
    async with Pop3Server([], extra_capabilities=[b"EXPIRE 0"]) as server:
        (there,) = settings(
            tmp_path, accounts=[account("127.0.0.1", server.port, security="none")], logins=login()
        ).accounts
        is_bad(await doctor.provider(there), "(EXPIRE 0)", "keep backups")


# --- probe ------------------------------------------------------------------------------


async def test_probe(capsys: pytest.CaptureFixture[str]) -> None:
    more = [b"LOGIN-DELAY 600", b"EXPIRE 60", b"IMPLEMENTATION Test 1.0"]
    async with Pop3Server([], extra_capabilities=more, sasl=[b"PLAIN"]) as server:
        where = ("probe", f"127.0.0.1:{server.port}", "--security", "none")
        assert await asyncio.to_thread(main, [*where, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert (said["login_delay"], said["expire"], said["sasl"]) == (600, 60, ["PLAIN"])
        assert said["implementation"] == "Test 1.0"
        assert {"UIDL", "TOP", "PIPELINING"} <= set(said["capabilities"])
        assert await asyncio.to_thread(main, list(where)) == 0
        assert "login delay          600\n" in capsys.readouterr().out
    assert await asyncio.to_thread(main, list(where)) == 69
    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("pop.gmx.net", ("pop.gmx.net", 995)),
        ("pop.gmx.net:110", ("pop.gmx.net", 110)),
        ("[::1]:110", ("::1", 110)),
        ("::1", ("::1", 995)),
    ],
)
def test_where_a_server_is(text: str, place: tuple[str, int]) -> None:
    from bridge.cli.probe import _place

    assert _place(text) == place


def test_a_port_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "probe", "pop.gmx.net:x")
    assert (code, err) == (
        64,
        "popbridge: x is no port; write HOST:PORT, such as pop.gmx.net:995\n",
    )
