"""The first page."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from storefront.routes.visits import Given, Visiting

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home(request: Request, given: Given, visit: Visiting) -> Response:
    categories, newest = await asyncio.gather(
        given.catalog.categories(), given.catalog.products(sort="newest", limit=12)
    )
    return await given.pages.render(request, "home.html", categories=categories, products=newest.items)
