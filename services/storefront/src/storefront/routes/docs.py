"""The API's documentation: the OpenAPI documents of all services in one page."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from storefront.routes.visits import Given, Visiting

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/api/docs")
async def docs(request: Request, given: Given, _: Visiting) -> Response:
    return await given.pages.render(request, "docs.html")
