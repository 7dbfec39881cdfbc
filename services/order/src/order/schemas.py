"""HTTP bodies and query parameters."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from chassis.queries import CanonicalId, Digits, Query
from chassis.schemas import Body, TextLine
from order.models import Status

__all__ = [
    "Accepted",
    "Address",
    "AllQuery",
    "AnyOrder",
    "AnyOrderPage",
    "AuditBody",
    "Money",
    "Order",
    "OrderPage",
    "OwnQuery",
    "PlaceOrderBody",
]


class Money(Body):
    amount: Annotated[int, Field(ge=0, le=10**12, description="in minor units, such as cents")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]


class Address(Body):
    name: Annotated[TextLine, Field(min_length=1, max_length=100)]
    line1: Annotated[TextLine, Field(min_length=1, max_length=100)]
    line2: Annotated[TextLine, Field(max_length=100)] | None = None
    city: Annotated[TextLine, Field(min_length=1, max_length=100)]
    postal_code: Annotated[TextLine, Field(min_length=1, max_length=20)]
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]


class PlaceOrderBody(Body):
    cart_version: Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")]
    payment_method: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}$", examples=["tok_visa"])]
    shipping_address: Address
    expected_total: Money


class OwnQuery(Query):
    cursor: Annotated[CanonicalId, Field(description="the `next_cursor` of the previous page")] | None = None
    limit: Annotated[Digits, Field(ge=1, le=100)] = 20


class AllQuery(OwnQuery):
    status: Status | None = None
    principal: Annotated[TextLine, Field(max_length=100)] | None = None
    waiting_seconds: (
        Annotated[
            Digits, Field(ge=0, le=10**9, description="Only unsettled orders whose last step is at least so long ago")
        ]
        | None
    ) = None


class Accepted(BaseModel):
    """Contains only the order ID and PENDING, so that a repeated request gets the same bytes."""

    id: UUID
    status: Status


class AuditBody(Body):
    """What an audit found, by invariant."""

    findings: Annotated[
        dict[Annotated[str, Field(pattern=r"^A[1-9][0-9]?$")], Annotated[int, Field(ge=0, le=2**31 - 1)]],
        Field(min_length=1, max_length=50),
    ]


class Line(BaseModel):
    sku: str
    name: str
    quantity: int
    unit_price: Money


class Step(BaseModel):
    seq: int
    status: Status
    at: datetime
    reason: str | None = None


class OrderSummary(BaseModel):
    id: UUID
    status: Status
    total: Money
    lines: list[Line]
    shipping_address: Address
    created_at: datetime
    expires_at: datetime


class Order(OrderSummary):
    """`trace_id` is only for managers; it is null if the order has no trace."""

    history: list[Step]
    trace_id: str | None = None


class OrderPage(BaseModel):
    items: list[OrderSummary]
    next_cursor: str | None


class AnyOrder(Order):
    """An order, and whose it is."""

    principal: str


class AnyOrderSummary(OrderSummary):
    principal: str


class AnyOrderPage(BaseModel):
    items: list[AnyOrderSummary]
    next_cursor: str | None
