"""Names of mailboxes that want to be something else, over the wire."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imap.conftest import Play

ALICE = "@ login 1 alice\n"


def files(folder: Path) -> set[str]:
    """What lies there, the store's own files left out."""
    found = {str(each.relative_to(folder)) for each in folder.rglob("*")}
    return {each for each in found if not each.startswith(("data", "dialogue"))}


@pytest.mark.case("I066")
async def test_names_that_look_like_paths(play: Play, tmp_path: Path) -> None:
    """No name becomes a file, so that "." and ".." are names like any other; what is too long, too
    deep, empty in a level or holds a control character is none."""
    await play(
        rf"""
    @ login 1 alice
    1 C: a1 CREATE ../../x
    1 S: a1 OK ~
    1 C: a2 CREATE /etc/x
    1 S: a2 NO [CANNOT] ~
    1 C: a3 CREATE a//b
    1 S: a3 NO [CANNOT] ~
    1 C: a4 CREATE .
    1 S: a4 OK ~
    1 C: a5 CREATE "C:\\x"
    1 S: a5 OK ~
    1 C> a6 CREATE "x\0y"\r\n
    1 S: a6 BAD ~
    1 C: a7 CREATE &AAA-
    1 S: a7 BAD ~
    1 C: a8 CREATE {"n" * 10_000}
    1 S: a8 BAD ~
    1 C: a9 CREATE {"/".join("a" * 400)}
    1 S: a9 NO [LIMIT] ~
    1 C: b1 CREATE {"/".join("a" * 1_000)}
    1 S: b1 BAD ~
    1 C: b2 LIST "" "..%"
    1 S: * LIST (\HasChildren) "/" ..
    1 S: b2 OK ~
    1 C: b3 SELECT ../../x
    1 S: * FLAGS ~
    1 S: * OK [PERMANENTFLAGS ~
    1 S: * 0 EXISTS
    1 S: * 0 RECENT
    1 S: * OK [UIDVALIDITY ~
    1 S: * OK [UIDNEXT 1] ~
    1 S: * OK [HIGHESTMODSEQ ~
    1 S: * OK [MAILBOXID ~
    1 S: b3 OK ~
    1 C: b4 SELECT ../../../../etc/passwd
    1 S: * OK [CLOSED] ~
    1 S: b4 NO ~
    """
    )
    assert files(tmp_path) == set()
    assert not (tmp_path.parent / "x").exists()
    assert not (tmp_path.parent.parent / "x").exists()


@pytest.mark.case("I067")
async def test_a_name_with_a_response_in_it(play: Play) -> None:
    await play(
        r"""
    @ login 1 alice
    1 C> a1 CREATE {16+}\r\nx\r\n* OK injected\r\n
    1 S: a1 BAD ~
    1 C: a2 CREATE "x&AA0ACg-* OK injected"
    1 S: a2 BAD ~
    1 C: a3 SUBSCRIBE "x&AA0ACg-* OK injected"
    1 S: a3 BAD ~
    1 C: a4 RENAME Sent "x&AA0ACg-* OK injected"
    1 S: a4 BAD ~
    1 C: a5 LIST "" x*
    1 S: a5 OK ~
    """
    )


@pytest.mark.case("I068")
async def test_spellings_of_modified_UTF_7(play: Play) -> None:
    """RFC 3501 5.1.3: one spelling for each name; whatever is not it is refused."""
    refused = [
        "&AAA-",
        "&2AA-",
        "&AGE-",
        "&",
        "a&b",
        "&ZeVnLIqe",
        "&" + "AOk" * 3 + "-&AOk-",
        "&AOkA6Q-&AOk-",
        "&AOk=-",
    ]
    lines = ["@ login 1 alice"]
    for number, name in enumerate(refused):
        lines += [f'1 C: r{number} CREATE "{name}"', f"1 S: r{number} BAD ~"]
    lines += [r'1 C> e CREATE "&AOk-\xc3\xa9"\r\n', "1 S: e BAD ~"]
    await play(
        "\n".join(lines)
        + r"""
1 C: a1 CREATE "a&-b"
1 S: a1 OK ~
1 C: a2 CREATE &AOkA6Q-
1 S: a2 OK ~
1 C: a3 RENAME &AOkA6Q- &ZeVnLIqe-
1 S: a3 OK ~
1 C: a4 LIST "" "%&-%"
1 S: * LIST (\HasNoChildren) "/" a&-b
1 S: a4 OK ~
1 C: a5 DELETE &ZeVnLIqe-
1 S: a5 OK ~
1 C: a6 DELETE a&-b
1 S: a6 OK ~
"""
    )


@pytest.mark.case("I069")
async def test_names_that_look_alike(play: Play) -> None:
    """INBOX in any case is one; other names are what their octets are: nothing is merged. A client
    that writes UTF-8 makes names in NFC (RFC 9051 5.1) and finds one of either form."""
    await play(
        r"""
    @ login 1 alice
    1 C: a1 CREATE inBOX/child
    1 S: a1 OK ~
    1 C: a2 CREATE INBOX/CHILD
    1 S: a2 OK ~
    1 C: a3 CREATE InBox
    1 S: a3 NO [ALREADYEXISTS] ~
    1 C: a4 CREATE work
    1 S: a4 OK ~
    1 C: a5 CREATE Work
    1 S: a5 OK ~
    1 C: a6 CREATE &AOk-
    1 S: a6 OK ~
    1 C: a7 CREATE e&AwE-
    1 S: a7 OK ~
    1 C: a8 CREATE &IA4-work
    1 S: a8 OK ~
    1 C: a9 CREATE &IAs-work
    1 S: a9 OK ~
    1 C: b1 LIST "" INBOX/%
    1 U: * LIST (\HasNoChildren) "/" INBOX/child
    1 U: * LIST (\HasNoChildren) "/" INBOX/CHILD
    1 S: b1 OK ~
    1 C: b2 LIST "" %ork
    1 U: * LIST (\HasNoChildren) "/" work
    1 U: * LIST (\HasNoChildren) "/" Work
    1 U: * LIST (\HasNoChildren) "/" &IA4-work
    1 U: * LIST (\HasNoChildren) "/" &IAs-work
    1 S: b2 OK ~
    1 C: b3 DELETE e&AwE-
    1 S: b3 OK ~
    1 C: b4 STATUS &AOk- (MESSAGES)
    1 S: * STATUS &AOk- (MESSAGES 0)
    1 S: b4 OK ~
    """
    )


@pytest.mark.case("I070")
async def test_moving_names_about(play: Play) -> None:
    await play(
        r"""
    @ message short
    | Subject: hi
    |
    | hello
    @ append INBOX short
    @ login 1 alice
    @ login 2 alice
    1 C: a1 CREATE a/b/c
    1 S: a1 OK ~
    1 C: a2 RENAME a a/b
    1 S: a2 NO ~
    1 C: a3 RENAME a a/x
    1 S: a3 NO ~
    1 C: a4 DELETE a
    1 S: a4 ~
    1 C: a5 STATUS a/b/c (MESSAGES)
    1 S: * STATUS a/b/c (MESSAGES 0)
    1 S: a5 OK ~
    1 C: a6 RENAME INBOX kept
    1 S: a6 OK ~
    1 C: a7 STATUS INBOX (MESSAGES)
    1 S: * STATUS INBOX (MESSAGES 0)
    1 S: a7 OK ~
    1 C: a8 STATUS kept (MESSAGES)
    1 S: * STATUS kept (MESSAGES 1)
    1 S: a8 OK ~
    1 C: a9 DELETE INBOX
    1 S: a9 NO ~
    """
    )


@pytest.mark.case("I070")
async def test_making_and_deleting_at_once(play: Play) -> None:
    """Two clients, in any order: each is answered, and the name is there or not."""
    making = "".join(f"1 C: m{n} CREATE x/y\n" for n in range(50))
    deleting = "".join(f"2 C: d{n} DELETE x/y\n" for n in range(50))
    made = "".join(f"1 S: m{n} ~\n" for n in range(50))
    deleted = "".join(f"2 S: d{n} ~\n" for n in range(50))
    await play(
        f"@ login 1 alice\n@ login 2 alice\n{making}{deleting}{made}{deleted}"
        + "1 C: e1 CREATE x/y/z\n1 S: e1 OK ~\n"
        + '1 C: e2 LIST "" x*\n1 U: * LIST (~) "/" x\n1 U: * LIST (~) "/" x/y\n'
        + '1 U: * LIST (~) "/" x/y/z\n1 S: e2 OK ~\n'
    )


@pytest.mark.case("I071")
async def test_more_mailboxes_than_a_login_may_have(play: Play) -> None:
    """The cap itself is reached in test_caps.py; here: what is there can still be used."""
    await play(
        """
    @ limit MAILBOXES_PER_LOGIN 10
    @ login 1 alice
    @ login 2 bob
    1 C: a1 CREATE a/b/c
    1 S: a1 OK ~
    1 C: a2 CREATE d/e/f
    1 S: a2 NO [LIMIT] ~
    1 C: a3 LIST "" d*
    1 S: a3 OK ~
    1 C: a5 DELETE a/b/c
    1 S: a5 OK ~
    1 C: a6 CREATE d
    1 S: a6 OK ~
    2 C: b1 CREATE d
    2 S: b1 OK ~
    """
    )


@pytest.mark.case("I072")
async def test_wildcards_and_quotes_in_names(play: Play) -> None:
    await play(
        r"""
    @ login 1 alice
    1 C: a1 CREATE "st*r"
    1 S: a1 OK ~
    1 C: a2 CREATE "per%cent"
    1 S: a2 OK ~
    1 C: a3 CREATE "back\\slash"
    1 S: a3 OK ~
    1 C: a4 CREATE "quo\"te"
    1 S: a4 OK ~
    1 C: b1 LIST "" "st*r"
    1 S: * LIST (\HasNoChildren) "/" "st*r"
    1 S: b1 OK ~
    1 C: b2 LIST "" "per%"
    1 S: * LIST (\HasNoChildren) "/" "per%cent"
    1 S: b2 OK ~
    1 C: b3 STATUS "back\\slash" (MESSAGES)
    1 S: * STATUS {}
    1 S| back\slash\
    1 S:  (MESSAGES 0)
    1 S: b3 OK ~
    1 C: b4 STATUS "quo\"te" (MESSAGES)
    1 S: * STATUS {}
    1 S| quo"te\
    1 S:  (MESSAGES 0)
    1 S: b4 OK ~
    1 C: b5 STATUS "per%cent" (MESSAGES)
    1 S: * STATUS ~ (MESSAGES 0)
    1 S: b5 OK ~
    """
    )
