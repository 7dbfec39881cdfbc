"""What the provider decides and remembers: ledger entries, the tokens that steer it, its faults; no I/O."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    CHARGE = "charge"
    REFUND = "refund"


class Status(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Trouble(StrEnum):
    """What goes wrong with one request, apart from the result itself."""

    NONE = "none"
    SLOW = "slow"
    ERROR_BEFORE = "error-before"
    ERROR_AFTER = "error-after"
    LOST_REPLY = "lost-reply"


@dataclass(frozen=True, slots=True)
class Token:
    """How a payment method behaves: captured unless there is a reason not to."""

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
    """One definite result, never changed.

    `key` is the caller's idempotency key; `charge_id` is the charge's own id, or that of the charge refunded.
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
    """The answer to a request, and what befalls it on its way back."""

    entry: Entry
    replayed: bool
    trouble: Trouble


class Refusal(Exception):
    """The request is not carried out and leaves no trace: its key stays free. `slug` names the case."""

    def __init__(self, slug: str, detail: str) -> None:
        super().__init__(f"{slug}: {detail}")
        self.slug = slug
        self.detail = detail


def fingerprint(kind: Kind, request: dict[str, object]) -> bytes:
    """Tells apart two requests under one key; 32 bytes."""
    return hashlib.sha256(json.dumps([kind, request], sort_keys=True).encode()).digest()


class FaultMode(StrEnum):
    NONE = "none"
    SLOW = "slow"
    ERROR500 = "error500"
    LOST_REPLY = "lost-reply"


class Faults:
    """Trouble that tests order for the whole provider; forgotten at a restart."""

    def __init__(self, slow_seconds: float) -> None:
        self._default_seconds = slow_seconds
        self.set(FaultMode.NONE)

    def set(self, mode: FaultMode, seconds: float | None = None, for_requests: int | None = None) -> None:
        """`for_requests` None means until further notice; `seconds` None means the configured ones."""
        self.mode = mode
        self.seconds = self._default_seconds if seconds is None else seconds
        self.for_requests = for_requests
        self._errors = 0

    def next(self) -> Trouble:
        """The trouble of one more request. Errors come in turn before and after the money moved."""
        mode = self.mode
        if mode is not FaultMode.NONE and self.for_requests is not None:
            self.for_requests -= 1
            if self.for_requests == 0:
                self.mode, self.for_requests = FaultMode.NONE, None
        if mode is FaultMode.ERROR500:
            self._errors += 1
            return Trouble.ERROR_BEFORE if self._errors % 2 else Trouble.ERROR_AFTER
        return Trouble(mode)
