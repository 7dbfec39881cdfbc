"""The demo catalog of a harbor-side store, which `shopctl seed` loads."""

import json
from dataclasses import dataclass
from importlib import resources

__all__ = ["Category", "Product", "load"]


@dataclass(frozen=True, slots=True)
class Product:
    """One product as `products.json` has it: `price` in euro cents with tax, `stock` as a quantity (0: sold out)."""

    sku: str
    name: str
    description: str
    price: int
    stock: int


@dataclass(frozen=True, slots=True)
class Category:
    """One category, with its products in the order of their SKUs."""

    slug: str
    name: str
    products: tuple[Product, ...]


def load() -> list[Category]:
    """Returns every category, sorted by slug."""
    categories = json.loads((resources.files(__name__) / "products.json").read_text(encoding="utf-8"))
    return [
        Category(each["slug"], each["name"], tuple(Product(**product) for product in each["products"]))
        for each in categories
    ]
