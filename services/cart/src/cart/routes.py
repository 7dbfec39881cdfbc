"""The HTTP routes of cart. The token names the cart, so no path does."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Request, Response

from cart import usecases
from cart.models import EMPTY, SKU_PATTERN, VERSION_PATTERN, Cart
from cart.repository import ANY, EXISTING, Carts
from cart.schemas import CartBody, MergeBody, QuantityBody, TokensBody
from chassis import etags
from chassis.admission import Kind
from chassis.app import JsonBytes, parts
from chassis.auth import Authenticated, authenticate
from chassis.direct import body_of, path_parameter
from chassis.openapi import documented

__all__ = ["KINDS", "Parts", "internal", "router"]

router = APIRouter(prefix="/api/cart", tags=["cart"])
internal = APIRouter(prefix="/internal", include_in_schema=False)
"""For other services: the edge passes on nothing of it."""

KINDS = (Kind("buying", 64, re.compile(r"[A-Z]+ /api/cart(/.*)?"), from_edge=True),)

SHAPE: dict[int | str, dict[str, Any]] = {200: {"model": CartBody}}
Sku = Annotated[str, Path(pattern=SKU_PATTERN)]
IfMatch = Annotated[list[str] | None, Header(description="The version to change, in quotes", max_length=100)]
PARAMETERS = [
    {"name": "sku", "in": "path", "required": True, "schema": {"type": "string", "pattern": SKU_PATTERN}},
    {
        "name": "if-match",
        "in": "header",
        "description": "The version to change, in quotes",
        "schema": {"type": "string"},
    },
]
"""The same for `put`, which reads them itself."""

_encoder = msgspec.json.Encoder()
version = re.compile(VERSION_PATTERN)
SKU = re.compile(SKU_PATTERN)


@dataclass(frozen=True, slots=True)
class Parts:
    """The objects that the routes use. `main` creates them."""

    carts: Carts
    products: usecases.Products
    verifier: usecases.Verifier


given = parts(Parts)
Given = Annotated[Parts, Depends(given)]


@router.get("", summary="Read the cart", responses=SHAPE)
async def read(request: Request) -> Response:
    principal = await authenticate(request)
    shown = answer(await (await given(request)).carts.get(principal.sub))
    known = request.headers.getlist("if-none-match")
    if known and (etag := shown.headers.get("etag")) and etags.not_modified(known, etag):
        return Response(status_code=304, headers={"Cache-Control": "no-store", "ETag": etag})
    return shown


@router.put(
    "/items/{sku}",
    summary="Set the quantity of a line",
    responses=SHAPE,
    openapi_extra={"parameters": PARAMETERS, **documented(QuantityBody)},
)
async def put(request: Request) -> JsonBytes:
    """Sets the quantity of a line. The quantity is absolute, so the call can be repeated."""
    principal = await authenticate(request)
    sku = path_parameter(request, "sku", SKU)
    body = await body_of(request, QuantityBody)
    versions = expected(request.headers.getlist("if-match") or None)
    own = await given(request)
    return answer(await usecases.put(own.carts, own.products, principal.sub, sku, body.quantity, versions))


@router.delete("/items/{sku}", summary="Remove a line", responses=SHAPE)
async def remove(sku: Sku, principal: Authenticated, given: Given, if_match: IfMatch = None) -> JsonBytes:
    return answer(await given.carts.change(principal.sub, {sku: 0}, expected(if_match)))


@router.delete("", summary="Empty the cart", responses=SHAPE)
async def clear(principal: Authenticated, given: Given, if_match: IfMatch = None) -> JsonBytes:
    await given.carts.clear(principal.sub, expected(if_match))
    return answer(EMPTY)


@router.post("/merge", summary="Merge a guest's cart", responses=SHAPE)
async def merge(body: MergeBody, principal: Authenticated, given: Given) -> JsonBytes:
    """Adds a guest's cart to the account's after login. If a SKU is in both, the larger quantity stays."""
    return answer(await usecases.merge(given.carts, given.verifier, principal.sub, body.guest_token))


@internal.post("/carts")
async def read_all(request: Request) -> JsonBytes:
    """Reads the carts of several tokens' owners, for orders that are placed at the same time.

    A cart is null if its token is refused.
    """
    body = await body_of(request, TokensBody)
    own = await given(request)
    return JsonBytes(_encoder.encode({"carts": await usecases.read_all(own.carts, own.verifier, body.tokens)}))


def expected(if_match: list[str] | None) -> Collection[str]:
    """Returns the versions that an If-Match names. A single one may have no quotes, as in the body."""
    if if_match is None:
        return (ANY,)
    if len(if_match) == 1 and version.fullmatch(if_match[0].strip()):
        return [if_match[0].strip()]
    tags = etags.strong(if_match)
    return (EXISTING,) if tags is None else [tag for tag in tags if version.fullmatch(tag)]


def answer(cart: Cart) -> JsonBytes:
    headers = {"Cache-Control": "no-store"}
    if cart.version is not None:
        headers["ETag"] = f'"{cart.version}"'
    return JsonBytes(_encoder.encode(cart), headers=headers)
