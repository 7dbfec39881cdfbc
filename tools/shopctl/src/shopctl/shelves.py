"""Loads the demo catalog over HTTP, like any other client.

Imported where it is used, because it loads slowly.
"""

import asyncio
import json
import uuid
from dataclasses import asdict

import aiohttp
from rich.progress import Progress

from shopctl import demo
from shopctl.console import out

CONCURRENCY = 8
CURRENCY = "EUR"
TRIES = 10
BUSY = (429, 503)


class Refused(Exception):
    """The shop's answer to a request that should have succeeded."""


FAILURES = (aiohttp.ClientError, TimeoutError, Refused)


async def fill(address: str, admin: tuple[str, str]) -> int:
    """Create every product as this account; returns how many were new. Raises one of FAILURES."""
    products = [(category.slug, product) for category in demo.load() for product in category.products]
    async with aiohttp.ClientSession(address, timeout=aiohttp.ClientTimeout(30)) as session:
        login = {"grant_type": "password", "username": admin[0], "password": admin[1]}
        token = await _answer(session, "POST", "/api/identity/token", data=login)
        session.headers["Authorization"] = f"Bearer {token.get('access_token')}"
        slots = asyncio.Semaphore(CONCURRENCY)
        with Progress(console=out, transient=True, disable=not out.is_terminal) as progress:
            task = progress.add_task("Loading the demo catalog", total=len(products))

            async def one(category: str, product: demo.Product) -> bool:
                async with slots:
                    new = await _put(session, category, product)
                progress.advance(task)
                return new

            return sum(await asyncio.gather(*(one(*each) for each in products)))


def body(category: str, product: demo.Product) -> dict[str, object]:
    """Returns what `POST /api/catalog/products` takes."""
    fields = asdict(product) | {"category": category, "price": {"amount": product.price, "currency": CURRENCY}}
    del fields["stock"]
    return fields


async def _put(session: aiohttp.ClientSession, category: str, product: demo.Product) -> bool:
    made = await _answer(session, "POST", "/api/catalog/products", json=body(category, product), known=409)
    if product.stock:
        # Each restock ID is applied only once, so seeding again adds no stock.
        restock = uuid.uuid5(uuid.NAMESPACE_URL, f"seed:{product.sku}")
        path = f"/api/catalog/products/{product.sku}/restocks/{restock}"
        await _answer(session, "PUT", path, json={"quantity": product.stock})
    return bool(made)


async def _answer(
    session: aiohttp.ClientSession, method: str, path: str, *, known: int | None = None, **content: object
) -> dict[str, str]:
    """Returns the answer's JSON; empty without content or with the status `known`.

    If the shop limits the rate or is too busy, it waits as told and asks again, at most `TRIES` times.
    """
    for left in reversed(range(TRIES)):
        async with session.request(method, path, **content) as response:  # type: ignore[arg-type]
            text = await response.text(errors="replace")
        if response.status not in BUSY or not left:
            break
        wait = response.headers.get("Retry-After", "")
        await asyncio.sleep(min(int(wait) if wait.isdigit() else 1, 10))
    if response.status == known:
        return {}
    try:
        answer = json.loads(text or "{}")
    except ValueError:
        answer = None
    if not response.ok or not isinstance(answer, dict):
        raise Refused(f"{method} {path}: {response.status} {text}")
    return answer
