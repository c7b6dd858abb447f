"""A session of the scripted POP3 server: what it answers once somebody is logged in."""

from __future__ import annotations

from tests.support.pop3_connection import Handler
from tests.support.pop3_ledger import Item, stuff
from tests.support.pop3_logins import Logins


class Session(Logins):
    """The transaction and update states (RFC 1939 5 and 6)."""

    def handler(self, verb: bytes) -> Handler | None:
        logged_in: dict[bytes, Handler] = {
            b"STAT": self.stat,
            b"LIST": self.listing,
            b"UIDL": self.unique_ids,
            b"RETR": self.retrieve,
            b"TOP": self.top,
            b"DELE": self.delete,
            b"NOOP": self.noop,
            b"RSET": self.reset,
        }
        always: dict[bytes, Handler] = {
            b"CAPA": self.capa,
            b"STLS": self.stls,
            b"USER": self.username,
            b"PASS": self.password,
            b"APOP": self.apop,
            b"AUTH": self.auth,
            b"UTF8": self.utf8,
            b"QUIT": self.quit,
        }
        return always.get(verb) or (logged_in.get(verb) if self.ledger.logged_in else None)

    def _size(self, item: Item) -> bytes:
        return item.listed if item.listed is not None else b"%d" % len(item.octets)

    def _numbered(self) -> list[tuple[int, Item]]:
        return [(n, i) for n, i in enumerate(self.items, 1) if n not in self.marked]

    async def _item(self, argument: bytes) -> tuple[int, Item] | None:
        number = int(argument) if argument.isdigit() and len(argument) < 8 else 0
        if 0 < number <= len(self.items) and number not in self.marked:
            return number, self.items[number - 1]
        await self.send(b"-ERR no such message\r\n")
        return None

    async def stat(self, argument: bytes) -> None:
        octets = sum(len(item.octets) for _, item in self._numbered())
        await self.send(b"+OK %d %d\r\n" % (len(self._numbered()), octets))

    async def listing(self, argument: bytes) -> None:
        if argument:
            if found := await self._item(argument):
                await self.send(b"+OK %d %s\r\n" % (found[0], self._size(found[1])))
            return
        lines = [b"%d %s\r\n" % (n, self._size(item)) for n, item in self._numbered()]
        await self.send(b"+OK\r\n" + b"".join(lines) + b".\r\n")

    async def unique_ids(self, argument: bytes) -> None:
        if not self.server.uidl:
            await self.send(b"-ERR unknown command\r\n")
            return
        if argument:
            if found := await self._item(argument):
                await self.send(b"+OK %d %s\r\n" % (found[0], found[1].uidl or b""))
            return
        lines = [
            b"%d %s\r\n" % (n, item.uidl) for n, item in self._numbered() if item.uidl is not None
        ]
        await self.send(b"+OK\r\n" + b"".join(lines) + b".\r\n")

    async def retrieve(self, argument: bytes) -> None:
        found = await self._item(argument)
        if found is None:
            return
        number, item = found
        if item.error is not None:
            await self.send(b"-ERR " + item.error + b"\r\n")
            return
        await self.send(item.wire if item.wire is not None else b"+OK\r\n" + stuff(item.octets))
        self.served.add(number)
        self.server.ledger.retrieved[item.uidl or b""] += 1
        self.server.heard()

    async def top(self, argument: bytes) -> None:
        number, _, lines = argument.partition(b" ")
        found = await self._item(number)
        if found is None:
            return
        item = found[1]
        if not self.server.top or item.error is not None:
            await self.send(b"-ERR " + (item.error or b"unknown command") + b"\r\n")
            return
        header, blank, body = item.octets.partition(b"\r\n\r\n")
        cut = b"".join(body.splitlines(keepends=True)[: int(lines)])
        await self.send(b"+OK\r\n" + stuff(header + blank + cut))
        self.server.ledger.topped[item.uidl or b""] += 1

    async def delete(self, argument: bytes) -> None:
        if found := await self._item(argument):
            self.marked.add(found[0])
            await self.send(b"+OK\r\n")

    async def noop(self, argument: bytes) -> None:
        await self.send(b"+OK\r\n")

    async def reset(self, argument: bytes) -> None:
        self.marked.clear()
        await self.send(b"+OK\r\n")

    async def quit(self, argument: bytes) -> None:
        server = self.server
        self.ledger.quit = True
        marked = sorted(self.marked)[: server.removes_only]
        for number in marked:
            item = self.items[number - 1]
            server.ledger.deleted.append(item.uidl or b"")
            server.ledger.removed.append(item)
        popped = self.served - self.marked if server.pops_retrieved else set()
        server.ledger.popped += [self.items[number - 1] for number in sorted(popped)]
        for number in (*marked, *popped):
            item = self.items[number - 1]
            server.items = [kept for kept in server.items if kept is not item]
        if len(marked) < len(self.marked):
            # RFC 1939 6
            await self.send(b"-ERR some deleted messages not removed\r\n")
        else:
            await self.send(b"+OK bye\r\n")
        await self.hang_up()
