"""Fill the shelves with the demo catalogue."""

import asyncio
import json

from shopctl import edge
from shopctl.console import fail, out, reason
from shopctl.place import Place


def seed() -> None:
    """Put the demo catalogue on the shelves. Doing it again changes nothing."""
    from shopctl import shelves

    place = Place.here()
    try:
        added = asyncio.run(shelves.fill(place.address, place.admin))
    except shelves.FAILURES as error:
        fail(f"The shelves could not be filled: {reason(error)}\nIs the shop up? `make status` tells.")
    out.print(f"{added} products are new on the shelves." if added else "All products were on the shelves already.")


def is_empty(place: Place) -> bool:
    """Whether the shop shows no product."""
    with edge.http.open(f"{place.address}/api/catalog/products?limit=1", timeout=10) as answer:
        return not json.load(answer)["items"]
