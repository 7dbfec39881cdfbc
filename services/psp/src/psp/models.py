"""The provider's decisions, without I/O: ledger entries, the tokens that choose a result, and faults."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Kind(StrEnum):
    CHARGE = "charge"
    REFUND = "refund"


class Status(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Trouble(StrEnum):
    """The ways in which the response to one request, or its webhooks, can fail. Its result is decided separately."""

    NONE = "none"
    SLOW = "slow"
    ERROR_BEFORE = "error-before"
    ERROR_AFTER = "error-after"
    LOST_REPLY = "lost-reply"
    LIES = "lies"


@dataclass(frozen=True, slots=True)
class Token:
    """How a payment method behaves. A charge is captured unless there is a `reason` to fail."""

    reason: str | None = None
    trouble: Trouble = Trouble.NONE


TOKENS = {
    "tok_visa": Token(),
    "tok_declined": Token(reason="declined"),
    "tok_insufficient_funds": Token(reason="insufficient_funds"),
    "tok_slow": Token(trouble=Trouble.SLOW),
    "tok_lost_reply": Token(trouble=Trouble.LOST_REPLY),
}
UNKNOWN_TOKEN = Token(reason="unknown_payment_method")


@dataclass(frozen=True, slots=True)
class Entry:
    """A definite result, which never changes.

    `key` is the client's idempotency key. `charge_id` is the ID of the charge, or of the charge that was refunded.
    """

    id: str
    kind: Kind
    key: str
    fingerprint: bytes
    charge_id: str
    order_id: str
    amount: int
    currency: str
    status: Status
    reason: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """The result of a request, and the trouble of its response."""

    entry: Entry
    replayed: bool
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class Lie:
    """A false webhook: `entry` is not what happened. It was signed `age` seconds ago, or `forged` by someone else."""

    entry: Entry
    age: int = 0
    forged: bool = False


class Refusal(Exception):
    """The request is not carried out and leaves no trace, so its key stays free. `slug` names the reason."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(f"{slug}: {detail}")
        self.slug = slug
        self.detail = detail


def fingerprint(kind: Kind, request: dict[str, object]) -> bytes:
    """Returns 32 bytes that differ between two requests under one key."""
    return hashlib.sha256(json.dumps([kind, request], sort_keys=True).encode()).digest()


def lies(truth: Entry, other_order: str) -> list[Lie]:
    """Returns false webhooks about a result; the README lists them."""
    paid = truth.status is Status.SUCCEEDED
    opposite = replace(truth, status=Status.FAILED if paid else Status.SUCCEEDED, reason="declined" if paid else None)
    return [
        Lie(opposite),
        Lie(opposite),
        Lie(replace(truth, id=f"re_{truth.id}", kind=Kind.REFUND, status=Status.SUCCEEDED, reason=None)),
        Lie(replace(truth, amount=10 * truth.amount)),
        Lie(replace(opposite, order_id=other_order)),
        Lie(replace(truth, order_id=str(UUID(int=0)), charge_id="ch_unknown")),
        Lie(opposite, age=3600),
        Lie(opposite, forged=True),
    ]


class FaultMode(StrEnum):
    NONE = "none"
    SLOW = "slow"
    ERROR500 = "error500"
    LOST_REPLY = "lost-reply"
    LIES = "lies"


class Faults:
    """Trouble that a test sets for the whole provider. A restart ends it."""

    def __init__(self, slow_seconds: float) -> None:
        self._default_seconds = slow_seconds
        self.set(FaultMode.NONE)

    def set(self, mode: FaultMode, seconds: float | None = None, for_requests: int | None = None) -> None:
        """Sets the fault, for the next `for_requests` requests or until further notice. `seconds` has a default."""
        self.mode = mode
        self.seconds = self._default_seconds if seconds is None else seconds
        self.for_requests = for_requests
        self._errors = 0

    def next(self) -> Trouble:
        """Returns the trouble of the next request. Errors come alternately before and after the money moved."""
        mode = self.mode
        if mode is not FaultMode.NONE and self.for_requests is not None:
            self.for_requests -= 1
            if self.for_requests == 0:
                self.mode, self.for_requests = FaultMode.NONE, None
        if mode is FaultMode.ERROR500:
            self._errors += 1
            return Trouble.ERROR_BEFORE if self._errors % 2 else Trouble.ERROR_AFTER
        return Trouble(mode)
