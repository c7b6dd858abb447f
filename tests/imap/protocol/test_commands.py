"""Each command's grammar: bytes in, value out; and what the BAD says where there is none.

Long because it is a row a spelling, command by command, in the order of RFC 3501.
"""

from __future__ import annotations

import base64
import datetime

import pytest

from bridge import limits
from bridge.imap.protocol import (
    append,
    authenticate,
    bare,
    copy,
    create,
    delete,
    enable,
    expunge,
    id,
    list,
    login,
    rename,
    search,
    select,
    status,
    store,
    subscribe,
)
from bridge.imap.protocol.errors import BadCharset, ParseError
from bridge.imap.protocol.numbers import NumberSet
from bridge.imap.protocol.scanner import Scanner
from bridge.imap.protocol.search import (
    All,
    And,
    BodyHas,
    HasFlag,
    HasKeyword,
    HeaderHas,
    Internal,
    Key,
    Larger,
    ModSeq,
    Not,
    Numbers,
    Older,
    Or,
    Recent,
    Refused,
    Returns,
    Search,
    Sent,
    Smaller,
    TextHas,
)
from bridge.model import Flag
from tests.imap.protocol.support import parse, refused, scanner

ONE_SPACE = "Expected one space"
MISSING = "Missing argument"
TRAILING = "Unexpected text after the command"
SEEN = HasFlag(Flag.SEEN)


def after_space(wire: bytes) -> Scanner:
    found = scanner(b"X " + wire)
    found.space()
    return found


def day(year: int, month: int, number: int) -> int:
    return datetime.date(year, month, number).toordinal()


class TestBare:
    def test_nothing(self) -> None:
        assert parse(bare.parse, b"NOOP") == bare.Bare()

    @pytest.mark.parametrize("rest", [b" ", b" x", b"((((", b" {3+}\r\nabc", b"{3+}\r\nabc"])
    def test_something(self, rest: bytes) -> None:
        assert refused(bare.parse, b"NOOP" + rest) == TRAILING


class TestLogin:
    @pytest.mark.parametrize(
        "arguments",
        [
            b"joe pass",
            b'"joe" "pass"',
            b"{3}\r\njoe {4+}\r\npass",
            b'{3+}\r\njoe "pass"',
        ],
    )
    def test_astrings(self, arguments: bytes) -> None:
        value = parse(login.parse, b"LOGIN " + arguments)
        assert (value.name, value.password.reveal()) == ("joe", "pass")

    def test_escapes(self) -> None:
        value = parse(login.parse, b'LOGIN joe "a\\"b\\\\c]d"')
        assert value.password.reveal() == 'a"b\\c]d'

    def test_utf8(self) -> None:
        value = parse(login.parse, 'LOGIN joe "grün"'.encode())
        assert value.password.reveal() == "grün"

    def test_octets_that_are_no_utf8(self) -> None:
        value = parse(login.parse, b"LOGIN joe {3}\r\n\xff\xfe!")
        assert value.password.reveal() == "\ufffd\ufffd!"

    def test_the_password_does_not_show(self) -> None:
        assert "hunter2" not in repr(parse(login.parse, b"LOGIN joe hunter2"))

    @pytest.mark.parametrize(
        ("arguments", "answer"),
        [
            (b"", MISSING),
            (b" joe", MISSING),
            (b" joe ", "Expected an atom or a string"),
            (b"  joe pass", "Expected an atom or a string"),
            (b" joe  pass", "Expected an atom or a string"),
            (b" joe\tpass", ONE_SPACE),
            (b" joe pass ", TRAILING),
            (b" joe pass word", TRAILING),
            (b' "joe pass', "The quoted string is not closed"),
            (b' joe "pass\\', "The quoted string is not closed"),
            (b' joe "pa\\ss"', "The quoted string is not closed"),
            (b' joe "pass"x', TRAILING),
            (b" jo\xc3\xa9 pass", ONE_SPACE),
            (b' joe "\xff"', "A quoted string is ASCII or UTF-8"),
            (b" joe {3}\r\na\0b", "NUL in a string"),
            (b" joe {3", "Expected a string"),
            (b" joe {-1}", "Expected a string"),
            (b" (joe) pass", "Expected an atom or a string"),
        ],
    )
    def test_malformed(self, arguments: bytes, answer: str) -> None:
        assert refused(login.parse, b"LOGIN" + arguments) == answer


class TestAuthenticate:
    @pytest.mark.parametrize(
        ("arguments", "mechanism", "initial"),
        [
            (b"plain", "PLAIN", None),
            (b"PLAIN =", "PLAIN", b""),
            (b"PLAIN AGpvZQBwYXNz", "PLAIN", b"\0joe\0pass"),
            (b"SCRAM-SHA-256 YWI=", "SCRAM-SHA-256", b"ab"),
        ],
    )
    def test_values(self, arguments: bytes, mechanism: str, initial: bytes | None) -> None:
        value = parse(authenticate.parse, b"AUTHENTICATE " + arguments)
        assert (value.mechanism, value.initial) == (mechanism, initial)
        assert "joe" not in repr(value)

    @pytest.mark.parametrize(
        "initial", [b"!!!!", b"YWI", b"YWI=YWI=", b"Y W I", b"====", b"==", b"*"]
    )
    def test_malformed(self, initial: bytes) -> None:
        assert refused(authenticate.parse, b"AUTHENTICATE PLAIN " + initial)

    def test_responses(self) -> None:
        assert authenticate.decode_response(b"*") is None
        assert authenticate.decode_response(b"") == b""
        assert authenticate.decode_response(b"AGpvZQBwYXNz") == b"\0joe\0pass"
        large = bytes(range(256)) * 4096
        assert authenticate.decode_response(base64.b64encode(large)) == large

    @pytest.mark.parametrize("line", [b"**", b" ", b"=", b"YWI", b"YW\xffI", b"DONE."])
    def test_malformed_responses(self, line: bytes) -> None:
        with pytest.raises(ParseError, match="not base64"):
            authenticate.decode_response(line)


class TestId:
    @pytest.mark.parametrize(
        ("arguments", "fields"),
        [
            (b"NIL", ()),
            (b"nil", ()),
            (b"()", ()),
            (b'("name" "Thunderbird" "os" NIL)', (("name", "Thunderbird"), ("os", None))),
            (b'("name" {3}\r\nK-9)', (("name", "K-9"),)),
        ],
    )
    def test_fields(self, arguments: bytes, fields: tuple[tuple[str, str | None], ...]) -> None:
        assert parse(id.parse, b"ID " + arguments) == id.Id(fields)

    @pytest.mark.parametrize(
        ("arguments", "answer"),
        [
            (b"", MISSING),
            (b" x", "Expected a string or NIL"),
            (b' "x"', "Expected NIL or a list of fields and values"),
            (b' ("name")', ONE_SPACE),
            (b' ("name" "x"', "Expected )"),
            (b" (name x)", "Expected a string"),
            (b" (" + b" ".join([b'"x" NIL'] * 31) + b")", "ID has at most 30 fields"),
        ],
    )
    def test_malformed(self, arguments: bytes, answer: str) -> None:
        assert refused(id.parse, b"ID" + arguments) == answer


class TestEnable:
    def test_names(self) -> None:
        value = parse(enable.parse, b"ENABLE condstore UTF8=ACCEPT CondStore")
        assert value.names == ("CONDSTORE", "UTF8=ACCEPT")

    @pytest.mark.parametrize("arguments", [b"", b" ", b" x ", b" x  y", b" (x)"])
    def test_malformed(self, arguments: bytes) -> None:
        assert refused(enable.parse, b"ENABLE" + arguments)


class TestSelect:
    def test_plain(self) -> None:
        assert parse(select.parse, b"SELECT inbox") == select.Select("INBOX")

    def test_condstore(self) -> None:
        value = parse(select.parse, b"SELECT INBOX (CondStore)")
        assert value == select.Select("INBOX", ("CONDSTORE",))

    def test_qresync(self) -> None:
        value = parse(
            select.parse, b"SELECT x (QRESYNC (67 20050715194045000 41,43:211 (1,5 3,7)))"
        )
        assert value.qresync == select.Qresync(
            67,
            20050715194045000,
            NumberSet(((41, 41), (43, 211))),
            (NumberSet(((1, 1), (5, 5))), NumberSet(((3, 3), (7, 7)))),
        )
        value = parse(select.parse, b"SELECT x (QRESYNC (67 20) CONDSTORE)")
        assert value.parameters == ("QRESYNC", "CONDSTORE")
        assert value.qresync == select.Qresync(67, 20, None, None)
        value = parse(select.parse, b"SELECT x (QRESYNC (67 20 (1 2)))")
        assert value.qresync is not None
        assert value.qresync.known_uids is None

    @pytest.mark.parametrize(
        ("arguments", "answer"),
        [
            (b"", MISSING),
            (b" x y", "Expected ("),
            (b" x ()", "Expected a name"),
            (b" x (NONSENSE)", "There is no such parameter"),
            (b" x (CONDSTORE CONDSTORE)", "A parameter is given twice"),
            (b" x (CONDSTORE", "Expected )"),
            (b" x (QRESYNC)", ONE_SPACE),
            (b" x (QRESYNC (0 1))", "Expected a number from 1 to 4294967295"),
            (b" x (QRESYNC (1 9223372036854775808))", "Expected a mod-sequence of at most 63 bits"),
            (b" x (QRESYNC (1 1 1:*))", "* and $ are not allowed here"),
            (b" x (QRESYNC (1 1 $))", "* and $ are not allowed here"),
            (b" x (QRESYNC (1 1 1:2 (1:2 1:*)))", "* and $ are not allowed here"),
        ],
    )
    def test_malformed(self, arguments: bytes, answer: str) -> None:
        assert refused(select.parse, b"SELECT" + arguments) == answer


class TestMailboxes:
    def test_one_name(self) -> None:
        assert parse(delete.parse, b"DELETE a/b") == delete.Delete("a/b")
        assert parse(subscribe.parse, b"SUBSCRIBE a") == subscribe.Subscribe("a")

    def test_rename(self) -> None:
        assert parse(rename.parse, b'RENAME a "b c"') == rename.Rename("a", "b c")

    def test_create(self) -> None:
        assert parse(create.parse, b"CREATE a/") == create.Create("a/")
        value = parse(create.parse, b"CREATE x (USE (\\drafts \\Odd))")
        assert value == create.Create("x", ("\\Drafts", "\\Odd"))
        assert parse(create.parse, b"CREATE x (USE ())") == create.Create("x", ())

    @pytest.mark.parametrize(
        ("arguments", "answer"),
        [
            (b" x (FUSE ())", "There is no such parameter"),
            (b" x (USE (Drafts))", "Expected \\"),
            (b" x (USE (\\Drafts)", "Expected )"),
            (b" x y", "Expected ("),
            (
                b" x (USE (" + b" ".join(b"\\x%d" % n for n in range(30)) + b"))",
                "Too many special uses",
            ),
        ],
    )
    def test_malformed_create(self, arguments: bytes, answer: str) -> None:
        assert refused(create.parse, b"CREATE" + arguments) == answer

    @pytest.mark.parametrize(
        ("written", "name"),
        [
            (b"inbox", "INBOX"),
            (b'"iNbOx"', "INBOX"),
            (b"{5}\r\ninbox", "INBOX"),
            (b"inbox/Child", "INBOX/Child"),
            (b"inboxes", "inboxes"),
            (b"&ATE-nbox", "ınbox"),  # a dotless i is another letter
            (b"Entw&APw-rfe", "Entwürfe"),
            (b"a&-b", "a&b"),
            (b'"a*b%c"', "a*b%c"),
            (b'{5}\r\na"b\\c', 'a"b\\c'),
            (b"a]b", "a]b"),
            (b'""', ""),
            (b"x" * limits.MAILBOX_NAME, "x" * limits.MAILBOX_NAME),
        ],
    )
    def test_names(self, written: bytes, name: str) -> None:
        assert parse(delete.parse, b"DELETE " + written).mailbox == name

    @pytest.mark.parametrize(
        ("written", "answer"),
        [
            (b"a*", TRAILING),
            (b"a\\b", TRAILING),
            (b'"gr\xc3\xbcn"', "A mailbox name is written in modified UTF-7"),
            (b"{2}\r\n\r\n", "A mailbox name is written in modified UTF-7"),
            (b"{9}\r\nx\r\n* OK y", "A mailbox name is written in modified UTF-7"),
            (b"{2}\r\na\0", "NUL in a string"),
            (b"&AAA-", "Control characters in a mailbox name"),
            (b"&AA0ACg-*", "Control characters in a mailbox name"),
            (b'"&AA0ACg-* OK"', "Control characters in a mailbox name"),
            (b"&AIU-", "Control characters in a mailbox name"),
            (b"&ICg-", "Control characters in a mailbox name"),
            (b"&2AA-", "The mailbox name is not modified UTF-7"),
            (b"&AGE-", "The mailbox name is not in its shortest modified UTF-7 form"),
            (b"a&b", "A shift in the mailbox name is not closed with -"),
            (b"x" * (limits.MAILBOX_NAME + 1), "A mailbox name has at most 1000 octets"),
            (b"x" * 10_000, "A mailbox name has at most 1000 octets"),
        ],
    )
    def test_refused_names(self, written: bytes, answer: str) -> None:
        assert refused(delete.parse, b"DELETE " + written) == answer


class TestStatus:
    def test_items(self) -> None:
        value = parse(status.parse, b"STATUS INBOX (messages UNSEEN MESSAGES)")
        assert value == status.Status("INBOX", ("MESSAGES", "UNSEEN"))

    @pytest.mark.parametrize(
        "items", [b"", b" ", b" ()", b" (X)", b" (UNSEEN", b" UNSEEN", b" (UNSEEN) "]
    )
    def test_malformed(self, items: bytes) -> None:
        assert refused(status.parse, b"STATUS INBOX" + items)


class TestList:
    def test_plain(self) -> None:
        assert parse(list.parse, b'LIST "" *') == list.List("", ("*",))
        assert parse(list.parse, b"LIST a/ &APw-%") == list.List("a/", ("ü%",))
        assert parse(list.parse, b'LIST "" ""') == list.List("", ("",))

    def test_extended(self) -> None:
        value = parse(
            list.parse,
            b'LIST (SUBSCRIBED RecursiveMatch) "" ("INBOX" % x) '
            b"RETURN (CHILDREN STATUS (MESSAGES SIZE) SPECIAL-USE)",
        )
        assert value == list.List(
            "",
            ("INBOX", "%", "x"),
            frozenset({"SUBSCRIBED", "RECURSIVEMATCH"}),
            frozenset({"CHILDREN", "STATUS", "SPECIAL-USE"}),
            ("MESSAGES", "SIZE"),
            extended=True,
        )

    def test_empty_options_make_it_extended(self) -> None:
        assert parse(list.parse, b'LIST () "" ""').extended
        assert parse(list.parse, b'LIST "" * RETURN ()').extended

    @pytest.mark.parametrize(
        ("arguments", "answer"),
        [
            (b"", MISSING),
            (b' ""', MISSING),
            (b' "" ()', "Expected a mailbox name or pattern"),
            (b' (NONSENSE) "" *', "There is no such LIST selection option"),
            (b' (RECURSIVEMATCH) "" *', "RECURSIVEMATCH goes with SUBSCRIBED or SPECIAL-USE"),
            (b' (SUBSCRIBED ) "" *', "Expected a name"),
            (b' "" * RETURN', MISSING),
            (b' "" * SEND (CHILDREN)', "Expected RETURN"),
            (b' "" * RETURN (MOON)', "There is no such LIST return option"),
            (b' "" * RETURN (STATUS)', ONE_SPACE),
            (b' "" * RETURN (STATUS (MOON))', "There is no such STATUS item"),
            (
                b' "" (' + b" ".join(b"a%d" % n for n in range(200)) + b")",
                "LIST has at most 100 patterns",
            ),
        ],
    )
    def test_malformed(self, arguments: bytes, answer: str) -> None:
        assert refused(list.parse, b"LIST" + arguments) == answer


class TestAppend:
    def test_all(self) -> None:
        value = parse(
            append.parse,
            b"APPEND Drafts (\\draft $Forwarded \\Seen) "
            b'"17-Jul-1996 02:44:25 -0700" {5}\r\na\0b\xff\n',
        )
        message = append.AppendMessage(
            Flag.DRAFT | Flag.SEEN, ("$Forwarded",), 837596665, b"a\0b\xff\n"
        )
        assert value == append.Append("Drafts", (message,))

    def test_the_least(self) -> None:
        value = parse(append.parse, b"APPEND {5+}\r\nInbox {0+}\r\n")
        assert value == append.Append("INBOX", (append.AppendMessage(0, (), None, b""),))

    def test_several(self) -> None:
        value = parse(
            append.parse,
            b"APPEND x (\\Seen) {1}\r\na {2+}\r\nbb "
            b'"17-Jul-1996 02:44:25 -0700" utf8 (~{3}\r\nccc)',
        )
        assert value.messages == (
            append.AppendMessage(Flag.SEEN, (), None, b"a"),
            append.AppendMessage(0, (), None, b"bb"),
            append.AppendMessage(0, (), 837596665, b"ccc", utf8=True),
        )

    @pytest.mark.parametrize(
        ("arguments", "answer"),
        [
            (b" x", MISSING),
            (b" x message", "Expected a literal"),
            (b' x "message"', 'Expected a date and time like "17-Jul-1996 02:44:25 -0700"'),
            (b" x (\\Recent) {1}\r\nm", "\\Recent can not be set by a client"),
            (b" x (\\Odd) {1}\r\nm", "There is no such system flag"),
            (b" x () {1}\r\nm m", "Expected a literal"),
            (b" x {1}\r\nm ", "Expected a literal"),
            (b" x {1}\r\nm (\\Seen)", MISSING),
            (b" x {1}\r\nm)", "Expected one space"),
            (b" x UTF8 ({1}\r\nm)", "Expected ~"),
            (b" x UTF8 (~{1}\r\nm", "Expected )"),
            (b" x UTF9 (~{1}\r\nm)", "Expected a literal"),
        ],
    )
    def test_malformed(self, arguments: bytes, answer: str) -> None:
        assert refused(append.parse, b"APPEND" + arguments) == answer


class TestDates:
    @pytest.mark.parametrize(
        ("written", "seconds"),
        [
            (b'" 1-Jan-1970 00:00:00 +0000"', 0),
            (b'"01-jan-1970 01:00:00 +0100"', 0),
            (b'"1-Jan-1970 00:00:00 -0030"', 1800),
            (b'"31-Dec-1969 23:59:59 +0000"', -1),
            (b'"31-Dec-1969 23:59:60 +0000"', 0),
            (b'"29-Feb-2024 12:00:00 +0000"', 1709208000),
        ],
    )
    def test_date_time(self, written: bytes, seconds: int) -> None:
        assert after_space(written).date_time() == seconds

    @pytest.mark.parametrize(
        "written",
        [
            b'"31-Feb-2020 00:00:00 +0000"',
            b'"00-Jan-2020 00:00:00 +0000"',
            b'" 1-Jan-0000 00:00:00 +0000"',
            b'" 1-XXX-2020 00:00:00 +0000"',
            b'" 1-Jan-2020 24:00:00 +0000"',
            b'" 1-Jan-2020 00:60:00 +0000"',
            b'" 1-Jan-2020 00:00:61 +0000"',
            b'" 1-Jan-2020 00:00:00 +2400"',
            b'" 1-Jan-2020 00:00:00 +0060"',
            b'" 1-Jan-0001 00:00:00 +0001"',
            b'"31-Dec-9999 23:59:59 -0001"',
            b'" 1-Jan-2020 00:00:00"',
            b"1-Jan-2020",
        ],
    )
    def test_no_date_time(self, written: bytes) -> None:
        with pytest.raises(ParseError):
            after_space(written).date_time()

    @pytest.mark.parametrize("written", [b"1-Feb-1994", b'"01-FEB-1994"'])
    def test_date(self, written: bytes) -> None:
        assert after_space(written).date() == day(1994, 2, 1)

    @pytest.mark.parametrize(
        "written",
        [
            b"31-Feb-2020",
            b"00-Jan-0000",
            b"99-XXX-99999",
            b"1-Jan-20200",
            b"1-Jan-20",
            b'"1-Jan-2020',
        ],
    )
    def test_no_date(self, written: bytes) -> None:
        with pytest.raises(ParseError):
            after_space(written).date()


class TestStore:
    @pytest.mark.parametrize(
        ("arguments", "value"),
        [
            (b"1 FLAGS ()", store.Store(NumberSet(((1, 1),)), "replace", False, 0, ())),
            (
                b"1:* +flags.silent (\\Seen)",
                store.Store(NumberSet(((1, 0),)), "add", True, Flag.SEEN, ()),
            ),
            (
                b"2,4 -FLAGS \\Deleted Junk junk $X",
                store.Store(
                    NumberSet(((2, 2), (4, 4))), "remove", False, Flag.DELETED, ("Junk", "$X")
                ),
            ),
            (
                b"1 (UNCHANGEDSINCE 0) FLAGS.SILENT x",
                store.Store(NumberSet(((1, 1),)), "replace", True, 0, ("x",), 0),
            ),
        ],
    )
    def test_values(self, arguments: bytes, value: store.Store) -> None:
        assert parse(store.parse, b"STORE " + arguments) == value

    @pytest.mark.parametrize(
        ("arguments", "answer"),
        [
            (b"", MISSING),
            (b" 1", MISSING),
            (b" 1 FLAGS", MISSING),
            (b" 1 FLAGS ", "Expected an atom"),
            (b" 1 ++FLAGS ()", "Expected a name"),
            (b" 1 FLAGZ ()", "Expected FLAGS or FLAGS.SILENT"),
            (b" 1 FLAGS (\\Seen", "Expected )"),
            (b" 1 FLAGS (\\Seen  x)", "Expected an atom"),
            (b" 1 FLAGS (\\Seen )", "Expected an atom"),
            (b" 1 FLAGS \\", "Expected an atom"),
            (b" 1 FLAGS \\*", "Expected an atom"),
            (b" 1 FLAGS (\\Recent)", "\\Recent can not be set by a client"),
            (b" 1 FLAGS (\\Important)", "There is no such system flag"),
            (b" 1 FLAGS (a]b)", "Expected )"),
            (b" 1 FLAGS a]b", TRAILING),
            (b' 1 FLAGS ("a")', "Expected an atom"),
            (b" 1 FLAGS " + b"k" * 201, "A keyword has at most 200 octets"),
            (b" 1 (CHANGEDSINCE 1) FLAGS x", "There is no such STORE modifier"),
            (
                b" 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS x",
                "Expected a mod-sequence of at most 63 bits",
            ),
            (b" 1 (UNCHANGEDSINCE -1) FLAGS x", "Expected a mod-sequence of at most 63 bits"),
        ],
    )
    def test_malformed(self, arguments: bytes, answer: str) -> None:
        assert refused(store.parse, b"STORE" + arguments) == answer


class TestCopyAndExpunge:
    def test_values(self) -> None:
        assert parse(copy.parse, b"COPY 1:3 Trash") == copy.Copy(NumberSet(((1, 3),)), "Trash")
        value = parse(expunge.parse, b"UID EXPUNGE 3000:*")
        assert value == expunge.UidExpunge(NumberSet(((3000, 0),)))
        # RFC 5182 3
        saved = NumberSet((), saved=True)
        assert parse(copy.parse, b"COPY $ Trash") == copy.Copy(saved, "Trash")

    @pytest.mark.parametrize(
        "numbers",
        [b"0", b"00001", b"01", b"4294967296", b"1,", b",1", b"1:", b":1", b"1::2", b"1:2:3", b"-1",
         b"1,,2", b"**", b"*1", b"$,1", b"9" * 5000, b"1:" + b"9" * 5000],
    )  # fmt: skip
    def test_not_a_sequence_set(self, numbers: bytes) -> None:
        assert refused(expunge.parse, b"UID EXPUNGE " + numbers)


class TestSearch:
    @pytest.mark.parametrize(
        ("keys", "key"),
        [
            (b"ALL", All()),
            (b"answered", HasFlag(Flag.ANSWERED)),
            (b"UNANSWERED", Not(HasFlag(Flag.ANSWERED))),
            (b"DELETED", HasFlag(Flag.DELETED)),
            (b"UNDELETED", Not(HasFlag(Flag.DELETED))),
            (b"DRAFT", HasFlag(Flag.DRAFT)),
            (b"UNDRAFT", Not(HasFlag(Flag.DRAFT))),
            (b"FLAGGED", HasFlag(Flag.FLAGGED)),
            (b"UNFLAGGED", Not(HasFlag(Flag.FLAGGED))),
            (b"SEEN", SEEN),
            (b"UNSEEN", Not(SEEN)),
            (b"NEW", And((Recent(), Not(SEEN)))),
            (b"OLD", Not(Recent())),
            (b"RECENT", Recent()),
            (b"KEYWORD $Junk", HasKeyword("$Junk")),
            (b"UNKEYWORD $Junk", Not(HasKeyword("$Junk"))),
            (b"FROM joe", HeaderHas(b"from", "joe")),
            (b'TO ""', HeaderHas(b"to", "")),
            (b"CC {3}\r\na b", HeaderHas(b"cc", "a b")),
            (b"BCC x", HeaderHas(b"bcc", "x")),
            (b'SUBJECT "100%_\\\\"', HeaderHas(b"subject", "100%_\\")),
            (b'HEADER X-Spam-Flag "YES"', HeaderHas(b"x-spam-flag", "YES")),
            ('BODY "grün"'.encode(), BodyHas("grün")),
            (b"TEXT x", TextHas("x")),
            (b"BEFORE 1-Feb-1994", Internal("before", day(1994, 2, 1))),
            (b"ON 1-Feb-1994", Internal("on", day(1994, 2, 1))),
            (b"SINCE 1-Feb-1994", Internal("since", day(1994, 2, 1))),
            (b'SENTBEFORE "1-Feb-1994"', Sent("before", day(1994, 2, 1))),
            (b"SENTON 1-Feb-1994", Sent("on", day(1994, 2, 1))),
            (b"SENTSINCE 1-Feb-1994", Sent("since", day(1994, 2, 1))),
            (b"LARGER 0", Larger(0)),
            (b"SMALLER 4294967295", Smaller(4294967295)),
            (b"1:5,*", Numbers(NumberSet(((1, 5), (0, 0))), uid=False)),
            (b"*", Numbers(NumberSet(((0, 0),)), uid=False)),
            (b"UID 7", Numbers(NumberSet(((7, 7),)), uid=True)),
            (b"$", Numbers(NumberSet((), saved=True), uid=False)),
            (b"UID $", Numbers(NumberSet((), saved=True), uid=True)),
            (b"OLDER 60", Older(60)),
            (b"YOUNGER 60", Not(Older(61))),
            (b"MODSEQ 620162338", ModSeq(620162338)),
            (b'MODSEQ "/flags/\\\\draft" all 0', ModSeq(0)),
            (b"SEEN 1", And((SEEN, Numbers(NumberSet(((1, 1),)), uid=False)))),
            (b"NOT NOT SEEN", Not(Not(SEEN))),
            (b"OR SEEN ALL", Or(SEEN, All())),
            (b"OR OR SEEN ALL NOT RECENT", Or(Or(SEEN, All()), Not(Recent()))),
            (b"(SEEN)", SEEN),
            (b"(SEEN (ALL RECENT)) OLD", And((And((SEEN, And((All(), Recent())))), Not(Recent())))),
            (b"OR (SEEN ALL) (RECENT) ALL", And((Or(And((SEEN, All())), Recent()), All()))),
            (b"NOT (OR SEEN ALL)", Not(Or(SEEN, All()))),
        ],
    )
    def test_keys(self, keys: bytes, key: Key) -> None:
        assert parse(search.parse, b"SEARCH " + keys) == Search(key)

    def test_charset(self) -> None:
        value = parse(search.parse, b"SEARCH CHARSET iso-8859-1 SUBJECT {4+}\r\ngr\xfcn")
        assert value == Search(HeaderHas(b"subject", "grün"), "ISO-8859-1")
        value = parse(search.parse, b"SEARCH CHARSET SHIFT_JIS BODY {4}\r\n\x93\xfa\x96\x7b")
        assert value == Search(BodyHas("日本"), "SHIFT_JIS")
        value = parse(search.parse, b'SEARCH CHARSET "US-ASCII" ALL')
        assert value == Search(All(), "US-ASCII")

    def test_every_charset_decodes(self) -> None:
        for charset in search.CHARSETS:
            value = parse(search.parse, b"SEARCH CHARSET " + charset.encode() + b" BODY plain")
            assert value == Search(BodyHas("plain"), charset)

    @pytest.mark.parametrize(
        "charset",
        [b"X-UNKNOWN", b"UTF-7", b"idna", b"unicode_escape", b'"\xc3\xa9"', b"z" * 10_000],
    )
    def test_charsets_that_we_do_not_read(self, charset: bytes) -> None:
        with pytest.raises(BadCharset) as caught:
            parse(search.parse, b"SEARCH CHARSET " + charset + b" SUBJECT x")
        assert caught.value.status == b"NO"
        assert caught.value.code is not None
        assert caught.value.code.startswith(b"BADCHARSET (UTF-8 US-ASCII ")

    def test_return(self) -> None:
        value = parse(search.parse, b"SEARCH RETURN (MIN count) CHARSET UTF-8 ALL")
        assert value == Search(All(), "UTF-8", Returns(("MIN", "COUNT")))
        value = parse(search.parse, b"SEARCH RETURN () ALL")
        assert value == Search(All(), None, Returns(("ALL",)))
        value = parse(search.parse, b"SEARCH RETURN (SAVE) ALL")
        assert value == Search(All(), None, Returns(("SAVE",)))
        value = parse(search.parse, b"SEARCH RETURN (PARTIAL 7:3 MAX) ALL")
        assert value == Search(All(), None, Returns(("MAX", "PARTIAL"), (7, 3)))
        value = parse(search.parse, b"SEARCH RETURN (PARTIAL -1:-100) ALL")
        assert value == Search(All(), None, Returns(("PARTIAL",), (-1, -100)))

    def test_a_charset_that_we_do_not_read_with_save(self) -> None:
        value = parse(search.parse, b"SEARCH RETURN (SAVE) CHARSET X-UNKNOWN SUBJECT x")
        assert isinstance(value, Refused)
        assert value.error.status == b"NO"

    def test_deep_but_allowed(self) -> None:
        depth = limits.IMAP_NESTING - 1
        value = parse(search.parse, b"SEARCH " + b"(" * depth + b"ALL" + b")" * depth)
        assert value == Search(All())
        assert parse(search.parse, b"SEARCH " + b"NOT " * depth + b"ALL")

    @pytest.mark.parametrize(
        "keys",
        [
            b"(" * 10_000 + b"ALL" + b")" * 10_000,
            b"(" * 10_000,
            b"NOT " * 10_000 + b"ALL",
            b"OR ALL " * 8_000 + b"ALL ALL",
            b"OR " * 50 + b"ALL " * 50 + b"ALL",
        ],
    )
    def test_too_deep(self, keys: bytes) -> None:
        assert refused(search.parse, b"SEARCH " + keys) == "Search keys nest at most 50 deep"

    @pytest.mark.parametrize(
        ("arguments", "answer"),
        [
            (b"", MISSING),
            (b" ", "Expected a name"),
            (b" MOON", "There is no such search key"),
            (b" ALL ", "Expected a name"),
            (b" ALL  ALL", "Expected a name"),
            (b" (ALL", MISSING),
            (b" ()", "Expected a name"),
            (b" ALL)", ONE_SPACE),
            (b" (ALL))", ONE_SPACE),
            (b" NOT", MISSING),
            (b" OR ALL", MISSING),
            (b" SUBJECT", MISSING),
            (b" HEADER x", MISSING),
            (b" KEYWORD \\Seen", "Expected an atom"),
            (b" SINCE 31-Feb-2020", "There is no such date"),
            (b" LARGER 4294967296", "Expected a number from 0 to 4294967295"),
            (b" LARGER -1", "Expected a number from 0 to 4294967295"),
            (b" LARGER " + b"1" * 5000, "Expected a number from 0 to 4294967295"),
            (b" MODSEQ 18446744073709551616", "Expected a mod-sequence of at most 63 bits"),
            (b' MODSEQ "/flags/x" some 1', "Expected priv, shared or all"),
            (b" 0", "A sequence set has numbers from 1 to 4294967295, or *"),
            (b" CHARSET UTF-8", MISSING),
            (
                b" CHARSET UTF-8 BODY {1}\r\n\xff",
                "A search text is not in the charset of the command",
            ),
            (
                b" CHARSET US-ASCII BODY {2}\r\n\xc3\xa9",
                "A search text is not in the charset of the command",
            ),
            (b" RETURN (NONSENSE) ALL", "There is no such SEARCH return option"),
            (b" RETURN (UPDATE UPDATE) ALL", "UPDATE is given twice"),
            (b" RETURN (UPDATE ()) ALL", "Expected a name"),
            (b" RETURN (ALL PARTIAL 1:2) ALL", "ALL and PARTIAL exclude each other"),
            (b" RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL", "PARTIAL is given twice"),
            (b" RETURN (PARTIAL 1:-2) ALL", "Expected a number from 1 to 4294967295"),
            (b" RETURN (PARTIAL -1:2) ALL", "Expected -"),
            (b" RETURN (PARTIAL 0:2) ALL", "Expected a number from 1 to 4294967295"),
            (b" OLDER 0", "Expected a number from 1 to 4294967295"),
            (b" ALL CHARSET UTF-8 ALL", "There is no such search key"),
            (b' "ALL"', "Expected a name"),
        ],
    )
    def test_malformed(self, arguments: bytes, answer: str) -> None:
        assert refused(search.parse, b"SEARCH" + arguments) == answer
