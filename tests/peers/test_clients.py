"""curl, neomutt, imaplib and imapclient read and change the mailbox."""

from __future__ import annotations

import asyncio
import email
import re
from collections.abc import Sequence
from pathlib import Path

from imapclient import IMAPClient

from bridge.daemon import Daemon
from tests.support.devices import Phone
from tests.support.dovecot import Dovecot
from tests.support.house import ADDRESS, MESSAGES, PASSWORD
from tests.support.require import require
from tests.support.samples import sample, samples
from tests.support.watch import shown
from tests.support.wire import Wire


def letter(number: int) -> str:
    """The Message-ID of a sample."""
    return f"<{number}.sample@example.org>"


async def output(*command: str, env: dict[str, str] | None = None) -> bytes:
    """What the program prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode(errors="replace")
    return out


async def test_curl_reads_a_message_over_verified_tls(daemon: Daemon) -> None:
    curl = require("curl")
    got = await output(
        curl,
        "-sS",
        "--cacert",
        str(daemon.certificate.ca_pem_path),
        "--user",
        f"{ADDRESS}:{PASSWORD}",
        f"imaps://localhost:{daemon.imap_tls_ports[0]}/INBOX;MAILINDEX=3",
    )
    assert got == sample(2)


async def test_curl_upgrades_by_starttls(daemon: Daemon) -> None:
    curl = require("curl")
    got = await output(
        curl,
        "-sS",
        "--ssl-reqd",
        "--cacert",
        str(daemon.certificate.ca_pem_path),
        "--user",
        f"{ADDRESS}:{PASSWORD}",
        f"imap://localhost:{daemon.imap_ports[0]}/INBOX?SUBJECT%20Rechnung",
    )
    wanted = [n + 1 for n in range(MESSAGES) if b"Rechnung" in sample(n)]
    assert got.split() == [b"*", b"SEARCH", *(b"%d" % n for n in wanted)]


async def neomutt(
    daemon: Daemon, port: int, home: Path, keys: str, *, settings: Sequence[str] = ()
) -> None:
    """Runs neomutt on INBOX and presses keys: `3<enter>` goes to message 3."""
    program = require("neomutt")
    rc = home / "neomuttrc"
    tls = port in daemon.imap_tls_ports
    endpoint = f"imap{'s' if tls else ''}://localhost:{port}/"
    rc.write_text(
        f"""
set imap_user="{ADDRESS}"
set imap_pass="{PASSWORD}"
set ssl_ca_certificates_file="{daemon.certificate.ca_pem_path}"
set ssl_force_tls={"yes" if tls else "no"}
set ssl_starttls={"yes" if tls else "no"}
set folder="{endpoint}"
set mbox_type=Maildir
set confirmappend=no
set confirmcreate=no
set delete=yes
set move=no
set quit=yes
set sort=mailbox-order
{chr(10).join(settings)}
push "{keys}<quit>"
"""
    )
    # neomutt wants a terminal.
    await output(
        "script",
        "-qec",
        f"{program} -n -F {rc} -f {endpoint}INBOX",
        "/dev/null",
        env={"TERM": "xterm", "HOME": str(home), "PATH": "/usr/bin:/bin"},
    )


async def test_neomutt_copies_the_mailbox(daemon: Daemon, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    keys = "".join(f"{n + 1}<enter><copy-message>{saved}<enter>" for n in range(MESSAGES))
    keys += "<first-entry><flag-message>"
    await neomutt(daemon, daemon.imap_tls_ports[0], tmp_path, keys)
    copies = {
        message.read_bytes().partition(b"\n\n")[2].rstrip()
        for part in ("new", "cur")
        for message in (saved / part).iterdir()
    }
    originals = {
        sample(n).replace(b"\r\n", b"\n").partition(b"\n\n")[2].rstrip() for n in range(MESSAGES)
    }
    assert copies == originals

    inbox = await shown(daemon.imap_ports[0], "INBOX", lambda _: True)
    assert [name for name, flags in inbox.items() if "\\Flagged" in flags] == [letter(0)]


async def test_neomutt_and_mbsync_converge(daemon: Daemon, wire: Wire, tmp_path: Path) -> None:
    phone = Phone(tmp_path / "phone", require("mbsync"), wire.port)
    await phone.sync()
    archive = "<save-message>=Archive<enter>"
    await neomutt(
        daemon,
        wire.port,
        tmp_path,
        f"1<enter><flag-message>2<enter><delete-message>3<enter>{archive}",
    )
    phone.flag("INBOX", letter(3).encode(), "FS")
    phone.delete("INBOX", letter(4).encode())
    await phone.sync()
    await phone.sync()
    inbox = await shown(daemon.imap_ports[0], "INBOX", lambda _: True)
    assert inbox.keys() == {letter(n) for n in range(MESSAGES)} - {letter(n) for n in (1, 2, 4)}
    assert "\\Flagged" in inbox[letter(0)]
    # neomutt marks what it has shown in a list as "Old", a keyword, when it leaves.
    assert inbox[letter(3)] - {"Old"} == {"\\Flagged", "\\Seen"}
    here = phone.messages("INBOX")
    assert {key.decode() for key in here} == inbox.keys()
    assert "F" in here[letter(0).encode()]
    assert phone.messages("Archive").keys() == {letter(2).encode()}
    assert {"UID COPY", "UID STORE", "CLOSE"} <= set(wire.commands())


async def test_neomutt_catches_up_by_QRESYNC(
    dovecot: Dovecot, daemon: Daemon, wire: Wire, tmp_path: Path
) -> None:
    """What mbsync did while neomutt was away, neomutt is told in one answer."""
    settings = [
        f'set header_cache="{tmp_path / "cache"}"',
        "set imap_condstore=yes",
        "set imap_qresync=yes",
        "set mail_check=0",
    ]
    (tmp_path / "cache").mkdir()
    await neomutt(daemon, wire.port, tmp_path, "", settings=settings)

    phone = Phone(tmp_path / "phone", require("mbsync"), wire.port)
    await phone.sync()
    phone.flag("INBOX", letter(3).encode(), "FS")
    phone.delete("INBOX", letter(4).encode())
    phone.move("INBOX", letter(5).encode(), "Archive")
    await phone.sync()
    dovecot.deliver(samples(1, first=MESSAGES))
    (report,) = await daemon.poll(None)
    assert report.new == 1

    before = len(wire.connections)
    everything, starred = tmp_path / "everything", tmp_path / "starred"
    keys = "".join(
        f"<untag-pattern>~A<enter><tag-pattern>{pattern}<enter>"
        f"<tag-prefix><copy-message>{saved}<enter>"
        for pattern, saved in (("~A", everything), ("~F", starred))
    )
    await neomutt(daemon, wire.port, tmp_path, keys, settings=settings)
    said = [line for each in wire.connections[before:] for line in each.lines]
    assert [
        line for line in said if re.search(r" UID FETCH .* \(CHANGEDSINCE \d+ VANISHED\)", line)
    ]
    assert [line for line in said if line.startswith("S: * VANISHED (EARLIER) ")]
    kept = {letter(n) for n in range(MESSAGES + 1)} - {letter(4), letter(5)}
    assert set(message_ids(everything)) == kept
    assert message_ids(starred) == [letter(3)]


def message_ids(maildir: Path) -> list[str]:
    return sorted(
        str(email.message_from_bytes(path.read_bytes())["Message-ID"])
        for part in ("new", "cur")
        for path in (maildir / part).iterdir()
    )


def two_sessions(port: int) -> None:
    """What one client does, the other is told: by IDLE at once, by NOOP at the next command."""
    with (
        IMAPClient("127.0.0.1", port, ssl=False, timeout=20) as one,
        IMAPClient("127.0.0.1", port, ssl=False, timeout=20) as other,
    ):
        for client in (one, other):
            client.login(ADDRESS, PASSWORD)
            assert client.select_folder("INBOX")[b"EXISTS"] == MESSAGES
        uids = one.search("ALL")

        other.idle()
        one.add_flags(uids[4], [b"\\Flagged"])
        (told,) = other.idle_check(timeout=5)
        assert told[:2] == (5, b"FETCH")
        assert b"\\Flagged" in told[2][1]
        one.delete_messages(uids[:2])
        while (told := other.idle_check(timeout=5)[-1])[1] != b"FETCH" or told[0] != 2:
            pass
        one.expunge()
        gone: list[int] = []
        while len(gone) < 2:
            gone += [each[0] for each in other.idle_check(timeout=5) if each[1] == b"EXPUNGE"]
        # Each number counts at its moment: both orders leave the same messages.
        assert gone in ([2, 1], [1, 1])
        other.idle_done()
        assert other.search("ALL") == uids[2:]

        one.append("INBOX", b"Subject: from one\r\n\r\nhello\r\n")
        _, responses = other.noop()
        assert (MESSAGES - 1, b"EXISTS") in [each[:2] for each in responses]
        other.move(uids[2:3], "Archive")
        _, responses = one.noop()
        assert (1, b"EXPUNGE") in [each[:2] for each in responses]
        assert one.search("ALL") == other.search("ALL")
        assert one.folder_status("Archive", ["MESSAGES"]) == {b"MESSAGES": 1}


async def test_two_imapclients_see_each_other(daemon: Daemon) -> None:
    await asyncio.to_thread(two_sessions, daemon.imap_ports[0])
