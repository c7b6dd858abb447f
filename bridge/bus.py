"""The bus: told after a commit, tells whoever listens.

Rules: `publish` is a plain call on the event loop, so what was published in one order is heard
in that order; a listener only takes note (wakes a task, marks a view) and never blocks; one
that raises hurts neither the others nor the publisher; a change costs the listeners that it
concerns, never all. A change is a hint, the store's MODSEQ is the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from bridge import logs
from bridge.model import Change, LoginId, MailboxId

Listener: TypeAlias = Callable[[Change], None]
_log = logs.get_logger(room="bus")


class Bus:
    """One a process; `publish` is what goes into `Store.on_change`."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[LoginId, MailboxId | None], dict[object, Listener]] = {}

    def subscribe(
        self, login_id: LoginId, mailbox_id: MailboxId | None, listener: Listener
    ) -> Callable[[], None]:
        """Hears the changes of one mailbox; with `mailbox_id` None, all changes of the login,
        those of its set of mailboxes among them. Returns what ends it (may be called twice)."""
        key = (login_id, mailbox_id)
        token = object()
        self._listeners.setdefault(key, {})[token] = listener

        def unsubscribe() -> None:
            listeners = self._listeners.get(key)
            if listeners is None:
                return
            listeners.pop(token, None)
            if not listeners:
                del self._listeners[key]

        return unsubscribe

    def publish(self, changes: Sequence[Change]) -> None:
        """Tells each change to those whom it concerns, in order."""
        for change in changes:
            if change.mailbox_id is not None:
                self._tell((change.login_id, change.mailbox_id), change)
            self._tell((change.login_id, None), change)

    def _tell(self, key: tuple[LoginId, MailboxId | None], change: Change) -> None:
        listeners = self._listeners.get(key)
        if not listeners:
            return
        for token, listener in tuple(listeners.items()):
            if token not in listeners:  # an earlier listener ended this one
                continue
            try:
                listener(change)
            except Exception:
                _log.exception("listener failed", mailbox=change.mailbox_id, modseq=change.modseq)
