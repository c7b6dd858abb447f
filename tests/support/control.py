"""A daemon's devices and pauses, for tests of who asks it: `class Fake(FakeDevices)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.auth.devices import DeviceState, find
from bridge.model import (
    Device,
    DeviceId,
    DeviceProof,
    MaildropFacts,
    PollReport,
    Secret,
    Security,
)
from bridge.profiles.access import Access
from bridge.profiles.settings import ClientSettings, MailServer
from bridge.store.api import DeviceExists
from bridge.web.devices import NewDevice
from bridge.web.page import Event
from tests.support.no_transfers import NoTransfers

PASSWORD = "k7qm2-x9hde-4tnfw-apz3b-8ycgrs"
PROOF = DeviceProof(bytes(32), bytes(32), bytes(32))


class FakeDevices(NoTransfers):
    """One login, me@gmx.de; every device gets the same password."""

    def __init__(self) -> None:
        self.device_list: list[Device] = []
        self.happened: list[Event] = []
        self.paused: set[str] = set()

    async def pause(self, address: str, *, paused: bool) -> None:
        if address == "nobody":
            raise LookupError("there is no account nobody; the config names the accounts")
        (self.paused.add if paused else self.paused.discard)(address)

    async def try_account(
        self, account: Mapping[str, object], password: Secret | None
    ) -> MaildropFacts | PollReport:
        raise ValueError("nothing is tried here")

    async def reread(self) -> None: ...

    def events(self) -> Sequence[Event]:
        return self.happened

    async def devices(self, login: str | None) -> Sequence[DeviceState]:
        if login not in (None, "me@gmx.de"):
            raise LookupError(f"there is no login {login}; the config has me@gmx.de")
        return [DeviceState(each) for each in self.device_list]

    async def add_device(self, login: str | None, name: str) -> NewDevice:
        await self.devices(login)
        if not name:
            raise ValueError("a device wants a name")
        if any(each.name == name for each in self.device_list):
            raise DeviceExists(f"me@gmx.de has a device named {name} already")
        made = Device(DeviceId(1), "me@gmx.de", name, 1_795_788_602, None, PROOF)
        self.device_list.append(made)
        reach = Access(("192.168.1.20", "homeserver.local"), 1143, 1993, "4F:1C:A2")
        imap = MailServer("192.168.1.20", 1993, Security.TLS, "me@gmx.de")
        smtp = MailServer("mail.gmx.net", 465, Security.TLS, "me@gmx.de")
        client = ClientSettings("me@gmx.de", imap, smtp)
        return NewDevice("me@gmx.de", name, Secret(PASSWORD), reach, (client,))

    async def revoke_device(self, name: str, login: str | None) -> DeviceState:
        found = find(self.device_list, name, login)
        self.device_list.remove(found)
        return DeviceState(found)
