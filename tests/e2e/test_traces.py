"""An order is one trace, from its request to the emptied cart, even if its messages travel with those of others."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from collector import Span

from shopctl.shop import Shop

# child → parent, without statements and commands
REQUEST = {
    "edge: POST /api/orders": "",
    "order: POST /api/orders": "edge: POST /api/orders",
    "order: GET cart": "order: POST /api/orders",
    "cart: GET /api/cart": "order: GET cart",
    "order: GET catalog": "order: POST /api/orders",
    "catalog: GET /api/catalog/products": "order: GET catalog",
    "order: send catalog.reserve-stock.v1": "order: POST /api/orders",
    "order: order": "order: POST /api/orders",
}
RESERVED = {
    "catalog: process catalog (reserve-stock)": "order: send catalog.reserve-stock.v1",
    "catalog: send catalog.stock-reserved.v1": "catalog: process catalog (reserve-stock)",
    "order: process order (stock-reserved)": "catalog: send catalog.stock-reserved.v1",
    "order: send payment.charge.v1": "order: process order (stock-reserved)",
    "payment: process payment (charge)": "order: send payment.charge.v1",
    "payment: charge": "payment: process payment (charge)",
    "payment: POST psp": "payment: charge",
}
CONFIRMED = {
    "payment: send payment.captured.v1": "payment: process payment (charge)",
    "order: process order (captured)": "payment: send payment.captured.v1",
    "order: send order.confirmed.v1": "order: process order (captured)",
    "catalog: process catalog (confirmed)": "order: send order.confirmed.v1",
    "cart: process cart (confirmed)": "order: send order.confirmed.v1",
}
DECLINED = {
    "payment: send payment.failed.v1": "payment: process payment (charge)",
    "order: process order (failed)": "payment: send payment.failed.v1",
    "order: send catalog.release-stock.v1": "order: process order (failed)",
    "catalog: process catalog (release-stock)": "order: send catalog.release-stock.v1",
}
REFUNDED = {
    "order: send catalog.release-stock.v1": "order: POST /api/orders",
    "catalog: process catalog (release-stock)": "order: send catalog.release-stock.v1",
    "order: send payment.cancel.v1": "order: POST /api/orders",
    "payment: process payment (cancel)": "order: send payment.cancel.v1",
    "payment: refund": "payment: process payment (cancel)",
    "payment: POST psp": "payment: refund",
    "payment: send payment.cancelled.v1": "payment: process payment (cancel)",
    "order: process order (cancelled)": "payment: send payment.cancelled.v1",
}


@pytest.fixture(autouse=True)
def traced(shop: Shop, request: pytest.FixtureRequest) -> None:
    """Observes the shop, for the spans of the edge."""
    if shop.runtime != "native":
        pytest.skip("only the services of a native shop send spans to the tests")
    request.getfixturevalue("observed")


def label(span: Span) -> str:
    message = span.attributes.get("quayside.message.type")
    return f"{span.label} ({message.split('.')[1]})" if message else span.label


def tree(spans: Iterable[Span]) -> set[tuple[str, str]]:
    """The labels of each span and its parent, without statements of PostgreSQL and commands of Valkey."""
    by_id = {span.id: span for span in spans}
    return {
        (label(span), label(by_id[span.parent_id]) if span.parent_id in by_id else "")
        for span in by_id.values()
        if "db.system.name" not in span.attributes
    }


def trace_of(spans: list[Span], order: str) -> list[Span]:
    (root,) = (s for s in spans if s.name == "POST /api/orders" and s.attributes.get("quayside.order.id") == order)
    return [span for span in spans if span.trace_id == root.trace_id]


def complete(order: str, expected: dict[str, str]) -> Callable[[list[Span]], bool]:
    def done(spans: list[Span]) -> bool:
        started = any(span.attributes.get("quayside.order.id") == order for span in spans if span.name[:4] == "POST")
        return started and expected.items() <= tree(trace_of(spans, order))

    return done


def test_an_order_is_one_trace_from_its_request_to_the_emptied_cart(shopper, admin, telemetry) -> None:
    sku = admin.product(stock=1)
    since = telemetry.received
    shopper.put(sku)
    order = shopper.order().raise_for_status().json()["id"]

    expected = REQUEST | RESERVED | CONFIRMED
    spans = telemetry.wait(since, complete(order, expected))
    trace = trace_of(spans, order)

    assert tree(trace) == set(expected.items())
    assert not any(span.failed for span in trace)
    assert all(span in trace for span in spans if span.attributes.get("quayside.subject") == order)
    statements = {span.label for span in trace if "db.system.name" in span.attributes}
    usual = {
        "order: INSERT orders",
        "order: UPDATE orders",
        "catalog: INSERT reservations",
        "catalog: UPDATE reservations",
        "payment: INSERT payments",
        "payment: UPDATE payments",
    }
    assert statements >= usual | {"cart: HGETALL", "cart: EVALSHA"}
    assert admin.http.get(f"/api/admin/orders/{order}").json()["trace_id"] == trace[0].trace_id


def test_a_declined_order_is_one_trace_with_an_error(shopper, admin, telemetry) -> None:
    sku = admin.product(stock=1)
    since = telemetry.received
    order = shopper.buy(sku, method="tok_declined")

    expected = REQUEST | RESERVED | DECLINED
    trace = trace_of(telemetry.wait(since, complete(order, expected)), order)

    assert tree(trace) == set(expected.items())
    (charge,) = (span for span in trace if span.name == "charge")
    assert charge.attributes["quayside.payment.outcome"] == "refused"
    assert [span.name for span in trace if span.failed] == ["order"]
    assert "order: COMMIT" in {span.label for span in trace}  # no usual step


def test_a_refund_continues_the_trace_of_its_order(shopper, admin, telemetry) -> None:
    sku = admin.product(stock=1)
    since = telemetry.received
    order = shopper.buy(sku)
    shopper.waits_for(order, "CONFIRMED")
    shopper.http.post(f"/api/orders/{order}/cancel").raise_for_status()

    expected = REFUNDED
    trace = trace_of(telemetry.wait(since, complete(order, expected)), order)

    ends = [span.attributes["quayside.order.status"] for span in trace if span.name == "order"]
    assert ends == ["CONFIRMED", "REFUNDED"]


def test_orders_that_share_batches_keep_their_own_traces(new_shopper, admin, telemetry) -> None:
    sku = admin.product(stock=20)
    shoppers = [new_shopper() for _ in range(20)]
    for each in shoppers:
        each.put(sku)
    since = telemetry.received
    with ThreadPoolExecutor(20) as pool:
        orders = [answer.raise_for_status().json()["id"] for answer in pool.map(lambda each: each.order(), shoppers)]

    chain = RESERVED | CONFIRMED

    def done(spans: list[Span]) -> bool:
        return all(complete(order, chain)(spans) for order in orders)

    spans = telemetry.wait(since, done)
    for order in orders:
        trace = trace_of(spans, order)
        assert {span.attributes.get("quayside.subject", order) for span in trace} == {order}
        assert chain.items() <= tree(trace)
    assert len({trace_of(spans, order)[0].trace_id for order in orders}) == 20
    batches = [span for span in spans if span.name.endswith("batch") or span.name.endswith("(batch)")]
    assert any(len(span.links) > 1 for span in batches), "some of them shared a transaction"
