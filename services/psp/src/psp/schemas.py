"""The bodies of requests, answers, problems and webhooks."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from psp.models import Entry, FaultMode, Kind, Status

MAX_AMOUNT = 2**53 - 1

Id = Annotated[str, Field(pattern=r"^[!-~]{1,64}$")]
Amount = Annotated[int, Field(strict=True, ge=1, le=MAX_AMOUNT, description="minor units")]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ChargeRequest(Request):
    order_id: Id
    amount: Amount
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]
    payment_method: Annotated[str, Field(min_length=1, max_length=255)]


class RefundRequest(Request):
    """Exactly one of `order_id` and `charge_id`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["order_id"]}, {"required": ["charge_id"]}]},
    )

    order_id: Id | None = None
    charge_id: Id | None = None
    amount: Amount

    @model_validator(mode="after")
    def name_one(self) -> Self:
        if (self.order_id is None) == (self.charge_id is None):
            raise ValueError("give exactly one of order_id and charge_id")
        return self


class FaultRequest(Request):
    mode: FaultMode
    seconds: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] | None = None
    for_requests: Annotated[int, Field(strict=True, ge=1, le=MAX_AMOUNT)] | None = None


def _digits(value: object) -> object:
    """Refuses what int() would accept too: spaces, signs, underscores and 1.0."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("must be a whole number, in digits")
    return value


Digits = Annotated[int, BeforeValidator(_digits)]


class ChargesQuery(Request):
    order_id: Id


class LedgerQuery(Request):
    after: Annotated[Digits, Field(ge=0, le=2**53)] = 0
    limit: Annotated[Digits, Field(ge=1, le=1000)] = 1000


class Fault(BaseModel):
    mode: FaultMode
    seconds: float
    for_requests: int | None


class ReplayRequest(Request):
    order_id: Id


class Replay(BaseModel):
    queued: int


class Result(BaseModel):
    """The result of a charge or a refund. `reason` tells why a charge failed."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    order_id: str
    amount: int
    currency: str
    status: Status
    reason: str | None
    at: datetime


class Charge(Result):
    pass


class Refund(Result):
    charge_id: str


class ChargeRecord(Result):
    key: str
    refunded: int

    @classmethod
    def of(cls, charge: Entry, refunded: int) -> Self:
        return cls(**Charge.model_validate(charge).model_dump(), key=charge.key, refunded=refunded)


class ChargeList(BaseModel):
    items: list[ChargeRecord]


class LedgerEntry(BaseModel):
    seq: int
    kind: Literal["capture", "refund"]
    id: str
    charge_id: str
    order_id: str
    amount: int
    currency: str
    key: str
    at: datetime

    @classmethod
    def of(cls, seq: int, entry: Entry) -> Self:
        return cls(
            seq=seq,
            kind="refund" if entry.kind is Kind.REFUND else "capture",
            id=entry.id,
            charge_id=entry.charge_id,
            order_id=entry.order_id,
            amount=entry.amount,
            currency=entry.currency,
            key=entry.key,
            at=entry.at,
        )


class LedgerPage(BaseModel):
    """A page of the ledger. `next_after` is the `after` of the next page, and null on the last one."""

    items: list[LedgerEntry]
    next_after: int | None


class Event(BaseModel):
    """The body of a webhook. `id` is the same each time that the result is announced."""

    id: str
    type: str
    order_id: str
    charge_id: str
    refund_id: str | None
    amount: int
    currency: str
    reason: str | None
    at: datetime

    @classmethod
    def of(cls, entry: Entry) -> Self:
        return cls(
            id=f"evt_{entry.id}",
            type=f"{entry.kind}.{entry.status}",
            order_id=entry.order_id,
            charge_id=entry.charge_id,
            refund_id=entry.id if entry.kind is Kind.REFUND else None,
            amount=entry.amount,
            currency=entry.currency,
            reason=entry.reason,
            at=entry.at,
        )


class Problem(BaseModel):
    """RFC 9457. `type` ends in a slug, `detail` says what to do, `errors` names the refused fields."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] = []
