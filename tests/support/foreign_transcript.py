"""A dialogue played against a server that is not ours, which checks the file.

Rules: what the RFCs leave to a server is not looked at: the order of the responses to a command,
of the data items of FETCH, the attributes of LIST and the letters of ACL; whether a string is
quoted, a literal or a literal8; UID beside MODSEQ (RFC 7162 3.2.4); RECENT, EXISTS, FLAGS, OK and
FETCH of flags, which may come at any time and stay away (5.2, 7); whether it refuses by NO or BAD
and with which code; the case of INBOX.
Commands that it answers otherwise are excused by their tags, and each must really be.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence

from tests.support.imap_client import Place
from tests.support.transcript import Mismatch, Player, Step, Transcript, shown

_QUOTABLE = re.compile(rb'[^\x00-\x1f\x7f-\xff"\\~{}]*')  # in our dialogues ~ and {} mean something


_LITERAL8 = re.compile(r"~~?\{(?=\d+\}$)")  # RFC 3516 4.3; a dialogue writes ~~


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
    wants), the case of INBOX, the order of rights, attributes and data items."""
    refused = re.match(r"(\S+) (?:NO|BAD) (\[TRYCREATE\])?", text)
    if refused is not None and refused[1] != "*":
        return f"{refused[1]} NO {refused[2] or ''}~"
    text = re.sub(r"(?i)^(\* (?:STATUS|LIST|LSUB|MYRIGHTS) .*?)\binbox\b", r"\1INBOX", text)
    if listed := re.fullmatch(r"(\* (?:LIST|LSUB) \()([^()]*)(\).*)", text):
        rest = listed[3].replace('("CHILDINFO"', "(CHILDINFO")
        return listed[1] + " ".join(sorted(listed[2].split())) + rest
    if re.match(r"\* (?:ACL|MYRIGHTS) ", text):
        return re.sub(r"\S+$", lambda rights: "".join(sorted(rights[0])), text)
    found = re.fullmatch(r"(\* \d+ FETCH \()(.*)\)", text)
    if found is None:
        return text
    inside = re.sub(r"\[[^\]]*\]", lambda section: section[0].upper(), found[2])
    items = re.findall(
        r"[A-Z][A-Z0-9.]*(?:\[[^\]]*\](?:<\d+>)?)? (?:\([^()]*\)|\"[^\"]*\"|[^ ()]+)", inside
    )
    if " ".join(items) != inside:
        return text
    if any(item.startswith("MODSEQ ") for item in items):
        items = [item for item in items if not item.startswith("UID ")]
    return found[1] + " ".join(sorted(items)) + ")"


def in_one(parts: Sequence[str | bytes]) -> str:
    """A response in one text. Literals become quoted strings where they could be, else digests."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += _LITERAL8.sub("{", part)
        elif _QUOTABLE.fullmatch(part):
            text = text[: text.rindex("{")] + f'"{part.decode()}"'
        else:
            text += hashlib.sha256(part).hexdigest()
    return text


def ends(step: Step) -> bool:
    """Whether it is a tagged answer or a "+"."""
    return not str(step.parts[0]).startswith("* ")


def free(parts: list[str | bytes]) -> bool:
    """What a server may tell at any time, or leave out."""
    return bool(
        re.match(r"\* (\d+ (RECENT|EXISTS|FETCH \((UID \d+ )?FLAGS)|FLAGS |OK )", str(parts[0]))
    )
