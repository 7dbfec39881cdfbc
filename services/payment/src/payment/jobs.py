"""The driver: asks the providers about every due payment, many at once, and writes the answers in batches.

Another job sets the gauges.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import Self
from uuid import UUID

from chassis import tracing
from chassis.batching import Batcher
from chassis.db import Database, is_environment_failure
from chassis.gauges import Gauges
from chassis.messages import Event
from chassis.outage import Outage
from chassis.tasks import PeriodicTask
from chassis.waiting import shared
from payment import metrics, repository, usecases
from payment.messages import Charge
from payment.models import Answer, Outcome, Payment
from payment.usecases import Provider, Result

log = logging.getLogger(__name__)

POLL = 0.5
BATCH = 128
GAUGES_SECONDS = 5.0
STOP_WITHIN = 5.0
"""Seconds for the current lease and the calls in flight together, at the end. Then calls have one more second."""
OUR_FAILURE = "our-failure"
WRITE_AGAIN_AFTER = (0.2, 1.0, 5.0)
"""Pauses in seconds, in total less than a lease. After the last one the payment becomes due again."""


class Driver:
    """Runs in a worker.

    It leases only as many payments as it can ask about at once, so that no lease ends while its payment waits. During
    calls it leases further payments, so that a slow call delays no other. New payments are leased as they are inserted,
    if there is room for them.
    """

    def __init__(self, db: Database, providers: Mapping[str, Provider], *, concurrency: int) -> None:
        self._db = db
        self._providers = providers
        self._concurrency = concurrency
        self._results: Batcher[Result, None] = Batcher(partial(usecases.settle, db), size=BATCH)
        self._calls: set[asyncio.Task[None]] = set()
        self._expected = 0
        self._outage = Outage(log, "writing the provider's answers")
        self._full = False
        self._stopping = False
        self._leasing = PeriodicTask("leasing payments", self._start_due, every=POLL, stop_within=STOP_WITHIN / 2)

    async def __aenter__(self) -> Self:
        self.wake()
        await self._leasing.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Waits a few seconds for calls in flight. A payment whose call is cut off is due again when its lease ends."""
        self._stopping = True
        end = time.monotonic() + STOP_WITHIN
        await self._leasing.__aexit__()
        for deadline in (end, end + 1.0):
            if self._calls:
                await asyncio.wait(set(self._calls), timeout=max(0.0, deadline - time.monotonic()))
            for call in self._calls:
                call.cancel()

    def wake(self) -> None:
        """Makes the driver look for due payments now."""
        self._leasing.wake()

    def trouble(self) -> str | None:
        """Returns what is wrong once the driver could not lease for a minute; otherwise None."""
        return self._leasing.trouble()

    async def charge(self, events: Sequence[Event[Charge]], provider: str) -> None:
        """Inserts payments for this provider, and asks about them at once if there is room for all of them."""
        room = len(events) <= self._free()
        charging = usecases.charge(self._db, events, provider, lease=room)
        if not await self._start(len(events) if room else 0, charging):
            self.wake()

    async def _start_due(self) -> None:
        """Leases payments and starts calls until nothing is due or the limit of calls is reached."""
        while not self._stopping:
            free = min(self._free(), BATCH)
            self._full = free == 0
            if self._full or await self._start(free, usecases.lease(self._db, free)) < free:
                return

    def _free(self) -> int:
        return 0 if self._stopping else self._concurrency - len(self._calls) - self._expected

    async def _start(self, room: int, leasing: Awaitable[Sequence[Payment]]) -> int:
        """Starts the calls of up to `room` payments that are leased now, and returns their number."""
        self._expected += room
        try:
            leased = await leasing
        finally:
            self._expected -= room
        for payment in leased:
            call = shared(self._drive(payment), "asking the provider")
            self._calls.add(call)
            call.add_done_callback(self._ended)
        return len(leased)

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if self._full:
            self.wake()

    async def _drive(self, payment: Payment) -> None:
        with tracing.inside(tracing.extract(payment.traceparent)):
            try:
                answer = await usecases.ask(self._providers, payment)
            except Exception:
                if payment.reason != OUR_FAILURE:  # not again at each attempt
                    log.exception("asking the provider failed", extra=_about(payment.order_id))
                answer = Answer(Outcome.UNKNOWN, OUR_FAILURE, stuck=True)
            await self._write(Result(payment, answer))

    async def _write(self, result: Result) -> None:
        for pause in (*WRITE_AGAIN_AFTER, None):
            try:
                await self._results.submit(result)
            except Exception as error:
                if not is_environment_failure(error):
                    log.exception(
                        "an answer is not written; the provider is asked again", extra=_about(result.payment.order_id)
                    )
                    return
                self._outage.failed(error)
                if pause is not None:  # otherwise the provider is asked again
                    await asyncio.sleep(pause)
            else:
                self._outage.over()
                return


def _about(order: UUID) -> dict[str, dict[str, str]]:
    return {"fields": {"order_id": str(order)}}


def gauges(db: Database) -> Gauges:
    return Gauges(partial(measure, db), metrics.MEASURED, every=GAUGES_SECONDS)


async def measure(db: Database) -> None:
    async with db.connection() as connection:
        metrics.set_undecided(await repository.undecided(connection))
        metrics.stuck.set(await repository.stuck(connection))
