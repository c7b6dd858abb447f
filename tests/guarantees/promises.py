"""The ten guarantees: what each promises, which proofs show it, and the command that runs them.

A proof is a name that a test gives to `tests.support.figures.note`; hostile cases are ids of
tests/pcases and tests/cases. Everything that is noted belongs to a guarantee or is in `ELSEWHERE`:
`page` refuses a figure that nobody expects, and misses one that nobody noted.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Guarantee:
    """`cases` are ranges of ids, "P001-P011"; `tests` is what `pytest` is given."""

    number: int
    title: str
    promise: str
    tests: str
    proofs: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    controls: tuple[str, ...] = field(default=())


GUARANTEES = (
    Guarantee(
        1,
        "No mail is lost",
        "What the provider showed and we acknowledged can be read over IMAP after a kill, a power "
        "cut, a full disk or a dropped line.",
        "tests/faults",
        (
            "kills",
            "kill points: first sync",
            "kill points: steady poll",
            "kill points: delete policy",
            "kill points: import",
            "kill points: by strace",
            "kill points: upgrade",
            "kill points: recovery",
            "kill points: restore",
            "OK, then SIGKILL",
            "poll cancelled at an await",
            "poll out of memory",
            "task that raises each 100th call",
            "disk faults: pwrite64 ENOSPC",
            "disk faults: pwrite64 EIO",
            "disk faults: pwrite64 EDQUOT",
            "disk faults: fdatasync EIO",
            "disk faults: fdatasync ENOSPC",
            "disk faults: pread64 EIO",
            "disk faults: ftruncate EIO",
            "disk faults: open EMFILE",
            "disk faults: mmap ENOMEM",
            "disk faults: pwrite64 EROFS",
            "disk that filled and grew",
            "bits turned over",
            "files of the store gone or cut",
            "copies with cp",
            "backups under load",
            "power cuts",
            "POP3 session cut at an octet",
            "first sync, cut off",
            "RETR cut at an octet",
            "polls dropped at random",
            "POP3 server scripts",
        ),
        ("C001-C019", "D001-D011", "P049-P059"),
        ("control: mark first",),
    ),
    Guarantee(
        2,
        "Nothing is shown twice",
        "Each message once, also when the provider changes every UIDL.",
        "tests/pcases tests/property/test_sync_identity.py tests/faults/test_moving_killed.py",
        (
            "every UIDL changed, TOP works",
            "every UIDL changed, TOP is refused",
            "every UIDL changed, TOP fails for one in fifty",
            "import, killed",
            "migration, killed",
            "POP3 server scripts",
        ),
        ("P001-P033", "E001-E005"),
        ("control: store first",),
    ),
    Guarantee(
        3,
        "The provider's copy is not touched",
        "No DELE unless it is asked for; then only for what is proven stored, under a cap. No QUIT "
        "before all is on disk.",
        "tests/pcases/test_dele.py tests/pcases/test_prov.py",
        ("polls in keep mode",),
        ("P062-P069", "P101-P106"),
    ),
    Guarantee(
        4,
        "OK means on disk",
        "Every change that a device was told OK for survives a power cut.",
        "tests/faults/test_power.py tests/store/test_kill.py",
        ("power cuts",),
        ("C008", "C009", "C017"),
        ("control: synchronous=NORMAL",),
    ),
    Guarantee(
        5,
        "Bytes are exact",
        "What RETR gave is what FETCH gives; signatures still verify.",
        "tests/pcases/test_retr.py tests/peers/test_dovecot.py",
        ("bytes beside Dovecot's own IMAP",),
        ("P034-P048", "P060"),
    ),
    Guarantee(
        6,
        "UIDs, flags and MODSEQ never lie",
        "No UID is given twice, no flag is lost, no MODSEQ shrinks, also over a crash and a "
        "restore.",
        "tests/imap tests/faults/test_kill.py tests/store/test_backup.py",
        (
            "four devices against the model",
            "devices at work",
            "fetched while expunged",
            "the same message fetched",
            "kills",
        ),
        ("C018", "C019", "M001-M006", "I025-I028", "I089"),
    ),
    Guarantee(
        7,
        "Nothing hostile stops the service",
        "Everything has a cap; others are answered within a second.",
        "tests/fuzz tests/imap tests/mime tests/test_logs.py",
        (
            "errors within a minute",
            "fuzz: imap-lines",
            "fuzz: imap-grammar",
            "fuzz: imap-search",
            "fuzz: imap-names",
            "fuzz: imap-sessions",
            "fuzz: deflate",
            "fuzz: mime",
            "fuzz: headers",
            "fuzz: pop3",
            "fuzz: config-yaml",
            "hostile mail",
            "strangers before login",
            "half handshakes",
            "names in handshakes",
            "connections cut",
            "come and gone",
            "readers of a trickle",
            "updates to who does not read",
            "searches of all bodies",
            "sessions in IDLE",
            "idle devices",
            "memory at work",
        ),
        ("I001-I024", "I029-I042", "I066-I092", "S001-S006", "P061", "P095-P100", "L001-L003"),
    ),
    Guarantee(
        8,
        "Passwords never leave in clear",
        "TLS is verified before a password is sent and cannot be stripped; no secret in a log, a "
        "process list, an error or, in clear, in the database.",
        "tests/pcases/test_tls.py tests/auth tests/test_logs.py tests/test_canaries.py",
        (
            "canary secrets",
            "files of the suite",
            "guesses",
            "logins at once",
            "exchanges given up",
        ),
        ("P084-P094", "I043-I059", "X001-X008", "N001-N004"),
    ),
    Guarantee(
        9,
        "Nobody sees another's mail",
        "Not by a name, a cache, an error or timing; and no page, subject or server text runs "
        "code.",
        "tests/imap tests/web",
        ("isolation",),
        ("I060-I065", "W001-W009"),
    ),
    Guarantee(
        10,
        "Your account is not locked",
        "A provider's pauses are obeyed and learned; three refused logins stop it.",
        "tests/pcases/test_resp.py tests/pcases/test_prov.py tests/faults/test_clock.py",
        ("clock jumps",),
        ("P070-P083", "P107", "P108", "T001-T003"),
    ),
)

# Figures of proofs that stand for none of the ten alone.
ELSEWHERE: tuple[str, ...] = ()
