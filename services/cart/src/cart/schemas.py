"""HTTP bodies of cart."""

from typing import Annotated

from pydantic import BaseModel, Field

from cart.models import MAX_LINES, MAX_QUANTITY, SKU_PATTERN
from chassis.schemas import Body, Text

__all__ = ["MAX_TOKENS", "CartBody", "MergeBody", "QuantityBody", "Sku", "TokensBody"]

MAX_TOKENS = 64

Sku = Annotated[str, Field(pattern=SKU_PATTERN)]
Token = Annotated[Text, Field(min_length=1, max_length=4096)]
Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY)]


class QuantityBody(Body):
    quantity: Quantity


class MergeBody(Body):
    guest_token: Token


class TokensBody(Body):
    tokens: Annotated[list[Token], Field(max_length=MAX_TOKENS)]


class LineBody(BaseModel):
    sku: Sku
    quantity: Quantity


class CartBody(BaseModel):
    """A cart. `version` is null if it is empty."""

    version: str | None
    items: Annotated[list[LineBody], Field(max_length=MAX_LINES)]
