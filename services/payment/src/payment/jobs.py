"""The driver: asks the provider about every due payment, many at once, and writes the answers in batches."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from functools import partial
from typing import Self

from chassis.batching import Batcher
from chassis.db import Database, is_environment_failure
from chassis.outage import Outage
from payment import usecases
from payment.models import Answer, Outcome, Payment
from payment.usecases import Provider, Result

log = logging.getLogger(__name__)

POLL = 0.5
BATCH = 128
STOP_WITHIN = 5.0
WRITE_AGAIN_AFTER = (0.2, 1.0, 5.0)
"""Seconds, less than a lease together; after them the payment is simply due again."""


class Driver:
    """Runs in a worker. It leases no more than it can ask at once, so that no lease runs out in a queue, and leases
    on while calls are in flight, so that a slow one keeps nobody waiting."""

    def __init__(self, db: Database, providers: Mapping[str, Provider], *, concurrency: int) -> None:
        self._db = db
        self._providers = providers
        self._concurrency = concurrency
        self._results: Batcher[Result, None] = Batcher(partial(usecases.settle, db), size=BATCH)
        self._calls: set[asyncio.Task[None]] = set()
        self._due = asyncio.Event()
        self._full = False
        self._outage = Outage(log, "leasing payments")
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="payment driver")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Waits a little for calls in flight; those that are left are due again when their leases end."""
        self._stopping = True
        self._due.set()
        tasks = {task for task in (self._task, *self._calls) if task is not None}
        await asyncio.wait(tasks, timeout=STOP_WITHIN)
        for task in tasks | self._calls:
            task.cancel()
        await asyncio.wait(tasks | self._calls, timeout=1)

    def wake(self) -> None:
        """There may be something to ask."""
        self._due.set()

    async def _run(self) -> None:
        delay = POLL
        while not self._stopping:
            try:
                await self._start_due()
                delay = POLL
                self._outage.over()
            except Exception as error:
                if is_environment_failure(error):
                    self._outage.failed(error)
                else:
                    log.exception("leasing payments failed; it goes on")
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5)
            await self._woken()

    async def _woken(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._due.wait(), POLL)
        self._due.clear()

    async def _start_due(self) -> None:
        """Leases and starts calls until nothing is due or every place is taken."""
        while not self._stopping:
            free = min(self._concurrency - len(self._calls), BATCH)
            self._full = free == 0
            if self._full:
                return
            leased = await usecases.lease(self._db, free)
            for payment in leased:
                call = asyncio.create_task(self._drive(payment))
                self._calls.add(call)
                call.add_done_callback(self._ended)
            if len(leased) < free:
                return

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if self._full:
            self._due.set()

    async def _drive(self, payment: Payment) -> None:
        assert payment.operation is not None
        try:
            answer = await usecases.ask(self._providers, payment)
        except Exception:
            log.exception("asking about %s failed", payment.key)
            answer = Answer(Outcome.UNKNOWN, "our-failure", stuck=True)
        await self._write(Result(payment.order_id, payment.operation, answer))

    async def _write(self, result: Result) -> None:
        for pause in (*WRITE_AGAIN_AFTER, None):
            try:
                await self._results.submit(result)
                return
            except Exception as error:
                if pause is None or not is_environment_failure(error):
                    log.exception("the answer for %s is not written; it will be asked again", result.order_id)
                    return
                log.warning("writing the answer for %s: %s; again in %s s", result.order_id, error, pause)
                await asyncio.sleep(pause)
