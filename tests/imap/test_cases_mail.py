"""Parts and previews of mail that is broken, over the wire."""

from __future__ import annotations

import pytest

from tests.imap.conftest import Play


@pytest.mark.case("I086")
async def test_parts_that_cannot_be_decoded(play: Play) -> None:
    """RFC 3516 4.3: UNKNOWN-CTE; what is broken in an encoding that we know is left out."""
    await play(
        r"""
    @ message odd
    | MIME-Version: 1.0
    | Content-Type: multipart/mixed; boundary=b
    |
    | --b
    | Content-Transfer-Encoding: x-unheard-of
    |
    | abc
    | --b
    | Content-Transfer-Encoding: base64
    |
    | aG!!k=
    | --b
    | Content-Transfer-Encoding: quoted-printable
    |
    | a=0 b=ZZ=
    | --b--
    @ append INBOX odd
    @ login 1 alice
    1 select INBOX
    1 C: a1 FETCH 1 BINARY.PEEK[1]
    1 S: a1 NO [UNKNOWN-CTE] ~
    1 C: a2 FETCH 1 BODY.PEEK[1]
    1 S: * 1 FETCH (BODY[1] {}
    1 S| abc\
    1 S: )
    1 S: a2 OK ~
    1 C: a3 FETCH 1 BINARY.PEEK[2]
    1 S: * 1 FETCH (BINARY[2] {}
    1 S| hi\
    1 S: )
    1 S: a3 OK ~
    1 C: a4 FETCH 1 BINARY.SIZE[3]
    1 S: * 1 FETCH (BINARY.SIZE[3] ~)
    1 S: a4 OK ~
    """
    )


@pytest.mark.case("I088")
async def test_a_preview_is_text_whatever_the_body_is(play: Play) -> None:
    """RFC 8970: UTF-8, and no half characters."""
    await play(
        r"""
    @ escaped cut Content-Type:text/plain;charset=utf-8\r\n\r\nabc\xf0\x9f\x98
    @ escaped wrong Content-Type:text/plain;charset=utf-8\r\n\r\na\xffb
    @ append INBOX cut
    @ append INBOX wrong
    @ login 1 alice
    1 select INBOX
    1 C: a1 FETCH 1:2 PREVIEW
    1 S: * 1 FETCH (PREVIEW "abc")
    1 S: * 2 FETCH (PREVIEW ~)
    1 S: a1 OK ~
    """
    )
