"""Orders in the back office."""

import pytest

ID = "0198a4e0-0000-7000-8000-00000000000{}".format
ANN = "0198a4e0-0000-7000-8000-0000000000a1"


@pytest.fixture(autouse=True)
def some(others) -> None:
    others.managed.accounts[ANN] = {"id": ANN, "email": "ann@example.org", "name": "Ann Example"}
    others.managed.order(ID(1), "CONFIRMED", ANN)
    others.managed.order(ID(2), "CANCELLED", "guest-1")
    others.managed.pay(ID(1))


async def shown(ada, query: str) -> list[bool]:
    page = await ada.get(f"/admin/orders?{query}")
    assert page.status_code == 200
    return [f"/admin/orders/{ID(number)}" in page.text for number in (1, 2)]


async def test_orders_are_listed_and_filtered(ada) -> None:
    assert await shown(ada, "") == [True, True]
    assert await shown(ada, "status=CANCELLED") == [False, True]
    assert await shown(ada, f"principal={ANN}") == [True, False]
    assert await shown(ada, "waiting_seconds=300") == [False, False]
    assert await shown(ada, "status=NONSENSE&waiting_seconds=x&cursor=y") == [True, True]
    assert await shown(ada, "waiting_seconds=99999999999") == [False, False]
    assert await shown(ada, "principal=%00") == [False, False]


async def test_an_order_is_found_by_its_id(ada) -> None:
    answer = await ada.get(f"/admin/orders?find=%20{ID(1).upper()}%20")
    assert answer.headers["Location"] == f"/admin/orders/{ID(1)}"


async def test_orders_are_found_by_an_account_s_address(ada) -> None:
    assert await shown(ada, "find=ann%40example.org") == [True, False]
    assert await shown(ada, "find=ann%40example.org&status=CANCELLED") == [False, False]


@pytest.mark.parametrize("find", ["nobody%40example.org", "%00", "x" * 5000, "%3Cscript%3E"])
async def test_nothing_found_is_a_page_that_says_so(ada, find: str) -> None:
    page = await ada.get(f"/admin/orders?find={find}")
    assert page.status_code == 200
    assert "no account with this address" in page.text
    assert "<script>" not in page.text


async def test_an_order_shows_the_id_of_its_trace_if_it_has_one(ada, others) -> None:
    others.managed.order(ID(3), trace_id="0af7651916cd43dd8448eb211c80319c")

    assert "0af7651916cd43dd8448eb211c80319c" in (await ada.get(f"/admin/orders/{ID(3)}")).text
    assert "Trace" not in (await ada.get(f"/admin/orders/{ID(1)}")).text


async def test_an_order_is_shown_with_its_history_payment_and_customer(ada) -> None:
    page = await ada.get(f"/admin/orders/{ID(1)}")
    for text in (
        "A mug",
        "€25.00",
        "Paid and confirmed",
        "Order received",
        "Captured",
        "ch_1",
        "Ann Example",
        "ann@example.org",
        "Emden",
    ):
        assert text in page.text
    assert f"/admin/orders/{ID(1)}/refund" in page.text


async def test_a_guest_s_order_without_payment_is_shown_too(ada) -> None:
    page = await ada.get(f"/admin/orders/{ID(2)}")
    assert "A guest" in page.text
    assert "No payment has been requested." in page.text
    assert f"/admin/orders/{ID(2)}/refund" not in page.text


@pytest.mark.parametrize("down", ["payment", "identity"])
async def test_a_part_whose_service_is_down_is_missing_alone(ada, others, down: str) -> None:
    others.down.add(down)
    page = await ada.get(f"/admin/orders/{ID(1)}")
    assert page.status_code == 200
    assert page.text.count("This part cannot be loaded right now") == 1
    assert "A mug" in page.text


async def test_a_refund_is_confirmed_first(ada, others) -> None:
    asked = await ada.get(f"/admin/orders/{ID(1)}/refund")
    assert "The customer gets €25.00 back" in asked.text
    assert others.managed.orders[ID(1)]["status"] == "CONFIRMED"
    answers = [await ada.post(f"/admin/orders/{ID(1)}/refund") for _ in range(2)]
    assert [answer.headers["Location"] for answer in answers] == [f"/admin/orders/{ID(1)}"] * 2
    assert others.managed.orders[ID(1)]["status"] == "REFUNDING"


async def test_a_refund_is_announced_until_it_is_done(ada, others) -> None:
    pages = []
    for status in ("CONFIRMED", "REFUNDING", "REFUNDED"):
        others.managed.orders[ID(1)]["status"] = status
        pages.append(await ada.get(f"/admin/orders/{ID(1)}?done=refunding"))
    assert ["The refund has started." in page.text for page in pages] == [False, True, False]


async def test_an_order_that_cannot_be_refunded_says_so(ada, others) -> None:
    assert (await ada.get(f"/admin/orders/{ID(2)}/refund")).headers["Location"] == f"/admin/orders/{ID(2)}"
    page = await ada.post(f"/admin/orders/{ID(2)}/refund")
    assert page.status_code == 409
    assert "Nothing is refunded" in page.text


@pytest.mark.parametrize("page", ["", "/refund"])
async def test_an_unknown_order_leads_back_to_the_list(ada, page: str) -> None:
    for id in ("0198a4e0-0000-7000-8000-000000000099", "nonsense"):
        answer = await ada.get(f"/admin/orders/{id}{page}")
        assert answer.status_code == 404
        assert "Check the order ID" in answer.text
        assert 'href="/admin/orders"' in answer.text


async def test_a_refund_of_an_unknown_order_leads_back_to_the_list(ada) -> None:
    answer = await ada.post("/admin/orders/0198a4e0-0000-7000-8000-000000000099/refund")
    assert answer.status_code == 404
    assert 'href="/admin/orders"' in answer.text.partition("<h1>")[2]
