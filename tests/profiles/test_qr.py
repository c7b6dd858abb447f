"""The QR code for Thunderbird for Android: its text, and that a camera reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from xml.dom import minidom

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model import Secret, Security
from bridge.profiles.qr import qr_svg, qr_terminal, thunderbird_qr
from bridge.profiles.settings import MailServer
from tests.profiles.accounts import ACCOUNT, PASSWORD

TEXT = (
    '[1,[1,1],[0,"192.168.1.20",1993,3,1,"me@gmx.de","","kelp-orbit-tulip-92-fjord-mason"],'
    '[[[0,"mail.gmx.net",465,3,1,"me@gmx.de"],["me@gmx.de","me@gmx.de"]]]]'
)


def read(dark: Sequence[Sequence[bool]], scale: int = 4) -> list[str]:
    """What a second library sees in these modules, drawn black on white."""
    width, height = len(dark[0]) * scale, len(dark) * scale
    pixels = bytearray()
    for row in dark:
        line = b"".join((b"\0" if each else b"\xff") * scale for each in row)
        pixels += line * scale
    image = memoryview(bytes(pixels)).cast("B", shape=[height, width])
    # Black on white is demanded: a reader that does not try the inverse must read it. Other codes
    # are not looked for: two rows of any QR code may be a bar code, too.
    qr = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
    return [code.text for code in zxingcpp.read_barcodes(image, formats=qr, try_invert=False)]


def of_terminal(text: str) -> list[list[bool]]:
    rows: list[list[bool]] = []
    for line in text.splitlines():
        assert line.startswith("\x1b[38;5;16;48;5;231m")
        assert line.endswith("\x1b[0m")
        blocks = line.removeprefix("\x1b[38;5;16;48;5;231m").removesuffix("\x1b[0m")
        rows.append([each in "▀█" for each in blocks])
        rows.append([each in "▄█" for each in blocks])
    return rows


def of_svg(text: str) -> list[list[bool]]:
    """The modules of segno's SVG: a path of horizontal strokes over a light square."""
    root = minidom.parseString(text).documentElement
    assert root is not None
    side = int(root.getAttribute("viewBox").split()[2])
    dark = [[False] * side for _ in range(side)]
    lines = next(p for p in root.getElementsByTagName("path") if p.getAttribute("stroke") == "#000")
    x = y = 0.0
    for command, first, second in re.findall(
        r"([Mmh])(-?[\d.]+)(?:[ ,]?(-?[\d.]+))?", lines.getAttribute("d")
    ):
        if command == "h":
            for each in range(int(first)):
                dark[int(y)][int(x) + each] = True
            x += float(first)
        elif command == "M":
            x, y = float(first), float(second)
        else:
            x, y = x + float(first), y + float(second)
    return dark


def test_the_text() -> None:
    text = thunderbird_qr(ACCOUNT, PASSWORD)
    assert text == TEXT
    assert len(text) < 180  # what a camera reads well


def test_starttls_and_a_name() -> None:
    smtp = MailServer("smtp.bücher.example", 587, Security.STARTTLS, "anna")
    text = thunderbird_qr(replace(ACCOUNT, smtp=smtp, name="Büro"), PASSWORD)
    _, _, incoming, ((outgoing, identity),) = json.loads(text)
    assert incoming[6] == "Büro"
    assert outgoing == [0, "smtp.xn--bcher-kva.example", 587, 2, 1, "anna"]
    assert identity == ["me@gmx.de", "Büro"]


def test_an_address_that_has_no_room() -> None:
    with pytest.raises(ValueError, match="no room for an address"):
        thunderbird_qr(replace(ACCOUNT, address="jürgen@example.org"), PASSWORD)


def test_the_terminal_shows_what_a_camera_reads() -> None:
    shown = qr_terminal(TEXT)
    lines = shown.splitlines()
    assert (len(lines), len(of_terminal(shown)[0])) == (31, 61)
    assert read(of_terminal(shown)) == [TEXT]


def test_the_page_shows_what_a_camera_reads() -> None:
    svg = qr_svg(TEXT, title="for <you>")
    assert read(of_svg(svg)) == [TEXT]
    assert "<title>for &lt;you&gt;</title>" in svg
    assert "style=" not in svg  # the page's policy would not allow it
    assert len(svg) < 12_000


def test_too_much_for_a_code() -> None:
    with pytest.raises(ValueError, match="Data too large"):
        qr_svg("x" * 3_000, title="")


@settings(max_examples=25, deadline=None)
@given(password=st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60))
def test_any_password_comes_through(password: str) -> None:
    text = thunderbird_qr(ACCOUNT, Secret(password))
    assert read(of_svg(qr_svg(text, title=""))) == [text]
    assert json.loads(text)[2][7] == password
