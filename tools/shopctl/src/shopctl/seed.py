"""Fill the shelves with the demo catalogue, over HTTP like any other client."""

import asyncio
import json
import uuid
from urllib.request import urlopen

import aiohttp
from rich.progress import Progress

from shopctl import demo
from shopctl.console import fail, out
from shopctl.native.place import Place
from shopctl.native.services import ADMIN_EMAIL, ADMIN_PASSWORD

CONCURRENCY = 8
CURRENCY = "EUR"


class SeedFailed(Exception):
    """The shop refused something; the message is its answer."""


def seed() -> None:
    """Put the demo catalogue on the shelves. Doing it again changes nothing."""
    try:
        added = asyncio.run(_seed(Place.here().address))
    except (aiohttp.ClientError, SeedFailed) as error:
        fail(f"The catalogue could not be filled: {error}\nIs the shop up? `make status` tells.")
    out.print(f"{added} products are new on the shelves.")


def is_empty(place: Place) -> bool:
    """Whether the shop shows no product."""
    with urlopen(f"{place.address}/api/catalog/products?limit=1", timeout=10) as answer:  # noqa: S310
        return not json.load(answer)["items"]


async def _seed(address: str) -> int:
    """Gives how many products were new."""
    products = [(category.slug, product) for category in demo.load() for product in category.products]
    async with aiohttp.ClientSession(address, timeout=aiohttp.ClientTimeout(30)) as session:
        login = {"grant_type": "password", "username": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
        token = await _answer(session, "POST", "/api/identity/token", data=login)
        session.headers["Authorization"] = f"Bearer {token['access_token']}"
        slots = asyncio.Semaphore(CONCURRENCY)
        with Progress(console=out, transient=True) as progress:
            task = progress.add_task("Filling the shelves", total=len(products))

            async def one(category: str, product: demo.Product) -> bool:
                async with slots:
                    new = await _put_on_shelf(session, category, product)
                progress.advance(task)
                return new

            return sum(await asyncio.gather(*(one(*each) for each in products)))


async def _put_on_shelf(session: aiohttp.ClientSession, category: str, product: demo.Product) -> bool:
    body = {
        "sku": product.sku,
        "name": product.name,
        "description": product.description,
        "category": category,
        "price": {"amount": product.price, "currency": CURRENCY},
    }
    made = await _answer(session, "POST", "/api/catalog/products", json=body, known=409)
    if product.stock:
        # The same id counts once, so that seeding again adds no stock.
        restock = uuid.uuid5(uuid.NAMESPACE_URL, f"seed:{product.sku}")
        path = f"/api/catalog/products/{product.sku}/restocks/{restock}"
        await _answer(session, "PUT", path, json={"quantity": product.stock})
    return bool(made)


async def _answer(
    session: aiohttp.ClientSession, method: str, path: str, *, known: int | None = None, **content: object
) -> dict[str, str]:
    """The answer's JSON; empty for no content and for the status `known`. Raises SeedFailed."""
    async with session.request(method, path, **content) as response:  # type: ignore[arg-type]
        text = await response.text()
        if response.status == known:
            return {}
        if not response.ok:
            raise SeedFailed(f"{method} {path}: {response.status} {text}")
        answer: dict[str, str] = json.loads(text) if text else {}
        return answer
