"""The demo catalog is large, varied and plausible enough to browse, search and sell out."""

import re
from collections import Counter
from collections.abc import Iterable

import pytest

from catalog.schemas import NewProduct
from shopctl import demo, shelves

CATEGORIES = demo.load()
PRODUCTS = [product for category in CATEGORIES for product in category.products]


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", text)


def repeated(values: Iterable[str]) -> set[str]:
    return {value for value, count in Counter(values).items() if count > 1}


def test_fills_twelve_categories_with_at_least_two_hundred_products() -> None:
    assert len(CATEGORIES) == 12
    assert len(PRODUCTS) >= 200
    assert min(len(category.products) for category in CATEGORIES) >= 15


def test_categories_are_sorted_by_slug() -> None:
    slugs = [category.slug for category in CATEGORIES]
    assert slugs == sorted(slugs)


def test_categories_have_url_safe_slugs_and_distinct_names() -> None:
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", category.slug) for category in CATEGORIES)
    assert not repeated(category.slug for category in CATEGORIES)
    assert not repeated(category.name for category in CATEGORIES)


def test_no_two_products_share_a_sku_a_name_or_a_sentence() -> None:
    assert not repeated(product.sku for product in PRODUCTS)
    assert not repeated(product.name.casefold() for product in PRODUCTS)
    assert not repeated(s.casefold() for product in PRODUCTS for s in sentences(product.description))


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.sku)
def test_product_is_plausible(product: demo.Product) -> None:
    assert re.fullmatch(r"[A-Z0-9][A-Z0-9-]{1,31}", product.sku)
    assert 3 <= len(product.name) <= 60
    assert product.name == product.name.strip()
    assert 2 <= len(sentences(product.description)) <= 3
    assert 60 <= len(product.description) <= 400
    assert product.description.endswith(".")
    assert product.price in range(100, 100_001)
    assert product.stock in range(10_000)


def test_catalog_takes_every_product() -> None:
    for category in CATEGORIES:
        for product in category.products:
            NewProduct.model_validate(shelves.body(category.slug, product))


def test_some_are_sold_out_some_nearly_and_some_plentiful() -> None:
    stocks = [product.stock for product in PRODUCTS]
    assert sum(stock == 0 for stock in stocks) >= 5
    assert sum(1 <= stock <= 5 for stock in stocks) >= 5
    assert sum(stock >= 1_000 for stock in stocks) >= 5


def test_some_names_carry_accents_for_search_to_fold() -> None:
    assert sum(not product.name.isascii() for product in PRODUCTS) >= 5
