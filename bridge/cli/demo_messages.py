"""Sample messages for `popbridge demo`: varied, the same for the same `now`, nobody's real mail.

Rule: all names are of example domains (RFC 2606) and all bytes are CRLF, as a POP3 server has
them. Every kind that a mail program must show is there: plain, HTML, attachments, a forwarded
message, Japanese in ISO-2022-JP, 8-bit Latin-1, encoded names, threads, lists, an invitation.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.header import Header
from email.message import Message
from email.mime.application import MIMEApplication
from email.mime.image import MIMEImage
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import format_datetime, formataddr

_MONTHS = 6
_ME = "demo@example.org"
_PEOPLE = (
    ("Anna Bergström", "anna@example.net"),
    ("José Álvarez", "jose@example.com"),
    ("Wei Chen", "wei@example.org"),
    ("Müller & Söhne GmbH", "info@example.com"),
    ("Ольга Иванова", "olga@example.net"),
    ("Sam O'Neill", "sam@example.org"),
    ("", "billing@example.com"),
)
_JAPANESE = ("山田太郎", "taro@example.net")
_SUBJECTS = (
    "Lunch on Thursday?",
    "Größere Wohnung gefunden",
    "Re-reading your notes on the boat",
    "Résumé and photos",
    "Встреча в пятницу",
    "Invoice 2026-0417",
    "Your parcel is on its way \U0001f4e6",
    "The garden in spring, and a rather long subject that has to be folded over more than one line",
)
_PROSE = (
    "the boat was late again but the weather held and we found a place near the harbour where "
    "they still bake their own bread so I wrote down the address for you and for everybody who "
    "asks please bring the blue folder when you come and do not forget the keys to the shed"
)


def sample_messages(count: int, now: datetime) -> list[bytes]:
    """`count` messages of the half year before `now`, oldest first."""
    dice = random.Random(20260417)  # noqa: S311  # the same messages each time, no secret
    step = timedelta(days=30 * _MONTHS) / max(count, 1)
    made: list[bytes] = []
    threads: list[tuple[str, list[str]]] = []
    for number in range(count):
        kind = _KINDS[number % len(_KINDS)]
        sent = now - step * (count - number) + step * dice.random() * 0.8
        message = kind(dice)
        name, address = _JAPANESE if kind is _japanese else dice.choice(_PEOPLE)
        identity = f"<demo.{number}@example.org>"
        subject, references = dice.choice(_SUBJECTS), list[str]()
        if threads and kind is _plain and dice.random() < 0.6:
            subject, references = dice.choice(threads)
            subject = f"Re: {subject}"
        elif kind is _plain:
            threads.append((subject, references))
        if references:
            message["In-Reply-To"] = references[-1]
            message["References"] = " ".join(references)
        if kind is _plain:
            references.append(identity)
        if kind is _japanese:
            subject = "会議のお知らせ"
        _address(message, sent, name, address, subject, identity)
        made.append(message.as_bytes(policy=compat32.clone(linesep="\r\n")))
    return made


def _address(
    message: Message, sent: datetime, name: str, address: str, subject: str, identity: str
) -> None:
    charset = "iso-2022-jp" if name == _JAPANESE[0] else "utf-8"
    shown = formataddr((name, address), charset)
    received = format_datetime(sent + timedelta(seconds=4))
    message["Received"] = f"from mx.example.net by mail.example.org; {received}"
    message["Date"] = format_datetime(sent)
    message["From"] = shown
    message["To"] = _ME
    message["Subject"] = subject if subject.isascii() else Header(subject, charset).encode()
    message["Message-ID"] = identity


def _prose(dice: random.Random, lines: int = 8) -> str:
    words = _PROSE.split()
    made = [" ".join(dice.choices(words, k=dice.randint(6, 11))) for _ in range(lines)]
    return "Hello,\n\n" + "\n".join(made) + "\n\nBest wishes\n"


def _plain(dice: random.Random) -> Message:
    return MIMEText(_prose(dice, dice.randint(2, 30)), "plain", "us-ascii")


def _html(dice: random.Random) -> Message:
    text = _prose(dice)
    message = MIMEMultipart("alternative", _boundary(dice))
    message.attach(MIMEText(text, "plain", "utf-8"))
    paragraphs = "".join(f"<p>{line}</p>" for line in text.splitlines() if line)
    message.attach(
        MIMEText(f"<html><body><h1>Grüße</h1>{paragraphs}</body></html>", "html", "utf-8")
    )
    return message


def _attachment(dice: random.Random) -> Message:
    message = MIMEMultipart("mixed", _boundary(dice))
    message.attach(MIMEText(_prose(dice, 3), "plain", "us-ascii"))
    table = "day,amount\r\n" + "".join(f"{day},{dice.randint(1, 900)}\r\n" for day in range(1, 29))
    file = MIMEApplication(table.encode(), "csv")
    file.add_header("Content-Disposition", "attachment", filename=("utf-8", "", "Übersicht.csv"))
    message.attach(file)
    return message


def _picture(dice: random.Random) -> Message:
    message = MIMEMultipart("related", _boundary(dice))
    message.attach(MIMEText('<p>See: <img src="cid:square@example.org"></p>', "html", "us-ascii"))
    image = MIMEImage(_png(64, dice.randint(0, 255)), "png")
    image["Content-ID"] = "<square@example.org>"
    image.add_header("Content-Disposition", "inline", filename="square.png")
    message.attach(image)
    return message


def _japanese(_: random.Random) -> Message:
    return MIMEText("次の会議は金曜日の午後三時からです。\n\n山田\n", "plain", "iso-2022-jp")


def _latin1(dice: random.Random) -> Message:
    message = Message()
    message["MIME-Version"] = "1.0"
    message["Content-Type"] = 'text/plain; charset="iso-8859-1"'
    message["Content-Transfer-Encoding"] = "8bit"
    text = "Schöne Grüße aus Århus, ça va bien.\n" + _prose(dice, 2)
    message.set_payload(text.encode("latin-1").decode("ascii", "surrogateescape"))
    return message


def _forwarded(dice: random.Random) -> Message:
    inner = MIMEText(_prose(dice, 4), "plain", "us-ascii")
    inner["From"], inner["Subject"] = "sam@example.org", "Keys to the shed"
    inner["Date"] = format_datetime(datetime(2026, 4, 17, 12, 0, tzinfo=UTC))
    message = MIMEMultipart("mixed", _boundary(dice))
    message.attach(MIMEText("For your files.\n", "plain", "us-ascii"))
    message.attach(MIMEMessage(inner))
    return message


def _newsletter(dice: random.Random) -> Message:
    message = MIMEText(
        "Zwölf Boxkämpfer: " + "langes Wort " * 40 + "\n" + _prose(dice), "plain", "utf-8"
    )
    message["List-Id"] = "Harbour news <news.example.com>"
    message["List-Unsubscribe"] = "<https://example.com/unsubscribe>"
    message["Precedence"] = "list"
    return message


def _invitation(dice: random.Random) -> Message:
    event = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n"
        f"UID:{dice.getrandbits(64):x}@example.org\r\nDTSTART:20260605T150000Z\r\n"
        "SUMMARY:Harbour walk\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    message = MIMEMultipart("alternative", _boundary(dice))
    message.attach(MIMEText(_prose(dice, 2), "plain", "us-ascii"))
    calendar = MIMEText(event, "calendar", "utf-8")
    calendar.set_param("method", "REQUEST")
    message.attach(calendar)
    return message


def _boundary(dice: random.Random) -> str:
    return f"=_demo_{dice.getrandbits(64):016x}"


def _png(side: int, grey: int) -> bytes:
    """A grey square as PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = (b"\0" + bytes([grey]) * side) * side
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


_KINDS: tuple[Callable[[random.Random], Message], ...] = (
    _plain, _html, _plain, _attachment, _japanese, _plain, _newsletter, _latin1,
    _plain, _picture, _forwarded, _plain, _invitation,
)  # fmt: skip
