r"""Dialogues that read like the wire, with any number of clients, played against an IMAP server.

    # RFC 3501 6.3.11: the mailbox must exist
    @ message short                    what a file needs, before the first dialogue line
    | Subject: hi
    |
    | hello
    @ append INBOX short (\Seen) "17-Jul-1996 02:44:25 -0700"
    @ login 1 alice

    1 C: a1 APPEND nowhere {}          {} is the size of the literal that follows: {29}
    1 S: + ~
    1 C< short                         its octets, named ...
    1 C:                               (and the rest of that line)
    1 S: a1 NO [TRYCREATE] ~
    1 C: a2 FETCH 1 BODY.PEEK[TEXT]
    1 S: * 1 FETCH (BODY[TEXT] {}
    1 S| hello                         ... or line by line, each with its CRLF
    1 S: )
    1 S: a2 OK ~

Dialogue lines are CLIENT WHAT TEXT:

    C:  sent as a line. Lines in a row leave in one segment: pipelining. {alice}, {bob} and
        {password} (alice's) are what signs in at the server at hand.
    C>  sent as it stands, without CRLF; \r \n \0 \xff are octets, <A*9000> is 9,000 times A.
    S:  the next response. ~ is any text (~~ a tilde), {name} a token: the first time it is kept
        under that name, from then on (in C: too) it stands for what was kept.
    U:  the same, but responses of U: lines in a row may come in any order.
    C| C< S| S<   a literal, for the line above it that ends in {} (or {+}: RFC 7888); a last
        line that ends in \ has no CRLF.
    open close closed tls   connects without login, hangs up, expects the server to have hung
        up, does the TLS handshake.
    compress   from here on both sides deflate (RFC 4978).
    select examine   opens the mailbox TEXT; the answers are read away.

Directives: `login CLIENT NAME` (greeting and answers are read away), `append`, `message`,
`octets NAME SIZE` (a message of that size), `escaped NAME TEXT` (octets as in C>, without blanks),
`base64 NAME TEXT` (for {NAME}: octets as in C>, where {alice} and the like stand for themselves),
`limit NAME VALUE` (of bridge.limits), `remote` (nobody counts as being on this machine),
`needs WORD...` (see `Transcript.needs`), `quota 3KB MESSAGES`, `hide LOGIN CAPABILITY...`,
`rev2` (IMAP4rev2 is offered).

Nothing may come that is not expected: S: lines are all responses, in order, and at the end of
the file every client says NOOP and LOGOUT and must hear nothing but their own answers. The order
of flags in FLAGS (...) and PERMANENTFLAGS (...) is not looked at. Each response is read by a second
parser too (`tests.support.second_parser`). Every wait ends after `PATIENCE` seconds; what fails
names file and line, what was expected and what came.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import imap_client
from tests.support.imap_client import Place, Talk

_LINE = re.compile(
    r"(\w+) (C:|C>|C\||C<|S:|U:|S\||S<|open|closed|close|tls|compress|select|examine)(?: (.*))?"
)
_NAME = re.compile(r"\{([a-z]\w*)\}")
_REPEATED = re.compile(rb"<(.)\*(\d+)>", re.DOTALL)
_FLAGS = re.compile(r"(FLAGS \()([^()]*)(\))")


class Mismatch(AssertionError):
    """The server said something else; the text shows where and what."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a client does or hears. `parts` of a response are text, literal, text ...;
    of what is sent, octets."""

    line: int
    client: str
    kind: str
    parts: tuple[str | bytes, ...] = ()


@dataclass(slots=True)
class Transcript:
    """A file, taken apart. `needs` holds words that a server must offer: `popbridge` where the
    answers are ours alone (limits, texts)."""

    path: Path
    messages: dict[str, bytes] = field(default_factory=dict)
    appends: list[tuple[str, str, str]] = field(default_factory=list)  # mailbox, message, rest
    logins: list[tuple[str, str]] = field(default_factory=list)  # client, name
    encoded: dict[str, str] = field(default_factory=dict)  # name -> what is sent as base64
    limits: dict[str, float] = field(default_factory=dict)
    needs: set[str] = field(default_factory=set)
    remote: bool = False
    quota: tuple[str, int] | None = None  # storage as the config has it, messages
    hidden: dict[str, frozenset[str]] = field(default_factory=dict)  # capabilities by login
    rev2: bool = False  # whether IMAP4rev2 is offered
    steps: list[Step] = field(default_factory=list)


# --- reading a file ---------------------------------------------------------------------


def parse(path: Path) -> Transcript:
    """Raises ValueError with file and line for what is not in the language."""
    found = Transcript(path)
    lines = list(enumerate(path.read_text("utf-8").split("\n"), 1))
    at = 0
    while at < len(lines):
        number, line = lines[at]
        at += 1
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("@ message "):
            body = []
            while at < len(lines) and lines[at][1].startswith("|"):
                body.append(lines[at][1][2:])
                at += 1
            found.messages[line.split()[2]] = _octets(body)
        elif line.startswith("@ "):
            _directive(found, line[2:].split(), f"{path.name}:{number}")
        else:
            block, at = _block(lines, at, line)
            found.steps.append(_step(found, number, line, block))
    return found


def _directive(found: Transcript, words: list[str], where: str) -> None:
    match words:
        case ["login", client, name]:
            found.logins.append((client, name))
        case ["append", mailbox, message, *rest]:
            found.appends.append((mailbox, message, " ".join(rest)))
        case ["octets", name, size]:
            head = b"Subject: big\r\n\r\n"
            row = b"0123456789" * 7 + b"\r\n"
            found.messages[name] = (head + row * (int(size) // 72 + 1))[: int(size)]
        case ["escaped", name, text]:
            found.messages[name] = _unescaped(text)
        case ["base64", name, text]:
            found.encoded[name] = text
        case ["limit", name, value]:
            found.limits[name] = float(value) if "." in value else int(value)
        case ["needs", *words]:
            found.needs.update(words)
        case ["quota", storage, count]:
            found.quota = storage, int(count)
        case ["hide", name, *words]:
            found.hidden[name] = frozenset(words)
        case ["rev2"]:
            found.rev2 = True
        case ["remote"]:
            found.remote = True
        case _:
            raise ValueError(f"{where}: there is no directive {' '.join(words)!r}")


def _block(lines: list[tuple[int, str]], at: int, line: str) -> tuple[list[str], int]:
    """The lines of literals that belong to `line`: up to the end of the response or command."""
    block: list[str] = []
    client, what, _ = _split(line)
    if what not in ("S:", "U:", "C:") or not re.search(r"\{\+?\}$", line):
        return block, at
    side = "C" if what == "C:" else "S"
    look = at
    while look < len(lines):
        if not lines[look][1].strip() or lines[look][1].startswith("#"):
            look += 1
            continue
        who, kind, _ = _split(lines[look][1])
        if who == client and kind in (side + "|", side + "<"):
            block.append(lines[look][1])
            look += 1
        elif block or what != "C:":
            break
        else:
            look += 1  # "+ go on" of the server, or another client
    if what == "C:":
        return block, at
    # The rest of the response is its next line, which may announce another literal.
    if look < len(lines) and _split(lines[look][1])[1] in ("S:", "U:"):
        block.append(lines[look][1])
        more, look = _block(lines, look + 1, lines[look][1])
        block += more
    return block, look


def _split(line: str) -> tuple[str, str, str]:
    found = _LINE.fullmatch(line)
    return (found[1], found[2], found[3] or "") if found else ("", "", "")


def _step(found: Transcript, number: int, line: str, block: list[str]) -> Step:
    client, what, text = _split(line)
    if not what:
        raise ValueError(f"{found.path.name}:{number}: this is not in the language: {line}")
    if what in ("S:", "U:"):
        parts: list[str | bytes] = [text]
        for is_literal, octets, rest in _runs(found, block):
            if is_literal:
                head = str(parts[-1])
                parts[-1] = head[: head.rindex("{")] + f"{{{len(octets)}}}"
                parts.append(octets)
            else:
                parts.append(rest)
        return Step(number, client, what, tuple(parts))
    if what == "C:":
        for is_literal, octets, _ in _runs(found, block):
            if is_literal:
                plus = "+" if text.endswith("{+}") else ""
                text = text[: text.rindex("{")] + f"{{{len(octets)}{plus}}}"
        return Step(number, client, what, (text,))
    if what == "C>":
        octets = _unescaped(text)
        octets = _REPEATED.sub(lambda run: run[1] * int(run[2]), octets)
        return Step(number, client, "C>", (octets,))
    if what in ("C|", "C<", "select", "examine"):
        return Step(number, client, what, (text,))
    return Step(number, client, what)


def _runs(found: Transcript, block: list[str]) -> Iterator[tuple[bool, bytes, str]]:
    """Literals (True, octets, "") and texts (False, b"", text) of a block, in turn."""
    rows: list[str] = []
    for line in [*block, ""]:
        _, what, text = _split(line)
        if what[1:] == "|":
            rows.append(text)
            continue
        if rows:
            yield True, _octets(rows), ""
            rows = []
        if what[1:] == "<":
            yield True, found.messages[text], ""
        elif what:
            yield False, b"", text


def _unescaped(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def _octets(rows: list[str]) -> bytes:
    text = "\r\n".join(rows)
    text = text[:-1] if text.endswith("\\") else text + "\r\n"
    return text.encode("utf-8")


# --- playing it -------------------------------------------------------------------------


class Player:
    """Plays one transcript."""

    def __init__(self, transcript: Transcript, server: Place) -> None:
        self.transcript = transcript
        self.server = server
        self.clients: dict[str, Talk] = {}
        self.names = {name: user for name, (user, _) in server.users.items()}
        self.names["password"] = server.users["alice"][1]
        for name, text in transcript.encoded.items():
            octets = _unescaped(self._filled(text))
            self.names[name] = base64.b64encode(octets).decode()
        self._unsent: dict[str, bytes] = {}

    async def play(self) -> None:
        """Raises Mismatch at the first line that goes wrong."""
        try:
            await self._prepare()
            steps = self.transcript.steps
            at = 0
            while at < len(steps):
                group = [steps[at]]
                while at + len(group) < len(steps) and self._together(
                    group, steps[at + len(group)]
                ):
                    group.append(steps[at + len(group)])
                await self._do(group)
                at += len(group)
            await self._send_all()
            await self._finish()
        finally:
            for client in self.clients.values():
                client.close()

    def _together(self, group: list[Step], step: Step) -> bool:
        """Whether `step` may come in any order with those of `group`."""
        return group[0].kind == step.kind == "U:" and group[0].client == step.client

    async def _prepare(self) -> None:
        if self.transcript.appends:
            client = await self._login("alice")
            try:
                for mailbox, name, rest in self.transcript.appends:
                    octets = self.transcript.messages[name]
                    rest = rest + " " if rest else ""
                    line = f"zz APPEND {mailbox} {rest}{{{len(octets)}+}}\r\n".encode()
                    await client.send(line + octets + b"\r\n")
                    heard = await client.response()
                    assert str(heard[0]).startswith("zz OK"), heard
            finally:
                client.close()
        for number, name in self.transcript.logins:
            self.clients[number] = await self._login(name)

    async def _login(self, name: str) -> Talk:
        client = await self.server.connect()
        try:
            await client.response()
            user, password = self.server.users[name]
            heard = await client.command(f'zz LOGIN "{user}" "{password}"')
            assert str(heard[-1][0]).startswith("zz OK"), heard
        except BaseException:
            client.close()
            raise
        return client

    # --- steps --------------------------------------------------------------------------

    async def _do(self, group: list[Step]) -> None:
        step = group[0]
        match step.kind:
            case "C:":
                self._queue(step, (self._filled(str(step.parts[0])) + "\r\n").encode("utf-8"))
                return
            case "C>":
                self._queue(step, bytes(step.parts[0]))  # type: ignore[arg-type]  # never text
                return
            case "C|":
                text = str(step.parts[0])
                self._queue(step, _octets([text]))
                return
            case "C<":
                self._queue(step, self.transcript.messages[str(step.parts[0])])
                return
        await self._send_all()
        match step.kind:
            case "open":
                self.clients[step.client] = await self.server.connect()
            case "close":
                self.clients.pop(step.client).close()
            case "closed":
                await self._closed(step)
            case "tls":
                await self.clients[step.client].start_tls()
            case "compress":
                self.clients[step.client].compress()
            case "select" | "examine":
                command = f"zz {step.kind} {step.parts[0]!s}"
                heard = await self.clients[step.client].command(command)
                if not str(heard[-1][0]).startswith("zz OK"):
                    raise self._mismatch(step, "zz OK", shown(heard[-1]))
            case _:
                await self._hear(group)

    def _queue(self, step: Step, octets: bytes) -> None:
        self._unsent[step.client] = self._unsent.get(step.client, b"") + octets

    async def _send_all(self) -> None:
        waiting, self._unsent = self._unsent, {}
        for client, octets in waiting.items():
            await self.clients[client].send(octets)

    async def _closed(self, step: Step) -> None:
        client = self.clients.pop(step.client)
        try:
            heard = await client.response()
        except (EOFError, ConnectionError):
            return
        except TimeoutError:
            raise self._mismatch(step, "the server to hang up", "an open connection") from None
        finally:
            client.close()
        raise self._mismatch(step, "the server to hang up", shown(heard))

    async def _hear(self, group: list[Step]) -> None:
        client = self.clients[group[0].client]
        open_steps = list(group)
        for _ in group:
            wanted = " or ".join(shown(list(step.parts)) for step in open_steps)
            try:
                heard = await client.response()
            except (EOFError, asyncio.IncompleteReadError, ConnectionError):
                raise self._mismatch(open_steps[0], wanted, "(the server hung up)") from None
            except TimeoutError:
                raise self._mismatch(
                    open_steps[0], wanted, f"(nothing within {imap_client.PATIENCE:.0f} seconds)"
                ) from None
            for step in open_steps:
                kept = self._matches(step, heard)
                if kept is not None:
                    self.names |= kept
                    open_steps.remove(step)
                    break
            else:
                raise self._mismatch(open_steps[0], wanted, shown(heard))

    def _matches(self, step: Step, heard: list[str | bytes]) -> dict[str, str] | None:
        """The names that this response brings, or None when it is another one."""
        expected, heard = self._level(step.parts), self._level(heard)
        if len(heard) != len(expected):
            return None
        kept: dict[str, str] = {}
        for wanted, got in zip(expected, heard, strict=True):
            if isinstance(wanted, bytes) or isinstance(got, bytes):
                if wanted != got:
                    return None
                continue
            found = re.fullmatch(self._pattern(wanted, kept), got)
            if found is None:
                return None
            kept |= found.groupdict()
        return kept

    def _level(self, parts: Sequence[str | bytes]) -> list[str | bytes]:
        """A response, expected or heard, less what is not looked at."""
        return [_sorted_flags(part) if isinstance(part, str) else part for part in parts]

    def _pattern(self, text: str, kept: Mapping[str, str]) -> str:
        out = []
        seen: set[str] = set()
        for piece in re.split(r"(\{[a-z]\w*\}|~~?)", text):
            name = _NAME.fullmatch(piece)
            if piece == "~":
                out.append(".*")
            elif piece == "~~":
                out.append("~")
            elif name is None:
                out.append(re.escape(piece))
            elif name[1] in self.names or name[1] in kept:
                out.append(re.escape(self.names.get(name[1]) or kept[name[1]]))
            elif name[1] in seen:
                out.append(f"(?P={name[1]})")
            else:
                seen.add(name[1])
                out.append(f"(?P<{name[1]}>[^\\s()\\[\\]]+)")
        return "".join(out)

    def _filled(self, text: str) -> str:
        return _NAME.sub(lambda name: self.names[name[1]], text)

    async def _finish(self) -> None:
        """Nobody may have anything left to hear."""
        last = self.transcript.steps[-1]
        for number, client in self.clients.items():
            step = Step(last.line, number, "S:")
            try:
                for text in ("zz98 NOOP", "zz99 LOGOUT"):
                    for heard in await client.command(text):
                        if not (
                            re.match(r"zz9[89] OK|\* BYE", str(heard[0])) or self._may_come(heard)
                        ):
                            raise self._mismatch(step, "nothing more", shown(heard))
            except (EOFError, ConnectionError, TimeoutError) as error:
                raise self._mismatch(step, "NOOP and LOGOUT to work", repr(error)) from None

    def _may_come(self, heard: list[str | bytes]) -> bool:
        """Whether it may come though no line expects it."""
        return False

    def _mismatch(self, step: Step, wanted: str, got: str) -> Mismatch:
        where = f"{self.transcript.path}:{step.line}: client {step.client}"
        return Mismatch(f"{where}\n  expected: {wanted}\n  got:      {got}")


def _sorted_flags(text: str) -> str:
    return _FLAGS.sub(lambda found: found[1] + " ".join(sorted(found[2].split())) + found[3], text)


def shown(parts: list[str | bytes]) -> str:
    return "".join(
        part if isinstance(part, str) else f"\n{part[:2000].decode('utf-8', 'backslashreplace')}"
        for part in parts
    )
