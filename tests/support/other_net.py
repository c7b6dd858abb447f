"""A net of its own on loopback: one DNS server, one HTTPS server with a certificate for all names.

with OtherNet(folder) as net:
    net.records["example.test", "MX"] = ["10 mx.hoster.test."]
    net.pages["https://autoconfig.example.test/mail/config-v1.1.xml"] = b"<clientConfig>..."
    await find(address, net.net)       # or $POPBRIDGE_NET=net.file

Every name has the address 127.0.0.1 unless `records` says else; a page that is not there is 404.
"""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import trustme

from bridge.discovery.sources import Net


class OtherNet:
    """`asked` has every page that was asked for, `questions` every DNS question."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.pages: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []
        self.questions: list[tuple[str, str]] = []
        self.ca = trustme.CA()
        self.ca_file = folder / "other-net-ca.pem"
        self.ca.cert_pem.write_to_path(str(self.ca_file))
        self.file = folder / "other-net.toml"
        self._dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._dns.bind(("127.0.0.1", 0))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        self._http = _server(self)
        self._http.socket = context.wrap_socket(
            self._http.socket, server_side=True, do_handshake_on_connect=False
        )
        self.net = Net(self._dns.getsockname(), self._http.server_port, str(self.ca_file))
        host, port = self._dns.getsockname()
        self.file.write_text(
            f'dns = "{host}:{port}"\nhttps_port = {self._http.server_port}\n'
            f'ca_file = "{self.ca_file}"\n'
        )
        self._threads = [
            threading.Thread(target=self._answer, daemon=True),
            threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._dns.getsockname())
        for thread in self._threads:
            thread.join(10)
        self._dns.close()

    def _answer(self) -> None:
        while True:
            octets, peer = self._dns.recvfrom(4096)
            if not octets:
                return
            query = dns.message.from_wire(octets)
            question = query.question[0]
            name = question.name.to_text(omit_final_dot=True).lower()
            kind = dns.rdatatype.to_text(question.rdtype)
            self.questions.append((name, kind))
            answer = dns.message.make_response(query)
            found = self.records.get((name, kind), ["127.0.0.1"] if kind == "A" else [])
            if found:
                answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *found))
            else:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self._dns.sendto(answer.to_wire(), peer)


def _server(net: OtherNet) -> http.server.ThreadingHTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = f"https://{self.headers['Host']}{self.path}"
            net.asked.append(url)
            if url in net.redirects:
                self.send_response(302)
                self.send_header("Location", net.redirects[url])
                self.end_headers()
                return
            body = net.pages.get(url)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            with contextlib.suppress(OSError):  # whoever has enough hangs up
                self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that does not trust the certificate

    return Quiet(("127.0.0.1", 0), Handler)


def document(
    host: str = "pop.hoster.test",
    *,
    port: int = 995,
    socket_type: str = "SSL",
    username: str = "%EMAILADDRESS%",
    more: str = "",
) -> bytes:
    """An autoconfig document with one POP3 server; `more` goes into it."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1"><emailProvider id="hoster.test"><domain>hoster.test</domain>
<displayName>Hoster</displayName>
<incomingServer type="imap"><hostname>imap.hoster.test</hostname><port>993</port>
<socketType>SSL</socketType><username>%EMAILADDRESS%</username></incomingServer>
<incomingServer type="pop3"><hostname>{host}</hostname><port>{port}</port>
<socketType>{socket_type}</socketType><username>{username}</username>
<authentication>password-cleartext</authentication>{more}</incomingServer>
<outgoingServer type="smtp"><hostname>smtp.hoster.test</hostname><port>465</port>
<socketType>SSL</socketType><username>%EMAILADDRESS%</username></outgoingServer>
<documentation url="https://hoster.test/help"/>
</emailProvider></clientConfig>""".encode()
