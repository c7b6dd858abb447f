"""Literals, lines, nestings and arguments that are too large or never end, over the wire.

Over 500 lines because each limit has its dialogue.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge import limits
from tests.imap.conftest import Play
from tests.support import figures
from tests.support.endpoint import PASSWORD, Core, Endpoint
from tests.support.imap_client import Client, Server
from tests.support.process import DaemonProcess, pop3_account, write_config

SIGNED_IN = """
    @ message short
    | Subject: hi
    |
    | hello
    @ append INBOX short
    @ login 1 alice
    1 select INBOX
"""
WELL = """
    1 C: z9 NOOP
    1 S: z9 OK ~
"""


@pytest.mark.case("I001")
async def test_sizes_of_literals_that_nobody_allocates(play: Play) -> None:
    """Where the octets wait for us they are refused; where they come anyway we hang up."""
    sizes = ("2147483648", "4294967295", "99999999999999999999")
    await play(
        "".join(
            f"""
    {number} open
    {number} S: * OK ~
    {number} C: a1 LOGIN {{{size}}}
    {number} S: a1 BAD ~
    {number} C: a2 LOGIN {{-1}}
    {number} S: a2 BAD ~
    {number} C: a3 LOGIN {{{size}+}}
    {number} S: a3 BAD ~
    {number} S: * BYE ~
    {number} closed
    """
            for number, size in enumerate(sizes)
        )
        + "@ login 9 alice"
    )


@pytest.mark.case("I004")
async def test_a_gigabyte_is_refused_before_it_comes(play: Play) -> None:
    await play(
        SIGNED_IN
        + """
    1 C: a1 APPEND INBOX {1073741824}
    1 S: a1 NO [TOOBIG] ~
    """
        + WELL
    )


@pytest.mark.case("I008")
@pytest.mark.parametrize(
    "keys",
    ["NOT " * 10_000 + "ALL", "OR ALL " * 5_000 + "ALL ALL", "(" * 10_000 + "ALL" + ")" * 10_000],
    ids=["NOT", "OR", "parentheses"],
)
async def test_keys_within_keys(play: Play, keys: str) -> None:
    await play(
        SIGNED_IN
        + f"""
    1 C: a1 SEARCH {keys}
    1 S: a1 BAD ~
    1 C: a2 SORT (DATE) UTF-8 {keys}
    1 S: a2 BAD ~
    """
        + WELL
    )


@pytest.mark.case("I009")
async def test_sections_and_fields_without_end(play: Play) -> None:
    await play(
        SIGNED_IN
        + f"""
    1 C: a1 FETCH 1 (BODY.PEEK[{".".join(["1"] * 10_000)}])
    1 S: a1 BAD ~
    1 C: a2 FETCH 1 BODY.PEEK[HEADER.FIELDS ({" ".join(["x"] * 30_000)})]
    1 S: a2 BAD ~
    """
        + WELL
        + f"""
    1 C: a3 FETCH 1 BODY.PEEK[HEADER.FIELDS ({" ".join(["x"] * 100_000)})]
    1 S: a3 BAD ~
    1 S: * BYE ~
    1 closed
    """
    )


@pytest.mark.case("I011")
async def test_octets_that_no_command_has(play: Play) -> None:
    """Nothing behind them is run: Sent is still there."""
    await play(
        SIGNED_IN
        + r"""
    1 C> a1 NO\0OP\r\n
    1 S: a1 BAD ~
    1 C> a2 NO\x80\xffOP\r\n
    1 S: a2 BAD ~
    1 C> a3 SELECT \xff\r\n
    1 S: a3 BAD ~
    1 C> a4 NOOP\ra5 DELETE Sent\r\n
    1 S: a4 BAD ~
    1 C> a6 NOOP\r\r\n
    1 S: a6 BAD ~
    1 C> a7 NOOP\na8 DELETE Sent\r\n
    1 S: a7 BAD ~
    1 C: a9 STATUS Sent (MESSAGES)
    1 S: * STATUS Sent (MESSAGES 0)
    1 S: a9 OK ~
    """
    )


@pytest.mark.case("I012")
async def test_quoted_strings_that_do_not_end(play: Play) -> None:
    await play(
        SIGNED_IN
        + r"""
    1 C: a1 SELECT "INBOX
    1 S: a1 BAD ~
    1 C: a2 SELECT "INBOX\
    1 S: a2 BAD ~
    1 C: a3 SELECT "INBOX\"
    1 S: a3 BAD ~
    1 C: a4 SELECT "IN\BOX"
    1 S: a4 BAD ~
    """
        + WELL
        + """
    1 C> b1 SELECT "<A*1048576>"\\r\\n
    1 S: b1 BAD ~
    1 S: * BYE ~
    1 closed
    """
    )


@pytest.mark.case("I013")
async def test_tags_that_are_none(play: Play) -> None:
    """They are not repeated, whatever they hold."""
    await play(
        SIGNED_IN
        + r"""
    1 C>  NOOP\r\n
    1 S: * BAD ~
    1 C: * NOOP
    1 S: * BAD ~
    1 C: + NOOP
    1 S: * BAD ~
    1 C> {2+}\r\nab NOOP\r\n
    1 S: * BAD ~
    1 C> a"b NOOP\r\n
    1 S: * BAD ~
    """
        + WELL
        + r"""
    1 C> <A*1048576> NOOP\r\n
    1 S: * BAD ~
    1 S: * BYE ~
    1 closed
    """
    )


@pytest.mark.case("I017")
async def test_IDLE_out_of_its_form(play: Play) -> None:
    await play(
        SIGNED_IN
        + """
    1 C: a1 IDLE
    1 S: + idling
    1 C: garbage
    1 S: a1 BAD ~
    1 C: a2 IDLE
    1 S: + idling
    1 C: a3 IDLE
    1 S: a2 BAD ~
    1 C: DONE
    1 S: DONE BAD ~
    """
        + WELL
    )


@pytest.mark.case("I019")
@pytest.mark.parametrize(
    "charset",
    ["x-unknown", "UTF-7", "idna", "unicode_escape", "rot13", "zlib", "../x", "u" * 10_000],
)
async def test_charsets_that_are_none(play: Play, charset: str) -> None:
    await play(
        SIGNED_IN
        + f"""
    1 C: a1 SEARCH CHARSET {charset} SUBJECT x
    1 S: a1 NO [BADCHARSET ~
    1 C: a2 SORT (DATE) {charset} ALL
    1 S: a2 NO [BADCHARSET ~
    """
        + WELL
    )


@pytest.mark.case("I039")
async def test_COMPRESS_twice(play: Play) -> None:
    """RFC 4978 3: COMPRESSIONACTIVE. (Plaintext behind it: test_compress.py.)"""
    await play(
        """
    @ login 1 alice
    1 C: a1 COMPRESS DEFLATE
    1 S: a1 OK ~
    1 compress
    1 C: a2 COMPRESS DEFLATE
    1 S: a2 NO [COMPRESSIONACTIVE] ~
    1 C: a3 NOOP
    1 S: a3 OK ~
    """
    )


@pytest.mark.case("S002")
async def test_searches_for_very_much(play: Play) -> None:
    """Up to the caps they are answered; the bystander of test_caps.py waits for none of it."""
    text = "x" * 60_000
    keys = "OR SUBJECT a " * 24 + "SUBJECT a"
    many = " ".join(f"SUBJECT a{number}" for number in range(1_000))
    await play(
        SIGNED_IN
        + f"""
    1 C: a1 SEARCH TEXT "{text}"
    1 S: * SEARCH
    1 S: a1 OK ~
    1 C: a2 SEARCH {keys}
    1 S: * SEARCH
    1 S: a2 OK ~
    1 C: a3 SEARCH {many}
    1 S: * SEARCH
    1 S: a3 OK ~
    1 C: a4 SEARCH {"OR SUBJECT a " * 1_000}SUBJECT a
    1 S: a4 BAD ~
    """
        + WELL
    )


@pytest.mark.case("S001", "S003")
async def test_text_that_means_something_to_a_database(play: Play) -> None:
    """SQL, LIKE, FTS and regular expressions: it finds what holds it, and nothing else."""
    texts = [
        "'", ";", "--", "%", "_", "NEAR", "*", "^", ":", "(", ")", "AND", "x' OR '1'='1",
        "a%b%c", "(a+)+$", "{Col}:", "[a-z]*", "NOT", "\"quoted\"",
    ]  # fmt: skip
    dialogue = [
        "    @ message odd",
        *(
            f"    | Subject: {text} end" if not n else f"    |  {text} end"
            for n, text in enumerate(texts)
        ),
        "    |",
        *(f"    | {text} end" for text in texts),
        "    @ message even",
        "    | Subject: nothing of that",
        "    |",
        "    | here",
        "    @ append INBOX odd",
        "    @ append INBOX even",
        "    @ login 1 alice",
        "    1 select INBOX",
    ]
    for number, text in enumerate(texts):
        quoted = (text + " end").replace("\\", "\\\\").replace('"', '\\"')
        for key in ("SUBJECT", "BODY", "TEXT"):
            dialogue += [
                f'    1 C: a{number}{key} SEARCH {key} "{quoted}"',
                "    1 S: * SEARCH 1",
                f"    1 S: a{number}{key} OK ~",
            ]
    pattern = "%".join("abcdefghij" * 50)
    dialogue += [f'    1 C: b SEARCH BODY "{pattern}"', "    1 S: * SEARCH", "    1 S: b OK ~"]
    dialogue += [r'    1 C> c SEARCH SUBJECT "\0"\r\n', "    1 S: c BAD ~"]
    await play("\n".join(dialogue))


@pytest.mark.case("S005")
async def test_keywords_that_are_none(play: Play) -> None:
    """RFC 3501 9: a keyword is an atom. (How many and how long: test_caps.py.)"""
    await play(
        SIGNED_IN
        + rf"""
    1 C: a1 STORE 1 +FLAGS ({"k" * 10_000})
    1 S: a1 BAD ~
    1 C: a2 STORE 1 +FLAGS (a]b)
    1 S: a2 BAD ~
    1 C: a3 STORE 1 +FLAGS (a)b)
    1 S: a3 BAD ~
    1 C> a4 STORE 1 +FLAGS (a\0b)\r\n
    1 S: a4 BAD ~
    1 C: a5 STORE 1 +FLAGS (\Recent)
    1 S: a5 BAD ~
    """
        + WELL
    )


@pytest.fixture
def owned() -> Iterator[Path]:
    """A file that must not be there in the end."""
    path = Path("/tmp/owned")
    yield path
    assert not path.exists()


@pytest.mark.case("S006")
async def test_what_looks_like_a_program_is_kept_as_it_is(play: Play, owned: Path) -> None:
    pickled = base64.b64encode(f"cos\nsystem\n(S'touch {owned}'\ntR.".encode()).decode()
    await play(
        f"""
    @ message odd
    | Subject: !!python/object/apply:os.system ["touch {owned}"]
    | X-Pickle: {pickled}
    |
    | {{"__class__": "os.system"}}'); DROP TABLE messages; --
    @ append INBOX odd
    @ login 1 alice
    1 select INBOX
    1 C: a1 FETCH 1 BODY.PEEK[]
    1 S: * 1 FETCH (BODY[] {{}}
    1 S< odd
    1 S: )
    1 S: a1 OK ~
    1 C: a2 STORE 1 +FLAGS.SILENT (DROP';--)
    1 S: * FLAGS ~
    1 S: * OK [PERMANENTFLAGS ~
    1 S: a2 OK ~
    1 C: a3 FETCH 1 FLAGS
    1 S: * 1 FETCH (FLAGS (DROP';-- \\Recent))
    1 S: a3 OK ~
    1 C: a4 SEARCH KEYWORD DROP';--
    1 S: * SEARCH 1
    1 S: a4 OK ~
    """
    )


@pytest.mark.case("I016")
async def test_AUTHENTICATE_with_what_is_no_base64(play: Play) -> None:
    await play(
        r"""
    @ limit IMAP_BAD_COMMANDS_BEFORE_LOGIN 20
    @ login 2 bob
    1 open
    1 S: * OK ~
    1 C: a1 AUTHENTICATE PLAIN !!!!
    1 S: a1 BAD ~
    1 C: a2 AUTHENTICATE PLAIN
    1 S: + 
    1 C: 
    1 S: a2 BAD ~
    1 C: a3 AUTHENTICATE PLAIN
    1 S: + 
    1 C: *
    1 S: a3 BAD ~
    1 C: a4 AUTHENTICATE PLAIN
    1 S: + 
    1 C> <A*1048576>\r\n
    1 S: * BYE ~
    1 closed
    2 C: b1 NOOP
    2 S: b1 OK ~
    """
    )


@pytest.mark.case("I016")
async def test_giving_up_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IMAP_BAD_COMMANDS_BEFORE_LOGIN", 10**9)
    monkeypatch.setattr(limits, "IMAP_FAILED_LOGIN_DELAY", 0.0)
    async with Core(tmp_path) as core:
        client = await core.connect()
        await client.response()

        async def give_up(times: int) -> int:
            for _ in range(times):
                await client.send(b"a AUTHENTICATE SCRAM-SHA-256\r\n")
                assert await client.response() == ["+ "]
                await client.send(b"*\r\n")
                assert str((await client.response())[0]).startswith("a BAD")
            gc.collect()
            return len(gc.get_objects())

        before = await give_up(100)
        assert await give_up(500) <= before + 100
        assert str((await client.command(f'b LOGIN alice "{PASSWORD}"'))[-1][0])[:4] == "b OK"
        client.close()
    figures.note("exchanges given up", tried=600, leaks=0)


@pytest.mark.case("I005")
async def test_a_message_that_drips_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred octets a second over any minute are the least; the temporary file goes too."""
    monkeypatch.setattr(limits, "IMAP_SLOWEST_SECONDS", 0.2)
    monkeypatch.setattr(limits, "IMAP_SLOWEST", 10**6)
    async with Endpoint(tmp_path) as endpoint:
        client = await Client.connect(Server("127.0.0.1", endpoint.port, {}))
        await client.response()
        await client.command(f'a LOGIN alice "{PASSWORD}"')
        await client.send(b"b APPEND INBOX {104857600+}\r\n" + bytes(2 * limits.SPOOL_IN_MEMORY))
        heard = asyncio.create_task(client.response())
        while not heard.done():
            await client.send(b"x")
            await asyncio.wait([heard], timeout=0.01)
        assert str((await heard)[0]).startswith("* BYE")
        client.close()
    assert os.listdir(tmp_path) == ["data"]


# --- memory of many at once, in a daemon of its own ---------------------------------------


def anonymous(pid: int) -> int:
    """Octets of memory of its own that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.case("I002", "I006", "I007")
@pytest.mark.parametrize(
    ("octets", "closed"),
    [
        (b"a LOGIN {104857600+}\r\n" + b"x" * 60_000, True),
        (b"a NOOP " + b"(" * 4_000, False),
        (b"a NOOP " + b"x" * (limits.IMAP_LINE_BEFORE_LOGIN - 100), False),
        (b"x" * 60_000, True),
    ],
    ids=["literal", "parentheses", "8 KiB of a line", "no end"],
)
async def test_what_hundreds_of_strangers_hold(tmp_path: Path, octets: bytes, closed: bool) -> None:
    """Less than 64 KiB each, while somebody who is signed in is answered."""
    config = write_config(tmp_path, [pop3_account("alice", 9)])
    async with DaemonProcess(config) as daemon:
        port = await daemon.listening()
        client = await Client.connect(Server("127.0.0.1", port, {}))
        await client.response()
        heard = await client.command(f'a LOGIN alice "{PASSWORD}"')
        assert str(heard[-1][0]).startswith("a OK")
        before = anonymous(daemon.pid)
        strangers = []
        for number in range(200):
            stranger = socket.socket()
            stranger.bind((f"127.0.2.{1 + number % 10}", 0))
            stranger.connect(("127.0.0.1", port))
            stranger.setblocking(False)
            stranger.send(octets)
            strangers.append(stranger)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(60):
            for stranger in strangers:
                assert (await loop.sock_recv(stranger, 1000)).startswith(b"* OK")
            if closed:
                for stranger in strangers:
                    while True:
                        try:
                            if not await loop.sock_recv(stranger, 1000):
                                break
                        except ConnectionError:
                            break
            assert await client.command("w NOOP") == [["w OK NOOP completed"]]
        each = (anonymous(daemon.pid) - before) / len(strangers)
        for stranger in strangers:
            stranger.close()
        client.close()
    assert each < 64 * 1024
    figures.note("strangers before login", tried=len(strangers), worst_kib_each=each / 1024)
