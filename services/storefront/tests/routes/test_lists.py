"""Lists: the products of a category, and those that a search finds."""

import re
from urllib.parse import quote

import pytest


def skus(html: str) -> list[str]:
    return re.findall(r'<h3><a href="/p/([^"]+)"', html)


@pytest.fixture(autouse=True)
def shelves(others) -> None:
    others.sell("POT-1", name="A red pot", category="kitchen", price={"amount": 1999, "currency": "EUR"}, available=0)
    others.sell("POT-2", name="A blue pot", category="kitchen", price={"amount": 2000, "currency": "EUR"}, available=3)
    others.sell("POT-3", name="A big pot", category="kitchen", price={"amount": 123456, "currency": "EUR"})


async def test_a_category_shows_its_products_and_their_stock_in_words(browser) -> None:
    async with browser() as ann:
        page = await ann.get("/c/kitchen")
    assert page.status_code == 200
    assert "<h1>Kitchen</h1>" in page.text
    assert skus(page.text) == ["POT-1", "POT-2", "POT-3"]
    assert "Sold out" in page.text
    assert "Only 3 left" in page.text


async def test_a_search_shows_what_it_finds(browser) -> None:
    async with browser() as ann:
        page = await ann.get("/search?q=blue")
    assert skus(page.text) == ["POT-2"]
    assert "Results for <em>blue</em>" in page.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("min=20", ["POT-2", "POT-3"]),
        ("max=19.99", ["POT-1"]),
        ("min=19.99&max=20.00", ["POT-1", "POT-2"]),
        ("min=1,234.56", ["POT-3"]),
        ("in_stock=true", ["POT-2", "POT-3"]),
        ("sort=-price", ["POT-3", "POT-2", "POT-1"]),
        ("sort=nonsense", ["POT-1", "POT-2", "POT-3"]),
    ],
)
async def test_filters_are_in_the_units_that_people_write(browser, query: str, found: list[str]) -> None:
    async with browser() as ann:
        page = await ann.get(f"/c/kitchen?{query}")
    assert (page.status_code, skus(page.text)) == (200, found)


@pytest.mark.parametrize("typed", ["abc", "-1", "1.999", "1,2", "1e3", "NaN", "Infinity", "9" * 30, "10000001", "١-"])
async def test_a_price_that_cannot_be_read_is_kept_and_explained(browser, others, typed: str) -> None:
    async with browser() as ann:
        page = await ann.get("/c/kitchen", params={"min": typed, "max": "5"})
    assert page.status_code == 422
    assert "Write the lower price as a number" in page.text
    assert f'value="{typed}" aria-invalid="true"' in page.text
    assert 'value="5"' in page.text
    assert "GET /api/catalog/products" not in others.asked


async def test_a_range_that_is_upside_down_is_explained(browser) -> None:
    async with browser() as ann:
        page = await ann.get("/search?q=pot&min=20&max=10")
    assert page.status_code == 422
    assert "The upper price is below the lower one" in page.text
    assert page.text.count('aria-invalid="true"') == 2


@pytest.mark.parametrize("typed", ["%00", "a%00b", "%1B%5B", "%E3%85%A4", "x" * 201, "%F0%9F%98%80%00", "%FF"])
async def test_a_search_that_catalog_would_refuse_is_explained(browser, typed: str) -> None:
    async with browser() as ann:
        page = await ann.get(f"/search?q={typed}")
    assert page.status_code == 422
    assert "The shop cannot search for this text" in page.text
    assert "\0" not in page.text


@pytest.mark.parametrize(
    "typed",
    [
        "<script>alert(1)</script>",
        '" onfocus="x',
        "{{ 7*7 }}",
        "%(q)s",
        "100%",
        "שלום",
        "👨\u200d👩\u200d👧",
        "绿\u3000茶",
    ],
)
async def test_typed_text_stays_and_is_only_text(browser, typed: str) -> None:
    async with browser() as ann:
        page = await ann.get("/search", params={"q": typed, "in_stock": "true"})
    escaped = typed.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
    assert page.status_code == 200
    assert "Nothing was found" in page.text
    assert page.text.count(f'value="{escaped}"') == 2
    assert f"<em>{escaped}</em>" in page.text


async def test_nothing_found_offers_the_categories_or_fewer_filters(browser) -> None:
    async with browser() as ann:
        nothing = await ann.get("/search?q=boat")
        filtered = await ann.get("/search?q=pot&min=9999")
    assert 'href="/c/kitchen"' in nothing.text
    assert 'class="filters"' not in nothing.text
    assert 'class="filters"' in filtered.text
    assert "Remove the filters" not in nothing.text
    assert 'href="/search?q=pot">Remove the filters' in filtered.text


async def test_more_products_are_a_link_away_with_the_same_filters(browser, others) -> None:
    for number in range(30):
        others.sell(f"CUP-{number:02}", name="A cup & saucer", category="garden")
    async with browser() as ann:
        first = await ann.get("/search?q=cup+%26&min=1&sort=newest")
        link = re.search(r'rel="next" href="([^"]+)"', first.text)
        assert link is not None
        second = await ann.get(link[1].replace("&amp;", "&"))
    assert len(skus(first.text)) == 24
    assert len(skus(second.text)) == 6
    assert not set(skus(first.text)) & set(skus(second.text))
    assert 'rel="next"' not in second.text
    assert '<option value="newest" selected>' in second.text
    assert "To the start of the list" in second.text


@pytest.mark.parametrize("cursor", ["forged", "%00", "x" * 5000, "%0D%0AX: y"])
async def test_a_forged_cursor_leads_back_to_the_start(browser, cursor: str) -> None:
    async with browser() as ann:
        page = await ann.get(f"/c/kitchen?sort=price&cursor={cursor}")
    assert page.status_code == 422
    assert 'href="/c/kitchen?sort=price">To the start of the list' in page.text


@pytest.mark.parametrize("slug", ["boats", "Kitchen", "a--b", "x" * 41, "%00", quote("厨房"), "a%20b"])
async def test_an_unknown_category_is_a_404_with_a_search_and_the_others(browser, slug: str) -> None:
    async with browser() as ann:
        page = await ann.get(f"/c/{slug}")
    assert page.status_code == 404
    assert "There is no such category" in page.text
    assert 'action="/search"' in page.text
    assert 'href="/c/kitchen"' in page.text


async def test_an_unknown_category_with_a_wrong_filter_is_still_unknown(browser) -> None:
    async with browser() as ann:
        page = await ann.get("/c/boats?min=x")
    assert page.status_code == 404


async def test_a_category_without_the_list_of_categories_still_shows_its_products(browser, others) -> None:
    others.down.add("/api/catalog/categories")
    async with browser() as ann:
        page = await ann.get("/c/kitchen")
    assert page.status_code == 200
    assert "<h1>Kitchen</h1>" in page.text
    assert len(skus(page.text)) == 3


async def test_without_catalog_a_list_is_a_503(browser, others) -> None:
    others.down.add("catalog")
    async with browser() as ann:
        pages = [await ann.get(path) for path in ("/c/kitchen", "/search?q=pot")]
    assert [page.status_code for page in pages] == [503, 503]


async def test_names_of_products_are_only_text(browser, others) -> None:
    others.sell("EVIL-1", name="<img src=x onerror=alert(1)>", category="kitchen")
    async with browser() as ann:
        page = await ann.get("/c/kitchen")
    assert "<img" not in page.text
    assert "&lt;img src=x" in page.text


async def test_a_text_that_is_too_long_is_not_the_heading(browser) -> None:
    async with browser() as ann:
        page = await ann.get("/search", params={"q": "a" * 400})
    assert page.status_code == 422
    assert re.search(r"<h1>\s*Search\s*</h1>", page.text)
    assert "<title>Search · Quayside</title>" in page.text
