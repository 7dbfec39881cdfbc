"""A product's stock: its levels, its history, and restocks."""

import asyncio
import re
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from chassis.errors import Unavailable
from chassis.ids import uuid7
from storefront.routes.forms import Form, form_of, see_other
from storefront.routes.office.desk import CATALOG, Desk, Sku, desk, found
from storefront.usecases.remote import Refused

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

Manager = Annotated[Desk, Depends(desk(CATALOG))]

RESTOCK_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
MAX_RESTOCK = 1_000_000


@router.get("/admin/products/{sku}/stock")
async def stock(desk: Manager, sku: Sku) -> Response:
    return await _page(desk, sku, Form())


@router.post("/admin/products/{sku}/stock")
async def restock(desk: Manager, sku: Sku) -> Response:
    """Adds to the stock. Each rendered form has an ID of its own, so one that is sent twice adds once."""
    form = await form_of(desk.request)
    quantity, id = form.number("quantity"), form.text("id")
    if quantity is None or not 1 <= quantity <= MAX_RESTOCK or not RESTOCK_ID.fullmatch(id):
        return await _page(desk, sku, form, error="quantity", status=422)
    try:
        await desk.office.catalog.restock(desk.token, sku, id, quantity)
    except Refused as refused:
        if refused.slug != "restock-differs":
            raise
        del form["id"]  # it was used with another quantity, so the next form needs a new one
        return await _page(desk, sku, form, error="sent", status=409)
    except Unavailable:  # it may have been added: the form keeps its ID, so that sending it again adds once
        return await _page(desk, sku, form, error="unknown", status=503)
    return see_other(f"/admin/products/{sku}/stock?done=restocked")


async def _page(desk: Desk, sku: str, form: Form, *, error: str | None = None, status: int = 200) -> Response:
    """Shows levels, form and history. The history may be missing, and the levels after an `unknown` outcome."""
    read = desk.office.catalog.get(desk.token, sku)
    product, history = await asyncio.gather(
        found(read) if error == "unknown" else read, found(desk.office.catalog.history(desk.token, sku))
    )
    id = form.text("id") if RESTOCK_ID.fullmatch(form.text("id")) else str(uuid7())
    return await desk.page(
        "office_stock.html", status, sku=sku, product=product, history=history, form=form, id=id, error=error
    )
