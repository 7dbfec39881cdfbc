"""Loads the demo catalog."""

import asyncio
import json

from shopctl import edge
from shopctl.console import fail, out, reason
from shopctl.place import Place


def seed() -> None:
    """Load the demo catalog. Products that exist stay as they are."""
    from shopctl import shelves

    place = Place.here()
    try:
        added = asyncio.run(shelves.fill(place.address, place.admin))
    except shelves.FAILURES as error:
        fail(f"The demo catalog could not be loaded: {reason(error)}\nDoes the shop run? See `make status`.")
    out.print(f"Added {added} products." if added else "All products were already there.")


def is_empty(place: Place) -> bool:
    """Whether the shop has no product."""
    with edge.http.open(f"{place.address}/api/catalog/products?limit=1", timeout=10) as answer:
        return not json.load(answer)["items"]
