"""The part of setup that logs in, and explains why it could not.

Rules: a refused password is asked for again by a person only, three times at most; what a provider
answers like a wrong password although it may be right is told as that.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bridge.arrival import Arrival, arrival
from bridge.auth.secrets import SecretError, read_secret
from bridge.cli.common import Exit, Failure
from bridge.cli.house import House
from bridge.cli.person import answer
from bridge.cli.talk import Talk
from bridge.cli.words import size
from bridge.discovery.address import Address
from bridge.discovery.find import Settings
from bridge.model import MaildropFacts, PollReport, Secret

_TRIES = 3


@dataclass(slots=True)
class LogIn:
    """Afterwards `password` is the one that worked; None after a sign-in by OAuth."""

    t: Talk
    settings: Settings
    password: Secret | None = None

    async def run(self, house: House, path: Path, address: Address) -> Arrival:
        """The account, once its login worked (or is to be tried on). Raises Failure."""
        oauth = await self._sign_in(path, address, house)
        new = arrival(path, address, self.settings, login=self.t.o.login, oauth=oauth)
        for turn in range(_TRIES):
            self.password = None if oauth is not None else await self._password(address)
            if not self.t.o.as_json:
                print(self.t.words.step("logging in"), end="", flush=True)
            found = await house.try_account(new.account, self.password)
            if not isinstance(found, PollReport):
                self._welcome(found, address)
                return new
            if await self._may_wait(found):
                return new
            await self._refused(found, last=turn == _TRIES - 1)
        raise AssertionError("the last refusal raises")

    async def _password(self, address: Address) -> Secret:
        file = self.t.o.password_file
        if file is not None and str(file) == "-":
            line = (await asyncio.to_thread(sys.stdin.readline)).rstrip("\r\n")
            return Secret(line)
        if file is not None:
            try:
                return await asyncio.to_thread(read_secret, file)
            except SecretError as error:
                raise Failure(Exit.USAGE, str(error)) from None
        if not self.t.interactive:
            raise Failure(Exit.USAGE, "say where the password is: --password-file FILE")
        return Secret(await answer(self.t.words("password", address=address), shown=False))

    def _welcome(self, found: MaildropFacts, address: Address) -> None:
        self.t.said |= {
            "messages": found.messages,
            "bytes": found.octets,
            "stable_ids": found.stable_ids,
        }
        self.t.say(
            "logged in",
            messages=f"{found.messages:,}",
            size=size(found.octets),
            ids=self.t.words("yes" if found.stable_ids else "no"),
        )
        self.t.say("kept")
        if not found.stable_ids and found.messages:
            self.t.say("no ids", messages=f"{found.messages:,}")
        self.t.say("inbox only", domain=address.domain)
        if self.settings.provider is None or not self.settings.provider.pop3_only:
            self.t.say("bring over")

    async def _may_wait(self, report: PollReport) -> bool:
        """A known provider that cannot be reached now: the account may be saved all the same."""
        if report.error_class != "connect" or self.settings.provider is None:
            return False
        self.t.line(report.error)
        if not await self.t.ask("save anyway", False):
            raise Failure(Exit.UNAVAILABLE, f"{report.error}. {self.t.words('not saved')}")
        self.t.said |= {"waiting": True, "error": report.error}
        self.t.say("unreachable")
        return True

    async def _refused(self, report: PollReport, *, last: bool) -> None:
        """Says why, and returns where a person wants to try again. Raises Failure otherwise."""
        self.t.line(
            f"{self.t.words('refused')}: {report.error}" if report.error_class == "auth" else ""
        )
        if report.error_class != "auth":
            code = Exit.TRY_LATER if report.error_class == "busy" else Exit.UNAVAILABLE
            raise Failure(code, f"{report.error}. {report.advice}")
        provider = self.settings.provider
        if "a login worked" in report.error:  # it did before: too soon, or switched off again
            raise Failure(Exit.TRY_LATER, f"{report.error}. {report.advice}")
        reasons = self._reasons()
        if provider is not None and provider.strict:
            minutes = provider.least_interval // 60
            after = time.strftime("%H:%M", time.localtime(time.time() + provider.least_interval))
            text = self.t.words("too soon", name=provider.name, minutes=minutes, time=after)
            raise Failure(Exit.PERMISSION, f"{report.error}. {reasons} {text}")
        self.t.line(reasons)
        if last or self.t.o.password_file is not None or not self.t.interactive:
            raise Failure(Exit.PERMISSION, f"{report.error}. {reasons} {self.t.words('not saved')}")
        if not await self.t.ask("again", True):
            raise Failure(Exit.PERMISSION, self.t.words("not saved"))

    def _reasons(self) -> str:
        provider, lang = self.settings.provider, self.t.words.language
        found = []
        if provider is not None and provider.switch_on is not None:
            found.append(self.t.words("reason off", url=_bracketed(provider.switch_on.url)))
        if provider is not None and provider.app_password is not None:
            text = provider.app_password
            found.append(self.t.words("reason app", text=text[lang], url=_bracketed(text.url)))
        if not found:
            found.append(self.t.words("reason user"))
        found.append(self.t.words("reason typo"))
        name = provider.name if provider is not None else self.settings.pop3.host
        head = self.t.words("reasons" if len(found) == 3 else "reasons short", name=name)
        return head + "  ".join(f"{number}) {each}" for number, each in enumerate(found, 1))

    async def _sign_in(
        self, path: Path, address: Address, house: House
    ) -> Mapping[str, str] | None:
        """The `oauth` section, after a sign-in by a code; None where a password is wanted."""
        if not self.settings.oauth and not self.t.o.oauth:
            return None
        provider = self.settings.provider
        kind = provider.oauth if provider is not None and provider.oauth else "google"
        name = provider.name if provider is not None else self.settings.pop3.host
        if self.t.o.client_id is None:
            raise Failure(Exit.USAGE, self.t.words("oauth", name=name, address=address))
        section = {"provider": kind, "client_id": self.t.o.client_id}
        if kind == "microsoft" and provider is not None and provider.id == "outlook":
            section["tenant"] = "consumers"
        await self._by_code(section, address)
        return section

    async def _by_code(self, section: Mapping[str, str], address: Address) -> None:
        from bridge.auth import oauth
        from bridge.auth.tokens import Grants
        from bridge.config import OAuthConfig

        client = OAuthConfig.model_validate(section).client
        if not client.provider.device:
            raise Failure(
                Exit.USAGE,
                f"{client.provider.name} has no sign-in by code for mail; write the account into "
                "the config, then: popbridge account login ADDRESS --browser",
            )
        try:
            code = await oauth.start_device(client)
            minutes = round(code.lifetime / 60)
            self.t.say("device code", uri=code.uri, code=code.user_code, minutes=minutes)
            tokens = await oauth.await_device(client, code)
        except oauth.OAuthError as error:
            late = Exit.PERMISSION if error.kind == "auth" else Exit.TRY_LATER
            raise Failure(late, f"{address}: {error}") from None
        await asyncio.to_thread(
            Grants(Path(str(self.t.said["data_dir"]))).sign_in, str(address), client, tokens
        )
        self.t.say("signed in")


def _bracketed(url: str) -> str:
    return f" ({url})" if url else ""
