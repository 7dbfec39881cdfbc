"""HTTP bodies and parameters of catalog."""

from datetime import datetime
from typing import Annotated, Literal, Self
from urllib.parse import unquote

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, Field, model_validator

from catalog.repository.products import COUNTED
from catalog.repository.search import RANKED, Sort
from chassis import queries
from chassis.schemas import Body, Text, TextLine

__all__ = [
    "SKU_PATTERN",
    "CategoryList",
    "ListQuery",
    "ManagedList",
    "ManagedParameters",
    "ManagedProduct",
    "ManagedQuery",
    "NewProduct",
    "ProductChanges",
    "ProductList",
    "ProductOut",
    "Restock",
    "RestockId",
    "RestockOut",
    "Sku",
    "SkuPath",
    "StockHistory",
]

MAX_AMOUNT = 10**9

SKU_PATTERN = r"^[A-Z0-9][A-Z0-9-]{1,31}$"
Sku = Annotated[str, Field(pattern=SKU_PATTERN)]
MANAGED_CURSOR = r"^([0-9]{1,18}:)?[A-Z0-9][A-Z0-9-]{1,31}$"
SkuPath = Annotated[Sku, Path(description="Stock-keeping unit")]
RestockId = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="Chosen by the client; added once")]
Slug = Annotated[str, Field(min_length=2, max_length=40, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Amount = Annotated[int, Field(ge=0, le=MAX_AMOUNT, description="Minor units")]
AmountDigits = Annotated[queries.Digits, Field(ge=0, le=MAX_AMOUNT, description="Minor units")]
Name = Annotated[TextLine, Field(min_length=1, max_length=200)]
Description = Annotated[Text, Field(max_length=4000)]

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_CHARACTER = r"([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"  # RFC 3986: pchar
_IMAGE = (
    rf"^(https://{_LABEL}(\.{_LABEL})*(:[0-9]{{1,5}})?(/({_CHARACTER}|/)*)?|/{_CHARACTER}({_CHARACTER}|/)*)"
    rf"(\?({_CHARACTER}|[/?])*)?$"
)


def _without_dots(url: str) -> str:
    """Refuses dot segments, because programs resolve them differently."""
    if any(unquote(part) in (".", "..") for part in url.partition("?")[0].split("/")):
        raise ValueError("must not have . or .. in its path")
    return url


ImageUrl = Annotated[
    str,
    Field(max_length=500, pattern=_IMAGE, description="https://host/…, or a path of this host: /…"),
    AfterValidator(_without_dots),
]


class PriceBody(Body):
    amount: Annotated[Amount, Field(ge=1)]  # a provider cannot charge an amount of 0
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217; the shop's")]


class NewProduct(Body):
    sku: Sku
    name: Name
    description: Description
    category: Slug
    price: PriceBody
    image_url: ImageUrl | None = None


class ProductChanges(Body):
    """Fields that are absent do not change. Only `image_url` may be null."""

    name: Name = ""
    description: Description = ""
    category: Slug = ""
    price: PriceBody | None = None
    image_url: ImageUrl | None = None

    @model_validator(mode="after")
    def has_a_field(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("at least one field is required")
        if "price" in self.model_fields_set and self.price is None:
            raise ValueError("price must not be null")
        return self


class Restock(Body):
    quantity: Annotated[int, Field(ge=1, le=1_000_000)]


class ListQuery(queries.Query):
    """A search, or a list of SKUs: only `limit` may go with `sku`."""

    q: Annotated[Text, Field(max_length=200, description="Words; typos are corrected if nothing is found")] = ""
    category: Slug | None = None
    min_price: AmountDigits | None = None
    max_price: AmountDigits | None = None
    in_stock: Annotated[Literal["true", "false"], Field(description="Only products of which some are available")] = (
        "false"
    )
    sort: Annotated[
        Sort, Field(description=f"relevance lists the newest {RANKED} matches at most; without q, it means name")
    ] = "relevance"
    limit: Annotated[queries.Digits, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, Field(max_length=4000, description="The next_cursor of a page")] | None = None
    sku: list[Sku] = Field(default_factory=list, max_length=100, description="Returns these products, if they exist")

    @model_validator(mode="after")
    def sku_alone(self) -> Self:
        if self.sku and not self.model_fields_set <= {"sku", "limit"}:
            raise ValueError("sku cannot be combined with a search")
        return self


class ManagedQuery(queries.Query):
    """A search in SKUs and names, without tolerance for typos; hidden products are found too."""

    q: Annotated[Text, Field(max_length=200, description="Part of a SKU or of a name")] = ""
    hidden: Literal["true", "false"] | None = None
    below: (
        Annotated[queries.Digits, Field(ge=0, le=10**9, description="Only products of which fewer are available")]
        | None
    ) = None
    sort: Literal["sku", "available"] = "sku"
    limit: Annotated[queries.Digits, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, Field(pattern=MANAGED_CURSOR, description="The next_cursor of a page")] | None = None

    @model_validator(mode="after")
    def cursor_of_this_order(self) -> Self:
        if self.cursor is not None and (":" in self.cursor) != (self.sort == "available"):
            raise ValueError("cursor must be the next_cursor of a list with the same sort")
        return self


class PriceOut(BaseModel):
    amount: int
    currency: str


class ProductOut(BaseModel):
    sku: str
    name: str
    description: str
    category: str
    price: PriceOut
    image_url: str | None
    updated_at: datetime
    available: int


class ProductList(BaseModel):
    items: list[ProductOut]
    next_cursor: str | None


class ManagedProduct(ProductOut):
    """A product as the back office sees it. `held` is for orders that are not confirmed yet."""

    hidden: bool
    held: int
    sold: int


class ManagedList(BaseModel):
    items: list[ManagedProduct]
    next_cursor: str | None


class CategoryOut(BaseModel):
    slug: str
    name: str
    products: Annotated[int, Field(description=f"Counted up to {COUNTED}, which stands for more, too")]


class CategoryList(BaseModel):
    items: list[CategoryOut]


class RestockOut(BaseModel):
    id: str
    sku: str
    quantity: int


class StockEntry(BaseModel):
    """A restock, or the reservation of an order (`id`), whose `state` is HELD, SOLD or RELEASED."""

    kind: Literal["restock", "reservation"]
    id: str
    quantity: int
    state: str | None
    at: datetime


class StockHistory(BaseModel):
    items: list[StockEntry]


ManagedParameters = Annotated[ManagedQuery, Query()]
