"""Secrets that lie outside the config: in a file of one line, or behind a command.

Rules: a secret file is readable by its owner alone, or it is refused with the chmod line; its one
line is taken as it is, but for its line end; no error shows what was in it. A file that we write
is private before anything is in it, and whole before it has its name.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import subprocess
import tempfile
from pathlib import Path

from bridge import limits
from bridge.model import Secret


class SecretError(Exception):
    """A password could not be had from its file or command; the text does not hold it."""


def read_secret(path: Path) -> Secret:
    """The one line of a secret file, without its line end; every other character is kept.

    Raises SecretError: no file, not private, empty, more than a line, too long, not UTF-8.
    """
    if complaint := why_not_private(path):
        raise SecretError(f"{path} {'; '.join(complaint)}")
    try:
        with path.open("rb") as file:
            raw = file.read(limits.PASSWORD + 3)
    except OSError as error:
        raise SecretError(f"{path} cannot be read: {error.strerror}") from None
    line = raw.removesuffix(b"\n").removesuffix(b"\r") if raw.endswith(b"\n") else raw
    if not line:
        raise SecretError(f"{path} is empty")
    if len(line) > limits.PASSWORD:
        raise SecretError(f"{path} is longer than {limits.PASSWORD} octets")
    if any(each in line for each in b"\0\r\n"):
        raise SecretError(f"{path} has more than one line")
    try:
        return Secret(line.decode())
    except UnicodeDecodeError:
        raise SecretError(f"{path} is not UTF-8 text") from None


def run_secret(command: tuple[str, ...]) -> Secret:
    """The first line that a password command prints."""
    try:
        done = subprocess.run(  # noqa: S603  # the owner of the config file says what to run
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limits.SECRET_COMMAND_SECONDS,
            check=False,
        )
    except OSError as error:
        raise SecretError(f"password_command {command[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        seconds = limits.SECRET_COMMAND_SECONDS
        raise SecretError(f"password_command {command[0]} took over {seconds:.0f} s") from None
    if done.returncode:
        raise SecretError(f"password_command {command[0]} ended with {done.returncode}")
    line = done.stdout.split(b"\n", 1)[0].removesuffix(b"\r")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise SecretError(f"password_command {command[0]} printed no UTF-8 text") from None
    if not text or len(line) > limits.PASSWORD or "\0" in text:
        raise SecretError(f"password_command {command[0]} printed no password")
    return Secret(text)


def why_not_private(path: Path) -> tuple[str, str] | None:
    """What is wrong with who may read this file, and the line that mends it."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"cannot be read: {error.strerror}", f"make it: install -m 600 /dev/null {path}"
    if not stat.S_ISREG(mode):
        return "is not a file", "name a file"
    if mode & 0o077:
        return (
            f"can be read by others (mode {mode & 0o777:04o})",
            f"chmod 600 {shlex.quote(str(path))}",
        )
    return None


def write_private(path: Path, octets: bytes, *, replace: bool = True) -> None:
    """Writes a file of mode 0600, durable before it has its name; its owner is the folder's, so
    that what root writes the daemon can read. With `replace` False a file that is there stays.

    Raises OSError.
    """
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # of mode 0600
    try:
        with open(fd, "wb") as file:
            if os.geteuid() == 0:
                folder = path.parent.stat()
                os.fchown(fd, folder.st_uid, folder.st_gid)
            file.write(octets)
            file.flush()
            os.fsync(fd)
        if replace:
            os.replace(temporary, path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    folder_fd = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)
