"""The payment's state machine: pure functions `(payment, input) -> (payment, reply)`, without I/O, clock or chance.

absent ──charge──▶ REQUESTED ──▶ CAPTURED | FAILED | UNKNOWN        UNKNOWN ──▶ CAPTURED | FAILED
cancel: absent, REQUESTED and never asked, FAILED ──▶ CANCELLED
        CAPTURED ──▶ REFUNDING ──▶ REFUNDED; back to REFUNDING when the provider says that the refund failed later
        asked, not answered ──▶ remembered until the answer is definite
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from payment.messages import Cancelled, Captured, Failed

KEY_LIFETIME = timedelta(hours=23)
"""Providers forget a key after a day. After that, the same request would charge again."""
MAX_BACKOFF = timedelta(minutes=5)
REQUIRES_ACTION = "requires-action"
"""The reason of a refused charge that would need an action of the customer, such as to authenticate with the bank."""

Reply = Captured | Failed | Cancelled


class State(StrEnum):
    REQUESTED = "REQUESTED"
    UNKNOWN = "UNKNOWN"
    CAPTURED = "CAPTURED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"


class Operation(StrEnum):
    """The requests that a provider can get."""

    CHARGE = "charge"
    REFUND = "refund"


OPERATIONS = {
    State.REQUESTED: Operation.CHARGE,
    State.UNKNOWN: Operation.CHARGE,
    State.REFUNDING: Operation.REFUND,
}
"""The request that the provider gets in each of these states. In the other states it gets none."""


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """The provider's answer.

    `reference` is the provider's own ID of the charge, once it is known. `stuck` means that another
    attempt will hardly help, and that an operator should look.
    """

    outcome: Outcome
    reason: str | None = None
    stuck: bool = False
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment, as its row is stored.

    The tombstone of an order that was never charged has no amount, currency, payment method or provider. `amount` is in
    minor units. `provider` is the name of the provider that was asked first, and `provider_reference` its own ID of the
    charge.

    `attempts` and `first_attempt_at` are those of the current operation. `next_attempt_at` is the time of the next
    attempt or, during a call, the end of its lease; it is None if there is nothing to ask. `as_of` is the time at which
    the row was read. All times are the database's, because the clocks of processes differ: with a clock that is wrong
    by minutes, a process would retry too early, or delay a refund.

    `traceparent` is the place in the order's trace at which the charge or, later, its cancel was processed.
    """

    order_id: UUID
    state: State
    amount: int | None = None
    currency: str | None = None
    payment_method: str | None = None
    provider: str | None = None
    provider_reference: str | None = None
    cancel_requested: bool = False
    reason: str | None = None
    stuck: bool = False
    attempts: int = 0
    first_attempt_at: datetime | None = None
    next_attempt_at: datetime | None = None
    traceparent: str | None = None
    as_of: datetime = field(kw_only=True)

    @property
    def operation(self) -> Operation | None:
        """The request that the provider gets in this state, if any."""
        return OPERATIONS.get(self.state)

    @property
    def key(self) -> str:
        """The idempotency key for the provider. It never changes, so that money moves only once."""
        return f"{self.order_id}:{self.operation}"

    @property
    def key_forgotten(self) -> bool:
        """True if the provider may have forgotten the key."""
        return self.first_attempt_at is not None and self.as_of - self.first_attempt_at > KEY_LIFETIME


def cancel(payment: Payment) -> tuple[Payment, Reply | None]:
    """Undoes the payment in any state. The reply is sent as soon as it is certain that no money is taken."""
    match payment.state:
        case State.REQUESTED if payment.attempts == 0:
            return _cancelled(payment)
        case State.REQUESTED | State.UNKNOWN:
            return replace(payment, cancel_requested=True), None
        case State.CAPTURED:
            return _refunding(payment), None
        case State.REFUNDING:
            return payment, None
        case State.FAILED | State.CANCELLED:
            return _cancelled(payment)
        case State.REFUNDED:
            return payment, Cancelled(order_id=payment.order_id, refunded=True)


def doubt_refund(payment: Payment) -> Payment:
    """Makes a refund that succeeded due again, because the provider says that it failed later.

    The attempts and the key stay the same, so the provider is asked about that refund and makes no other one.
    """
    if payment.state is not State.REFUNDED:
        return payment
    return replace(payment, state=State.REFUNDING, next_attempt_at=payment.as_of)


def hasten(payment: Payment) -> Payment:
    """Makes a payment due now if it waits for an answer of the provider."""
    waits = payment.attempts > 0 and payment.next_attempt_at is not None
    return replace(payment, next_attempt_at=payment.as_of) if waits else payment


def settle(payment: Payment, operation: Operation, answer: Answer, jitter: float) -> tuple[Payment, Reply | None]:
    """Applies the provider's answer to `operation`. An answer after the decision has no effect.

    `jitter` from 0 to 1 spreads the next attempts of payments that failed together.
    """
    if operation is not payment.operation:
        return payment, None
    if operation is Operation.CHARGE:
        payment = replace(payment, provider_reference=answer.reference or payment.provider_reference)
    match operation, answer.outcome:
        case Operation.CHARGE, Outcome.SUCCEEDED if payment.cancel_requested:
            return _refunding(payment), None
        case Operation.CHARGE, Outcome.SUCCEEDED:
            return _resting(payment, State.CAPTURED), Captured(order_id=payment.order_id)
        case Operation.CHARGE, Outcome.REFUSED if payment.cancel_requested:
            return _cancelled(replace(payment, reason=answer.reason))
        case Operation.CHARGE, Outcome.REFUSED:
            reason = answer.reason or "refused"
            return _resting(payment, State.FAILED, reason), Failed(order_id=payment.order_id, reason=reason)
        case Operation.REFUND, Outcome.SUCCEEDED:
            refunded = _resting(payment, State.REFUNDED)
            return refunded, Cancelled(order_id=payment.order_id, refunded=True)
        case _:
            return _again(payment, answer, jitter), None


def _cancelled(payment: Payment) -> tuple[Payment, Reply]:
    cancelled = _resting(payment, State.CANCELLED, payment.reason)
    return cancelled, Cancelled(order_id=payment.order_id, refunded=False)


def _resting(payment: Payment, state: State, reason: str | None = None) -> Payment:
    return replace(payment, state=state, reason=reason, stuck=False, next_attempt_at=None)


def _refunding(payment: Payment) -> Payment:
    """Starts a new operation, with its own key, which is due at once."""
    return replace(
        payment,
        state=State.REFUNDING,
        cancel_requested=True,
        reason=None,
        stuck=False,
        attempts=0,
        first_attempt_at=None,
        next_attempt_at=payment.as_of,
    )


def _again(payment: Payment, answer: Answer, jitter: float) -> Payment:
    """Schedules the next attempt at the same operation, after a back-off."""
    delay = min(timedelta(seconds=2 ** min(payment.attempts - 1, 16)), MAX_BACKOFF) * (0.5 + jitter / 2)
    return replace(
        payment,
        state=State.UNKNOWN if payment.operation is Operation.CHARGE else payment.state,
        reason=answer.reason,
        stuck=answer.stuck,
        next_attempt_at=payment.as_of + delay,
    )
