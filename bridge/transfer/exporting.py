"""An export: all that a login has goes into files, and is read back and compared.

Rules:
- What is there already, by name, is not written again; everything is read back at the end, by the
  same code that an import uses, and compared by SHA-256, flags, keywords and dates.
- The manifest is written last: an export without one was not finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from bridge.transfer import manifest as manifests
from bridge.transfer.door import Door, Folder, Kept, all_entries
from bridge.transfer.files import new_file, sync_folder
from bridge.transfer.importing import marks_of, materialised
from bridge.transfer.manifest import Manifest
from bridge.transfer.marks import Marks
from bridge.transfer.sources import Found, Source
from bridge.transfer.tally import Tally
from bridge.transfer.targets import (
    EmlTarget,
    MaildirTarget,
    MboxTarget,
    Target,
    TargetFormat,
    subscriptions,
)

Message = tuple[bytes, Marks]
Expected = dict[str, list[Message]]
"""What each mailbox holds."""


async def export_files(
    door: Door,
    kind: TargetFormat,
    root: Path,
    tally: Tally,
    spool_dir: Path,
    *,
    mailbox: str | None = None,
) -> None:
    """Writes all mailboxes, or one and what lies below it. Raises StoreError, OSError."""
    await asyncio.to_thread(root.mkdir, 0o700, parents=True, exist_ok=True)
    folders = [
        each
        for each in await door.folders()
        if mailbox is None or each.name == mailbox or each.name.startswith(mailbox + "/")
    ]
    tally.todo = sum(each.messages for each in folders)
    listed: dict[str, list[Kept]] = {}
    for folder in folders:
        listed[folder.name] = [each async for each in all_entries(door, folder.name)]
    expected: Expected = {
        name: [(each.digest, each.marks) for each in entries] for name, entries in listed.items()
    }
    before: dict[str, list[Message]] = {}
    if kind == "mbox":
        manifest = manifest_of(folders, expected, {n: MboxTarget(root, n, ()) for n in listed})
        before = await asyncio.to_thread(
            read_back, root, kind, manifest, spool_dir, as_written=True
        )
    targets: dict[str, Target] = {}
    for folder in folders:
        match kind:
            case "mbox":
                target: Target = MboxTarget(root, folder.name, before.get(folder.name, ()))
            case "maildir":
                target = MaildirTarget(root, folder.name)
            case "eml":
                target = EmlTarget(root, folder.name)
        targets[folder.name] = target
        tally.doing = f"exporting {folder.name}"
        await _write(door, folder, target, listed[folder.name], tally)
    manifest = manifest_of(folders, expected, targets)
    if kind == "maildir":
        with new_file(root / "subscriptions") as file:
            file.write(subscriptions(folders))
    tally.doing = "reading it back"
    tally.step()
    found = await asyncio.to_thread(read_back, root, kind, manifest, spool_dir)
    _compare(expected, found, tally)
    _write_manifest(root, folders, expected, targets)


async def _write(
    door: Door, folder: Folder, target: Target, entries: Sequence[Kept], tally: Tally
) -> None:
    tally.seen += len(entries)
    missing = {each.uid: each for each in target.missing(entries)}
    tally.already += len(entries) - len(missing)
    try:
        async for uid, octets in door.fetch(folder.name, list(missing)):
            target.write(missing.pop(uid), octets)
            tally.done += 1
            if not tally.done % 64:
                tally.step()
        for entry in missing.values():
            tally.fail(f"{folder.name} UID {entry.uid}", "it was expunged meanwhile; run it again")
        target.finish()
    except BaseException:
        target.abandon()
        raise


def manifest_of(
    folders: Sequence[Folder], expected: Expected, targets: dict[str, Target]
) -> Manifest:
    """The manifest as it would be read."""
    return Manifest(
        folders={targets[each.name].folder: each.name for each in folders if each.name in targets},
        special={each.name: each.special_use for each in folders},
        subscribed={each.name for each in folders if each.subscribed},
        messages={name: dict(messages) for name, messages in expected.items()},
    )


def read_back(
    root: Path,
    kind: TargetFormat,
    manifest: Manifest,
    spool_dir: Path,
    *,
    as_written: bool = False,
) -> dict[str, list[Message]]:
    """What an import would find in the files, by mailbox; with `as_written` only what the format
    itself says of flags, keywords and dates."""
    source = Source(root, kind)
    source.manifest = manifest
    found: dict[str, list[Message]] = {}
    for item in source.items():
        if not isinstance(item, Found):
            continue
        known = manifest.messages.get(item.mailbox, {})
        _, digest, spool = materialised(item, known, spool_dir)
        spool.close()
        marks = item.marks if as_written else marks_of(item, source, digest)
        found.setdefault(item.mailbox, []).append((digest, marks))
    return found


def _compare(expected: Expected, found: dict[str, list[Message]], tally: Tally) -> None:
    """Two ways: what should be there and is not (or not so), and what is there beside it."""
    for name, messages in expected.items():
        wanted, there = _by_digest(messages), _by_digest(found.get(name, ()))
        for digest, marks in wanted.items():
            got = there.pop(digest, [])
            # Copies of one message in one mailbox share a line of the manifest.
            if len(got) < len(marks) or (len(marks) == len(got) == 1 and marks != got):
                tally.fail(name, f"{digest.hex()[:16]} is not there as it should be")
        if there:
            beside = sum(len(each) for each in there.values())
            tally.skipped["of an earlier export, and gone here since"] += beside


def _by_digest(messages: Iterable[Message]) -> dict[bytes, list[tuple[int, set[str], int | None]]]:
    found: dict[bytes, list[tuple[int, set[str], int | None]]] = {}
    for digest, marks in messages:
        plain = marks.flags, {word.lower() for word in marks.keywords}, marks.date
        found.setdefault(digest, []).append(plain)
    return found


def _write_manifest(
    root: Path, folders: Sequence[Folder], expected: Expected, targets: dict[str, Target]
) -> None:
    with new_file(root / manifests.NAME) as file:
        for each in folders:
            folder = targets[each.name].folder
            file.write(manifests.folder_line(each.name, each.special_use, each.subscribed, folder))
        for name, messages in expected.items():
            for line in manifests.message_lines(name, messages):
                file.write(line)
    sync_folder(root)
