"""The checkout: one form, whose hidden key makes one order of all its repetitions."""

import re
from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import Response

from chassis.errors import Problem, Unavailable
from storefront import schemas
from storefront.routes.cart import read, unreachable
from storefront.routes.forms import Form, form_of, see_other
from storefront.routes.pages import PRIVATE, language_for
from storefront.routes.visits import Given, Parts, Visiting
from storefront.usecases import orders
from storefront.usecases.cart import CartView
from storefront.usecases.checkout import Again, Ordered, Reason, Terms, buy, terms_of
from storefront.usecases.remote import Money
from storefront.usecases.sessions import SessionEnded, Visit

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

FIELDS = (*schemas.ADDRESS, "country")
PRICE = re.compile(rf"({schemas.SKU.pattern}):([0-9]{{1,12}})", re.ASCII)
STATUS = {
    Reason.PRICE_CHANGED: 409,
    Reason.CART_CHANGED: 409,
    Reason.SOLD_OUT: 409,
    Reason.IN_FLIGHT: 409,
    Reason.UNKNOWN_SKU: 422,
    Reason.REFUSED: 422,
    Reason.UNAVAILABLE: 503,
}


@router.get("/checkout")
async def checkout(request: Request, given: Given, visit: Visiting, order: str = "") -> Response:
    """Shows the form; with the address of `order`, if that is an order of the visitor."""
    try:
        cart = await read(given, visit)
    except Unavailable:
        return await unreachable(request, given)
    terms = terms_of(cart)
    if terms is None:  # the cart's page tells what to change first
        return see_other("/cart")
    name = visit.session.name if visit.session else None
    blank = {**dict.fromkeys(FIELDS, ""), "name": name or "", "card": given.cards[0]}
    return await _page(request, given, 200, blank | await _address(given, visit, order), terms, cart)


@router.post("/checkout")
async def order(request: Request, given: Given, visit: Visiting) -> Response:
    """Places the order and goes to its page, or shows the form again, with what was typed."""
    form = await form_of(request)
    typed = {name: form.text(name) for name in (*FIELDS, "card")}
    countries = {code for code, _ in language_for(request).countries()}
    address, wrong = schemas.address(typed, countries)
    if typed["card"] not in given.cards:
        wrong["card"] = "missing"
    terms = _terms(form)
    if terms is not None and not visit.known and not visit.down:  # there was a session when the form was shown
        raise SessionEnded
    if terms is None or wrong or address is None:
        return await _corrected(request, given, visit, typed, terms, wrong)
    try:
        token = await visit.token()
    except Unavailable:
        return await _again(request, given, typed, terms, Again(Reason.UNAVAILABLE, terms))
    result = await buy(given.orders, given.carts, given.catalog, token, terms, address, typed["card"])
    if isinstance(result, Ordered):
        page = f"/orders/{result.id}" if result.id else "/orders"
        return see_other(f"{page}?notice=placed-before" if result.before else page)
    if result.reason is Reason.CART_EMPTY:
        return see_other("/cart")
    if result.cart is None:
        result = Again(result.reason, result.terms, await _shown(given, visit), result.skus)
    return await _again(request, given, typed, terms, result)


async def _address(given: Parts, visit: Visit, order_id: str) -> dict[str, str]:
    """Returns the fields of an order's address; none if the order cannot be read or belongs to somebody else."""
    if not schemas.ID.fullmatch(order_id):
        return {}
    try:
        found = await orders.find(given.orders, await orders.tokens_of(visit), order_id)
    except Problem:
        return {}
    return {name: getattr(found.shipping_address, name) or "" for name in FIELDS}


def _terms(form: Form) -> Terms | None:
    """Returns the form's hidden fields, or None if they are not those of a checkout form."""
    amount, currency = form.number("amount"), form.text("currency")
    key, version = form.text("key"), form.text("cart_version")
    known = schemas.ID.fullmatch(key) and schemas.ID.fullmatch(version)
    if not known or amount is None or not schemas.CURRENCY.fullmatch(currency):
        return None
    prices = {sku: int(shown) for sku, shown in PRICE.findall(form.text("prices"))}
    return Terms(key, version, Money(amount, currency), prices)


async def _corrected(
    request: Request, given: Parts, visit: Visit, typed: Mapping[str, str], terms: Terms | None, wrong: dict[str, str]
) -> Response:
    """Shows the form with its mistakes. Nothing was sent, so the key stays, unless the hidden fields were damaged."""
    cart = await _shown(given, visit)
    terms = terms or (terms_of(cart) if cart else None)
    if terms is None:
        return see_other("/cart")
    reason = None if wrong else Reason.REFUSED
    return await _page(request, given, 422, typed, terms, cart, wrong=wrong, reason=reason)


async def _again(request: Request, given: Parts, typed: Mapping[str, str], before: Terms, result: Again) -> Response:
    headers = {"Retry-After": "5"} if result.reason is Reason.UNAVAILABLE else {}
    return await _page(
        request,
        given,
        STATUS[result.reason],
        typed,
        result.terms,
        result.cart,
        reason=result.reason,
        before=before,
        skus=result.skus,
        headers=headers,
    )


async def _shown(given: Parts, visit: Visit) -> CartView | None:
    """Returns the cart for the summary beside the form, or None if it cannot be read."""
    try:
        return await read(given, visit)
    except Unavailable:
        return None


def _changed(before: Terms | None, cart: CartView | None) -> dict[str, Money]:
    """Returns the former prices of the products whose prices have changed."""
    found = {}
    for line in cart.lines if before and cart else ():
        if line.product and before and before.prices.get(line.sku, 0) not in (0, line.product.price.amount):
            found[line.sku] = Money(before.prices[line.sku], line.product.price.currency)
    return found


async def _page(
    request: Request,
    given: Parts,
    status: int,
    typed: Mapping[str, str],
    terms: Terms | None,
    cart: CartView | None,
    *,
    wrong: Mapping[str, str] | None = None,
    reason: Reason | None = None,
    before: Terms | None = None,
    skus: frozenset[str] = frozenset(),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """`wrong` has mistakes by field, `reason` tells why the form is shown again, and `before` are the last terms."""
    return await given.pages.render(
        request,
        "checkout.html",
        status,
        {**PRIVATE, **(headers or {})},
        typed={name: schemas.writable(text) for name, text in typed.items()},
        limits=schemas.ADDRESS,
        countries=language_for(request).countries(),
        cards=given.cards,
        terms=terms,
        cart=cart,
        wrong=wrong or {},
        reason=reason,
        before=before,
        skus=skus,
        was=_changed(before, cart),
    )
