"""A dialogue played against a server that is not ours, which checks the file.

Rules: what RFC 3501 leaves to a server is not looked at: the order of the responses to a command
and of the data items of FETCH; RECENT, EXISTS, FLAGS, OK and FETCH of flags, which may come at any
time and stay away (5.2, 7); whether it refuses by NO or BAD and with which code; the case of INBOX.
Commands that it answers otherwise are excused by their tags, and each must really be.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence

from tests.support.imap_client import Place
from tests.support.transcript import Mismatch, Player, Step, Transcript, shown


class ForeignPlayer(Player):
    """Raises Mismatch for a line that goes wrong, and for an excuse that is not needed."""

    def __init__(self, transcript: Transcript, server: Place, excused: frozenset[str]) -> None:
        super().__init__(transcript, server)
        self.excused = excused
        self._differed: set[str] = set()

    async def play(self) -> None:
        await super().play()
        if needless := self.excused - self._differed:
            raise Mismatch(f"{self.transcript.path}: no excuse is needed for {needless}")

    def _together(self, group: list[Step], step: Step) -> bool:
        kinds = {group[0].kind, step.kind}
        return kinds <= {"S:", "U:"} and group[0].client == step.client and not ends(group[-1])

    def _level(self, parts: Sequence[str | bytes]) -> list[str | bytes]:
        return [leveled(str(super()._level([in_one(parts)])[0]))]

    def _may_come(self, heard: list[str | bytes]) -> bool:
        return free(heard)

    async def _hear(self, group: list[Step]) -> None:
        """Up to the answer, in any order."""
        client = self.clients[group[0].client]
        waiting = list(group)
        tag = str(group[-1].parts[0]).partition(" ")[0]
        while waiting:
            try:
                heard = await client.response()
            except (EOFError, asyncio.IncompleteReadError, ConnectionError, TimeoutError):
                left = [step for step in waiting if not free(list(step.parts))]
                if not left:
                    return
                raise self._mismatch(left[0], shown(list(left[0].parts)), "(no more)") from None
            for step in waiting:
                kept = self._matches(step, heard)
                if kept is not None:
                    self.names |= kept
                    waiting.remove(step)
                    if ends(step):
                        waiting = [each for each in waiting if not free(list(each.parts))]
                        if waiting and tag in self.excused:
                            self._differed.add(tag)
                            return
                        if waiting:
                            raise self._mismatch(
                                waiting[0], shown(list(waiting[0].parts)), shown(heard)
                            )
                    break
            else:
                if not free(heard):
                    if tag in self.excused:
                        self._differed.add(tag)
                        while not str(heard[0]).startswith(tag + " "):
                            heard = await client.response()
                        return
                    wanted = " or ".join(shown(list(step.parts)) for step in waiting)
                    raise self._mismatch(waiting[0], wanted, shown(heard))


def leveled(text: str) -> str:
    """Less what is a server's to choose: NO or BAD and the code (but for TRYCREATE, which RFC 3501
    wants), the case of INBOX, the order of the data items of FETCH."""
    refused = re.match(r"(\S+) (?:NO|BAD) (\[TRYCREATE\])?", text)
    if refused is not None and refused[1] != "*":
        return f"{refused[1]} NO {refused[2] or ''}~"
    text = re.sub(r"(?i)^(\* (?:STATUS|LIST|LSUB) .*?)\binbox\b", r"\1INBOX", text)
    found = re.fullmatch(r"(\* \d+ FETCH \()(.*)\)", text)
    if found is None:
        return text
    inside = re.sub(r"\[[^\]]*\]", lambda section: section[0].upper(), found[2])
    items = re.findall(
        r"[A-Z][A-Z0-9.]*(?:\[[^\]]*\](?:<\d+>)?)? (?:\([^()]*\)|\"[^\"]*\"|[^ ()]+)", inside
    )
    return found[1] + " ".join(sorted(items)) + ")" if " ".join(items) == inside else text


def in_one(parts: Sequence[str | bytes]) -> str:
    """A response in one text, its literals as digests."""
    return "".join(
        part if isinstance(part, str) else hashlib.sha256(part).hexdigest() for part in parts
    )


def ends(step: Step) -> bool:
    """Whether it is a tagged answer or a "+"."""
    return not str(step.parts[0]).startswith("* ")


def free(parts: list[str | bytes]) -> bool:
    """What a server may tell at any time, or leave out."""
    return bool(
        re.match(r"\* (\d+ (RECENT|EXISTS|FETCH \((UID \d+ )?FLAGS)|FLAGS |OK )", str(parts[0]))
    )
