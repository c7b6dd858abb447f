"""Numbers and ranges that are too large, too many or none, over the wire."""

from __future__ import annotations

import time

import pytest

from tests.imap.conftest import Play

THREE = """
    @ message short
    | Subject: hi
    |
    | hello
    @ append INBOX short
    @ append INBOX short
    @ append INBOX short
    @ login 1 alice
    1 select INBOX
"""


@pytest.mark.case("I021")
async def test_a_range_to_the_end_of_all_numbers(play: Play) -> None:
    await play(
        THREE
        + """
    1 C: a1 FETCH 1:4294967295 UID
    1 S: * 1 FETCH (UID 1)
    1 S: * 2 FETCH (UID 2)
    1 S: * 3 FETCH (UID 3)
    1 S: a1 OK ~
    """
    )


@pytest.mark.case("I022")
async def test_odd_ranges_of_uids(play: Play) -> None:
    """RFC 3501 9: seq-number is nz-number; 6.4.8: a UID that is not there is no error."""
    await play(
        THREE
        + """
    1 C: a1 UID FETCH 2:4294967295 UID
    1 S: * 2 FETCH (UID 2)
    1 S: * 3 FETCH (UID 3)
    1 S: a1 OK ~
    1 C: a2 UID FETCH *:* UID
    1 S: * 3 FETCH (UID 3)
    1 S: a2 OK ~
    1 C: a3 UID FETCH 4294967295:1 UID
    1 S: * 1 FETCH (UID 1)
    1 S: * 2 FETCH (UID 2)
    1 S: * 3 FETCH (UID 3)
    1 S: a3 OK ~
    1 C: a4 UID FETCH 4294967295:* UID
    1 S: * 3 FETCH (UID 3)
    1 S: a4 OK ~
    1 C: a5 UID FETCH 4294967295 UID
    1 S: a5 OK ~
    1 C: b1 UID FETCH 0 UID
    1 S: b1 BAD ~
    1 C: b2 UID FETCH 00001 UID
    1 S: b2 BAD ~
    1 C: b3 UID FETCH 4294967296 UID
    1 S: b3 BAD ~
    1 C: b4 UID FETCH 1:4294967296 UID
    1 S: b4 BAD ~
    """
    )


@pytest.mark.case("I023")
async def test_thousands_of_ranges_that_overlap(play: Play) -> None:
    """They become one: each message comes once."""
    many = ",".join(["1:*"] * 5_000)
    numbers = ",".join(["1", "2", "1:2", "*"] * 4_000)
    started = time.process_time()
    await play(
        THREE
        + f"""
    1 C: a1 FETCH {many} UID
    1 S: * 1 FETCH (UID 1)
    1 S: * 2 FETCH (UID 2)
    1 S: * 3 FETCH (UID 3)
    1 S: a1 OK ~
    1 C: a2 UID FETCH {numbers} UID
    1 S: * 1 FETCH (UID 1)
    1 S: * 2 FETCH (UID 2)
    1 S: * 3 FETCH (UID 3)
    1 S: a2 OK ~
    """
    )
    assert time.process_time() - started < 3  # client, store and all; 0.03 s of it are the ranges


@pytest.mark.case("I024")
@pytest.mark.parametrize(
    "command",
    [
        "FETCH {} UID",
        "UID FETCH 1:{} UID",
        "FETCH 1 BODY[{}]",
        "FETCH 1 BODY[]<0.{}>",
        "FETCH 1 UID (CHANGEDSINCE {})",
        "SEARCH LARGER {}",
        "SEARCH MODSEQ {}",
        "SEARCH OLDER {}",
        "SEARCH RETURN (PARTIAL 1:{}) ALL",
        "STORE 1 (UNCHANGEDSINCE {}) FLAGS ()",
    ],
)
async def test_a_number_of_five_thousand_digits(play: Play, command: str) -> None:
    """int() of Python raises ValueError from 4,300 on."""
    said = command.replace("{}", "9" * 5_000)
    await play(
        THREE
        + f"""
    1 C: a1 {said}
    1 S: a1 BAD ~
    1 C: a2 NOOP
    1 S: a2 OK ~
    """
    )


@pytest.mark.case("I026")
async def test_the_bounds_of_MODSEQ(play: Play) -> None:
    """RFC 7162 7: 63 bits, of which CHANGEDSINCE may be 0."""
    await play(
        THREE
        + """
    1 C: a0 ENABLE CONDSTORE
    1 U: * ENABLED CONDSTORE
    1 U: * OK [HIGHESTMODSEQ ~
    1 S: a0 OK ~
    1 C: a1 FETCH 1 UID (CHANGEDSINCE 0)
    1 S: * 1 FETCH (UID 1 MODSEQ (~))
    1 S: a1 OK ~
    1 C: a2 FETCH 1 UID (CHANGEDSINCE 9223372036854775807)
    1 S: a2 OK ~
    1 C: b1 FETCH 1 UID (CHANGEDSINCE 9223372036854775808)
    1 S: b1 BAD ~
    1 C: b2 FETCH 1 UID (CHANGEDSINCE 18446744073709551616)
    1 S: b2 BAD ~
    1 C: b3 FETCH 1 UID (CHANGEDSINCE -1)
    1 S: b3 BAD ~
    1 C: b4 STORE 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS ()
    1 S: b4 BAD ~
    1 C: b5 SEARCH MODSEQ 9223372036854775808
    1 S: b5 BAD ~
    """
    )


@pytest.mark.case("I027")
async def test_of_two_that_change_at_once_one_is_told(play: Play) -> None:
    """RFC 7162 3.1.3: both know one MODSEQ; the second change fails, and nothing of it happens."""
    await play(
        THREE
        + """
    @ login 2 alice
    1 C: a1 FETCH 1:2 (MODSEQ)
    1 S: * OK [HIGHESTMODSEQ ~
    1 S: * 1 FETCH (MODSEQ ({first}))
    1 S: * 2 FETCH (MODSEQ ({second}))
    1 S: a1 OK ~
    2 select INBOX
    2 C: b1 STORE 2 (UNCHANGEDSINCE {second}) +FLAGS.SILENT (theirs)
    2 U: * OK [HIGHESTMODSEQ ~
    2 U: * FLAGS ~
    2 U: * OK [PERMANENTFLAGS ~
    2 U: * 2 FETCH (UID 2 MODSEQ ({changed}))
    2 S: b1 OK ~
    1 C: a2 STORE 1:2 (UNCHANGEDSINCE {second}) +FLAGS.SILENT (mine)
    1 U: * FLAGS ~
    1 U: * OK [PERMANENTFLAGS ~
    1 U: * 1 FETCH (~
    1 U: * 2 FETCH (~ MODSEQ ({changed}))
    1 S: a2 OK [MODIFIED 2] ~
    2 C: b2 NOOP
    2 U: * FLAGS ~
    2 U: * OK [PERMANENTFLAGS ~
    2 U: * 1 FETCH (~
    2 S: b2 OK ~
    1 C: a3 FETCH 2 FLAGS
    1 S: * 2 FETCH (FLAGS (theirs \\Recent))
    1 S: a3 OK ~
    """
    )


@pytest.mark.case("I028")
async def test_QRESYNC_that_does_not_fit(play: Play) -> None:
    """RFC 7162 3.2.5.1: with another UIDVALIDITY the parameters are ignored; 3.2.5.2: so is data
    that does not match; a set of known UIDs may be as large as a line."""
    known = ",".join(str(number) for number in range(1, 8_000, 2))
    await play(
        THREE
        + f"""
    1 C: a0 STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ)
    1 S: * OK [HIGHESTMODSEQ ~
    1 S: * STATUS INBOX (UIDVALIDITY {{validity}} HIGHESTMODSEQ {{modseq}})
    1 S: a0 OK ~
    @ login 2 alice
    2 C: a1 ENABLE QRESYNC
    2 S: * ENABLED ~
    2 S: a1 OK ~
    2 C: a2 SELECT INBOX (QRESYNC (4711 1 1:9))
    2 S: * FLAGS ~
    2 S: * OK [PERMANENTFLAGS ~
    2 S: * 3 EXISTS
    2 S: * 0 RECENT
    2 S: * OK [UNSEEN 1] ~
    2 S: * OK [UIDVALIDITY {{validity}}] ~
    2 S: * OK [UIDNEXT 4] ~
    2 S: * OK [HIGHESTMODSEQ ~
    2 S: * OK [MAILBOXID (~)] ~
    2 S: a2 OK [READ-WRITE] ~
    2 C: a4 SELECT INBOX (QRESYNC ({{validity}} {{modseq}} {known} (1,2,3 5,1,9)))
    2 S: * OK [CLOSED] ~
    2 S: * FLAGS ~
    2 S: * OK [PERMANENTFLAGS ~
    2 S: * 3 EXISTS
    2 S: * 0 RECENT
    2 S: * OK [UNSEEN 1] ~
    2 S: * OK [UIDVALIDITY {{validity}}] ~
    2 S: * OK [UIDNEXT 4] ~
    2 S: * OK [HIGHESTMODSEQ ~
    2 S: * OK [MAILBOXID (~)] ~
    2 S: a4 OK [READ-WRITE] ~
    """
    )


@pytest.mark.case("I020")
@pytest.mark.parametrize("date", ["31-Feb-2020", "00-Jan-0000", "99-XXX-99999", "1-Jan-20", "NIL"])
async def test_what_is_no_date(play: Play, date: str) -> None:
    await play(
        THREE
        + f"""
    1 C: a1 SEARCH SINCE {date}
    1 S: a1 BAD ~
    1 C: b1 SEARCH SENTBEFORE {date}
    1 S: b1 BAD ~
    1 C> a2 APPEND INBOX "31-Feb-2020 00:00:00 +0000" {{2+}}\\r\\nhi\\r\\n
    1 S: a2 BAD ~
    1 C: a3 NOOP
    1 S: a3 OK ~
    """
    )


@pytest.mark.case("I010")
async def test_partials_at_the_edges(play: Play) -> None:
    """RFC 3501 6.4.5: what lies behind the end is empty; a length is at least 1 (9: nz-number)."""
    await play(
        THREE
        + """
    1 C: a1 FETCH 1 BODY.PEEK[]<0.4294967295>
    1 S: * 1 FETCH (BODY[]<0> {}
    1 S< short
    1 S: )
    1 S: a1 OK ~
    1 C: a2 FETCH 1 BODY.PEEK[]<4294967295.1>
    1 S: * 1 FETCH (BODY[]<4294967295> {}
    1 S| \\
    1 S: )
    1 S: a2 OK ~
    1 C: a3 FETCH 1 BODY.PEEK[]<0.0>
    1 S: a3 BAD ~
    1 C: a4 FETCH 1 BODY.PEEK[]<-1.5>
    1 S: a4 BAD ~
    1 C: a5 FETCH 1 BODY.PEEK[]<0.4294967296>
    1 S: a5 BAD ~
    1 C: a6 FETCH 1 BODY.PEEK[]<4294967296.1>
    1 S: a6 BAD ~
    """
    )
