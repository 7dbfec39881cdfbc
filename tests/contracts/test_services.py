"""A service is a folder in `services/`; every other place that must name it does, or the message says what to add.

docs/how-to/new-service.md explains the places.
"""

import re
from pathlib import Path

import pytest
from places import Place, Shop, charts, code, deployment

from shopctl import services
from shopctl.services import Declaration, Messages, Services

ROOT = Path(__file__).parents[2]
SHOP = Shop(ROOT, services.load(ROOT))
PLACES = {place.file: place for place in (*deployment.PLACES, *charts.PLACES, *code.PLACES)}

# The README has this word in its text and in a label of the diagram, neither of which counts.
INVENTED = Declaration(
    name="commands",
    port=8099,
    stores=("postgres", "valkey", "rabbitmq"),
    routes=("/api/commands",),
    calls=("identity", "catalog"),
    messages=Messages(consumes=("order.confirmed.v1",), publishes=("commands.written.v1",)),
)
MODULES = {"messages.py", "consumers.py"}  # a made-up service has none


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("service", SHOP.services.names)
def test_a_place_names_the_service(service: str, place: str) -> None:
    gaps = list(PLACES[place].missing(SHOP, SHOP.services[service]))
    if gaps:
        pytest.fail("\n\n".join(gaps), pytrace=False)


@pytest.mark.parametrize("place", PLACES)
def test_a_place_names_no_service_without_a_folder(place: str) -> None:
    if gone := sorted(PLACES[place].named(SHOP) - set(SHOP.services.names)):
        pytest.fail(f"{place}: names {', '.join(gone)}, which is in no folder of services/; remove it", pytrace=False)


@pytest.mark.parametrize("place", sorted(PLACES.keys() - MODULES))
def test_a_new_service_is_missing_in_every_place(place: str) -> None:
    shop = Shop(ROOT, Services({**SHOP.services.by_name, INVENTED.name: INVENTED}))
    gaps = list(PLACES[place].missing(shop, INVENTED))
    assert gaps
    assert all(each.partition(":")[0].strip() for each in gaps)


@pytest.mark.parametrize("place", [place.file for place in PLACES.values() if place.named is not Place.named])
def test_a_service_that_is_gone_is_found_in_every_place(place: str) -> None:
    rest = {name: each for name, each in SHOP.services.by_name.items() if name != "order"}
    assert PLACES[place].named(Shop(ROOT, Services(rest))) - set(rest)


def test_a_gap_is_closed_by_the_lines_that_the_message_names() -> None:
    (gap,) = deployment.bake(SHOP, INVENTED)
    assert gap == 'docker-bake.hcl: no image of commands; add to services:\n    "commands"'


def test_a_service_at_the_root_keeps_its_own_endpoints_from_clients() -> None:
    text = SHOP.read(deployment.EDGE)
    assert list(deployment.root(text, "storefront")) == []

    open_metrics = "\n".join(line for line in text.splitlines() if "/metrics" not in line)
    (gap,) = deployment.root(open_metrics, "storefront")
    assert gap.splitlines()[1:] == ["    location /metrics { return 404; }"]

    (gap,) = deployment.root("", "storefront")
    assert gap.splitlines()[1] == "    location / { proxy_pass http://storefront; }"


def test_a_publisher_must_name_a_new_consumer() -> None:
    shop = Shop(ROOT, Services({**SHOP.services.by_name, INVENTED.name: INVENTED}))
    (gap,) = code.published(shop, shop.services["order"])
    assert "services/order/src/order/messages.py: OrderConfirmed names " in gap
    assert re.search(r"consumers = \(.+, 'commands'\)", gap)


def test_a_handler_that_is_not_declared_is_found() -> None:
    cart = SHOP.services["cart"]
    silent = Declaration(cart.name, cart.port, cart.stores, cart.routes, cart.calls)
    (gap,) = code.consumed(SHOP, silent)
    assert gap.startswith("services/cart/pyproject.toml: order.confirmed.v1 is not declared")
