"""A small flash sale: many want few units, everybody gets an answer, and not one unit too many is sold."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable

from shopper import Admin

from shopctl.bench.checkout import placing
from shopctl.bench.client import request, send
from shopctl.bench.load import Answer

UNITS, SHOPPERS, AT_ONCE = 20, 200, 100


def slug(answer: Answer) -> str:
    return str(json.loads(answer.body)["type"]).rpartition("/")[2]


def is_later(answer: Answer) -> bool:
    """Whether the same request is to be sent again."""
    return answer.status in (503, 504) or (answer.status == 409 and slug(answer) == "in-flight")


def status_of(admin: Admin, id: str) -> str:
    return str(admin.http.get(f"/api/admin/orders/{id}").raise_for_status().json()["status"])


async def sale(address: tuple[str, int], sku: str) -> list[Answer]:
    """Lets all shoppers order a unit, a hundred of them at the same moment. Returns the answers to their orders.

    Those who are told to come again, or get no answer in time, repeat the same request.
    """
    guests = await send(address, [request("POST", "/api/identity/guests")] * SHOPPERS, expect=201)
    tokens = [json.loads(guest.body)["access_token"] for guest in guests]
    puts = [request("PUT", f"/api/cart/items/{sku}", token=token, body={"quantity": 1}) for token in tokens]
    carts = await send(address, puts, expect=200, connections=8)  # cart may ask catalog again for ten at once
    orders = [placing(token, json.loads(cart.body)["version"], 500) for token, cart in zip(tokens, carts, strict=True)]
    answers = await send(address, orders, connections=AT_ONCE)
    for _ in range(20):
        again = [index for index, each in enumerate(answers) if is_later(each)]
        if not again:
            break
        await asyncio.sleep(1)
        repeated = await send(address, [orders[index] for index in again], connections=AT_ONCE)
        for index, answer in zip(again, repeated, strict=True):
            answers[index] = answer
    return answers


def test_in_a_sale_everybody_gets_an_answer_and_no_unit_is_sold_twice(
    shop, admin, shopper, audit: Callable[..., None]
) -> None:
    sku = admin.product(stock=UNITS, amount=500)

    answers = asyncio.run(sale(shop.address("edge"), sku))

    found = Counter(answer.status for answer in answers)
    assert {slug(each) for each in answers if each.status != 202} <= {"sold-out"}
    assert found[202] >= UNITS
    assert admin.sees(sku, 0)
    shopper.put(sku)
    assert (late := shopper.order()).status_code == 409
    assert late.json()["skus"] == [sku]
    audit()
    accepted = [json.loads(each.body)["id"] for each in answers if each.status == 202]
    ends = Counter(status_of(admin, id) for id in accepted)
    assert ends["CONFIRMED"] == UNITS
    assert ends.total() == ends["CONFIRMED"] + ends["REJECTED"]
