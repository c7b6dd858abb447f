"""The record that the other tests here rely on."""

from __future__ import annotations

import zlib

from tests.support.wire import Connection, Wire


def deflated(octets: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(octets) + deflater.flush(zlib.Z_SYNC_FLUSH)


def test_literals_are_left_out_and_compression_is_undone() -> None:
    talk = Connection()
    for octet in b"a1 APPEND x {8}\r\n1\r\n2 BAD {3+}\r\n...\r\na2 COMPRESS DEFLATE\r\n":
        talk.said_by_client(bytes((octet,)))
    talk.said_by_server(b"+ go on\r\na1 BAD no\r\na2 OK all\r\n" + deflated(b"* 1 EXISTS\r\n"))
    talk.said_by_client(deflated(b"a3 UID FETCH 1 FLAGS\r\n"))
    talk.said_by_server(b"")
    assert talk.lines == [
        "C: a1 APPEND x {8} {3+}",
        "C: a2 COMPRESS DEFLATE",
        "S: + go on",
        "S: a1 BAD no",
        "S: a2 OK all",
        "S: * 1 EXISTS",
        "C: a3 UID FETCH 1 FLAGS",
    ]
    wire = Wire(0)
    wire.connections.append(talk)
    assert wire.refused() == ["a1 APPEND x {8} {3+} -> BAD no"]
    assert dict(wire.commands()) == {"APPEND": 1, "COMPRESS": 1, "UID FETCH": 1}


def test_what_is_inside_tls_is_not_in_the_record() -> None:
    talk = Connection()
    talk.said_by_client(b"a1 STARTTLS\r\n")
    talk.said_by_server(b"a1 OK go\r\n\x16\x03\n")
    talk.said_by_client(b"\x16\x03\x01\n\n")
    assert talk.lines == ["C: a1 STARTTLS", "S: a1 OK go"]
