"""Orders are counted once, after the commit, and the gauges say how many are open and for how long."""

import time
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from chassis import tracing
from chassis.testing.fixtures import execute
from order import repository
from order.jobs import measure
from order.messages import PaymentCaptured, PaymentFailed, StockRejected, StockReserved
from order.models import OPEN, UNDOING, Status, settled
from order.usecases import saga

from .conftest import event

SETTLED = "quayside_orders_settled_total"


def value(name: str, **labels: str) -> float:
    found = REGISTRY.get_sample_value(name, labels)
    assert found is not None, f"{name}{labels}"
    return found


async def placed(shop: Any, name: str = "ann") -> UUID:
    return (await shop.placement.place(shop.request(name))).order_id


async def test_an_order_is_counted_once_even_if_its_request_is_repeated(shop: Any) -> None:
    before = value("quayside_orders_placed_total")
    request = shop.request()

    await shop.placement.place(request)
    await shop.placement.place(request)

    assert value("quayside_orders_placed_total") == before + 1


async def test_each_end_of_a_saga_is_counted_once(shop: Any) -> None:
    before = {status: value(SETTLED, status=status) for status in filter(settled, Status)}
    confirmed, declined, rejected = [await placed(shop, name) for name in ("ann", "bob", "cy")]

    replies = [
        (saga.stock_reserved, [event(StockReserved(confirmed)), event(StockReserved(declined))]),
        (saga.stock_rejected, [event(StockRejected(rejected, ("MUG-1",)))]),
        (saga.payment_captured, [event(PaymentCaptured(confirmed))]),
        (saga.payment_failed, [event(PaymentFailed(declined, "declined"))]),
    ]
    for handle, events in replies + replies:
        await handle(shop.db, events)  # type: ignore[operator]

    ended = {status for status in before if value(SETTLED, status=status) == before[status] + 1}
    assert ended == {Status.CONFIRMED, Status.PAYMENT_FAILED, Status.REJECTED}


async def test_a_transition_that_rolls_back_is_not_counted(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    id = await placed(shop)
    before = value(SETTLED, status="REJECTED")

    async def fails(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr("order.usecases.saga.outbox.put", fails)
        with pytest.raises(ConnectionError):
            await saga.stock_rejected(shop.db, [event(StockRejected(id))])

    assert value(SETTLED, status="REJECTED") == before
    await saga.stock_rejected(shop.db, [event(StockRejected(id))])
    assert value(SETTLED, status="REJECTED") == before + 1


async def test_the_time_to_confirmed_has_the_trace_of_its_order_as_exemplar(
    shop: Any, spans: list[tracing.Span]
) -> None:
    with tracing.inside(tracing.extract(f"00-{9:032x}-{9:016x}-01")):
        id = await placed(shop)
    execute(shop.db.url, "UPDATE orders SET created_at = created_at - interval '20 s'")

    await shop.confirm(id)

    buckets = {
        float(sample.labels["le"]): sample.exemplar
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "quayside_order_confirmation_seconds_bucket"
    }
    exemplar = buckets[30.0]
    assert exemplar is not None
    assert (exemplar.labels, 20 <= exemplar.value < 30) == ({"trace_id": f"{9:032x}"}, True)


async def test_the_gauges_count_the_open_orders_by_state_and_fall_back_to_0(shop: Any) -> None:
    pending, reserved, cancelled = [await placed(shop, name) for name in ("ann", "bob", "cy")]
    await saga.stock_reserved(shop.db, [event(StockReserved(reserved))])
    await saga.cancel(shop.db, cancelled, "cy")
    execute(shop.db.url, f"UPDATE order_history SET at = at - interval '1 h' WHERE order_id = '{pending}'")
    execute(shop.db.url, f"UPDATE order_history SET at = at - interval '1 h' WHERE order_id = '{reserved}' AND seq = 1")

    await measure(shop.db)

    assert counts() == {"PENDING": 1, "RESERVED": 1, "CANCELLING": 1, "EXPIRING": 0, "REFUNDING": 0}
    assert 3600 <= value("quayside_orders_oldest_open_seconds", status="PENDING") < 3700
    assert value("quayside_orders_oldest_open_seconds", status="RESERVED") < 60, "the age in this state"

    execute(shop.db.url, "UPDATE orders SET status = 'CONFIRMED'")
    await measure(shop.db)

    assert set(counts().values()) == {0}
    assert value("quayside_orders_oldest_open_seconds", status="PENDING") == 0


def counts() -> dict[str, float]:
    return {status: value("quayside_orders_open", status=status) for status in OPEN | UNDOING}


async def test_the_gauges_show_what_the_last_audit_found(shop: Any) -> None:
    async def audited(**findings: int) -> dict[str, tuple[float, float]]:
        async with shop.db.connection() as connection:
            await repository.replace_audit(connection, findings)
        await measure(shop.db)
        names = [sample.labels["invariant"] for sample in samples("quayside_audit_ok")]
        return {
            name: (value("quayside_audit_ok", invariant=name), value("quayside_audit_findings", invariant=name))
            for name in names
        }

    assert await audited(A1=0, A2=3) == {"A1": (1, 0), "A2": (0, 3)}
    assert await audited(A1=2, A10=0) == {"A1": (0, 2), "A10": (1, 0)}
    assert abs(value("quayside_audit_timestamp_seconds") - time.time()) < 60


def samples(name: str) -> list[Any]:
    return [sample for metric in REGISTRY.collect() for sample in metric.samples if sample.name == name]
