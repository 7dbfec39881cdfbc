"""The demo catalogue of the harbour-side store: what `shopctl seed` puts on the shelves."""

import json
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Product:
    """One article; `price` is in euro cents with tax included, `stock` in units on hand (0: sold out)."""

    sku: str
    name: str
    description: str
    price: int
    stock: int


@dataclass(frozen=True, slots=True)
class Category:
    """One shelf of the store, with its products in the order they were numbered."""

    slug: str
    name: str
    products: tuple[Product, ...]


def load() -> list[Category]:
    """Return every category, sorted by slug; each is one JSON file in `catalogue/`."""
    folder = resources.files(__name__) / "catalogue"
    categories = (_parse(file.read_text(encoding="utf-8")) for file in folder.iterdir())
    return sorted(categories, key=lambda category: category.slug)


def _parse(text: str) -> Category:
    raw = json.loads(text)
    return Category(raw["slug"], raw["name"], tuple(Product(**product) for product in raw["products"]))
