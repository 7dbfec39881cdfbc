"""The payment's state machine: pure functions `(payment, input) -> (payment, reply)`; no I/O, no clock, no chance.

absent ──charge──▶ REQUESTED ──▶ CAPTURED | FAILED | UNKNOWN        UNKNOWN ──▶ CAPTURED | FAILED
cancel: absent, REQUESTED and never asked, FAILED ──▶ CANCELLED
        CAPTURED ──▶ REFUNDING ──▶ REFUNDED
        asked, not answered ──▶ remembered until the answer is definite
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa

from chassis import outbox
from payment.messages import Cancelled, Captured, Failed

KEY_LIFETIME = timedelta(hours=23)
"""Providers forget a key after a day; then the same request would charge again."""
MAX_BACKOFF = timedelta(minutes=5)

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
    """What the provider can be asked to do."""

    CHARGE = "charge"
    REFUND = "refund"


class Outcome(StrEnum):
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider said. `stuck`: asking again will hardly help, an operator should look."""

    outcome: Outcome
    reason: str | None = None
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class Payment:
    """One row. `amount` is in minor units, and absent in the tombstone of an order that was never charged.

    `attempts` and `first_attempt_at` count the present operation's. `next_attempt_at` is when the driver asks
    next, or, while a call is in flight, when its lease ends; None when there is nothing to ask. `as_of` is when the
    row was read. All times are the database's: clocks of processes differ, and one off by minutes would ask at once
    what should wait, or let a refund wait.
    """

    order_id: UUID
    state: State
    amount: int | None = None
    currency: str | None = None
    payment_method: str | None = None
    cancel_requested: bool = False
    reason: str | None = None
    stuck: bool = False
    attempts: int = 0
    first_attempt_at: datetime | None = None
    next_attempt_at: datetime | None = None
    as_of: datetime = field(kw_only=True)

    @property
    def operation(self) -> Operation | None:
        """What is to be asked of the provider in this state."""
        match self.state:
            case State.REQUESTED | State.UNKNOWN:
                return Operation.CHARGE
            case State.REFUNDING:
                return Operation.REFUND
            case _:
                return None

    @property
    def key(self) -> str:
        """The provider's idempotency key: the same for ever, so that money moves once."""
        return f"{self.order_id}:{self.operation}"

    @property
    def key_forgotten(self) -> bool:
        return self.first_attempt_at is not None and self.as_of - self.first_attempt_at > KEY_LIFETIME


metadata = sa.MetaData()
payments = sa.Table(
    "payments",
    metadata,
    sa.Column("order_id", sa.Uuid, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("amount", sa.BigInteger),
    sa.Column("currency", sa.Text),
    sa.Column("payment_method", sa.Text),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("reason", sa.Text),
    sa.Column("stuck", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("first_attempt_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("next_attempt_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.CheckConstraint(f"state IN ({', '.join(repr(str(state)) for state in State)})"),
    sa.CheckConstraint("amount >= 0"),
    # Only a tombstone was never charged; and what is not decided yet is always due at some time.
    sa.CheckConstraint(
        "state = 'CANCELLED' OR (amount IS NOT NULL AND currency IS NOT NULL AND payment_method IS NOT NULL)"
    ),
    sa.CheckConstraint("(next_attempt_at IS NOT NULL) = (state IN ('REQUESTED', 'UNKNOWN', 'REFUNDING'))"),
    sa.Index("payments_due", "next_attempt_at", postgresql_where=sa.text("next_attempt_at IS NOT NULL")),
    sa.Index("payments_stuck", "order_id", postgresql_where=sa.text("stuck")),
)
outbox.tables(metadata)


def cancel(payment: Payment) -> tuple[Payment, Reply | None]:
    """The undo. It is total, and each one is answered as soon as no money is taken."""
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


def settle(payment: Payment, operation: Operation, answer: Answer, jitter: float) -> tuple[Payment, Reply | None]:
    """The provider's answer to `operation`. One that comes after the matter was decided changes nothing.

    `jitter` from 0 to 1 spreads the next attempts of payments that failed together.
    """
    if operation is not payment.operation:
        return payment, None
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
    """A new operation under a key of its own, due at once."""
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
    delay = min(timedelta(seconds=2 ** min(payment.attempts - 1, 16)), MAX_BACKOFF) * (0.5 + jitter / 2)
    return replace(
        payment,
        state=State.UNKNOWN if payment.operation is Operation.CHARGE else payment.state,
        reason=answer.reason,
        stuck=answer.stuck,
        next_attempt_at=payment.as_of + delay,
    )
