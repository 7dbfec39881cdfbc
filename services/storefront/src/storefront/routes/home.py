"""The first page: the categories, and new products of which there are enough."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from itertools import chain, zip_longest

from fastapi import APIRouter, Request
from starlette.responses import Response

from chassis.errors import Problem
from storefront.routes.pages import INCOMPLETE
from storefront.routes.visits import Given, Visiting
from storefront.usecases.remote import Product

__all__ = ["router", "varied"]

router = APIRouter(include_in_schema=False)

CANDIDATES = 100
SHOWN = 12
PLENTY = 10
"""From this stock on, a product may be on the first page."""


@router.get("/")
async def home(request: Request, given: Given, _: Visiting) -> Response:
    """Shows what can be had: if only one of the two lists can, a notice stands in the place of the other."""
    categories, newest = await asyncio.gather(
        given.catalog.categories(),
        given.catalog.products(sort="newest", in_stock="true", limit=CANDIDATES),
        return_exceptions=True,
    )
    failed = [result for result in (categories, newest) if isinstance(result, BaseException)]
    for error in failed:
        if len(failed) == 2 or not isinstance(error, Problem):
            raise error
    return await given.pages.render(
        request,
        "home.html",
        headers=INCOMPLETE if failed else None,
        categories=None if isinstance(categories, BaseException) else categories,
        products=None if isinstance(newest, BaseException) else varied(newest.items),
    )


def varied(products: Iterable[Product], count: int = SHOWN) -> list[Product]:
    """Returns products of which there are plenty, from each category in turn."""
    groups: dict[str, list[Product]] = defaultdict(list)
    for product in products:
        if product.available >= PLENTY:
            groups[product.category].append(product)
    turns = chain.from_iterable(zip_longest(*groups.values()))
    return [product for product in turns if product is not None][:count]
