"""Webhooks are delivered as they fall due, even after the store failed."""

import asyncio
import logging
import sqlite3

import pytest

from psp import jobs, usecases
from psp.models import Entry
from psp.repository import Store

from .conftest import charge


class Sender:
    """Accepts webhooks, and keeps them."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Entry] = asyncio.Queue()

    async def send(self, entry: Entry) -> bool:
        self.sent.put_nowait(entry)
        return True


async def test_delivery_goes_on_after_the_store_failed(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [sqlite3.OperationalError("disk I/O error")] * 3
    deliver, delivered = usecases.deliver_webhooks, asyncio.Event()

    async def fail_at_first(*arguments: object) -> bool:
        if failures:
            raise failures.pop()
        found = await deliver(*arguments)  # type: ignore[arg-type]
        delivered.set()
        return found

    monkeypatch.setattr(usecases, "deliver_webhooks", fail_at_first)
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.01)
    caplog.set_level(logging.INFO)
    settled = await charge(store)
    await usecases.announce(store, settled.entry)
    sender = Sender()
    running = asyncio.create_task(jobs.deliver_webhooks(store, sender))
    async with asyncio.timeout(10):
        assert await sender.sent.get() == settled.entry
        await delivered.wait()
    running.cancel()
    logged = [record.levelname for record in caplog.records if record.name == "psp.jobs"]
    assert logged == ["ERROR", "INFO"]  # not each of the failures
