"""The allow-list of charsets that a message may name, and decoding that never fails.

Rules: a name from a message never reaches Python's codec machinery except through this table,
since some of its codecs are not charsets (zlib, rot13, unicode_escape, idna).
"""

from __future__ import annotations

import re

_CODECS = {
    "us-ascii": "ascii", "ascii": "ascii", "ansi_x3.4-1968": "ascii", "iso646-us": "ascii",
    "utf-8": "utf-8", "utf8": "utf-8", "unicode-1-1-utf-8": "utf-8", "utf-8-sig": "utf-8",
    "utf-7": "utf-7", "unicode-1-1-utf-7": "utf-7",
    "utf-16": "utf-16", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
    "utf-32": "utf-32", "utf-32le": "utf-32-le", "utf-32be": "utf-32-be",
    "iso-2022-jp": "iso2022_jp_ext", "iso-2022-jp-1": "iso2022_jp_ext",
    "iso-2022-jp-2": "iso2022_jp_2", "iso-2022-jp-3": "iso2022_jp_3", "iso-2022-kr": "iso2022_kr",
    "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "x-sjis": "cp932",
    "ms_kanji": "cp932", "windows-31j": "cp932", "cp932": "cp932",
    "euc-jp": "euc_jp", "x-euc-jp": "euc_jp", "eucjp": "euc_jp",
    "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "cp936": "gb18030",
    "x-gbk": "gb18030", "euc-cn": "gb18030", "hz-gb-2312": "hz",
    "big5": "cp950", "big-5": "cp950", "x-x-big5": "cp950", "cp950": "cp950",
    "big5-hkscs": "big5hkscs",
    "euc-kr": "cp949", "ks_c_5601-1987": "cp949", "ks_c_5601": "cp949", "ksc5601": "cp949",
    "cp949": "cp949", "x-windows-949": "cp949", "johab": "johab",
    "koi8-r": "koi8_r", "koi8r": "koi8_r", "koi8-u": "koi8_u", "koi8-t": "koi8_t",
    "ptcp154": "ptcp154",
    "tis-620": "cp874", "windows-874": "cp874", "x-windows-874": "cp874",
    "macintosh": "mac_roman", "x-mac-roman": "mac_roman", "mac": "mac_roman",
    "x-mac-cyrillic": "mac_cyrillic", "x-mac-ce": "mac_latin2", "x-mac-turkish": "mac_turkish",
    "x-mac-greek": "mac_greek",
    "latin1": "cp1252", "latin-1": "cp1252", "iso8859-1": "cp1252", "iso_8859-1": "cp1252",
    # WHATWG Encoding 4.2: who says Latin-1 sends Windows-1252
    "iso-8859-1": "cp1252", "windows-1252": "cp1252", "cp1252": "cp1252",
    "iso-8859-8-i": "iso8859_8", "iso-8859-8-e": "iso8859_8", "iso-8859-6-i": "iso8859_6",
}  # fmt: skip
for _number in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16):
    for _name in ("iso-8859-", "iso8859-", "iso_8859-"):
        _CODECS[f"{_name}{_number}"] = f"iso8859_{_number}"
for _number in (1250, 1251, 1253, 1254, 1255, 1256, 1257, 1258):
    for _name in ("windows-", "cp", "win-", "cp-"):
        _CODECS[f"{_name}{_number}"] = f"cp{_number}"
for _number in (437, 850, 852, 855, 858, 860, 861, 862, 863, 865, 866, 869):
    for _name in ("cp", "ibm"):
        _CODECS[f"{_name}{_number}"] = f"cp{_number}"

_JUNK = re.compile(r"[\"'\s]")
_LONGEST_NAME = 40


def codec(charset: str) -> str | None:
    """Python's codec for a charset name of a message, None when it is not on the list.

    RFC 2231 5 allows a language after it: `iso-8859-1*sv`.
    """
    if len(charset) > _LONGEST_NAME:
        return None
    name = _JUNK.sub("", charset).partition("*")[0].lower()
    return _CODECS.get(name)


def decode(octets: bytes, charset: str, *, guess: bool = True) -> str:
    """The octets as text; what cannot be decoded becomes U+FFFD.

    Without a known charset it is UTF-8, or ISO-2022-JP where an escape sequence says so, which
    Japanese mail has in raw headers; with `guess`, what is not valid UTF-8 is Windows-1252, as
    most mail that names no charset is one of the two.
    """
    name = codec(charset) if charset else None
    if name is not None and name != "ascii":
        return octets.decode(name, "replace")
    if b"\x1b$" in octets and octets.isascii():
        return octets.decode("iso2022_jp_ext", "replace")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("cp1252" if guess else "utf-8", "replace")
