"""A client that asks like ours and keeps nothing: what provider and line give at most.

    python -m bench.pop3.bare PORT USER

Prints one JSON object: seconds, messages, seconds of the processor.
"""

from __future__ import annotations

import json
import socket
import sys
import time

from bench.pop3.provider import PASSWORD
from bridge import limits

_END = b"\r\n.\r\n"


def collect(port: int, user: str) -> int:
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.recv(4096)
        line.sendall(f"USER {user}\r\n".encode())
        line.recv(4096)
        line.sendall(f"PASS {PASSWORD}\r\nLIST\r\n".encode())
        listed = b""
        while not listed.endswith(_END):
            listed += line.recv(262_144)
        sizes = [int(each.split()[1]) for each in listed.splitlines()[2:-1]]
        asked = came = octets = 0
        tail = b""
        while came < len(sizes):
            if 2 * (asked - came) <= limits.POP3_WINDOW_COMMANDS and (
                2 * octets <= limits.POP3_WINDOW_OCTETS
            ):
                first = asked
                while (
                    asked < len(sizes)
                    and asked - came < limits.POP3_WINDOW_COMMANDS
                    and (asked == came or octets + sizes[asked] <= limits.POP3_WINDOW_OCTETS)
                ):
                    octets += sizes[asked]
                    asked += 1
                line.sendall(b"".join(b"RETR %d\r\n" % (n + 1) for n in range(first, asked)))
            data = line.recv(262_144)
            if not data:
                raise SystemExit("the provider closed the connection")
            ends = (tail + data).count(_END)
            tail = (tail + data)[-4:]
            octets -= sum(sizes[came : came + ends])
            came += ends
        line.sendall(b"QUIT\r\n")
        line.recv(4096)
    return came


def main() -> None:
    started, worked = time.perf_counter(), time.process_time()
    came = collect(int(sys.argv[1]), sys.argv[2])
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "new": came, "cpu": time.process_time() - worked}))


if __name__ == "__main__":
    main()
