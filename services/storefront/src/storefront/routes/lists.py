"""Lists of products: those of a category, and those that a search finds."""

import asyncio
import re
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from chassis.errors import Problem
from storefront.routes.languages import Language
from storefront.routes.pages import INCOMPLETE, language_for
from storefront.routes.visits import Given, Parts, Visiting
from storefront.schemas import writable
from storefront.usecases.remote import Category, Products, Refused

__all__ = ["Asked", "asked", "router"]

router = APIRouter(include_in_schema=False)

PAGE = 24
MAX_TEXT = 200
MAX_CURSOR = 4000
SORTS = ("relevance", "newest", "price", "-price", "name")
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """The query of a list: texts as they were typed, prices also in minor units. `wrong` names the unusable fields."""

    q: str
    min: str
    max: str
    min_price: int | None
    max_price: int | None
    in_stock: bool
    sort: str
    cursor: str | None
    wrong: frozenset[str]

    @property
    def filtered(self) -> bool:
        return bool(self.min or self.max or self.in_stock)

    def address(self, cursor: str | None = None) -> dict[str, str]:
        """Returns the parameters of a link to this list, or to its page at `cursor`."""
        given = {
            "q": self.q,
            "min": self.min,
            "max": self.max,
            "in_stock": "true" if self.in_stock else "",
            "sort": self.sort,
            "cursor": cursor or "",
        }
        return {name: value for name, value in given.items() if value}


def asked(request: Request, language: Language, currency: str, sort: str) -> Asked:
    """Reads the query; `sort` is the order if it names none. Nothing in it is an error: `wrong` tells what to mend."""
    given = request.query_params
    q, low, high = (writable(given.get(name, "").strip()) for name in ("q", "min", "max"))
    lowest, highest = (language.amount(text, currency) if text else None for text in (low, high))
    cursor = given.get("cursor") or None
    checks = {
        "q": len(q) > MAX_TEXT or "\ufffd" in q or q != given.get("q", "").strip(),
        "min": bool(low) and lowest is None,
        "max": bool(high) and highest is None,
        "range": lowest is not None and highest is not None and lowest > highest,
        "cursor": cursor is not None and (len(cursor) > MAX_CURSOR or not cursor.isprintable()),
    }
    return Asked(
        q=q,
        min=low,
        max=high,
        min_price=lowest,
        max_price=highest,
        in_stock=bool(given.get("in_stock")),
        sort=given["sort"] if given.get("sort") in SORTS else sort,
        cursor=cursor,
        wrong=frozenset(name for name, failed in checks.items() if failed),
    )


@router.get("/c/{category}")
async def category(request: Request, category: str, given: Given, _: Visiting) -> Response:
    query = asked(request, language_for(request), given.currency, "name")
    valid = len(category) <= 40 and SLUG.fullmatch(category) is not None
    categories, found = await asyncio.gather(
        _categories(given), _find(given, query, category=category) if valid else _nothing(query)
    )
    known = {each.slug: each for each in categories or []}
    products, wrong = found
    if not valid or (category not in known and not products.items and (categories is not None or not wrong)):
        return await given.pages.render(request, "missing.html", 404, what="category", categories=categories)
    name = known[category].name if category in known else ""
    return await _page(request, given, found, query, categories=categories, slug=category, name=name)


@router.get("/search")
async def search(request: Request, given: Given, _: Visiting) -> Response:
    query = asked(request, language_for(request), given.currency, "relevance")
    categories, found = await asyncio.gather(_categories(given), _find(given, query))
    return await _page(request, given, found, query, categories=categories, slug=None, name="")


Found = tuple[Products, frozenset[str]]
"""Products, and the names of the fields that catalog or this module refuse."""


async def _categories(given: Parts) -> list[Category] | None:
    """Returns the categories, which a list can do without."""
    try:
        return await given.catalog.categories()
    except Problem:
        return None


async def _nothing(query: Asked) -> Found:
    return Products([]), query.wrong


async def _find(given: Parts, query: Asked, category: str | None = None) -> Found:
    """Asks catalog. Raises Unavailable."""
    if query.wrong:
        return await _nothing(query)
    try:
        products = await given.catalog.products(
            q=query.q or None,
            category=category,
            min_price=query.min_price,
            max_price=query.max_price,
            in_stock="true" if query.in_stock else None,
            sort=query.sort,
            limit=PAGE,
            cursor=query.cursor,
        )
    except Refused as error:
        if error.slug == "invalid-cursor" or not query.q:
            return Products([]), frozenset({"cursor"})
        return Products([]), frozenset({"q"})
    return products, frozenset()


async def _page(
    request: Request,
    given: Parts,
    found: Found,
    query: Asked,
    *,
    categories: list[Category] | None,
    slug: str | None,
    name: str,
) -> Response:
    products, wrong = found
    return await given.pages.render(
        request,
        "list.html",
        422 if wrong else 200,
        headers=INCOMPLETE if categories is None else None,
        products=products.items,
        next_cursor=products.next_cursor,
        query=query,
        q=query.q,
        wrong=wrong,
        slug=slug,
        name=name,
        categories=categories,
        currency=given.currency,
    )
