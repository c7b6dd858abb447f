"""Debian's Thunderbird, on a screen, as one of two devices; mbsync is the other one.

Its windows are driven as a person would: a mailbox is chosen in the folder pane, a letter in the
list, and the commands are those of its menus.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bridge.daemon import Daemon
from tests.support.devices import Phone
from tests.support.dovecot import Dovecot
from tests.support.house import ADDRESS, MESSAGES, PASSWORD
from tests.support.require import require
from tests.support.samples import samples
from tests.support.thunderbird import Pref, Thunderbird
from tests.support.watch import shown
from tests.support.wire import Wire

PLAIN, STARTTLS, TLS = 0, 2, 3  # nsMsgSocketType

# What each script sees. `until` waits for Thunderbird's own notifications (nsIFolderListener).
PRELUDE = """
const { MailServices } =
  ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const server = MailServices.accounts.accounts[0].incomingServer;
const main = Services.wm.getMostRecentWindow("mail:3pane");
const pane = main.document.getElementById("tabmail").currentAbout3Pane;
const mailbox = name => server.rootFolder.getChildNamed(name);
const letters = name => Object.fromEntries([...mailbox(name).messages].map(each =>
  [`<${each.messageId}>`, [each.isFlagged ? "F" : "", each.isRead ? "S" : ""].join("")]));
const header = id => [...mailbox("INBOX").messages].find(each => `<${each.messageId}>` == id);
const choose = id => {
  pane.threadTree.selectedIndex = pane.gDBView.findIndexOfMsgHdr(header(id), true);
};
const until = what => new Promise((resolve, reject) => {
  const listener = { QueryInterface: ChromeUtils.generateQI(["nsIFolderListener"]) };
  let waiting = true;
  const look = () => {
    try {
      if (!waiting || !what()) return;
      resolve();
    } catch (error) {
      reject(error);
    }
    waiting = false;
    MailServices.mailSession.RemoveFolderListener(listener);
  };
  for (const event of ["FolderAdded", "MessageAdded", "FolderRemoved", "MessageRemoved",
      "FolderPropertyChanged", "FolderIntPropertyChanged", "FolderBoolPropertyChanged",
      "FolderPropertyFlagChanged", "FolderEvent"])
    listener["on" + event] = () => Services.tm.dispatchToMainThread(look);
  MailServices.mailSession.AddFolderListener(listener, 0xffffffff);
  look();
});
"""

SIGN_IN = """
const origin = "imap://" + Services.prefs.getStringPref("mail.server.server1.hostname");
const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
login.init(origin, null, origin, args[0], args[1], "", "");
await Services.logins.addLoginAsync(login);
"""

OPEN_INBOX = """
pane.displayFolder(mailbox("INBOX").URI);
await until(() => Object.keys(letters("INBOX")).length == args[0]);
return letters("INBOX");
"""


def prefs(port: int, *, security: int = PLAIN, condstore: bool = False) -> dict[str, Pref]:
    """A profile with one account, signed in by password, and Local Folders."""
    account: Mapping[str, Pref] = {
        "type": "imap",
        "hostname": "localhost" if security else "127.0.0.1",
        "port": port,
        "socketType": security,
        "authMethod": 3,  # password as it is, in SASL PLAIN
        "userName": ADDRESS,
        "name": ADDRESS,
        "login_at_startup": False,
        "check_new_mail": False,
        "use_condstore": condstore,
    }
    return {
        "mail.accountmanager.accounts": "account1,account2",
        "mail.accountmanager.defaultaccount": "account1",
        "mail.accountmanager.localfoldersserver": "server2",
        "mail.account.account1.server": "server1",
        "mail.account.account1.identities": "id1",
        "mail.account.account2.server": "server2",
        "mail.identity.id1.useremail": ADDRESS,
        "mail.identity.id1.fullName": "Me",
        "mail.identity.id1.valid": True,
        **{f"mail.server.server1.{key}": value for key, value in account.items()},
        "mail.server.server2.type": "none",
        "mail.server.server2.hostname": "Local Folders",
        "mail.server.server2.userName": "nobody",
        "mail.server.server2.name": "Local Folders",
    }


Start = Callable[[Mapping[str, Pref]], Thunderbird]


@pytest.fixture
def thunderbird(tmp_path: Path) -> Start:
    """Starts the one installation of a test, the first time or again."""
    programs = require("thunderbird"), require("Xvfb")
    return lambda prefs: Thunderbird(*programs, tmp_path / "thunderbird", prefs, PRELUDE)


def letter(number: int) -> str:
    """The Message-ID of a sample."""
    return f"<{number}.sample@example.org>"


async def test_two_devices_converge(
    thunderbird: Start, dovecot: Dovecot, daemon: Daemon, wire: Wire, tmp_path: Path
) -> None:
    port = daemon.imap_ports[0]
    phone = Phone(tmp_path / "phone", require("mbsync"), port)
    async with thunderbird(prefs(wire.port)) as screen:
        await screen.run(SIGN_IN, ADDRESS, PASSWORD)
        inbox = await screen.run(OPEN_INBOX, MESSAGES)
        assert inbox == {letter(n): "" for n in range(MESSAGES)}
        found = await screen.run(
            """
            const flags = Ci.nsMsgFolderFlags;
            const special = [flags.Inbox, flags.Drafts, flags.SentMail, flags.Archive, flags.Junk,
              flags.Trash].map(each => server.rootFolder.getFolderWithFlags(each));
            await until(() => special.every(Boolean));
            return special.map(each => each.URI.split("/").pop());
            """
        )
        assert found == ["INBOX", "Drafts", "Sent", "Archive", "Junk", "Trash"]

        # New mail comes by itself: nobody asks.
        dovecot.deliver(samples(1, first=MESSAGES))
        (report,) = await daemon.poll(None)
        assert report.new == 1
        await screen.run("await until(() => header(args[0]))", letter(MESSAGES))

        # The phone marks, moves and deletes; the screen follows.
        await phone.sync()
        phone.flag("INBOX", letter(0).encode(), "FS")
        phone.move("INBOX", letter(1).encode(), "Archive")
        phone.delete("INBOX", letter(2).encode())
        await phone.sync()
        await screen.run(
            """
            await until(() => letters("INBOX")[args[0]] == "FS");
            await until(() => !header(args[1]) && !header(args[2]));
            """,
            *(letter(n) for n in range(3)),
        )

        # A person reads, stars, labels, deletes and archives; the endpoint and the phone follow.
        await screen.run(
            """
            choose(args[0]);
            await until(() => header(args[0]).isRead);
            main.goDoCommand("cmd_markAsFlagged");
            main.goDoCommand("cmd_tag1");
            await until(() => header(args[0]).isFlagged);
            choose(args[1]);
            main.goDoCommand("cmd_delete");
            await until(() => !header(args[1]));
            """,
            letter(3),
            letter(4),
        )
        await shown(
            port, "INBOX", lambda found: found[letter(3)] == {"\\Seen", "\\Flagged", "$label1"}
        )
        await shown(port, "Trash", lambda found: letter(4) in found)
        await screen.run(
            """
            choose(args[0]);
            main.goDoCommand("cmd_archive");
            await until(() => !header(args[0]));
            """,
            letter(5),
        )
        # By the year of its date; the mailbox is made for it.
        await shown(port, "INBOX", lambda found: letter(5) not in found)
        await shown(port, "Archive/2026", lambda found: letter(5) in found)
        await phone.sync()
        kept = {letter(n): "" for n in range(6, MESSAGES + 1)}
        wanted = kept | {letter(0): "FS", letter(3): "FS"}
        assert phone.messages("INBOX")[letter(0).encode()] == "FS"
        assert phone.messages("Trash").keys() == {letter(4).encode()}
        assert phone.messages("Archive").keys() == {letter(1).encode()}
        assert phone.messages("Archive/2026").keys() == {letter(5).encode()}

        # Once more in the other direction, after all that the screen did.
        phone.flag("INBOX", letter(6).encode(), "FS")
        phone.flag("INBOX", letter(0).encode(), "")
        await phone.sync()
        wanted |= {letter(6): "FS", letter(0): ""}
        await screen.run(
            """
            mailbox("INBOX").getNewMessages(null, null);
            await until(() => letters("INBOX")[args[0]] == "FS" && !letters("INBOX")[args[1]]);
            """,
            letter(6),
            letter(0),
        )
        # In the list, too: stars fade in and out after its database knows.
        await screen.run(
            """
            const starred = id => {
              const at = pane.gDBView.findIndexOfMsgHdr(header(id), false);
              return pane.threadTree.getRowAtIndex(at).dataset.properties.includes("flagged");
            };
            const painted = () => new Promise(resolve => pane.requestAnimationFrame(resolve));
            while (!starred(args[0]) || starred(args[1])) await painted();
            await painted();
            await Promise.allSettled(pane.document.getAnimations().map(each => each.finished));
            """,
            letter(6),
            letter(0),
        )
        await screen.screenshot(tmp_path / "screen.png")
        await phone.sync()
        there = {key.decode(): flags for key, flags in phone.messages("INBOX").items()}
        here = await screen.run('return letters("INBOX")')
        # Selecting a letter reads it: what is under the cursor after a deletion may be read.
        assert here == there
        assert here.keys() == wanted.keys()
        assert {letter(n): here[letter(n)] for n in (0, 3, 6)} == {
            letter(0): "",
            letter(3): "FS",
            letter(6): "FS",
        }
    used = set(wire.commands())
    assert {"COMPRESS", "ENABLE", "ID", "IDLE", "UID MOVE", "UID STORE"} <= used
    # ACL is not announced, which saves a round trip a folder.
    assert not used & {"MYRIGHTS", "GETACL"}


@pytest.mark.parametrize("condstore", [False, True], ids=["by all flags", "by CONDSTORE"])
async def test_catches_up_after_it_was_away(
    thunderbird: Start,
    dovecot: Dovecot,
    daemon: Daemon,
    wire: Wire,
    tmp_path: Path,
    condstore: bool,
) -> None:
    settings = prefs(wire.port, condstore=condstore)
    async with thunderbird(settings) as screen:
        await screen.run(SIGN_IN, ADDRESS, PASSWORD)
        await screen.run(OPEN_INBOX, MESSAGES)

    phone = Phone(tmp_path / "phone", require("mbsync"), daemon.imap_ports[0])
    wanted = {letter(n): "" for n in range(MESSAGES)}
    since = []
    # Twice: the first time it has not seen a MODSEQ yet, and asks for CHANGEDSINCE 0.
    for away in range(2):
        starred, flagged, gone, new = (letter(n + away) for n in (0, 2, 4, MESSAGES))
        await phone.sync()
        phone.flag("INBOX", starred.encode(), "FS")
        phone.flag("INBOX", flagged.encode(), "F")
        phone.delete("INBOX", gone.encode())
        await phone.sync()
        dovecot.deliver(samples(1, first=MESSAGES + away))
        (report,) = await daemon.poll(None)
        assert report.new == 1
        wanted |= {starred: "FS", flagged: "F", new: ""}
        del wanted[gone]

        before = len(wire.connections)
        async with thunderbird(settings) as screen:
            inbox = await screen.run(
                """
                pane.displayFolder(mailbox("INBOX").URI);
                await until(() => header(args[0]) && !header(args[1])
                  && letters("INBOX")[args[2]] == "FS" && letters("INBOX")[args[3]] == "F");
                return letters("INBOX");
                """,
                *(new, gone, starred, flagged),
            )
        assert inbox == wanted
        said = [line for each in wire.connections[before:] for line in each.lines]
        since += [line.partition("CHANGEDSINCE ")[2] for line in said if "CHANGEDSINCE" in line]
    assert bool(since) == condstore
    if condstore:
        assert since[0] == "0)"
        assert since[-1] != "0)"


@pytest.mark.parametrize("security", [STARTTLS, TLS], ids=["STARTTLS", "TLS"])
async def test_verifies_our_certificate(thunderbird: Start, daemon: Daemon, security: int) -> None:
    port = daemon.imap_ports[0] if security == STARTTLS else daemon.imap_tls_ports[0]
    ca_pem = daemon.certificate.ca_pem_path
    assert ca_pem is not None
    authority = ssl.PEM_cert_to_DER_cert(ca_pem.read_text())
    async with thunderbird(prefs(port, security=security)) as screen:
        await screen.run(SIGN_IN, ADDRESS, PASSWORD)
        # As a person would: Settings, Certificates, Authorities, Import.
        await screen.run(
            """
            Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB)
              .addCertFromBase64(args[0], "CTu,,");
            """,
            base64.b64encode(authority).decode(),
        )
        inbox = await screen.run(OPEN_INBOX, MESSAGES)
        assert inbox == {letter(n): "" for n in range(MESSAGES)}
