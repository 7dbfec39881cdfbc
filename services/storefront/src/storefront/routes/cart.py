"""The cart."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import Response

from chassis.errors import Unavailable
from storefront.routes.forms import form_of, local, see_other
from storefront.routes.pages import PRIVATE
from storefront.routes.visits import Given, Parts, Visiting
from storefront.schemas import SKU, writable
from storefront.usecases.cart import MAX_QUANTITY, Added, CartView, add, former_prices, set_quantity, view
from storefront.usecases.remote import Refused
from storefront.usecases.sessions import Visit, cart_token

__all__ = ["read", "router", "unreachable"]

router = APIRouter(include_in_schema=False)

EMPTY = CartView(None, [], True, None)
NOTICES = frozenset({"incomplete", Added.REPEATED, Added.LIMITED})


@router.get("/cart")
async def cart(request: Request, given: Given, visit: Visiting, notice: str = "") -> Response:
    return await _page(request, given, visit, notice=notice if notice in NOTICES else "")


@router.post("/cart/items/add")
async def put_in(request: Request, given: Given, visit: Visiting) -> Response:
    """Adds a product to what the cart has of it, once for each `key` of a form. Then shows the cart."""
    form = await form_of(request)
    sku, quantity = form.text("sku"), form.number("quantity")
    if not SKU.fullmatch(sku):
        return await _page(request, given, visit, 422, notice="unknown-sku")
    if not quantity or quantity > MAX_QUANTITY:
        return await _page(request, given, visit, 422, notice="no-quantity")
    try:
        added = await add(given.sessions, given.carts, visit, sku, quantity, form.text("key"))
    except Unavailable:
        return await unreachable(request, given)
    except Refused as refusal:
        return await _refused(request, given, visit, refusal)
    return see_other("/cart" if added is Added.NEW else f"/cart?notice={added}")


@router.post("/cart/items")
async def change(request: Request, given: Given, visit: Visiting) -> Response:
    """Sets the quantity of a product; 0 removes it. Then returns to the page `to`."""
    form = await form_of(request)
    sku, quantity = form.text("sku"), form.number("quantity")
    if quantity is None or quantity > MAX_QUANTITY:
        typed = {sku: writable(form.text("quantity"))[:12]}
        return await _page(request, given, visit, 422, notice="quantity", typed=typed)
    return await _change(request, given, visit, sku, quantity, local(form.text("to"), "/cart"))


@router.post("/cart/items/remove")
async def remove(request: Request, given: Given, visit: Visiting) -> Response:
    form = await form_of(request)
    return await _change(request, given, visit, form.text("sku"), 0, local(form.text("to"), "/cart"))


async def _change(request: Request, given: Parts, visit: Visit, sku: str, quantity: int, to: str) -> Response:
    if not SKU.fullmatch(sku):
        return await _page(request, given, visit, 422, notice="unknown-sku")
    try:
        await set_quantity(given.sessions, given.carts, visit, sku, quantity)
    except Unavailable:
        return await unreachable(request, given)
    except Refused as refusal:
        return await _refused(request, given, visit, refusal)
    return see_other(to)


async def _refused(request: Request, given: Parts, visit: Visit, refusal: Refused) -> Response:
    notice = refusal.slug if refusal.slug in ("unknown-sku", "cart-full") else "refused"
    return await _page(request, given, visit, refusal.status, notice=notice)


async def _page(
    request: Request,
    given: Parts,
    visit: Visit,
    status: int = 200,
    *,
    notice: str = "",
    typed: Mapping[str, str] | None = None,
) -> Response:
    """Returns the cart; `typed` are quantities that were not accepted, by SKU."""
    try:
        shown = await read(given, visit)
    except Unavailable:
        return await unreachable(request, given)
    was = await former_prices(given.sessions, visit.id, shown) if visit.id else {}
    return await given.pages.render(
        request, "cart.html", status, PRIVATE, cart=shown, notice=notice, typed=typed or {}, was=was
    )


async def read(given: Parts, visit: Visit) -> CartView:
    """Returns the visitor's cart. Raises Unavailable and SessionEnded."""
    await visit.certain()
    if not visit.known:
        return EMPTY
    return await view(given.carts, given.catalog, await cart_token(given.carts, visit))


async def unreachable(request: Request, given: Parts) -> Response:
    """Returns the page that is shown while cart or the sessions cannot be reached."""
    headers = PRIVATE | {"Retry-After": "5"}
    return await given.pages.render(request, "cart.html", 503, headers, cart=None, notice="", typed={}, was={})
