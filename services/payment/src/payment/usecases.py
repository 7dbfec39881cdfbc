"""The use cases of payment: accept a charge or a cancellation, ask the provider, record its answer."""

import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from chassis import inbox, outbox, tracing
from chassis.db import Connection, Database
from chassis.errors import Malformed
from chassis.messages import Event
from chassis.metrics import observe
from payment import metrics, models, repository
from payment.messages import Cancel, Charge
from payment.models import Answer, Operation, Outcome, Payment, Reply

CONSUMER = "payment"
LEASE = timedelta(seconds=60)
"""Longer than any call and the write after it. When it ends, the payment of a killed process is due again."""
REASON = re.compile(r"[A-Za-z0-9_.-]{1,64}")
TOLERANCE = 300
"""Seconds by which a webhook's timestamp may be wrong. An older webhook may be a replay."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A webhook's content: an order's charge or refund has changed. It was signed at `at`, seconds since 1970.

    `refund_failed` tells that a refund failed, which may have succeeded before.
    """

    order_id: UUID
    at: int
    refund_failed: bool = False


class Provider(Protocol):
    """A payment provider.

    A call ends within the lease, and every failure of the provider or of the network gives UNKNOWN. REFUSED is for
    refusals that are definite: after it, this charge can no longer take any money.
    """

    async def charge(self, payment: Payment) -> Answer:
        """Takes the amount, only once for the payment's key.

        No customer is present. A charge that needs an action of the customer is closed at the provider, and is REFUSED
        with the reason REQUIRES_ACTION.
        """

    async def refund(self, payment: Payment) -> Answer:
        """Refunds the whole amount, only once for the payment's key."""

    async def find(self, payment: Payment) -> Answer:
        """Looks up the payment's operation in the provider's records. It moves no money.

        The answer is UNKNOWN and `stuck` if there is no record, because the request may still be on its way.
        """

    def hinted(self, headers: Mapping[str, str], body: bytes) -> Hint | None:
        """Verifies and reads a webhook. Returns None if it concerns none of our orders.

        Raises Malformed when the provider did not sign it, and Invalid when it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Result:
    """An answer, with the payment as it was leased for the call."""

    payment: Payment
    answer: Answer


async def charge(
    db: Database, events: Sequence[Event[Charge]], provider: str, *, lease: bool = False
) -> Sequence[Payment]:
    """Inserts the payments, for this provider. The driver then asks the provider to charge them.

    With `lease`, returns the payments leased to this process if all are new. Otherwise returns none: they are due.
    """
    if lease:
        async with db.connection() as connection:
            ids, charges = [event.id for event in events], _charges(events)
            leased = await repository.insert_leased(connection, CONSUMER, ids, charges, provider, LEASE)
        if leased is not None:
            return leased
    async with db.transaction() as tx:
        fresh = await inbox.first_time(tx, CONSUMER, events)
        await repository.insert_requested(tx, _charges(fresh), provider)
        # If an event comes again, its payment may be leased to a process that was killed, or lost its connection, after
        # the commit. To ask again is safe, as the key is the same; to wait for the end of the lease would be slow.
        again = await repository.lock(tx, {event.data.order_id for event in events} - _charges(fresh).keys())
        await repository.save(tx, [models.hasten(payment) for payment in again.values()])
    return ()


def _charges(events: Sequence[Event[Charge]]) -> repository.Charges:
    return {event.data.order_id: (event.data, tracing.traceparent_of(event.subject)) for event in events}


async def cancel(db: Database, events: Sequence[Event[Cancel]]) -> None:
    """Undoes payments. If the provider must be asked about one, its reply is sent later."""
    async with db.transaction() as tx:
        fresh = await inbox.first_time(tx, CONSUMER, events)
        order_ids = [event.data.order_id for event in fresh]
        await repository.insert_tombstones(tx, order_ids)
        payments = await repository.lock(tx, order_ids)
        replies = []
        for event in fresh:
            payment, reply = models.cancel(payments[event.data.order_id])
            here = tracing.traceparent_of(event.subject) or payment.traceparent
            payments[payment.order_id] = replace(payment, traceparent=here)
            replies.append(reply)
        await repository.save(tx, payments.values())
        await outbox.put(tx, _addressed(replies))


async def lease(db: Database, limit: int) -> list[Payment]:
    """Leases due payments to this process for `LEASE`, in one statement that commits by itself."""
    async with db.connection() as connection:
        return await repository.lease(connection, limit, LEASE)


async def ask(providers: Mapping[str, Provider], payment: Payment) -> Answer:
    """Asks the payment's own provider, outside any transaction; each attempt is the same request with the same key."""
    provider = providers.get(payment.provider or "")
    if provider is None:
        return Answer(Outcome.UNKNOWN, "provider-not-configured", stuck=True)
    assert payment.operation is not None
    start = time.perf_counter()
    with tracing.span(payment.operation, attributes=_described(payment)) as span:
        answer = _readable(await _asked(provider, payment))
        span.set("quayside.payment.outcome", answer.outcome)
        if answer.outcome is Outcome.UNKNOWN:
            span.fail(answer.reason or answer.outcome)
    taken = metrics.provider_duration.labels(payment.provider, payment.operation, answer.outcome)
    observe(taken, time.perf_counter() - start)
    return answer


async def _asked(provider: Provider, payment: Payment) -> Answer:
    if payment.key_forgotten:
        return await provider.find(payment)
    if payment.operation is Operation.REFUND:
        return await provider.refund(payment)
    return await provider.charge(payment)


def _described(payment: Payment) -> dict[str, tracing.Value]:
    return {
        "quayside.order.id": str(payment.order_id),
        "quayside.payment.provider": payment.provider or "",
        "quayside.payment.attempt": payment.attempts,
    }


async def settle(db: Database, results: Sequence[Result]) -> list[None]:
    """Writes the answers and replies of many payments in one transaction.

    The rows are read under their locks, so a cancel that came during the call is seen here.
    """
    if not await _settle_decided(db, results):
        await _settle(db, results)
    return [None] * len(results)


async def _settle_decided(db: Database, results: Sequence[Result]) -> bool:
    """Does the same in the usual case: each answer decides, and its payment has not changed during the call."""
    decided, replies = [], []
    for result in results:
        payment, reply = _settled(result.payment, result)
        if reply is None:
            return False
        decided.append(payment)
        replies.append(reply)
    leased = [result.payment for result in results]
    drafts = outbox.drafts(_addressed(replies), {payment.order_id: payment.traceparent for payment in leased})
    async with db.connection() as connection:
        return await repository.save_decided(connection, leased, decided, drafts)


async def _settle(db: Database, results: Sequence[Result]) -> None:
    async with db.transaction() as tx:
        payments = await repository.lock(tx, (result.payment.order_id for result in results))
        replies = []
        for result in results:
            order_id = result.payment.order_id
            payments[order_id], reply = _settled(payments[order_id], result)
            replies.append(reply)
        await repository.save(tx, payments.values())
        traceparents = {order_id: payment.traceparent for order_id, payment in payments.items()}
        await outbox.put(tx, _addressed(replies), traceparents)


def _settled(payment: Payment, result: Result) -> tuple[Payment, Reply | None]:
    operation = result.payment.operation
    assert operation is not None
    return models.settle(payment, operation, result.answer, random.random())  # noqa: S311


async def hint(db: Database, hint: Hint) -> bool:
    """Makes the order's payment due now if it waits for an answer of the provider, or if the refund failed.

    Returns whether a payment may be due. Raises Malformed when the webhook was signed too long ago, or too far ahead.
    """
    if not hint.refund_failed:
        async with db.connection() as connection:
            return await _hasten(connection, hint)
    async with db.transaction() as tx:
        payments = await repository.lock(tx, [hint.order_id])
        await repository.save(tx, [models.doubt_refund(payment) for payment in payments.values()])
        await _hasten(tx, hint)
    return True


async def _hasten(connection: Connection, hint: Hint) -> bool:
    recent, hastened = await repository.hasten(connection, hint.order_id, hint.at, TOLERANCE)
    if not recent:
        raise bad_signature(f"The timestamp is more than {TOLERANCE} s off; sign the webhook again.")
    return hastened


def bad_signature(detail: str) -> Malformed:
    """Returns the error of a webhook that its provider did not sign, or signed at another time."""
    return Malformed("bad-signature", "The webhook's signature is not valid", detail)


def _readable(answer: Answer) -> Answer:
    """Returns the answer. A reason that is not one word is replaced, since it goes into our database and messages."""
    if answer.reason is None or REASON.fullmatch(answer.reason):
        return answer
    return replace(answer, reason="unreadable-reason")


def _addressed(replies: Sequence[Reply | None]) -> list[tuple[UUID, Reply]]:
    return [(reply.order_id, reply) for reply in replies if reply is not None]
