"""What the live map makes of samples: which parts are down, late or not measured, and what passes between them."""

from datetime import UTC, datetime

import pytest

from storefront.models.live import Sample, Scene
from storefront.models.readings import drawn


def scene(*samples: tuple[str, float, dict[str, str]]) -> Scene:
    return drawn(datetime.now(UTC), [Sample({"is": kind, **labels}, value) for kind, value, labels in samples], [])


def up(value: float, instance: str = "a", job: str = "order"):
    return "up", value, {"job": job, "instance": instance}


GONE = ("gone", 1, {"job": "order", "instance": "c"})
FAILED = ("requests", 2.0, {"job": "order", "class": "5"})
OLD = ("outbox_age", 9.0, {"job": "order"})


@pytest.mark.parametrize(
    ("samples", "state"),
    [
        ([], "unknown"),
        ([up(1)], "ok"),
        ([up(0)], "bad"),
        ([GONE], "bad"),
        ([up(1), up(0, "b")], "warn"),
        ([up(1), GONE], "warn"),
        ([up(1), FAILED], "warn"),
        ([up(1), OLD], "warn"),
    ],
)
def test_the_state_of_a_service(samples, state: str) -> None:
    assert scene(*samples).services["order"].state == state


def test_replicas_are_counted_by_what_became_of_them() -> None:
    order = scene(up(1), up(0, "b"), GONE).services["order"]
    assert [each.state for each in order.replicas] == ["up", "down", "gone"]
    assert (order.up, order.known, order.gone) == (1, 2, 1)


def test_the_edge_is_down_if_nginx_is_although_its_exporter_answers() -> None:
    nginx = ("store_up", 0, {"job": "nginx"})
    assert scene(up(1, job="edge"), nginx).services["edge"].state == "bad"


@pytest.mark.parametrize(
    ("samples", "state"),
    [
        ([], "unknown"),
        ([("queue", 0, {"queue": "cart"})], "ok"),
        ([("queue", 100, {"queue": "cart"})], "warn"),
        ([("queue", 1, {"queue": "cart.dead"})], "warn"),
        ([("consumer_up", 0, {"messaging_destination_name": "cart"})], "bad"),
        ([("consumer_up", 1, {"messaging_destination_name": "cart"}), ("queue", 0, {"queue": "cart"})], "ok"),
    ],
)
def test_the_state_of_a_queue(samples, state: str) -> None:
    assert scene(*samples).queues["cart"].state == state


def test_a_store_is_as_its_exporter_says() -> None:
    shown = scene(("store_up", 0, {"job": "postgres"}), up(1, job="rabbitmq"))
    assert {name: store.state for name, store in shown.stores.items()} == {
        "postgres": "bad",
        "rabbitmq": "ok",
        "valkey": "unknown",
    }


def test_nothing_passes_to_a_part_that_is_down() -> None:
    shown = scene(up(0), up(0, job="rabbitmq"))
    assert [shown.down(part) for part in ("order", "queue:cart", "cart", "clients")] == [True, True, False, False]


def test_a_message_goes_to_the_queues_of_its_consumers() -> None:
    shown = scene(
        ("sent", 4.0, {"job": "order", "quayside_message_type": "order.confirmed.v1"}),
        ("sent", 5.0, {"job": "order", "quayside_message_type": "catalog.reserve-stock.v1"}),
        ("sent", 3.0, {"job": "payment", "quayside_message_type": "payment.captured.v1"}),
    )
    rates = {ends: traffic.rate for ends, traffic in shown.links.items()}
    assert rates == {("order", "queue:catalog"): 9, ("order", "queue:cart"): 4, ("payment", "queue:order"): 3}


def test_calls_of_other_companies_and_of_the_map_itself_are_left_out() -> None:
    shown = scene(
        ("calls", 1.0, {"job": "storefront", "server_address": "prometheus"}),
        ("calls", 2.0, {"job": "storefront", "server_address": "order", "failed": "yes"}),
        ("calls", 1.0, {"job": "storefront", "server_address": "order", "failed": ""}),
    )
    assert shown.links.keys() == {("storefront", "order")}
    assert (shown.links["storefront", "order"].rate, shown.links["storefront", "order"].failed) == (3, 2)
