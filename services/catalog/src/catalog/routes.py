"""The HTTP routes of catalog."""

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import msgspec
from fastapi import APIRouter, Depends, Header, Request, Response

from catalog import usecases
from catalog.models import Price, Product
from catalog.repository import managed, products, search
from catalog.schemas import (
    SKU_PATTERN,
    CategoryList,
    ListQuery,
    ManagedList,
    ManagedParameters,
    ManagedProduct,
    NewProduct,
    ProductChanges,
    ProductList,
    ProductOut,
    Restock,
    RestockId,
    RestockOut,
    SkuPath,
    StockHistory,
)
from chassis import etags
from chassis.admission import Kind
from chassis.app import JsonBytes, parts
from chassis.auth import requires
from chassis.db import Database
from chassis.direct import path_parameter, query_of
from chassis.errors import Invalid, NotFound, Problem
from chassis.openapi import query_parameters
from chassis.queries import once

__all__ = ["KINDS", "Parts", "admin", "router"]

WRITE = Depends(requires("catalog:write"))

router = APIRouter(prefix="/api/catalog", tags=["catalog"])
admin = APIRouter(prefix="/api/admin/products", tags=["admin"], dependencies=[WRITE])

KINDS = (Kind("browsing", 64, re.compile(r"(GET|HEAD) /api/catalog/.*"), from_edge=True),)

CACHE_CONTROL = "public, max-age=1, stale-while-revalidate=10"
SKU = re.compile(SKU_PATTERN)
SKU_PARAMETER = {
    "name": "sku",
    "in": "path",
    "required": True,
    "description": "Stock-keeping unit",
    "schema": {"type": "string", "pattern": SKU_PATTERN},
}
ETAG = re.compile(r"([0-9]{1,9})-[0-9]+")
IfMatch = Annotated[list[str] | None, Header(description="The ETag that the product had when it was read")]


class PreconditionRequired(Problem):
    status: ClassVar[int] = 428


@dataclass(frozen=True, slots=True)
class Parts:
    """The objects that the routes use. `main` creates them."""

    db: Database
    currency: str


given = parts(Parts)
Given = Annotated[Parts, Depends(given)]


def _cacheable(request: Request, body: bytes, etag: str) -> Response:
    """Returns the body, or 304 when the client has it already."""
    headers = {"ETag": etag, "Cache-Control": CACHE_CONTROL}
    if (known := request.headers.getlist("if-none-match")) and etags.not_modified(known, etag):
        return Response(status_code=304, headers=headers)
    return JsonBytes(body, headers=headers)


def _digest(body: bytes) -> int:
    """Returns a number, because the previous release accepts only digits in the ETag of an If-Match."""
    return int.from_bytes(hashlib.blake2b(body, digest_size=12).digest())


@router.get(
    "/products",
    responses={200: {"model": ProductList}},
    openapi_extra={"parameters": query_parameters(ListQuery)},
)
async def list_products(request: Request) -> Response:
    """Searches for products, or returns those that `sku` names, sorted by SKU."""
    query = query_of(request, ListQuery, "sku")
    async with (await given(request)).db.connection() as connection:
        if query.sku:
            page = await search.by_skus(connection, query.sku)
        else:
            asked = search.Search(
                query.q, query.category, query.min_price, query.max_price, query.sort, query.in_stock == "true"
            )
            page = await search.find(connection, asked, query.cursor, query.limit)
    body = msgspec.json.encode(page)
    return _cacheable(request, body, f'"{_digest(body)}"')


@router.get(
    "/products/{sku}",
    responses={200: {"model": ProductOut}},
    openapi_extra={"parameters": [SKU_PARAMETER]},
)
async def read_product(request: Request) -> Response:
    return _cacheable(request, *await _shown(await given(request), path_parameter(request, "sku", SKU)))


@router.get("/categories", responses={200: {"model": CategoryList}})
async def list_categories(request: Request, given: Given) -> Response:
    """Returns the categories that show at least one product."""
    async with given.db.connection() as connection:
        rows = await products.categories(connection)
    body = msgspec.json.encode({"items": [dict(row) for row in rows]})
    return _cacheable(request, body, f'"{_digest(body)}"')


@router.post(
    "/products",
    status_code=201,
    responses={201: {"model": ProductOut}},
    dependencies=[WRITE],
)
async def create_product(body: NewProduct, given: Given) -> Response:
    """Adds a product without stock, and its category if that is new."""
    await usecases.create_product(given.db, Product(**_fields(body, given)))
    answer = await _answer(given, body.sku, 201)
    answer.headers["Location"] = f"/api/catalog/products/{body.sku}"
    return answer


@router.patch("/products/{sku}", responses={200: {"model": ProductOut}}, dependencies=[WRITE])
async def change_product(sku: SkuPath, body: ProductChanges, given: Given, if_match: IfMatch = None) -> Response:
    changes = {name: value for name, value in _fields(body, given).items() if name in body.model_fields_set}
    await usecases.change_product(given.db, sku, _versions(if_match), changes)
    return await _answer(given, sku, 200)


@router.delete("/products/{sku}", status_code=204, response_class=Response, dependencies=[WRITE])
async def hide_product(sku: SkuPath, given: Given, if_match: IfMatch = None) -> Response:
    """Hides the product; its stock and the orders for it stay. `restore` undoes it."""
    await usecases.hide_product(given.db, sku, _versions(if_match))
    return Response(status_code=204)


@router.post("/products/{sku}/restore", responses={200: {"model": ProductOut}}, dependencies=[WRITE])
async def restore_product(sku: SkuPath, given: Given) -> Response:
    """Shows a hidden product again, as it was. It takes no If-Match, because a hidden product has no ETag."""
    await usecases.restore_product(given.db, sku)
    return await _answer(given, sku, 200)


@router.put(
    "/products/{sku}/restocks/{id}",
    status_code=201,
    responses={201: {"model": RestockOut}, 200: {"model": RestockOut, "description": "Already added"}},
    dependencies=[WRITE],
)
async def restock(sku: SkuPath, id: RestockId, body: Restock, given: Given) -> Response:
    added = await usecases.restock(given.db, id, sku, body.quantity)
    answer = msgspec.json.encode({"id": id, "sku": sku, "quantity": body.quantity})
    return JsonBytes(answer, 201 if added else 200)


@admin.get("", responses={200: {"model": ManagedList}})
async def find_managed(request: Request, given: Given, query: ManagedParameters) -> Response:
    """Lists products, hidden ones too, by SKU or from the least available one."""
    once(request)
    hidden = None if query.hidden is None else query.hidden == "true"
    asked = managed.Asked(query.q, hidden, query.below, by_available=query.sort == "available")
    async with given.db.connection() as connection:
        items, next_cursor = await managed.find(connection, asked, query.cursor, query.limit)
    return JsonBytes(msgspec.json.encode({"items": items, "next_cursor": next_cursor}))


@admin.get("/{sku}", responses={200: {"model": ManagedProduct}})
async def read_managed(sku: SkuPath, given: Given) -> Response:
    """Returns a product, hidden or not. The ETag is good for an If-Match."""
    async with given.db.connection() as connection:
        found = await managed.get(connection, sku)
    if found is None:
        raise _unknown()
    body = msgspec.json.encode(found[0])
    return JsonBytes(body, headers={"ETag": f'"{found[1]}-{_digest(body)}"'})


@admin.get("/{sku}/stock-history", responses={200: {"model": StockHistory}})
async def stock_history(sku: SkuPath, given: Given) -> Response:
    """Returns the last 100 restocks and recent reservations, newest first."""
    async with given.db.connection() as connection:
        if await managed.get(connection, sku) is None:
            raise _unknown()
        entries = await managed.history(connection, sku, 100)
    return JsonBytes(msgspec.json.encode({"items": entries}))


def _unknown() -> NotFound:
    return NotFound("unknown-sku", "There is no such product", "See GET /api/catalog/products.")


async def _shown(given: Parts, sku: str) -> tuple[bytes, str]:
    """Returns a product's JSON and its ETag. Raises NotFound."""
    async with given.db.connection() as connection:
        found = await products.get(connection, sku)
    if found is None:
        raise _unknown()
    product, version = found
    body = msgspec.json.encode(product)
    # The digest changes with the stock and with the form of the JSON, so a cache sees both.
    return body, f'"{version}-{_digest(body)}"'


async def _answer(given: Parts, sku: str, status: int) -> Response:
    body, etag = await _shown(given, sku)
    return JsonBytes(body, status, {"ETag": etag})


def _fields(body: NewProduct | ProductChanges, given: Parts) -> dict[str, Any]:
    """Returns the fields of a Product. Raises Invalid (`wrong-currency`)."""
    fields = dict(body)
    if body.price is not None:
        if body.price.currency != given.currency:
            raise Invalid("wrong-currency", f"The shop's currency is {given.currency}", "Give the price in it.")
        fields["price"] = Price(body.price.amount, body.price.currency)
    return fields


def _versions(if_match: list[str] | None) -> list[int] | None:
    """Returns the versions that an If-Match names; None means any. A tag that is not one of our ETags names none."""
    if not if_match:
        raise PreconditionRequired(
            "precondition-required", "If-Match is required", "Send the ETag of the product as you read it."
        )
    tags = etags.strong(if_match)
    return None if tags is None else [int(found[1]) for tag in tags if (found := ETAG.fullmatch(tag))]
