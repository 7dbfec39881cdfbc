"""The way of an order over the live map."""

from storefront.models.mapping import FRAMES
from storefront.models.ways import way_of


def test_each_step_lights_the_lines_that_its_messages_took() -> None:
    way = way_of(["PENDING", "RESERVED", "CONFIRMED"])
    assert way.lines == {
        ("order", "queue:catalog"): 1,
        ("queue:catalog", "catalog"): 1,
        ("catalog", "queue:order"): 2,
        ("queue:order", "order"): 2,
        ("order", "queue:payment"): 2,
        ("queue:payment", "payment"): 2,
        ("payment", "queue:order"): 3,
        ("payment", "provider"): 3,
        ("order", "queue:cart"): 3,
        ("queue:cart", "cart"): 3,
    }
    assert way.came == [None, ("catalog", "queue:order"), ("payment", "queue:order")]


def test_the_numbers_of_steps_stand_where_their_message_came() -> None:
    wide = FRAMES[0]
    marks = dict(way_of(["PENDING", "RESERVED"]).marks(wide))
    assert marks[1][0] == wide.boxes["order"].x
    assert wide.boxes["catalog"].x < marks[2][0] < wide.boxes["order"].x + wide.boxes["order"].width


def test_all_lines_of_a_way_are_on_the_map() -> None:
    known = {(line.source, line.target) for line in FRAMES[0].lines}
    for end in (["REJECTED"], ["RESERVED", "PAYMENT_FAILED"], ["RESERVED", "CONFIRMED", "REFUNDING", "REFUNDED"]):
        assert way_of(["PENDING", *end]).lines.keys() <= known


def test_a_step_of_a_later_release_lights_nothing() -> None:
    assert way_of(["SHIPPED"]).lines == {}
