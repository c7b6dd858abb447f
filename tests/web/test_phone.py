"""The page for phones: TLS alone, for a while, once."""

from __future__ import annotations

import asyncio
import plistlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from bridge import limits
from bridge.model import Secret
from bridge.tls import ServerCertificate
from bridge.web.devices import NewDevice
from bridge.web.phone import PhonePages
from bridge.web.seams import DeskError
from tests.support.control import PASSWORD, FakeDevices
from tests.support.page import ME, Browser

Opened = Callable[[str], Awaitable[tuple[Browser, str]]]


@pytest.fixture
def certificate(tmp_path: Path) -> ServerCertificate:
    return ServerCertificate.auto(tmp_path)


@pytest.fixture
async def pages(certificate: ServerCertificate) -> AsyncIterator[PhonePages]:
    devices = FakeDevices()
    count = 0

    async def add_device(login: str, name: str) -> NewDevice:
        nonlocal count
        count += 1
        if name == "no":
            raise DeskError("there is one of that name already")
        made = await devices.add_device(login, name)
        return NewDevice(
            made.login, made.name, Secret(f"{PASSWORD}-{count}"), made.access, made.clients
        )

    opened = PhonePages(("127.0.0.1", 0), certificate.context, add_device, ca=certificate.ca)
    yield opened
    await opened.stop()


@pytest.fixture
def opened(pages: PhonePages, certificate: ServerCertificate) -> Opened:
    async def open_one(name: str) -> tuple[Browser, str]:
        path, port = await pages.open(ME, name)
        trusting = ssl.create_default_context(cafile=str(certificate.ca_pem_path))
        return Browser(port, host="127.0.0.1", context=trusting), path

    return open_one


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_three_buttons_and_one_device(opened: Opened) -> None:
    phone, path = await opened("Anna's phone")
    assert re.fullmatch(r"/phone/[a-z2-9]{10}", path)
    for _ in range(2):  # a preview looks, too
        answer = await phone.get(path)
        assert answer.code == 200
        assert re.findall(r'name="kind" value="(\w+)"', answer.body) == [
            "iphone",
            "android",
            "other",
        ]
        assert PASSWORD not in answer.body
    answer = await phone.post(path, kind="other")
    assert answer.code == 200
    assert answer.body.count(f"{PASSWORD}-1") == 1
    for line in ("192.168.1.20", "1993", ME, "4F:1C:A2"):
        assert line in answer.body
    for again in (await phone.post(path, kind="other"), await phone.get(path)):
        assert again.code == 410
        assert PASSWORD not in again.body


async def test_iphone(opened: Opened, certificate: ServerCertificate) -> None:
    phone, path = await opened("iPhone")
    assert (await phone.get(f"{path}/popbridge.mobileconfig")).code == 410
    answer = await phone.post(path, kind="iphone")
    link = f"{path}/popbridge.mobileconfig"
    assert f'href="{link}"' in answer.body
    profile = await phone.get(link)
    assert profile.headers["content-type"] == "application/x-apple-aspen-config"
    mail, root = plistlib.loads(profile.body.encode())["PayloadContent"]
    assert mail["IncomingMailServerUsername"] == ME
    assert root["PayloadContent"] == certificate.ca
    assert PASSWORD not in profile.body


async def test_thunderbird(opened: Opened) -> None:
    phone, path = await opened("Pixel")
    assert "<svg" in (await phone.post(path, kind="android")).body


async def test_each_has_its_own_password(opened: Opened) -> None:
    one, path = await opened("one")
    two, other = await opened("two")
    assert one.port == two.port
    assert f"{PASSWORD}-1" in (await one.post(path, kind="other")).body
    assert f"{PASSWORD}-2" in (await two.post(other, kind="other")).body


async def test_plain_http_gets_nothing(opened: Opened) -> None:
    phone, path = await opened("phone")
    plain = Browser(phone.port, host="127.0.0.1")
    request = f"GET {path} HTTP/1.1\r\nHost: {phone.authority}\r\n\r\n"
    assert b"HTTP/1.1" not in await plain.raw(request.encode())


async def test_it_listens_only_while_a_code_is_open(opened: Opened, pages: PhonePages) -> None:
    phone, _ = await opened("phone")
    assert await listens(phone.port)
    await pages.stop()
    assert not await listens(phone.port)


async def test_it_ends_by_itself(
    opened: Opened, pages: PhonePages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PHONE_SECONDS", 0.05)
    phone, _ = await opened("phone")
    await asyncio.wait_for(pages.idle.wait(), 10)
    assert not await listens(phone.port)
    monkeypatch.setattr(limits, "PHONE_SECONDS", 60.0)
    again, path = await opened("phone")
    assert (await again.get(path)).code == 200


async def test_guessing_ends_it(
    opened: Opened, pages: PhonePages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PHONE_WRONG_CODES", 3)
    phone, path = await opened("phone")
    assert (await phone.get(path)).code == 200
    for _ in range(3):
        assert (await phone.get("/phone/aaaaaaaaaa")).code == 410
    await asyncio.wait_for(pages.idle.wait(), 10)
    assert not await listens(phone.port)


async def test_codes_are_capped(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PHONE_CODES", 1)
    await opened("one")
    with pytest.raises(DeskError, match="too many phones"):
        await opened("two")


async def test_it_is_guarded_as_the_page_is(opened: Opened) -> None:
    """W002, W003, W007, and nothing of the status page is here."""
    phone, path = await opened("phone")
    answer = await phone.ask("POST", path, "kind=other", Origin="https://attacker.example")
    assert answer.code == 403
    assert (await phone.get(path, Host="attacker.example")).code == 403
    for other in ("/", "/login", "/metrics", "/phone/", "/static/..%2fphone.py", f"{path}/x"):
        assert (await phone.get(other)).code == 404
    answer = await phone.get(path)
    assert answer.code == 200  # nothing of this used it up
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'self'" in answer.headers["content-security-policy"]


async def test_two_that_press_at_once(opened: Opened) -> None:
    phone, path = await opened("phone")
    answers = await asyncio.gather(*(phone.post(path, kind="other") for _ in range(4)))
    assert sorted(each.code for each in answers) == [200, 410, 410, 410]


async def test_a_device_that_cannot_be_made(opened: Opened) -> None:
    phone, path = await opened("no")
    answer = await phone.post(path, kind="other")
    assert answer.code == 422
    assert "there is one of that name already" in answer.body
    assert (await phone.post(path, kind="nonsense")).code == 410


async def test_a_port_that_is_taken(certificate: ServerCertificate) -> None:
    async def nobody(login: str, name: str) -> NewDevice:
        raise AssertionError

    server = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pages = PhonePages(("127.0.0.1", port), certificate.context, nobody)
    with pytest.raises(DeskError, match="cannot listen"):
        await pages.open(ME, "x")
    server.close()
    await server.wait_closed()
