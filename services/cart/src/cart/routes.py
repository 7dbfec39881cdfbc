"""HTTP → repository or use case → bytes. The cart is the caller's own, so no address names one."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Request

from cart import usecases
from cart.models import EMPTY, SKU_PATTERN, Cart
from cart.repository import ANY, Carts
from cart.schemas import CartBody, MergeBody, QuantityBody
from chassis.app import JsonBytes
from chassis.auth import Caller, principal

__all__ = ["router"]

router = APIRouter(prefix="/api/cart", tags=["cart"])

SHAPE: dict[int | str, dict[str, Any]] = {200: {"model": CartBody}}
Sku = Annotated[str, Path(pattern=SKU_PATTERN)]
IfMatch = Annotated[str | None, Header(description="The version to be changed", max_length=100)]

_encoder = msgspec.json.Encoder()


async def carts(request: Request) -> Carts:
    found: Carts = request.app.state.carts
    return found


Store = Annotated[Carts, Depends(carts)]


@router.get("", responses=SHAPE)
async def read(request: Request) -> JsonBytes:
    """Called for each order too, so it does without dependencies, which cost as much as the rest."""
    caller = await principal(request)
    return answer(await (await carts(request)).get(caller.sub))


@router.put("/items/{sku}", responses=SHAPE)
async def put(sku: Sku, body: QuantityBody, caller: Caller, store: Store, if_match: IfMatch = None) -> JsonBytes:
    """Sets a line's quantity, whatever it was: repeating the call is harmless."""
    return answer(await store.change(caller.sub, {sku: body.quantity}, expected(if_match)))


@router.delete("/items/{sku}", responses=SHAPE)
async def remove(sku: Sku, caller: Caller, store: Store, if_match: IfMatch = None) -> JsonBytes:
    return answer(await store.change(caller.sub, {sku: 0}, expected(if_match)))


@router.delete("", responses=SHAPE)
async def clear(caller: Caller, store: Store, if_match: IfMatch = None) -> JsonBytes:
    await store.clear(caller.sub, expected(if_match))
    return answer(EMPTY)


@router.post("/merge", responses=SHAPE)
async def merge(body: MergeBody, caller: Caller, store: Store, request: Request) -> JsonBytes:
    """Takes over a guest's cart after login; of a product in both carts the larger quantity stays."""
    verifier: usecases.Verifier = request.app.state.verifier
    return answer(await usecases.merge(store, verifier, caller.sub, body.guest_token))


def expected(if_match: str | None) -> str:
    """The version in an If-Match header, which may be quoted; `*`, or no header, is any."""
    return ANY if if_match is None else if_match.strip().strip('"') or ANY


def answer(cart: Cart) -> JsonBytes:
    headers = {"Cache-Control": "no-store"}
    if cart.version is not None:
        headers["ETag"] = f'"{cart.version}"'
    return JsonBytes(_encoder.encode(cart), headers=headers)
