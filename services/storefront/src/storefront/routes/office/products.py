"""Products in the back office: the list, a new one, changes, and hiding."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from chassis.errors import Unavailable
from storefront.routes.forms import Form, form_of, see_other
from storefront.routes.office.desk import CATALOG, Desk, Sku, address, desk, found
from storefront.routes.office.prices import bounds, price_of, typed
from storefront.routes.office.versions import EDITABLE, digests, merge, text
from storefront.usecases.office import ManagedProduct, ManagedProducts, NewProduct
from storefront.usecases.remote import Money, Refused

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

Manager = Annotated[Desk, Depends(desk(CATALOG))]

FIELDS = ("sku", *EDITABLE)
ETAG = re.compile(r'"[0-9]{1,9}-[0-9]{1,40}"')
NO_VERSION = '"0-0"'
"""An ETag that no product has: a form without a version gets the answer to a concurrent change."""


@router.get("/admin/products")
async def list_products(desk: Manager) -> Response:
    """Lists products; `q` is a part of a SKU or name, and `below` a level of stock."""
    asked = Form(desk.request.query_params)
    query = {
        "q": asked.text("q")[:200],
        "hidden": asked.text("hidden") if asked.text("hidden") in ("true", "false") else None,
        "below": asked.number("below"),
        "sort": "available" if asked.text("sort") == "available" else None,
    }
    cursor = asked.text("cursor") or None
    try:
        products = await desk.office.catalog.list(desk.token, **query, cursor=cursor, limit=50)
    except Refused as refused:
        if refused.status != 422:  # such as for a control character
            raise
        products = ManagedProducts([])
    more = address("/admin/products", {**query, "cursor": products.next_cursor}) if products.next_cursor else None
    return await desk.page("office_products.html", products=products.items, query=query, more=more)


@router.get("/admin/products/new")
async def new_product(desk: Manager) -> Response:
    return await _form(desk, "office_new.html", Form(), {}, sku=None, down=False)


@router.post("/admin/products")
async def create_product(desk: Manager) -> Response:
    form = await form_of(desk.request)
    changes = _changes(desk, form)
    product = NewProduct(sku=form.text("sku").upper(), **changes)
    try:
        await desk.office.catalog.create(desk.token, product)
    except Refused as refused:
        errors = _errors(refused)
        if "sku" not in errors or not await _is_saved(desk, product.sku, changes):
            return await _form(desk, "office_new.html", form, errors, 422, sku=None, down=False)
    except Unavailable:
        return await _form(desk, "office_new.html", form, {}, 503, sku=None, down=True)
    return see_other(f"/admin/products/{product.sku}?done=created")


@router.get("/admin/products/{sku}")
async def edit_product(desk: Manager, sku: Sku) -> Response:
    product = await desk.office.catalog.get(desk.token, sku)
    return await _edit(desk, product, _filled(desk, product))


@router.post("/admin/products/{sku}")
async def change_product(desk: Manager, sku: Sku) -> Response:
    """Saves the form, if the product has not changed since it was rendered; otherwise shows both versions."""
    form = await form_of(desk.request)
    try:
        return await _change(desk, sku, form)
    except Unavailable:
        return await _form(desk, "office_new.html", form, {}, 503, sku=sku, down=True)


async def _change(desk: Desk, sku: str, form: Form) -> Response:
    changes = _changes(desk, form)
    try:
        await desk.office.catalog.change(desk.token, sku, _version(form), changes)
    except Refused as refused:
        now = await desk.office.catalog.get(desk.token, sku)
        hidden = "hidden" if now.hidden else ""
        mistaken = refused.slug not in ("product-changed", "unknown-sku")
        if hidden or not mistaken:
            merge(form, _filled(desk, now))
        if mistaken:
            return await _edit(desk, now, form, errors=_errors(refused), conflict=hidden, status=422)
        if hidden or not _has(now, _changes(desk, form)):
            return await _edit(desk, now, form, conflict=hidden or "changed", status=409)
    return see_other(f"/admin/products/{sku}?done=saved")


@router.post("/admin/products/{sku}/hide")
async def hide_product(desk: Manager, sku: Sku) -> Response:
    form = await form_of(desk.request)
    try:
        await desk.office.catalog.hide(desk.token, sku, _version(form))
    except Refused as refused:
        if refused.slug not in ("product-changed", "unknown-sku"):
            raise
        now = await desk.office.catalog.get(desk.token, sku)
        if not now.hidden:
            return await _edit(desk, now, _filled(desk, now), changed=True, status=409)
    return see_other(f"/admin/products/{sku}?done=hidden")


@router.post("/admin/products/{sku}/restore")
async def restore_product(desk: Manager, sku: Sku) -> Response:
    """Puts a product back into the shop. If the request has a changed form, shows it, because it is not saved yet."""
    form = await form_of(desk.request)
    await desk.office.catalog.restore(desk.token, sku)
    if "version" in form:
        now = await desk.office.catalog.get(desk.token, sku)
        merge(form, _filled(desk, now))
        if not _has(now, _changes(desk, form)):
            return await _edit(desk, now, form, conflict="restored")
    return see_other(f"/admin/products/{sku}?done=restored")


def _changes(desk: Desk, form: Form) -> dict[str, Any]:
    """Returns the form's fields for catalog, which refuses a price of 0: that stands for one that cannot be read.

    So catalog reports all wrong fields at once.
    """
    currency = desk.given.currency
    return {
        "name": form.text("name"),
        "description": text(form, "description"),
        "category": form.text("category"),
        "price": price_of(form.text("price"), currency, desk.language) or Money(0, currency),
        "image_url": form.text("image_url") or None,
    }


def _has(product: ManagedProduct, changes: Mapping[str, Any]) -> bool:
    """Returns whether a product is as the form says: perhaps the form was sent twice."""
    return all(getattr(product, name) == value for name, value in changes.items())


async def _is_saved(desk: Desk, sku: str, changes: Mapping[str, Any]) -> bool:
    product = await found(desk.office.catalog.get(desk.token, sku))
    return product is not None and not product.hidden and _has(product, changes)


def _filled(desk: Desk, product: ManagedProduct) -> Form:
    """Returns a product's fields as text."""
    form = Form(
        name=product.name,
        description=product.description,
        category=product.category,
        price=typed(product.price, desk.language.locale),
        image_url=product.image_url or "",
        version=product.version or NO_VERSION,
    )
    return Form(form, was=digests(form))


async def _edit(
    desk: Desk,
    product: ManagedProduct,
    form: Form,
    *,
    errors: dict[str, str] | None = None,
    conflict: str = "",
    changed: bool = False,
    status: int = 200,
) -> Response:
    """Shows the form. After a `conflict` it has both versions; after `changed` it has the current one.

    A conflict is that the product was `changed` or `hidden` meanwhile, or was `restored` with other fields.
    """
    now = _filled(desk, product)
    differing = [name for name in EDITABLE if now.text(name) != text(form, name)] if conflict else []
    more = {"product": product, "now": now, "differing": differing, "conflict": conflict, "changed": changed}
    return await _form(desk, "office_product.html", form, errors or {}, status, **more)


async def _form(
    desk: Desk, template: str, form: Form, errors: dict[str, str], status: int = 200, **values: object
) -> Response:
    categories = await found(desk.given.catalog.categories()) or []
    currency = desk.given.currency
    prices = bounds(currency, desk.language.locale)
    common = {"form": form, "errors": errors, "categories": categories, "currency": currency, "prices": prices}
    return await desk.page(template, status, **common, **values)


def _errors(refused: Refused) -> dict[str, str]:
    """Returns what is wrong, by field. Raises the refusal if no field is to blame."""
    if refused.slug == "sku-taken":
        return {"sku": "taken"}
    places = [str(each.get("field", "")).split(".") for each in refused.members.get("errors", [])]
    errors = {place[1]: "invalid" for place in places if len(place) > 1 and place[1] in FIELDS}
    if not errors:
        raise refused
    return errors


def _version(form: Form) -> str:
    given = form.text("version")
    return given if ETAG.fullmatch(given) else NO_VERSION
