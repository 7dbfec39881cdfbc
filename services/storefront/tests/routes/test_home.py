"""The first page."""

from storefront.routes.home import varied
from storefront.usecases.remote import Money, Product


async def test_it_shows_categories_and_products(browser) -> None:
    async with browser() as ann:
        page = await ann.get("/")
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert '<a href="/c/home">' in page.text
    assert '<a href="/p/MUG-1">A mug</a>' in page.text
    assert "€12.50" in page.text


async def test_it_leaves_out_what_is_nearly_sold_out(browser, others) -> None:
    others.sell("RARE-1", name="A rare thing", available=9)
    async with browser() as ann:
        page = await ann.get("/")
    assert "A rare thing" not in page.text


def test_categories_take_turns() -> None:
    kinds = {"A1": "a", "A2": "a", "A3": "a", "B1": "b", "C1": "c", "B2": "b"}
    products = [Product(sku, sku, "", kind, Money(1, "EUR"), 10) for sku, kind in kinds.items()]
    assert [product.sku for product in varied(products, 5)] == ["A1", "B1", "C1", "A2", "B2"]


async def test_without_catalog_it_is_a_503_that_says_so(browser, others) -> None:
    others.down.add("catalog")
    async with browser() as ann:
        page = await ann.get("/")
    assert (page.status_code, page.headers["Retry-After"]) == (503, "1")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "public" not in page.headers["Cache-Control"]


async def test_without_categories_it_shows_products_and_is_not_kept(browser, others) -> None:
    others.down.add("/api/catalog/categories")
    async with browser() as ann:
        page = await ann.get("/")
    assert page.status_code == 200
    assert "A mug" in page.text
    assert "The categories cannot be shown right now" in page.text
    assert page.headers["Cache-Control"] == "private, no-cache"


async def test_without_products_it_shows_categories(browser, others) -> None:
    others.down.add("/api/catalog/products")
    async with browser() as ann:
        page = await ann.get("/")
    assert page.status_code == 200
    assert 'href="/c/home"' in page.text
    assert "New products cannot be shown right now" in page.text


async def test_a_program_gets_a_problem_document(browser, others) -> None:
    others.down.add("catalog")
    async with browser(Accept="*/*") as program:
        answer = await program.get("/")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"].endswith("/catalog-unavailable")


async def test_categories_of_the_demo_catalog_are_translated_and_others_keep_their_name(browser, others) -> None:
    others.sell("POT-1", category="kitchen")
    others.sell("HAT-1", category="hats-and-caps")
    async with browser(**{"Accept-Language": "zh-CN"}) as ann:
        page = await ann.get("/")
    assert "厨房" in page.text
    assert "Hats-And-Caps" in page.text  # as the other service names it here
