"""Daemons that start fast: a parent that has imported everything forks a child for each start.

    with Nursery() as nursery:
        async with DaemonProcess(config, nursery.run) as daemon:     # as with a command line
            ...

Most of what a start costs is Python's imports. The parent does them once; a child runs exactly
what `popbridge` runs, `bridge.cli.main.main`, in a process group of its own, and is killed like any
process. What `exec` does besides (a new address space, the interpreter's own start) is not part of
it, so whoever kills thousands of these also kills some real ones.

Rules of the parent: it has no thread and no event loop, so that a fork is whole. One connection is
one child: arguments and the descriptor for its log come in, its process id and then its exit code
go out.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Protocol, Self

ROOT = Path(__file__).resolve().parents[2]


class Child(Protocol):
    """What `DaemonProcess` needs of a process."""

    @property
    def pid(self) -> int: ...

    @property
    def stdout(self) -> asyncio.StreamReader | None: ...

    async def wait(self) -> int:
        """The exit code; minus the number of the signal that ended it."""
        ...


class Forked:
    """A child of the parent."""

    def __init__(
        self,
        pid: int,
        stdout: asyncio.StreamReader,
        parent: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.pid = pid
        self.stdout: asyncio.StreamReader | None = stdout
        self._parent = parent
        self._code: int | None = None

    async def wait(self) -> int:
        if self._code is None:
            reader, writer = self._parent
            self._code = int(await reader.readline())
            writer.close()
        return self._code


class Nursery:
    """See the module. `preload`: a library for LD_PRELOAD, see tests/faults/injector.py."""

    def __init__(self, preload: Path | None = None) -> None:
        self._preload = preload
        self._folder = tempfile.TemporaryDirectory(prefix="nursery-")
        self._socket = Path(self._folder.name) / "socket"
        self._parent: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        environment = dict(os.environ)
        if self._preload is not None:
            environment["LD_PRELOAD"] = str(self._preload)
        self._parent = subprocess.Popen(
            (sys.executable, "-m", "tests.support.nursery", str(self._socket)),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._parent.stdout is not None
        assert self._parent.stdout.readline() == b"ready\n"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._parent is not None
        with self._parent:  # closes its input, which ends it
            pass
        self._folder.cleanup()

    async def run(self, config: Path) -> Forked:
        """`popbridge run --config CONFIG`."""
        return await self.start(("run", "--config", str(config)))

    async def start(
        self,
        arguments: Sequence[str],
        *,
        inject: str = "",
        report: Path | None = None,
        environment: Mapping[str, str] | None = None,
        module: str = "bridge.cli.main",
    ) -> Forked:
        """`popbridge ARGUMENTS`, or `module.main(ARGUMENTS)`. `inject` and `report` are for the
        preloaded library."""
        parent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        parent.connect(str(self._socket))
        out, into = os.pipe()
        order = {
            "arguments": list(arguments),
            "inject": inject,
            "report": str(report or ""),
            "environment": dict(environment or {}),
            "module": module,
        }
        try:
            socket.send_fds(parent, [json.dumps(order).encode() + b"\n"], [into])
        finally:
            os.close(into)
        parent.setblocking(False)
        connection = await asyncio.open_connection(sock=parent)
        log = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(log), os.fdopen(out, "rb", 0)
        )
        return Forked(int(await connection[0].readline()), log, connection)


# --- the parent ---------------------------------------------------------------------------


def _import_everything() -> None:
    import bridge

    for module in pkgutil.walk_packages(bridge.__path__, "bridge."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    # What the daemon imports when it first needs it.
    for name in (
        "encodings.idna",
        "uvicorn.lifespan.off",
        "uvicorn.protocols.http.h11_impl",
        "uvloop",
    ):
        importlib.import_module(name)


def _serve(path: str) -> NoReturn:
    _import_everything()
    gc.collect()
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(64)
    # poll, not epoll: an epoll is shared with the children.
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    waiting.register(0, select.POLLIN)
    children: dict[int, tuple[int, socket.socket]] = {}  # by pidfd
    print("ready", flush=True)
    while True:
        for descriptor, _ in waiting.poll():
            if descriptor == 0:  # whoever wanted us is gone; nothing of it stays
                for pid, _ in children.values():
                    os.killpg(pid, signal.SIGKILL)
                sys.exit()
            if descriptor == listener.fileno():
                connection, _ = listener.accept()
                pid = _fork(connection, [listener, *(each for _, each in children.values())])
                pidfd = os.pidfd_open(pid)
                children[pidfd] = (pid, connection)
                waiting.register(pidfd, select.POLLIN)
                continue
            pid, connection = children.pop(descriptor)
            waiting.unregister(descriptor)
            os.close(descriptor)
            _, status = os.waitpid(pid, 0)
            with contextlib.suppress(OSError), connection:
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _fork(connection: socket.socket, others: Sequence[socket.socket]) -> int:
    """The child never returns from here."""
    line, descriptors = b"", []
    while not line.endswith(b"\n"):
        octets, given, _, _ = socket.recv_fds(connection, 65_536, 1)
        line += octets
        descriptors += given
    (log,) = descriptors
    pid = os.fork()
    if pid:
        os.close(log)
        return pid
    os.setpgid(0, 0)  # of the same session, so that it is as nice as who asked
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(nothing)
    os.close(log)
    for each in others:
        each.close()
    connection.sendall(b"%d\n" % os.getpid())
    connection.close()
    order = json.loads(line)
    os.environ.update(order["environment"])
    main = importlib.import_module(order["module"]).main
    if order["inject"] and not ctypes.CDLL(None).inject(
        order["inject"].encode(), order["report"].encode()
    ):
        sys.exit(f"not understood: {order['inject']}")
    sys.exit(main(order["arguments"]))


if __name__ == "__main__":
    _serve(sys.argv[1])
