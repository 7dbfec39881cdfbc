"""The storefront's live map draws the services and messages that the services declare."""

from pathlib import Path

from shopctl import services
from storefront.models.live import CONSUMERS, SERVICES, STORES, consumers_of

SHOP = services.load(Path(__file__).parents[2])


def test_each_message_is_drawn_to_the_queues_of_its_consumers() -> None:
    for publisher in SHOP:
        for message in publisher.messages.publishes:
            consumers = {each.name for each in SHOP if message in each.messages.consumes}
            assert set(consumers_of(message, publisher.name)) == consumers, message


def test_the_parts_are_those_of_the_shop() -> None:
    own = {each.name: each for each in SHOP if each.name in SERVICES}
    assert own.keys() == set(SERVICES)
    assert set(CONSUMERS) == set(SHOP.consumers)
    for store, users in STORES.items():
        assert set(users) == {name for name, each in own.items() if store in each.stores}
