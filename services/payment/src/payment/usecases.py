"""What payment does: take a charge or a cancel, ask the provider, write down its answer."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from chassis import inbox, outbox
from chassis.db import Database
from chassis.errors import Malformed
from chassis.messages import Event
from payment import models, repository
from payment.messages import Cancel, Charge
from payment.models import Answer, Operation, Outcome, Payment, Reply

CONSUMER = "payment"
LEASE = timedelta(seconds=60)
"""Longer than any call and the write after it; then a payment whose process died is due again."""
TOLERANCE = 300
"""Seconds that a webhook's time stamp may be off; an older one may be a replay."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the provider's own records hold of an order; `refunded` in minor units."""

    captured: bool
    refunded: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Hint:
    """Something became of an order's charge or refund; the provider signed that at `at`, seconds since 1970."""

    order_id: UUID
    at: int


class Provider(Protocol):
    """A payment provider. A call that meets a failure of any kind gives UNKNOWN, and raises nothing."""

    async def charge(self, payment: Payment) -> Answer:
        """Takes the amount, once for ever for the payment's key."""

    async def refund(self, payment: Payment) -> Answer:
        """Gives all of it back, once for ever for the payment's key."""

    async def find(self, order_id: UUID) -> Record | None:
        """The charge of an order. None: no answer, or no charge on record, which is not an answer either."""

    def hinted(self, headers: Mapping[str, str], body: bytes) -> Hint:
        """What a webhook says. Raises Malformed or Invalid when it is not the provider's."""


@dataclass(frozen=True, slots=True)
class Result:
    """An answer, and what was asked."""

    order_id: UUID
    operation: Operation
    answer: Answer


async def charge(db: Database, events: Sequence[Event[Charge]]) -> None:
    """Only inserts: the driver does the rest."""
    async with db.transaction() as tx:
        fresh = await inbox.first_time(tx, CONSUMER, events)
        await repository.insert_requested(tx, (event.data for event in fresh))


async def cancel(db: Database, events: Sequence[Event[Cancel]]) -> None:
    async with db.transaction() as tx:
        fresh = await inbox.first_time(tx, CONSUMER, events)
        order_ids = [event.data.order_id for event in fresh]
        await repository.insert_tombstones(tx, order_ids)
        payments = await repository.lock(tx, order_ids)
        replies = []
        for order_id in order_ids:
            payments[order_id], reply = models.cancel(payments[order_id])
            replies.append(reply)
        await repository.save(tx, payments.values())
        await outbox.put(tx, _addressed(replies))


async def lease(db: Database, limit: int) -> list[Payment]:
    """Due payments, ours to ask about for `LEASE`; one statement, committed by itself."""
    async with db.connection() as connection:
        return await repository.lease(connection, limit, LEASE)


async def ask(provider: Provider, payment: Payment) -> Answer:
    """One call to the provider, outside any transaction: the same request under the same key, every time."""
    if payment.key_forgotten:
        return _definite(payment, await provider.find(payment.order_id))
    if payment.operation is Operation.REFUND:
        return await provider.refund(payment)
    return await provider.charge(payment)


async def settle(db: Database, results: Sequence[Result]) -> list[None]:
    """Writes answers and replies of many payments in one transaction.

    A cancel that came meanwhile is seen here, because the rows are read under their locks.
    """
    async with db.transaction() as tx:
        payments = await repository.lock(tx, (result.order_id for result in results))
        replies = []
        for result in results:
            before = payments[result.order_id]
            payments[result.order_id], reply = models.settle(
                before,
                result.operation,
                result.answer,
                random.random(),  # noqa: S311
            )
            replies.append(reply)
        await repository.save(tx, payments.values())
        await outbox.put(tx, _addressed(replies))
    return [None] * len(results)


async def hint(db: Database, hint: Hint) -> bool:
    """A webhook came: ask now rather than later. Whether there was anything left to ask.

    Raises Malformed when it was signed too long ago, or too far ahead.
    """
    async with db.connection() as connection:
        now = await repository.now(connection)
        if abs(now.timestamp() - hint.at) > TOLERANCE:
            raise Malformed(
                "bad-signature",
                "The webhook's signature is not valid",
                f"The time stamp is more than {TOLERANCE} s off; sign it anew.",
            )
        return await repository.hasten(connection, hint.order_id)


def _definite(payment: Payment, record: Record | None) -> Answer:
    """What the records say about a request whose key the provider may have forgotten."""
    if payment.operation is Operation.CHARGE and record is not None:
        return Answer(Outcome.SUCCEEDED if record.captured else Outcome.REFUSED, record.reason)
    if record is not None and payment.amount is not None and record.refunded >= payment.amount:
        return Answer(Outcome.SUCCEEDED)
    return Answer(Outcome.UNKNOWN, "not-on-record", stuck=True)


def _addressed(replies: Sequence[Reply | None]) -> list[tuple[UUID, Reply]]:
    return [(reply.order_id, reply) for reply in replies if reply is not None]
