"""Tests of the models, without a database."""

import pytest

from catalog.messages import Line
from catalog.models import Level, Product, Reservation, Shelf, State, category_name, fold, totals
from catalog.tables import metadata


def test_an_order_is_held_in_all_its_lines_or_in_none() -> None:
    shelf = Shelf({"A": Level(5, 0, 0), "B": Level(1, 0, 0)})

    assert shelf.hold({"A": 2, "B": 2}) == Reservation(State.REJECTED, "sold-out", ("B",))
    assert shelf.changed == {}
    assert shelf.hold({"A": 2, "B": 1}) == Reservation(State.HELD)
    assert shelf.changed == {"A": Level(3, 2, 0), "B": Level(0, 1, 0)}


def test_an_unknown_sku_is_named_before_a_shortage() -> None:
    shelf = Shelf({"A": Level(0, 0, 0)})

    assert shelf.hold({"A": 1, "X": 1}) == Reservation(State.REJECTED, "unknown-sku", ("X",))


@pytest.mark.parametrize("state", [State.HELD, State.SOLD])
def test_stock_is_released_from_held_or_sold(state: State) -> None:
    shelf = Shelf({"A": Level(0, 3, 3)})

    shelf.release({"A": 2}, state)

    assert shelf.changed["A"] == (Level(2, 1, 3) if state is State.HELD else Level(2, 3, 1))


def test_a_sku_on_several_lines_counts_together() -> None:
    assert totals([Line("B", 1), Line("A", 1), Line("B", 2)]) == {"A": 1, "B": 3}


def test_folding_drops_case_and_accents() -> None:
    assert fold("  Crème BRÛLÉE\tStraße ") == "creme brulee strasse"


def test_a_category_is_named_after_its_slug() -> None:
    assert category_name("coffee-and-tea") == "Coffee & Tea"
    assert category_name("--") == "--"


def test_every_field_of_a_product_has_its_column() -> None:
    """See docs/how-to/new-field.md."""
    fields = {*Product.__struct_fields__, "amount", "currency"} - {"price"}
    lacking = fields - set(metadata.tables["products"].columns.keys())

    assert not lacking, f"the table `products` lacks {lacking}"
