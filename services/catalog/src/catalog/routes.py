"""The HTTP routes of catalog."""

import hashlib
import re
from typing import Annotated, Any, ClassVar

import msgspec
from fastapi import APIRouter, Depends, Header, Request, Response

from catalog import usecases
from catalog.models import Price, Product
from catalog.repository import products, search
from catalog.schemas import (
    CategoryList,
    ListParameters,
    NewProduct,
    PriceBody,
    ProductChanges,
    ProductList,
    ProductOut,
    Restock,
    RestockId,
    RestockOut,
    SkuPath,
)
from chassis import etags
from chassis.app import JsonBytes
from chassis.auth import requires
from chassis.db import Database
from chassis.errors import Invalid, NotFound, Problem
from chassis.queries import once

__all__ = ["router"]

router = APIRouter(prefix="/api/catalog", tags=["catalog"])

CACHE_CONTROL = "public, max-age=1, stale-while-revalidate=10"
ETAG = re.compile(r"([0-9]{1,9})-[0-9]+")
WRITE = Depends(requires("catalog:write"))
IfMatch = Annotated[list[str] | None, Header(description="The ETag that the product had when it was read")]


class PreconditionRequired(Problem):
    status: ClassVar[int] = 428


def _db(request: Request) -> Database:
    db: Database = request.app.state.db
    return db


def _cacheable(request: Request, body: bytes, etag: str) -> Response:
    """The body, or 304 when the caller has it."""
    headers = {"ETag": etag, "Cache-Control": CACHE_CONTROL}
    if (known := request.headers.getlist("if-none-match")) and etags.not_modified(known, etag):
        return Response(status_code=304, headers=headers)
    return JsonBytes(body, headers=headers)


def _digest(body: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(body, digest_size=12).digest())


@router.get("/products", responses={200: {"model": ProductList}})
async def list_products(request: Request, query: ListParameters) -> Response:
    """Search, or the named products. The order of `sku=` lists is the SKUs' own."""
    once(request, "sku")
    async with _db(request).connection() as connection:
        if query.sku:
            page = await search.by_skus(connection, query.sku)
        else:
            asked = search.Search(query.q, query.category, query.min_price, query.max_price, query.sort)
            page = await search.find(connection, asked, query.cursor, query.limit)
    body = msgspec.json.encode(page)
    return _cacheable(request, body, f'"{_digest(body)}"')


@router.get("/products/{sku}", responses={200: {"model": ProductOut}})
async def read_product(request: Request, sku: SkuPath) -> Response:
    return _cacheable(request, *await _shown(request, sku))


@router.get("/categories", responses={200: {"model": CategoryList}})
async def list_categories(request: Request) -> Response:
    """Those that show at least one product."""
    async with _db(request).connection() as connection:
        rows = await products.categories(connection)
    body = msgspec.json.encode({"items": [dict(row) for row in rows]})
    return _cacheable(request, body, f'"{_digest(body)}"')


@router.post(
    "/products",
    status_code=201,
    responses={201: {"model": ProductOut}},
    dependencies=[WRITE],
)
async def create_product(request: Request, body: NewProduct) -> Response:
    """A product without stock; its category is made on first use."""
    product = Product(
        sku=body.sku,
        name=body.name,
        description=body.description,
        category=body.category,
        price=_price(request, body.price),
        image_url=body.image_url,
    )
    await usecases.create_product(_db(request), product)
    answer = await _fresh(request, body.sku, 201)
    answer.headers["Location"] = f"/api/catalog/products/{body.sku}"
    return answer


@router.patch("/products/{sku}", responses={200: {"model": ProductOut}}, dependencies=[WRITE])
async def change_product(request: Request, sku: SkuPath, body: ProductChanges, if_match: IfMatch = None) -> Response:
    changes: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    if body.price is not None:
        changes["price"] = _price(request, body.price)
    await usecases.change_product(_db(request), sku, _versions(if_match), changes)
    return await _fresh(request, sku, 200)


@router.delete("/products/{sku}", status_code=204, response_class=Response, dependencies=[WRITE])
async def hide_product(request: Request, sku: SkuPath, if_match: IfMatch = None) -> Response:
    """The product leaves every list; its stock and the orders for it stay. `restore` undoes it."""
    await usecases.hide_product(_db(request), sku, _versions(if_match))
    return Response(status_code=204)


@router.post("/products/{sku}/restore", responses={200: {"model": ProductOut}}, dependencies=[WRITE])
async def restore_product(request: Request, sku: SkuPath) -> Response:
    """A deleted product is as it was; one that is shown stays so. It takes no If-Match: what is deleted has no ETag."""
    await usecases.restore_product(_db(request), sku)
    return await _fresh(request, sku, 200)


@router.put(
    "/products/{sku}/restocks/{id}",
    status_code=201,
    responses={201: {"model": RestockOut}, 200: {"model": RestockOut, "description": "Counted before"}},
    dependencies=[WRITE],
)
async def restock(request: Request, sku: SkuPath, id: RestockId, body: Restock) -> Response:
    counted = await usecases.restock(_db(request), id, sku, body.quantity)
    answer = msgspec.json.encode({"id": id, "sku": sku, "quantity": body.quantity})
    return JsonBytes(answer, 201 if counted else 200)


async def _shown(request: Request, sku: str) -> tuple[bytes, str]:
    """Returns a product's JSON and its ETag. Raises NotFound."""
    async with _db(request).connection() as connection:
        found = await products.get(connection, sku)
    if found is None:
        raise NotFound("unknown-sku", "There is no such product", "See GET /api/catalog/products.")
    product, version = found
    body = msgspec.json.encode(product)
    # The digest changes with stock and with the form of the JSON, so a cache sees both; a write compares the version.
    return body, f'"{version}-{_digest(body)}"'


async def _fresh(request: Request, sku: str, status: int) -> Response:
    body, etag = await _shown(request, sku)
    return JsonBytes(body, status, {"ETag": etag})


def _price(request: Request, price: PriceBody) -> Price:
    currency: str = request.app.state.currency
    if price.currency != currency:
        raise Invalid("wrong-currency", f"The shop's currency is {currency}", "Give the price in it.")
    return Price(price.amount, price.currency)


def _versions(if_match: list[str] | None) -> list[int] | None:
    """The versions that an If-Match names, None for any. What is no ETag of ours names none."""
    if not if_match:
        raise PreconditionRequired(
            "precondition-required", "If-Match is required", "Send the ETag of the product as you read it."
        )
    tags = etags.strong(if_match)
    return None if tags is None else [int(found[1]) for tag in tags if (found := ETAG.fullmatch(tag))]
