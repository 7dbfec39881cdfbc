"""The orders of a shopper: their list, their steps, and what can be done with them."""

import asyncio

import aiohttp
import pytest

from chassis.testing.apps import served

from .test_checkout import TYPED, begin


async def ordered(ann, others) -> dict:
    """Orders two mugs, and returns the order."""
    terms = await begin(ann)
    placed = await ann.post("/checkout", data=TYPED | terms)
    return next(each for each in others.orders.values() if placed.headers["Location"] == f"/orders/{each['id']}")


async def test_an_open_order_reloads_by_itself_and_can_be_cancelled(browser, others) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        page = await ann.get(f"/orders/{order['id']}")
    assert page.status_code == 200
    assert "<h1>Order received</h1>" in page.text
    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in page.text
    assert "order.js" in page.text
    assert "Yes, cancel the order" in page.text
    assert all(text in page.text for text in ("Product MUG-1", "€25.00", "Ada Lovelace", "United Kingdom"))
    assert page.headers["Cache-Control"] == "private, no-store"


async def test_without_catalog_an_order_is_shown_without_pictures(browser, others) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        shown = await ann.get(f"/orders/{order['id']}")
        others.down.add("catalog")
        bare = await ann.get(f"/orders/{order['id']}")
    assert [page.text.count('class="picture') for page in (shown, bare)] == [1, 0]
    assert "Product MUG-1" in bare.text


async def test_a_confirmed_order_shows_who_made_each_step_and_when(browser, others) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        others.step(order, "RESERVED")
        others.step(order, "CONFIRMED")
        page = await ann.get(f"/orders/{order['id']}")
    assert "<h1>Paid and confirmed</h1>" in page.text
    assert "http-equiv" not in page.text
    assert "order.js" not in page.text
    assert all(
        text in page.text for text in ("1,250 ms", "catalog.stock-reserved.v1", "2,250 ms", "payment.captured.v1")
    )


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        ("PAYMENT_FAILED", "declined", "The bank declined the card."),
        ("PAYMENT_FAILED", "insufficient_funds", "not enough money on the account"),
        ("PAYMENT_FAILED", "never-heard-of", "The payment did not succeed."),
        ("REJECTED", "sold-out: MUG-1", "The marked products were sold out"),
        ("EXPIRED", None, "took too long"),
        ("CANCELLED", None, "You pay nothing."),
        ("A_STATE_OF_TOMORROW", None, "A_STATE_OF_TOMORROW"),
    ],
)
async def test_a_failure_is_told_in_words_with_a_way_on(browser, others, status: str, reason, words: str) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        others.step(order, status, reason)
        page = await ann.get(f"/orders/{order['id']}")
    assert words in page.text
    assert "Order again" in page.text
    assert ('class="marked"' in page.text) == (status == "REJECTED")
    assert ('class="notice bad"' in page.text) == (status in ("REJECTED", "PAYMENT_FAILED", "EXPIRED"))


async def test_cancelling_starts_the_undo(browser, others) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        answer = await ann.post(f"/orders/{order['id']}/cancel")
        page = await ann.get(answer.headers["Location"])
    assert answer.status_code == 303
    assert "<h1>Cancelling</h1>" in page.text


async def test_an_order_that_has_ended_is_too_late_to_cancel(browser, others) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        others.step(order, "REJECTED")
        page = await ann.get((await ann.post(f"/orders/{order['id']}/cancel")).headers["Location"])
    assert "It is too late to cancel this order." in page.text


async def test_order_again_puts_the_lines_into_the_cart(browser, others) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        others.carts.clear()
        answer = await ann.post(f"/orders/{order['id']}/again", data={"to": "/checkout"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/checkout")
    assert others.carts["guest-1"] == {"MUG-1": 2}


async def test_order_again_is_at_the_price_of_now(browser, others) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        await ann.get("/cart")
        others.products["MUG-1"]["price"]["amount"] = 2000
        await ann.post(f"/orders/{order['id']}/again")
        page = await ann.get("/cart")
    assert "€40.00" in page.text
    assert "The price was" not in page.text


async def test_order_again_tells_that_a_product_is_gone(browser, others) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        del others.products["MUG-1"]
        answer = await ann.post(f"/orders/{order['id']}/again", data={"to": "/checkout"})
        page = await ann.get(answer.headers["Location"])
    assert "Some products of that order are no longer sold" in page.text


async def test_order_again_without_cart_says_that_the_cart_is_safe(browser, others) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        others.down.add("cart")
        page = await ann.post(f"/orders/{order['id']}/again")
    assert (page.status_code, "Your cart is safe." in page.text) == (503, True)


@pytest.mark.parametrize("path", ["", "/events"])
async def test_another_shopper_cannot_read_an_order(browser, others, path: str) -> None:
    async with browser() as ann, browser() as bob, browser() as stranger:
        order = await ordered(ann, others)
        await begin(bob)
        answers = [await each.get(f"/orders/{order['id']}{path}") for each in (bob, stranger)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert all("Ada Lovelace" not in answer.text for answer in answers)


@pytest.mark.parametrize("action", ["cancel", "again"])
async def test_another_shopper_cannot_change_an_order(browser, others, action: str) -> None:
    async with browser() as ann, browser() as bob:
        order = await ordered(ann, others)
        await begin(bob)
        answer = await bob.post(f"/orders/{order['id']}/{action}")
    assert answer.status_code == 404
    assert order["status"] == "PENDING"


@pytest.mark.parametrize("id", ["..", "1", "%2e%2e", "x" * 300, "00000000-0000-0000-0000-00000000000G", "%00"])
async def test_what_is_no_order_id_is_a_404_that_reaches_no_service(browser, others, id: str) -> None:
    async with browser() as ann:
        await begin(ann)
        others.asked.clear()
        answer = await ann.get(f"/orders/{id}/events")
    assert answer.status_code == 404
    assert not any(asked.startswith("GET /api/orders") for asked in others.asked)


async def test_the_events_of_order_are_passed_on(browser, others) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        others.events[order["id"]] = [b"id: 1\nevent: status\ndata: {}\n\n", b": still here\n\n"]
        first = await ann.get(f"/orders/{order['id']}/events")
        resumed = await ann.get(f"/orders/{order['id']}/events", headers={"Last-Event-ID": "1"})
        ended = await ann.get(f"/orders/{order['id']}/events", headers={"Last-Event-ID": "2"})
    assert first.headers["Content-Type"].startswith("text/event-stream")
    assert (first.text, resumed.text) == ("id: 1\nevent: status\ndata: {}\n\n: still here\n\n", ": still here\n\n")
    assert ended.status_code == 204


async def test_a_stream_ends_when_the_browser_leaves(app, browser, others) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        left = lasting(others, order)
        async with served(app, lifespan="off") as url, aiohttp.ClientSession(cookies=dict(ann.cookies)) as http:
            async with http.get(f"{url}/orders/{order['id']}/events") as stream:
                assert await stream.content.readline() == b"id: 1\n"
            await asyncio.wait_for(left.wait(), 30)


async def test_a_stream_ends_when_the_process_stops_so_that_the_browser_finds_another(app, browser, others) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        left = lasting(others, order)
        async with served(app, lifespan="off") as url, aiohttp.ClientSession(cookies=dict(ann.cookies)) as http:
            async with http.get(f"{url}/orders/{order['id']}/events") as stream:
                assert await stream.content.readline() == b"id: 1\n"
                app.state.health.draining.set()
                assert (await asyncio.wait_for(stream.read(), 30)).endswith(b": still here\n\n")
            await asyncio.wait_for(left.wait(), 30)


def lasting(others, order) -> asyncio.Event:
    others.events[order["id"]] = [b"id: 1\nevent: status\ndata: {}\n\n"]
    return others.lasting.setdefault(order["id"], asyncio.Event())


async def test_a_guests_orders_still_open_after_the_login(browser, others) -> None:
    others.accounts["ann@example.com"] = "Ann"
    async with browser() as ann:
        order = await ordered(ann, others)
        await ann.post("/login", data={"email": "ann@example.com", "password": "correct horse"})
        own = await ordered(ann, others)
        history = await ann.get("/orders")
        page = await ann.get(f"/orders/{order['id']}")
        cancelled = await ann.post(f"/orders/{order['id']}/cancel")
        again = await ann.post(f"/orders/{order['id']}/again")
    before, _, after = history.text.partition("Ordered on this device before you logged in")
    assert (own["id"] in before, order["id"] in before, order["id"] in after) == (True, False, True)
    assert (page.status_code, cancelled.status_code, again.status_code) == (200, 303, 303)
    assert order["status"] == "CANCELLING"
    assert others.carts[f"{own['owner']}-1"]["MUG-1"] == 2


async def test_the_history_lists_the_newest_first_and_more_by_cursor(browser, others) -> None:
    async with browser() as ann:
        orders = [await ordered(ann, others) for _ in range(21)]
        first = await ann.get("/orders")
        second = await ann.get(f"/orders?cursor={orders[1]['id']}")
    assert first.text.index(orders[20]["id"]) < first.text.index(orders[19]["id"])
    assert f'href="/orders?cursor={orders[1]["id"]}"' in first.text
    assert f'href="/orders/{orders[0]["id"]}"' not in first.text
    assert f'href="/orders/{orders[0]["id"]}"' in second.text
    assert "Older orders" not in second.text


async def test_a_cursor_that_is_none_shows_the_first_page(browser, others) -> None:
    async with browser() as ann:
        order = await ordered(ann, others)
        page = await ann.get("/orders?cursor='--")
    assert (page.status_code, order["id"] in page.text) == (200, True)


async def test_a_stranger_has_no_orders_and_gets_no_session(browser, others) -> None:
    async with browser() as ann:
        page = await ann.get("/orders")
    assert "No orders were made on this device yet." in page.text
    assert (others.asked, "Set-Cookie" in page.headers) == ([], False)


async def test_without_order_the_page_is_a_503(browser, others) -> None:
    async with browser() as ann:
        await begin(ann)
        others.down.add("order")
        page = await ann.get("/orders")
    assert page.status_code == 503
