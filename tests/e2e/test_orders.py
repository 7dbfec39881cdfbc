"""Tests of checkout on a running shop: each answer of POST /orders, each payment method, cancel and refund."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from shopper import Shopper, race, scramble, until


def slug(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.json()["detail"]
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


# --- the good way --------------------------------------------------------------------------------


def test_an_order_is_confirmed_its_stock_sold_and_its_cart_emptied(shopper, admin) -> None:
    sku = admin.product(stock=10, amount=500)

    id = shopper.buy(sku, 3)

    assert shopper.waits_for(id) == "CONFIRMED"
    order = shopper.http.get(f"/api/orders/{id}").json()
    assert order["total"] == {"amount": 1500, "currency": "EUR"}
    assert [step["status"] for step in order["history"]] == ["PENDING", "RESERVED", "CONFIRMED"]
    assert admin.available(sku) == 7
    assert shopper.has_empty_cart()


def test_a_cart_changed_after_the_order_is_kept(shopper, admin) -> None:
    sku, later = admin.product(stock=10), admin.product(stock=10)
    id = shopper.buy(sku)
    shopper.put(later)

    shopper.waits_for(id, "CONFIRMED")

    assert {"sku": later, "quantity": 1} in shopper.http.get("/api/cart").json()["items"]


def test_a_stream_reports_each_step_and_closes(shopper, admin) -> None:
    id = shopper.buy(admin.product(stock=1))

    with shopper.http.stream("GET", f"/api/orders/{id}/events") as stream:
        lines = [line for line in stream.iter_lines() if line.startswith("data:")]

    assert ["PENDING" in lines[0], "RESERVED" in lines[1], "CONFIRMED" in lines[2]] == [True] * 3


# --- POST /orders, row by row --------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "", "x" * 256, "two words"])
def test_a_missing_or_invalid_idempotency_key(shopper, admin, key: str | None) -> None:
    shopper.put(admin.product(stock=1))
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = shopper.http.post("/api/orders", json=shopper.body(), headers=headers)
    assert slug(answer) == (400, "idempotency-key-required")


def test_the_same_key_and_body_after_the_cart_was_emptied(shopper, admin) -> None:
    shopper.put(admin.product(stock=1))
    first = shopper.order(key="k")
    shopper.waits_for(first.json()["id"], "CONFIRMED")

    again = shopper.order(key="k")

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotent-Replayed"] == "true"


def test_the_same_key_with_another_body(shopper, admin) -> None:
    shopper.put(admin.product(stock=1))
    shopper.order(key="k").raise_for_status()
    assert slug(shopper.order("tok_declined", key="k")) == (422, "key-reused")


def insists(shopper: Shopper, key: str) -> httpx2.Response:
    """Orders, and repeats that with the same key as long as a busy shop says "later"."""
    for _ in until(30, pause=1):
        answer = shopper.order(key=key)
        later = answer.status_code in (503, 504) or (answer.status_code == 409 and slug(answer)[1] == "in-flight")
        if not later:
            break
    return answer


def test_fifty_parallel_requests_with_one_key_place_one_order(shopper, admin) -> None:
    sku = admin.product(stock=100)
    shopper.put(sku)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: insists(shopper, "one"), range(50)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    shopper.waits_for(answers[0].json()["id"], "CONFIRMED")
    assert admin.available(sku) == 99


def test_a_price_that_changed_after_the_cart_was_filled(shopper, admin) -> None:
    sku = admin.product(stock=1, amount=500)
    shopper.put(sku)
    admin.set_price(sku, 700)

    answer = shopper.order()

    assert slug(answer) == (409, "price-changed")
    assert answer.json()["quote"] == {"amount": 700, "currency": "EUR"}
    assert shopper.http.get("/api/orders").json()["items"] == []


def test_a_tampered_total_and_currency(shopper, admin) -> None:
    shopper.put(admin.product(stock=1, amount=500))
    assert slug(shopper.order(expected_total={"amount": 1, "currency": "EUR"})) == (409, "price-changed")
    assert slug(shopper.order(expected_total={"amount": 500, "currency": "USD"})) == (409, "price-changed")


def test_another_version_of_the_cart(shopper, admin) -> None:
    shopper.put(admin.product(stock=1))
    assert slug(shopper.order(cart_version=str(uuid4()))) == (409, "cart-changed")


def test_a_cart_that_was_ordered_already(shopper, admin) -> None:
    shopper.put(admin.product(stock=5))
    shopper.order(key="first", method="tok_slow").raise_for_status()
    assert slug(shopper.order(key="second", method="tok_slow")) == (409, "cart-already-ordered")


def test_an_empty_cart(shopper, admin) -> None:
    sku = admin.product(stock=1)
    shopper.put(sku)
    shopper.http.delete(f"/api/cart/items/{sku}").raise_for_status()
    assert slug(shopper.order()) == (422, "cart-empty")


def test_an_unknown_and_a_hidden_product(shopper, admin) -> None:
    answer = shopper.http.put("/api/cart/items/NO-SUCH-THING", json={"quantity": 1})
    assert slug(answer) == (404, "unknown-sku")
    assert shopper.http.get("/api/cart").json()["items"] == []

    sku = admin.product(stock=1)
    shopper.put(sku)
    etag = admin.http.get(f"/api/catalog/products/{sku}").headers["ETag"]
    admin.http.delete(f"/api/catalog/products/{sku}", headers={"If-Match": etag}).raise_for_status()
    answer = shopper.order()
    assert slug(answer) == (422, "unknown-sku")
    assert answer.json()["skus"] == [sku]


# --- payment -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("tok_declined", "declined"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("pm_1NXWPnLkdIwHu7ix", "unknown_payment_method"),
    ],
)
def test_a_payment_that_fails_releases_the_stock(shopper, admin, method: str, reason: str) -> None:
    sku = admin.product(stock=5)

    id = shopper.buy(sku, 2, method)

    assert shopper.waits_for(id) == "PAYMENT_FAILED"
    assert shopper.http.get(f"/api/orders/{id}").json()["history"][-1]["reason"] == reason
    assert admin.sees(sku, 5)


def test_a_lost_reply_ends_in_one_capture(shopper, admin, provider) -> None:
    id = shopper.buy(admin.product(stock=1), method="tok_lost_reply")

    assert shopper.waits_for(id, seconds=40) == "CONFIRMED"
    assert len(captures(provider, id)) == 1


def test_a_slow_provider_ends_in_one_capture(shopper, admin, provider) -> None:
    provider.post("/sandbox/faults", json={"mode": "none", "seconds": 12}).raise_for_status()
    id = shopper.buy(admin.product(stock=1), method="tok_slow")

    assert shopper.status(id) in {"PENDING", "RESERVED"}
    assert shopper.waits_for(id, seconds=60) == "CONFIRMED"
    assert len(captures(provider, id)) == 1


def captures(provider: httpx2.Client, order_id: str) -> list[Any]:
    items = provider.get("/charges", params={"order_id": order_id}).raise_for_status().json()["items"]
    return [item for item in items if item["status"] == "succeeded"]


def test_a_replayed_webhook_changes_nothing(shopper, admin, provider) -> None:
    sku = admin.product(stock=5)
    id = shopper.buy(sku)
    shopper.waits_for(id, "CONFIRMED")

    for _ in range(3):
        provider.post("/sandbox/webhooks/replay", json={"order_id": id}).raise_for_status()

    history = shopper.http.get(f"/api/orders/{id}").json()["history"]
    assert len(history) == 3
    assert len(captures(provider, id)) == 1


def test_a_forged_webhook_is_refused(shop) -> None:
    answer = httpx2.post(
        f"{shop.place.address}/api/payments/webhooks/psp",
        content=b'{"order_id": "x"}',
        headers={"Psp-Signature": "t=1,v1=00", "Content-Type": "application/json"},
    )
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"


# --- stock ---------------------------------------------------------------------------------------


def test_an_order_for_more_than_the_stock_is_refused_and_the_rest_can_be_ordered(shopper, admin) -> None:
    sku = admin.product(stock=1)
    shopper.put(sku, 2)

    answer = shopper.order()

    assert (slug(answer), answer.json()["skus"]) == ((409, "sold-out"), [sku])
    assert shopper.waits_for(shopper.buy(sku, 1)) == "CONFIRMED"


def test_the_second_order_for_the_last_unit_is_rejected_if_none_was_reserved_yet(shop, admin) -> None:
    sku = admin.product(stock=1)

    orders = race(shop, sku)

    ends = {shopper.waits_for(id): shopper.http.get(f"/api/orders/{id}").json() for shopper, id in orders}
    assert sorted(ends) == ["CONFIRMED", "REJECTED"]
    assert ends["REJECTED"]["history"][-1]["reason"] == f"sold-out: {sku}"


def test_of_those_who_want_the_last_unit_one_is_confirmed(shop, admin) -> None:
    """Those whose orders are checked before it is reserved are rejected, the others are refused at once."""
    sku = admin.product(stock=1)

    answers = scramble(shop.place, sku, 4)

    accepted = [(shopper, answer.json()["id"]) for shopper, answer in answers if answer.status_code == 202]
    assert {slug(answer) for _, answer in answers if answer.status_code != 202} <= {(409, "sold-out")}
    ends = [shopper.waits_for(id) for shopper, id in accepted]
    assert sorted(ends) == ["CONFIRMED", *["REJECTED"] * (len(accepted) - 1)]
    assert admin.available(sku) == 0


# --- cancel, refund, expiry ----------------------------------------------------------------------


def test_cancel_while_the_payment_is_unknown(shopper, admin, provider) -> None:
    provider.post("/sandbox/faults", json={"mode": "none", "seconds": 8}).raise_for_status()
    sku = admin.product(stock=4)
    id = shopper.buy(sku, 3, "tok_slow")
    shopper.waits_for(id, "RESERVED")

    assert shopper.http.post(f"/api/orders/{id}/cancel").status_code == 202

    assert shopper.waits_for(id, "CANCELLED", seconds=40) == "CANCELLED"
    assert admin.sees(sku, 4)


def test_cancel_of_a_confirmed_order_refunds_it_once(shopper, admin, provider) -> None:
    sku = admin.product(stock=4)
    id = shopper.buy(sku, 3)
    shopper.waits_for(id, "CONFIRMED")

    for _ in range(2):
        assert shopper.http.post(f"/api/orders/{id}/cancel").status_code == 202

    assert shopper.waits_for(id, "REFUNDED") == "REFUNDED"
    assert captures(provider, id)[0]["refunded"] == 1500
    assert admin.sees(sku, 4)


def test_a_failed_order_cannot_be_cancelled(shopper, admin) -> None:
    id = shopper.buy(admin.product(stock=1), method="tok_declined")
    shopper.waits_for(id)
    assert slug(shopper.http.post(f"/api/orders/{id}/cancel")) == (409, "not-cancellable")


def test_the_back_office_refunds_in_full(shopper, admin) -> None:
    sku = admin.product(stock=2)
    id = shopper.buy(sku)
    shopper.waits_for(id, "CONFIRMED")
    assert slug(shopper.http.post(f"/api/admin/orders/{id}/refund")) == (403, "scope-required")

    admin.http.post(f"/api/admin/orders/{id}/refund").raise_for_status()

    assert shopper.waits_for(id, "REFUNDED") == "REFUNDED"
    assert admin.sees(sku, 2)


def test_an_order_that_stays_open_expires(shop, shopper, admin, provider) -> None:
    shop.stop("order")
    shop.start("order", ORDER_TTL_SECONDS="2", SWEEP_SECONDS="0.5")
    try:
        provider.post("/sandbox/faults", json={"mode": "error500"}).raise_for_status()
        sku = admin.product(stock=2)
        id = shopper.buy(sku)
        shopper.waits_for(id, "EXPIRING")
        provider.post("/sandbox/faults", json={"mode": "none"}).raise_for_status()
        assert shopper.waits_for(id, "EXPIRED", seconds=60) == "EXPIRED"
        assert admin.sees(sku, 2)
    finally:
        shop.stop("order")
        shop.start("order")


def test_after_these_tests_the_audit_passes(audit: Callable[..., None]) -> None:
    audit()
