"""Metrics for Prometheus. Pure but for the library's registry, which is made anew each time.

Rules: without a login no account's name and no address is in them (counts by state are); the
library is imported at the first request, for most daemons are never scraped.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

from bridge.web.page import Facts

if TYPE_CHECKING:
    from prometheus_client import Gauge


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("up to date", "polling", "waiting", "needs attention", "never polled", "paused")


class _Maker(Protocol):
    def __call__(self, name: str, text: str, *labels: str) -> Gauge: ...


def metrics(facts: Facts, *, named: bool) -> bytes:
    """The text that Prometheus reads. `named` adds what is told of each account."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"popbridge_{name}", text, labels, registry=registry)

    status = facts.status
    gauge("info", "The version that runs.", "version").labels(status.version).set(1)
    gauge("ready", "IMAP listens and the database answers.").set(status.ready)
    gauge("imap_sessions", "Open IMAP connections.").set(status.sessions)
    states = Counter(each.state for each in status.accounts)
    accounts = gauge("accounts", "Accounts by state.", "state")
    for state in STATES:
        accounts.labels(state).set(states[state])
    stored = sum(each.account.stored for each in status.accounts)
    gauge("messages_stored", "Messages of all accounts that are kept here.").set(stored)
    oldest = min((each.account.last_success or 0 for each in status.accounts), default=0)
    text = "The longest ago last success of any account; 0 where one never had any."
    gauge("oldest_success_timestamp_seconds", text).set(oldest)
    gauge("devices", "Devices with a password of their own.").set(len(status.devices))
    if status.storage is not None:
        gauge("store_bytes", "Octets of the store.").set(status.storage.used)
        gauge("disk_free_bytes", "Octets free on its disk.").set(status.storage.free)
    if facts.certificate_end is not None:
        text = "When the certificate that devices see ends."
        gauge("certificate_end_timestamp_seconds", text).set(facts.certificate_end)
    if named:
        _of_each(facts, gauge)
    return bytes(generate_latest(registry))


def _of_each(facts: Facts, gauge: _Maker) -> None:
    state = gauge("account_state", "1 for the state that it is in.", "account", "state")
    success = gauge("account_last_success_timestamp_seconds", "0 for never.", "account")
    failures = gauge("account_failures", "Failed polls in a row.", "account")
    stored = gauge("account_messages_stored", "Messages kept here.", "account")
    for each in facts.status.accounts:
        name = each.account.address
        for word in STATES:
            state.labels(name, word).set(each.state == word)
        success.labels(name).set(each.account.last_success or 0)
        failures.labels(name).set(each.account.failures)
        stored.labels(name).set(each.account.stored)
