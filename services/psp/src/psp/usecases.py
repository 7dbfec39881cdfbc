"""The use cases of psp: charge, refund, look up, and send results by webhook."""

import asyncio
import random
import uuid
from datetime import UTC, datetime, timedelta
from logging import getLogger
from time import monotonic
from typing import Protocol

from psp import repository
from psp.models import (
    TOKENS,
    UNKNOWN_TOKEN,
    Entry,
    Kind,
    Lie,
    Refusal,
    Settled,
    Status,
    Trouble,
    fingerprint,
    lies,
)
from psp.repository import Store, Tx

LATE = timedelta(seconds=1)
"""An answer that takes longer, or is lost, is followed by a webhook: the client may not have received it."""
RECOVERY_WINDOW = timedelta(seconds=2)
WEBHOOK_CONCURRENCY = 16
WEBHOOK_ATTEMPTS = 15
WEBHOOK_MAX_DELAY = timedelta(minutes=5)

_BEGINNING = datetime.now(UTC) - timedelta(seconds=monotonic())

log = getLogger(__name__)


async def charge(
    store: Store,
    *,
    key: str,
    order_id: str,
    amount: int,
    currency: str,
    payment_method: str,
    trouble: Trouble = Trouble.NONE,
) -> Settled:
    """Captures `amount` minor units, or fails with a reason, only once for this key.

    Raises `Refusal`: `key-reused`.
    """
    token = TOKENS.get(payment_method, UNKNOWN_TOKEN)
    charge_id = f"ch_{uuid.uuid4().hex}"
    entry = Entry(
        id=charge_id,
        kind=Kind.CHARGE,
        key=key,
        fingerprint=fingerprint(
            Kind.CHARGE,
            {"order_id": order_id, "amount": amount, "currency": currency, "payment_method": payment_method},
        ),
        charge_id=charge_id,
        order_id=order_id,
        amount=amount,
        currency=currency,
        status=Status.FAILED if token.reason else Status.SUCCEEDED,
        reason=token.reason,
        at=_now(),
    )

    def settle(tx: Tx) -> Settled:
        if known := _known(tx, key, entry.fingerprint):
            return Settled(known, replayed=True, trouble=trouble)
        # A token affects only the first answer. A second request with the same key gets the definite result.
        return _append(tx, entry, trouble if trouble is not Trouble.NONE else token.trouble)

    return await store.run(settle)


async def refund(
    store: Store,
    *,
    key: str,
    order_id: str | None,
    charge_id: str | None,
    amount: int,
    trouble: Trouble = Trouble.NONE,
) -> Settled:
    """Refunds `amount` of a captured charge, named by its ID or its order, only once for this key.

    Raises `Refusal`: `key-reused`, `charge-not-found`, `refund-exceeds-capture`.
    """
    print_ = fingerprint(Kind.REFUND, {"order_id": order_id, "charge_id": charge_id, "amount": amount})

    def settle(tx: Tx) -> Settled:
        if known := _known(tx, key, print_):
            return Settled(known, replayed=True, trouble=trouble)
        target = _refundable(tx, order_id, charge_id, amount)
        entry = Entry(
            id=f"re_{uuid.uuid4().hex}",
            kind=Kind.REFUND,
            key=key,
            fingerprint=print_,
            charge_id=target.id,
            order_id=target.order_id,
            amount=amount,
            currency=target.currency,
            status=Status.SUCCEEDED,
            reason=None,
            at=_now(),
        )
        return _append(tx, entry, trouble)

    return await store.run(settle)


async def charges(store: Store, order_id: str) -> list[tuple[Entry, int]]:
    """Returns an order's charges, oldest first, each with the amount that was refunded."""
    return await store.run(
        lambda tx: [(c, repository.refunded(tx, c.id)) for c in repository.charges_of_order(tx, order_id)]
    )


async def ledger(store: Store, after: int, limit: int) -> list[tuple[int, Entry]]:
    return await store.run(lambda tx: repository.ledger(tx, after, limit))


async def announce(store: Store, entry: Entry) -> None:
    """Queues a webhook for a result whose response was late or met a closed connection."""
    await store.run(lambda tx: repository.queue_webhook(tx, entry.key, _schedule()))


async def announce_order(store: Store, order_id: str) -> int:
    """Queues a webhook for each result of the order, even if one was sent. Returns the number of results.

    Raises `Refusal`: `order-not-found`.
    """

    def queue(tx: Tx) -> int:
        if queued := repository.queue_webhooks_of_order(tx, order_id, _schedule()):
            return queued
        raise Refusal("order-not-found", "Nothing was ever charged for this order.")

    return await store.run(queue)


async def announce_last(store: Store) -> None:
    """Queues webhooks, at start-up, for the last results before it, because their responses may not have arrived.

    A webhook that waits longer than any back-off was scheduled before the clock was set back. It is due now.
    """

    def queue(tx: Tx) -> None:
        now = _schedule()
        repository.advance_webhooks(tx, now + WEBHOOK_MAX_DELAY, now)
        repository.queue_last_webhooks(tx, RECOVERY_WINDOW, now)

    await store.run(queue)


class WebhookSender(Protocol):
    async def send(self, entry: Entry) -> bool:
        """Sends the event. Returns whether the receiver accepted it; its failures raise nothing."""

    async def lie(self, lie: Lie) -> None:
        """Sends a false event once; its failures raise nothing."""


class Liar:
    """Sends false webhooks about results."""

    def __init__(self, sender: WebhookSender) -> None:
        self._sender = sender
        self._order_before = ""

    async def lie(self, truth: Entry) -> None:
        """Returns once the receiver has answered them all, so that it hears the lies before the truth."""
        false = lies(truth, self._order_before or truth.order_id)
        self._order_before = truth.order_id
        await asyncio.gather(*map(self._sender.lie, false))


async def deliver_webhooks(store: Store, sender: WebhookSender) -> bool:
    """Sends some of the due webhooks concurrently, and schedules failed ones again. Returns whether more may be due."""
    now = _schedule()
    due = await store.run(lambda tx: repository.due_webhooks(tx, now, WEBHOOK_CONCURRENCY))
    if not due:
        return False
    delivered = await asyncio.gather(*(sender.send(entry) for _, _, entry in due))

    def record(tx: Tx) -> None:
        for (seq, attempts, entry), done in zip(due, delivered, strict=True):
            if done:
                repository.forget_webhook(tx, seq, now)
            elif attempts + 1 >= WEBHOOK_ATTEMPTS:
                log.warning("gave up on the webhook of %s after %d attempts", entry.id, attempts + 1)
                repository.forget_webhook(tx, seq, now)
            else:
                repository.postpone_webhook(tx, seq, _schedule() + _delay(attempts))

    await store.run(record)
    return len(due) == WEBHOOK_CONCURRENCY


def _known(tx: Tx, key: str, print_: bytes) -> Entry | None:
    known = repository.entry_by_key(tx, key)
    if known is not None and known.fingerprint != print_:
        raise Refusal("key-reused", "This idempotency key belongs to another request; use a new key.")
    return known


def _refundable(tx: Tx, order_id: str | None, charge_id: str | None, amount: int) -> Entry:
    """Returns the first captured charge with this ID or order that has `amount` left."""
    if charge_id is not None:
        charge = repository.charge_by_id(tx, charge_id)
        meant = [charge] if charge else []
    else:
        meant = repository.charges_of_order(tx, order_id or "")
    captured = [charge for charge in meant if charge.status is Status.SUCCEEDED]
    if not captured:
        raise Refusal("charge-not-found", "No captured charge has this id or order; charge first.")
    for charge in captured:
        if charge.amount - repository.refunded(tx, charge.id) >= amount:
            return charge
    raise Refusal("refund-exceeds-capture", "Less than this amount is left of the charge; refund what is left.")


def _append(tx: Tx, entry: Entry, trouble: Trouble) -> Settled:
    repository.append(tx, entry)
    if trouble is not Trouble.NONE:
        repository.queue_webhook(tx, entry.key, _schedule() + LATE)
    return Settled(entry, replayed=False, trouble=trouble)


def _delay(attempts: int) -> timedelta:
    return min(timedelta(seconds=2**attempts), WEBHOOK_MAX_DELAY) * random.uniform(0.5, 1)  # noqa: S311


def _now() -> datetime:
    """Returns the time in whole milliseconds, as it is stored: an answer and its replay must be the same bytes."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _schedule() -> datetime:
    """Returns the time for scheduling webhooks. It does not change when the machine's clock is set."""
    return _BEGINNING + timedelta(seconds=monotonic())
