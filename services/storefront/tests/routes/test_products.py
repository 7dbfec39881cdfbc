"""The page of a product."""

import json
import re

import pytest


async def test_it_shows_the_product_and_a_form_to_buy_it(browser, others) -> None:
    others.sell("POT-1", name="A pot", category="kitchen", description="Round & red.", available=120)
    async with browser() as ann:
        page = await ann.get("/p/POT-1")
    assert page.status_code == 200
    assert "<h1>A pot</h1>" in page.text
    assert "Round &amp; red." in page.text
    assert "€12.50" in page.text
    assert "In stock" in page.text
    assert '<a href="/c/kitchen">Kitchen</a>' in page.text
    assert 'action="/cart/items/add" method="post"' in page.text
    assert 'name="sku" value="POT-1"' in page.text
    assert 'min="1" max="99" value="1"' in page.text


async def test_each_form_has_a_key_of_its_own(browser) -> None:
    async with browser() as ann:
        pages = [await ann.get("/p/MUG-1") for _ in range(2)]
    keys = {re.findall(r'name="key" value="([\w-]{22})"', page.text)[0] for page in pages}
    assert len(keys) == 2


@pytest.mark.parametrize(("available", "words"), [(1, "Only 1 left"), (9, "Only 9 left"), (10, "In stock")])
async def test_its_stock_is_said_in_words(browser, others, available: int, words: str) -> None:
    others.sell("POT-1", available=available)
    async with browser() as ann:
        page = await ann.get("/p/POT-1")
    assert words in page.text
    assert f'max="{available}"' in page.text


async def test_a_sold_out_product_cannot_be_bought(browser, others) -> None:
    others.sell("POT-1", category="kitchen", available=0)
    async with browser() as ann:
        page = await ann.get("/p/POT-1")
    assert "Sold out" in page.text
    assert "/cart/items" not in page.text


async def test_others_of_its_category_are_below_it(browser, others) -> None:
    others.sell("JAR-1", name="A jar")
    async with browser() as ann:
        page = await ann.get("/p/MUG-1")
        others.down.add("/api/catalog/products")
        alone = await ann.get("/p/MUG-1")
    assert '<h3><a href="/p/JAR-1">A jar</a></h3>' in page.text
    assert '<h3><a href="/p/MUG-1">' not in page.text
    assert alone.status_code == 200
    assert "More from this category" not in alone.text


async def test_search_engines_get_a_product_that_cannot_break_out(browser, others) -> None:
    others.sell("POT-1", name="</script><script>alert(1)</script><!--", available=0)
    async with browser() as ann:
        page = await ann.get("/p/POT-1")
    (data,) = re.findall(r'<script type="application/ld\+json">(.*?)</script>', page.text, re.DOTALL)
    document = json.loads(data)
    assert document["@type"] == "Product"
    assert document["name"] == "</script><script>alert(1)</script><!--"
    assert re.fullmatch(r"/pictures/[a-z-]+-\d+-\d\.svg", document["image"])
    assert document["offers"] == {
        "@type": "Offer",
        "url": "/p/POT-1",
        "price": "12.50",
        "priceCurrency": "EUR",
        "availability": "https://schema.org/OutOfStock",
    }
    assert "<script>alert" not in page.text


async def test_its_picture_for_search_engines_exists(browser) -> None:
    async with browser() as ann:
        page = await ann.get("/p/MUG-1")
        path = re.findall(r'"image": "([^"]+)"', page.text)[0]
        picture = await ann.get(path)
    assert (picture.status_code, picture.headers["Content-Type"]) == (200, "image/svg+xml")


@pytest.mark.parametrize("sku", ["NONE-1", "mug-1", "x", "X" * 33, "%00", "%2E%2E%00", "%3Cscript%3E", "%F0%9F%98%80"])
async def test_an_unknown_product_is_a_404_with_a_search(browser, sku: str) -> None:
    async with browser() as ann:
        page = await ann.get(f"/p/{sku}")
    assert page.status_code == 404
    assert 'action="/search"' in page.text
    assert "\0" not in page.text
    assert "<script>" not in page.text


async def test_without_catalog_it_is_a_503(browser, others) -> None:
    others.down.add("catalog")
    async with browser() as ann:
        page = await ann.get("/p/MUG-1")
    assert page.status_code == 503
