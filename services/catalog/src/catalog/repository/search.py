"""Queries for lists of products: full-text search that tolerates typos, filters, and keyset pagination.

A word that is in half of a million products must cost about as much as a rare one. PostgreSQL therefore plans each
search for its words: it gathers the products that have a rare word, and sorts them; for a common word it reads the
products in the order of the list, until a page is full. See `_fetch`.
"""

import base64
import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import asyncpg
import msgspec

from catalog.models import ShownProduct, fold
from catalog.repository import grams, spelling
from catalog.repository.products import FROM, SHOWN, STOCK, shown
from chassis.db import Connection
from chassis.errors import Invalid, Unavailable

__all__ = ["Page", "Search", "Sort", "by_skus", "find"]

Sort = Literal["relevance", "name", "price", "-price", "newest"]

RANKED = 1000
"""How many matches relevance compares: the newest ones, if there are more."""

PLANNED = """
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL effective_cache_size = '64MB';  -- each row that is read in the order of an index may be a page to load
SET LOCAL statement_timeout = 500  -- ten times what it usually takes, for a busy machine
"""
GATHERED = """
SET LOCAL plan_cache_mode = force_custom_plan;
SET LOCAL enable_indexscan = off;  -- it does not affect bitmaps of indexes
SET LOCAL enable_seqscan = off;
SET LOCAL statement_timeout = 2000
"""


class Search(NamedTuple):
    """A search. Prices are inclusive, in minor units. With `in_stock`, only products of which some are available."""

    q: str = ""
    category: str | None = None
    min_price: int | None = None
    max_price: int | None = None
    sort: Sort = "name"
    in_stock: bool = False


class Page(msgspec.Struct, frozen=True):
    """A page as the API returns it; `next_cursor` is None on the last one."""

    items: list[ShownProduct]
    next_cursor: str | None


_Name = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]*\Z", max_length=1000)]
_Amount = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Order(NamedTuple):
    key: str
    type: Any
    descending: bool


_ORDERS = {
    "relevance": _Order("p.rank", float, True),
    "name": _Order("p.folded_name", _Name, False),
    "price": _Order("p.amount", _Amount, False),
    "-price": _Order("p.amount", _Amount, True),
    "newest": _Order("p.created_at", _Time, True),
}


class _Cursor(msgspec.Struct, array_like=True, frozen=True):
    """The sort key and the SKU of a page's last row, and whether the page was found after a correction of the query."""

    sort: Sort
    corrected: bool
    key: Any
    sku: _Name


_cursors = msgspec.json.Decoder(_Cursor)


async def find(connection: Connection, search: Search, cursor: str | None, limit: int) -> Page:
    """Returns one page.

    If no product matches the query as spelled, its spelling is corrected, and the cursor records this. A query with an
    exclusion is not corrected: a word to exclude must not become another one. Raises Invalid (`invalid-cursor`), or
    Unavailable (`search-too-broad`).
    """
    search = search._replace(q=fold(search.q))
    if not search.q and search.sort == "relevance":
        search = search._replace(sort="name")
    after = None if cursor is None else _decode(cursor, search)
    if not (after and after.corrected):
        page = await _page(connection, search, after, limit)
        if page.items or after or not search.q or grams.excludes(search.q):
            return page
    if (q := await spelling.corrected(connection, search.q)) is None:
        return Page([], None)
    return await _page(connection, search._replace(q=q), after, limit, corrected=True)


async def by_skus(connection: Connection, skus: Sequence[str]) -> Page:
    """Returns the products that exist and are not hidden, sorted by SKU, all on one page."""
    rows = await connection.fetch(
        f"SELECT {SHOWN} {FROM} AND p.sku = ANY ($1::text[]) ORDER BY p.sku",
        skus,
    )
    return Page([shown(row) for row in rows], None)


async def _page(
    connection: Connection, search: Search, after: _Cursor | None, limit: int, *, corrected: bool = False
) -> Page:
    sql, arguments = statement(search, after, limit + 1)
    rows = await (_fetch(connection, sql, arguments) if search.q else connection.fetch(sql, *arguments))
    items = [shown(row) for row in rows[:limit]]
    if len(rows) <= limit:
        return Page(items, None)
    return Page(items, _encode(_Cursor(search.sort, corrected, rows[limit - 1]["key"], items[-1].sku)))


async def _fetch(connection: Connection, sql: str, arguments: Sequence[Any]) -> list[asyncpg.Record]:
    """Returns the rows of a search, in a bounded time.

    PostgreSQL knows how frequent a word is, but not that sofas are rarely among the cheap products. Reading in the
    order of the list can then take long, and gathering is the better way. Raises Unavailable (`search-too-broad`).
    """
    for way in (PLANNED, GATHERED):
        with contextlib.suppress(asyncpg.QueryCanceledError):
            async with connection.transaction():
                await connection.execute(way)
                return await connection.fetch(sql, *arguments)
    raise Unavailable(
        "search-too-broad", "Too many products match to search them all", "Add a word to q, or choose a category."
    )


def statement(search: Search, after: _Cursor | None, limit: int) -> tuple[str, list[Any]]:
    """Returns the SQL of one page and its arguments. Each combination of filters has one text, which stays prepared."""
    arguments: list[Any] = []

    def bind(value: object) -> str:
        arguments.append(value)
        return f"${len(arguments)}"

    where, query = "NOT p.hidden", ""
    if search.q:
        texts = [f"websearch_to_tsquery('english', {bind(text)})" for text in grams.websearch(search.q)]
        query = f"({' || '.join(texts)})"
        where += f" AND p.search @@ {query}"
    if search.category is not None:
        where += f" AND p.category = {bind(search.category)}"
    if search.min_price is not None:
        where += f" AND p.amount >= {bind(search.min_price)}"
    if search.max_price is not None:
        where += f" AND p.amount <= {bind(search.max_price)}"
    if search.in_stock:
        where += " AND s.available > 0"
    order = _ORDERS[search.sort]
    way = "DESC" if order.descending else "ASC"
    matches = f"FROM products AS p {STOCK if search.in_stock or not search.q else ''} WHERE {where}"
    if search.sort == "relevance":
        newest = f"SELECT p.sku, p.search {matches} ORDER BY p.created_at DESC, p.sku DESC LIMIT {RANKED}"
        ranked = f"SELECT p.sku, ts_rank(p.search, {query})::float8 AS rank FROM ({newest}) AS p"  # noqa: S608
        matches = f"FROM ({ranked}) AS p WHERE true"
    if after is not None:
        sign = "<" if order.descending else ">"
        matches += f" AND ({order.key}, p.sku) {sign} ({bind(after.key)}, {bind(after.sku)})"
    page = f"{matches} ORDER BY {order.key} {way}, p.sku {way} LIMIT {bind(limit)}"
    if not search.q:
        return f"SELECT {SHOWN}, {order.key} AS key {page}", arguments
    return (  # the stock of many matches is not read for one page
        f"SELECT {SHOWN}, page.key FROM products AS p {STOCK}"  # noqa: S608
        f" JOIN (SELECT p.sku, {order.key} AS key {page}) AS page ON page.sku = p.sku"
        f" ORDER BY page.key {way}, p.sku {way}",
        arguments,
    )


def _encode(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _decode(text: str, search: Search) -> _Cursor:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = _cursors.decode(raw)
        if cursor.sort != search.sort or (cursor.corrected and not search.q):
            raise ValueError("the cursor of another query")
        key = msgspec.convert(cursor.key, _ORDERS[search.sort].type)
    except ValueError as error:  # the base of the errors of binascii, msgspec and Unicode
        raise Invalid(
            "invalid-cursor", "The cursor is not valid", "Take it from next_cursor, with the same parameters."
        ) from error
    return _Cursor(cursor.sort, cursor.corrected, key, cursor.sku)
