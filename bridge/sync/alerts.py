"""The message from popbridge in an account's INBOX while the account needs its owner.

Rules: one at a time, written once for a cause, replaced when the cause becomes another one, gone
when a poll succeeds. Who deletes it is not told again of the same cause.
"""

from __future__ import annotations

from datetime import UTC, datetime

from bridge.model import Account, AccountState
from bridge.store.api import WriteTx
from bridge.sync import notices, stubs
from bridge.sync.plan import DAY

REFUSED = 3  # logins in a row


def cause(state: AccountState, now: int) -> str:
    """A word for what the owner must know of; empty while all is well, or may well pass."""
    if not state.error:
        return ""
    if state.error_class == "auth" and state.failures >= REFUSED:
        return "auth"
    if state.error_class in ("store", "permanent"):
        return state.error_class
    if state.last_success is not None and now - state.last_success >= DAY:
        return "silent"
    return ""


def show(tx: WriteTx, account: Account, state: AccountState, now: int) -> None:
    """Makes the mailbox show what the state asks for; writes nothing where it does."""
    shown, wanted = tx.alert(account.id), cause(state, now)
    if (shown[0] if shown is not None else "") == wanted:
        return
    if shown is not None:
        tx.withdraw(account.login_id, shown[1])
        tx.set_alert(account.id, None)
    if wanted:
        message = stubs.new_message(
            notices.alert(
                account.address,
                now=now,
                title=_title(wanted, account.address, state),
                said=state.error,
                advice=state.advice,
            )
        )
        stubs.show(tx, account, message, now)
        tx.set_alert(account.id, (wanted, message.digest))


def _title(wanted: str, address: str, state: AccountState) -> str:
    match wanted:
        case "auth":
            return f"popbridge cannot log in to {address}"
        case "store":
            return f"popbridge cannot store mail of {address}"
        case "permanent":
            return f"The provider of {address} wants you to act"
        case _:
            day = datetime.fromtimestamp(state.last_success or 0, UTC).strftime("%Y-%m-%d %H:%M")
            return f"No mail of {address} could be collected since {day} UTC"
