"""Queries for lists of products: full-text search that tolerates typos, filters, and keyset pagination."""

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from catalog.models import ShownProduct, fold
from catalog.repository import grams
from catalog.repository.products import FROM, SHOWN, shown
from chassis.db import Connection
from chassis.errors import Invalid

__all__ = ["Page", "Search", "Sort", "by_skus", "find"]

Sort = Literal["relevance", "name", "price", "-price", "newest"]

SIMILARITY = 0.35
"""The share of a query's trigrams that a name must contain in sequence.

PostgreSQL's default, 0.6, does not find words with swapped letters.
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
    "name": _Order("p.folded_name", _Name, False),
    "price": _Order("p.amount", _Amount, False),
    "-price": _Order("p.amount", _Amount, True),
    "newest": _Order("p.created_at", _Time, True),
}
_WORDS = "websearch_to_tsquery('english', $1)"
_NEARNESS = _Order("word_similarity($1, p.folded_name)::float8", float, True)


class _Cursor(msgspec.Struct, array_like=True, frozen=True):
    """The sort key and the SKU of a page's last row, and whether the page was found by similarity."""

    sort: Sort
    similar: bool
    key: Any
    sku: _Name


_cursors = msgspec.json.Decoder(_Cursor)


async def find(connection: Connection, search: Search, cursor: str | None, limit: int) -> Page:
    """Returns one page.

    If no product matches the query as spelled, similar names are searched, and the cursor records this. A query with an
    exclusion has no such second search, because similarity cannot exclude anything. Raises Invalid (`invalid-cursor`).
    """
    search = search._replace(q=fold(search.q))
    if not search.q and search.sort == "relevance":
        search = search._replace(sort="name")
    after = None if cursor is None else _decode(cursor, search)
    if not (after and after.similar):
        page = await _page(connection, search, after, limit, similar=False)
        if page.items or after or not search.q or grams.excludes(search.q):
            return page
    async with connection.transaction():
        await connection.execute(f"SET LOCAL pg_trgm.word_similarity_threshold = {SIMILARITY}")
        return await _page(connection, search, after, limit, similar=True)


async def by_skus(connection: Connection, skus: Sequence[str]) -> Page:
    """Returns the products that exist and are not hidden, sorted by SKU, all on one page."""
    rows = await connection.fetch(
        f"SELECT {SHOWN} {FROM} AND p.sku = ANY ($1::text[]) ORDER BY p.sku",
        skus,
    )
    return Page([shown(row) for row in rows], None)


async def _page(connection: Connection, search: Search, after: _Cursor | None, limit: int, *, similar: bool) -> Page:
    sql, arguments = statement(search, after, limit + 1, similar=similar)
    rows = await connection.fetch(sql, *arguments)
    items = [shown(row) for row in rows[:limit]]
    if len(rows) <= limit:
        return Page(items, None)
    return Page(items, _encode(_Cursor(search.sort, similar, rows[limit - 1]["key"], items[-1].sku)))


def statement(
    search: Search, after: _Cursor | None, limit: int, *, similar: bool
) -> tuple[str, list[str | int | float | datetime]]:
    """Returns the SQL of one page and its arguments. Each combination of filters has one text, which stays prepared."""
    arguments: list[Any] = []

    def bind(value: object) -> str:
        arguments.append(value)
        return f"${len(arguments)}"

    where, query = "", _WORDS
    if search.q:
        if similar:
            where += f" AND {bind(search.q)} <% p.folded_name"
        else:
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
    order = _order(search, similar, query)
    if after is not None:
        sign = "<" if order.descending else ">"
        where += f" AND ({order.key}, p.sku) {sign} ({bind(after.key)}, {bind(after.sku)})"
    way = "DESC" if order.descending else "ASC"
    return (
        f"SELECT {SHOWN}, {order.key} AS key {FROM}{where} ORDER BY {order.key} {way}, p.sku {way} LIMIT {bind(limit)}",
        arguments,
    )


def _order(search: Search, similar: bool, query: str = _WORDS) -> _Order:
    if search.sort == "relevance":
        return _NEARNESS if similar else _Order(f"ts_rank(p.search, {query})::float8", float, True)
    return _ORDERS[search.sort]


def _encode(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _decode(text: str, search: Search) -> _Cursor:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = _cursors.decode(raw)
        if cursor.sort != search.sort or (cursor.similar and not search.q):
            raise ValueError("the cursor of another query")
        key = msgspec.convert(cursor.key, _order(search, cursor.similar).type)
    except ValueError as error:  # the base of the errors of binascii, msgspec and Unicode
        raise Invalid(
            "invalid-cursor", "The cursor is not valid", "Take it from next_cursor, with the same parameters."
        ) from error
    return _Cursor(cursor.sort, cursor.similar, key, cursor.sku)
