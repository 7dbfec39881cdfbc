"""The first page of the back office."""

import pytest

from storefront.usecases.office import DEAD_LETTERS

ID = "0198a4e0-0000-7000-8000-00000000000{}".format


async def test_it_shows_what_needs_a_hand(ada, others) -> None:
    others.managed.order(ID(1), "RESERVED")
    others.managed.order(ID(2), "CONFIRMED")
    others.managed.pay(ID(3), "UNKNOWN")
    others.managed.pay(ID(4), "REFUNDING", stuck=True)
    others.managed.pay(ID(5), "CAPTURED")
    others.managed.letters["carts"] = 17
    others.sell("FEW-1", name="Nearly gone", available=4)
    page = await ada.get("/admin")
    assert page.status_code == 200
    assert [f"/admin/orders/{ID(n)}" in page.text for n in range(1, 6)] == [True, False, True, True, False]
    assert '<span class="badge bad">17</span>' in page.text
    assert "Nearly gone" in page.text
    assert "A mug" not in page.text
    assert {"hidden": "false", "below": "5", "sort": "available", "limit": "10"} in others.managed.queries
    assert {"waiting_seconds": "300", "limit": "10"} in others.managed.queries


async def test_the_least_available_products_come_first(ada, others) -> None:
    for number in range(12):
        others.sell(f"FEW-{number:02}", name=f"Few {number:02}", available=12 - number)
    others.sell("OLD-1", name="Hidden away", available=0, hidden=True)
    page = await ada.get("/admin?below=20")
    assert [page.text.index(f"Few {number:02}") for number in range(11, 1, -1)] == sorted(
        page.text.index(f"Few {number:02}") for number in range(2, 12)
    )
    assert ("Few 01" in page.text, "Hidden away" in page.text) == (False, False)
    assert 'href="/admin/products?below=20&amp;hidden=false&amp;sort=available"' in page.text


async def test_when_all_is_well_it_says_so(ada) -> None:
    page = await ada.get("/admin")
    assert page.text.count('<span class="badge good">None</span>') == 3
    assert page.text.count('<span class="badge good">0</span>') == 4


async def test_the_threshold_of_little_stock_can_be_chosen(ada) -> None:
    assert "A mug" in (await ada.get("/admin?below=11")).text


@pytest.mark.parametrize("below", ["x", "-1", "99999999999999", "%00", ""])
async def test_a_wrong_threshold_is_the_usual_one(ada, below: str) -> None:
    assert 'value="5"' in (await ada.get(f"/admin?below={below}")).text


@pytest.mark.parametrize(
    ("down", "missing", "kept"),
    [
        ("order", 1, "A mug"),
        ("payment", 1, "A mug"),
        ("catalog", 1, ID(1)),
        ("cart", 0, ID(1)),
    ],
)
async def test_a_part_whose_service_is_down_is_missing_alone(ada, others, down: str, missing: int, kept: str) -> None:
    others.managed.order(ID(1), "RESERVED")
    others.down.add(down)
    page = await ada.get("/admin?below=20")
    assert page.status_code == 200
    assert page.text.count("This part cannot be loaded right now") == missing
    assert page.text.count("Cannot be counted now") == 1
    assert kept in page.text


async def test_without_the_broker_each_service_is_asked_once_because_it_waits_for_it(ada, others) -> None:
    others.down |= set(DEAD_LETTERS.values())
    page = await ada.get("/admin")
    assert page.text.count("Cannot be counted now") == 4
    assert "This part cannot be loaded right now" not in page.text
    asked = [path for path in others.asked if path.endswith("/dead-letters")]
    assert sorted(asked) == sorted(f"GET {path}" for path in DEAD_LETTERS.values())


async def test_without_valkey_it_is_a_503_and_not_a_login(ada, app) -> None:
    async def broken(_: str) -> None:
        from chassis.errors import Unavailable

        raise Unavailable("sessions-unavailable", "No sessions", "Try again.")

    app.state.parts.sessions.get = broken
    assert (await ada.get("/admin")).status_code == 503


async def test_an_account_sees_only_its_own_part(manager, others) -> None:
    async with manager("catalog:write") as bob:
        page = await bob.get("/admin")
    assert "Little stock" in page.text
    assert "Dead letters" not in page.text
    async with manager("orders:manage") as eve:
        page = await eve.get("/admin")
    assert "Little stock" not in page.text
    assert "Dead letters" in page.text
