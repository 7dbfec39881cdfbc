"""Makes a large catalog, with words as unevenly frequent as those of a language, and measures searches in it."""

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import asyncpg

from catalog.models import category_name, fold
from catalog.repository.grams import indexed
from shopctl import demo
from shopctl.bench.client import request, send
from shopctl.bench.figures import percentile

__all__ = ["make", "measure"]

WORDS = 50_000
CATEGORIES = [f"aisle-{number}" for number in range(1, 41)]
SORTS = ("relevance", "name", "price", "-price", "newest")
FOREIGN = 200
"""One product of so many has a Chinese name."""
PAGE = 20_000
"""Products that are added together."""

COLUMNS = ("sku", "name", "description", "category", "amount", "age", "folded", "indexed")
NEW = """
CREATE TEMPORARY TABLE new (
    sku text, name text, description text, category text, amount bigint, age bigint, folded text, indexed text
)
"""
ADD = """
INSERT INTO products (sku, name, description, category, amount, currency, created_at, updated_at, folded_name, search)
SELECT sku, name, description, category, amount, 'EUR', now() - age * interval '1 second', now(), folded,
    setweight(to_tsvector('english', indexed), 'A') || setweight(to_tsvector('english', category), 'B')
    || setweight(to_tsvector('english', description), 'C')
FROM new;
INSERT INTO stock (sku, available, held, sold) SELECT sku, 100, 0, 0 FROM new;
INSERT INTO restocks (id, sku, quantity) SELECT 'made-' || sku, sku, 100 FROM new;
TRUNCATE new
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'products' AND indexname <> 'products_pkey'"


async def make(database_url: str, count: int) -> None:
    """Adds products to catalog's database until there are `count`, within some minutes for a million.

    The indexes of the products are built when all are there, so lists cannot be read meanwhile.
    """
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(NEW)
        await connection.executemany(
            "INSERT INTO categories (slug, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [(slug, category_name(slug)) for slug in CATEGORIES],
        )
        present = await connection.fetchval("SELECT count(*) FROM products")
        rows = itertools.islice(_rows(present), max(0, count - present))
        indexes = await connection.fetch(INDEXES)
        async with connection.transaction():
            for name, _ in indexes:
                await connection.execute(f"DROP INDEX {name}")
            while page := list(itertools.islice(rows, PAGE)):
                await connection.copy_records_to_table("new", records=page, columns=COLUMNS)
                await connection.execute(ADD)
            for _, definition in indexes:
                await connection.execute(definition)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def measure(catalog_url: str, seconds: float) -> list[tuple[str, float, float]]:
    """Searches for `seconds` with each kind of query. Returns (label, p50, p95), in milliseconds.

    Each query is sent with each sort, in all categories and in one, and one at a time. Raises LoadFailed.
    """
    url, words = urlsplit(catalog_url), vocabulary()
    address = url.hostname or "127.0.0.1", url.port or 80
    figures = []
    for label, query in [*_queries(words), ("categories", "")]:
        paths = [
            f"/api/catalog/products?{urlencode({'q': query, 'sort': sort, **within})}"
            for sort in SORTS
            for within in ({}, {"category": CATEGORIES[0]})
        ]
        sent = [request("GET", path) for path in (paths if query else ["/api/catalog/categories"])]
        answers = await send(address, sent, expect=200, connections=1, seconds=seconds, keep_bodies=False)
        times = [1000 * answer.took for answer in answers]
        figures.append((label, percentile(times, 0.5), percentile(times, 0.95)))
    return figures


def vocabulary() -> list[str]:
    """Returns words, the most frequent first: those of the demo catalog's names, then made ones."""
    names = " ".join(each.name for category in demo.load() for each in category.products)
    real = [word for word, _ in Counter(re.findall("[a-z]{4,}", fold(names))).most_common()]
    starts = re.findall(r"\w+", "ba bre ca cor da dro fe fla ga gri ha jo ka lu mo na pel qui ro sta te vor wi za")
    middles = re.findall(r"\w+", "l nd rr st mb v sk n pt g ll tr m")
    ends = re.findall(r"\w+", "ack edin ifer oga alin emot oner upar aris isel otan aver ewood")
    made = ["".join(parts) for parts in itertools.product(starts, middles, "aeiou", middles, ends)]
    random.Random(1).shuffle(made)  # noqa: S311
    return [word for word in [*real, *made] if word not in ("with", "four")][:WORDS]  # the first ones are common words


def _queries(words: list[str]) -> list[tuple[str, str]]:
    """Returns (label, query). Words are numbered by their frequency."""
    common, rare = words[5], words[20_000]
    return [
        ("a common word", common),
        ("two common words", f"{words[0]} {words[8]}"),
        ("a rare word", rare),
        ("a common and a rare word", f"{common} {words[1500]}"),
        ("a common word, misspelled", _misspelled(words[3])),
        ("a rare word, misspelled", _misspelled(rare)),
        ("the beginning of a word", rare[:-2]),
        ("a word that no product has", "zzyzxqw"),
        ("ten words", " ".join(words[:10])),
        ("Chinese", "茶杯"),
        ("stop words", "the and of"),
        ("a phrase", f'"{words[0]} {words[1]}"'),
        ("an exclusion", f"{common} -{words[0]}"),
    ]


def _misspelled(word: str) -> str:
    """Returns the word with two letters in the wrong order."""
    return f"{word[:3]}{word[4]}{word[3]}{word[5:]}"


def _rows(present: int) -> Iterator[tuple[object, ...]]:
    """Yields the rows of `new`, from that after the products that are present. Word n has a share of about 1/n."""
    words, chance = vocabulary(), random.Random(present)  # noqa: S311
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))
    for number in itertools.count(present + 1):
        text = chance.choices(words, cum_weights=weights, k=chance.randint(10, 20))
        name = " ".join(text[: chance.randint(2, 5)]).title()
        if number % FOREIGN == 0:
            name += " " + "".join(chance.choices("绿红白茶杯壶蓝色大小瓷碗", k=4))
        yield (
            f"MADE-{number:08}",
            name,
            f"{' '.join(text[5:]).capitalize()}.",
            chance.choice(CATEGORIES),
            int(chance.lognormvariate(8, 1)) + 1,
            10**8 - number,  # the later, the newer
            fold(name),
            indexed(fold(name)),
        )
