"""A catalog that `bench.many_products` made large is as if the service had written it."""

from collections.abc import Callable

from catalog.repository import search
from catalog.repository.search import Search
from chassis.db import Database
from chassis.testing import schema
from shopctl.bench.many_products import make, vocabulary


async def test_products_are_added_until_there_are_so_many(database: Callable[[str], str]) -> None:
    url = database("catalog")
    before = await schema.described(url)

    await make(url, 300)
    await make(url, 400)

    assert await schema.described(url) == before
    async with Database(url, name="test") as db, db.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM products JOIN stock USING (sku)") == 400
        for q in (vocabulary()[0], "茶"):
            assert (await search.find(connection, Search(q), None, 20)).items
