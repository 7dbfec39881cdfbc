"""The page of a product."""

import asyncio
import secrets
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from chassis.errors import Problem
from storefront.models.pictures import picture_of
from storefront.routes.languages import fraction_digits
from storefront.routes.pages import INCOMPLETE
from storefront.routes.pictures import address
from storefront.routes.visits import Given, Parts, Visiting
from storefront.schemas import SKU, writable
from storefront.usecases.cart import MAX_QUANTITY
from storefront.usecases.remote import Product, Refused

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

SIMILAR = 4


@router.get("/p/{sku}")
async def product(request: Request, sku: str, given: Given, _: Visiting) -> Response:
    """Shows a product. One that does not exist gets a 404 with a search for its SKU."""
    try:
        shown = await given.catalog.product(sku) if SKU.fullmatch(sku) else None
    except Refused:
        shown = None
    if shown is None:
        return await given.pages.render(request, "missing.html", 404, what="product", categories=None, q=writable(sku))
    similar = await _similar(given, shown)
    return await given.pages.render(
        request,
        "product.html",
        headers=INCOMPLETE if similar is None else None,
        product=shown,
        most=min(shown.available, MAX_QUANTITY),
        key=secrets.token_urlsafe(16),  # a cache may give it to several visitors: it counts for each session
        document=_document(shown),
        similar=similar,
    )


async def _similar(given: Parts, product: Product) -> list[Product] | None:
    """Returns other products of the category that can be had; None if that fails, because the page is about one."""
    try:
        found = await asyncio.wait_for(
            given.catalog.products(category=product.category, in_stock="true", sort="newest", limit=SIMILAR + 1), 1
        )
    except (Problem, TimeoutError):
        return None
    return [each for each in found.items if each.sku != product.sku][:SIMILAR]


def _document(product: Product) -> dict[str, Any]:
    """Returns the product for search engines (schema.org). Addresses are paths, which are relative to the page."""
    price, digits = product.price, fraction_digits(product.price.currency)
    state = "InStock" if product.available else "OutOfStock"
    return {
        "@context": "https://schema.org",
        "@type": "Product",
        "sku": product.sku,
        "name": product.name,
        "description": product.description,
        "image": product.image_url or address(picture_of(product.sku, product.name, product.category)),
        "offers": {
            "@type": "Offer",
            "url": f"/p/{product.sku}",
            "price": str(Decimal(price.amount).scaleb(-digits)),
            "priceCurrency": price.currency,
            "availability": f"https://schema.org/{state}",
        },
    }
