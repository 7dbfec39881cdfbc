"""The live map, with a real Prometheus."""

import re

import pytest
from fastapi import FastAPI

from chassis.testing.apps import started
from storefront.main import create

ID = "0198a4e0-0000-7000-8000-000000000001"


@pytest.fixture
async def app(settings, request):
    """The application, with the Prometheus of the parameter `at`: the real one, or an address where none answers."""
    at = getattr(request, "param", "") or request.getfixturevalue("prometheus")
    async with started(create(settings.model_copy(update={"prometheus_url": at}))) as app:
        yield app


def row(page: str, part: str) -> str:
    """Returns the words of a part's row in the tables."""
    (found,) = re.findall(rf'<tr id="live-{part}">(.*?)</tr>', page, re.DOTALL)
    return " ".join(re.sub("<[^>]+>", " ", found).split())


@pytest.fixture
async def page(ada) -> str:
    answer = await ada.get("/admin/live")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-store"
    return answer.text


async def test_it_says_which_services_are_up_and_what_they_do(page: str) -> None:
    assert row(page, "edge") == "Edge 1 replica 25/s 4/s – 0"
    assert row(page, "storefront") == "Storefront 1 replica 22/s 2/s 95 ms 0"
    assert row(page, "order") == "Order 1 of 2 up 0/s 0/s – 0"
    assert row(page, "payment") == "Payment down 0/s 0/s – 0"
    assert row(page, "catalog") == "Catalog 1 replica 0/s 0/s – 42 (17 s)"
    assert row(page, "identity") == "Identity not measured 0/s 0/s – 0"


async def test_it_says_what_waits_in_which_queue_and_which_stores_are_down(page: str) -> None:
    assert row(page, "queue-payment") == "queue of Payment 1,234 waiting 1,234 –"
    assert row(page, "queue-cart") == "queue of Cart 3 dead letters 0 3"
    assert row(page, "queue-order") == "queue of Order no consumer – –"
    assert [row(page, name).split()[1] for name in ("postgres", "valkey", "rabbitmq")] == ["up", "down", "up"]


async def test_the_drawing_says_the_same(page: str) -> None:
    for frame in re.findall(r'<svg class="map \w+".*?</svg>', page, re.DOTALL):
        texts = re.findall(r"<text[^>]*>([^<]*)", frame)
        assert {"DOWN", "1 of 2 up", "outbox 42", "1,234", "backlog", "no consumer", "5 unknown"} <= set(texts)
        assert "✕ 4/s" in texts  # the edge's requests to payment
        assert frame.count('<path class="replica down"') == 2
    assert page.count('<svg class="map wide"') == page.count('<svg class="map tall"') == 1


async def test_it_shows_orders_on_their_way(page: str) -> None:
    words = " ".join(re.sub("<[^>]+>", " ", page).split())
    assert "placed 9/s Order received 8 oldest 31 s" in words
    assert "Paid and confirmed 3/min" in words


async def test_the_way_of_an_order_is_lit_up_with_its_times(ada, others) -> None:
    steps = [("PENDING", "00.000"), ("RESERVED", "00.034"), ("CONFIRMED", "01.300")]
    history = [
        {"seq": seq, "status": status, "at": f"2026-01-01T00:00:{at}Z"} for seq, (status, at) in enumerate(steps, 1)
    ]
    others.managed.order(ID, "CONFIRMED", history=history)
    page = (await ada.get("/admin/live")).text
    assert " lit " not in page
    assert f'href="/admin/live?order={ID}"' in page  # it is among the latest

    page = (await ada.get(f"/admin/live?order={ID}")).text
    words = " ".join(re.sub("<[^>]+>", " ", page).split())
    assert "1 Order received 0 ms 2 Stock reserved 34 ms 3 Paid and confirmed 1.3 s" in words
    assert page.count(" lit step1") == 2 * 2  # in both drawings: to the queue of catalog, and from it


@pytest.mark.parametrize("typed", ["0198a4e0-0000-7000-8000-00000000000f", "no-id", "<b>", "\0", "x" * 2000])
async def test_an_order_that_does_not_exist(ada, typed: str) -> None:
    answer = await ada.get("/admin/live", params={"order": typed})
    assert answer.status_code == 200
    assert "There is no order with this ID." in answer.text
    assert "<b>" not in answer.text


async def test_an_account_for_products_sees_the_map_but_no_orders(manager, others) -> None:
    others.managed.order(ID)
    async with manager("catalog:write") as bob:
        page = (await bob.get(f"/admin/live?order={ID}")).text
    assert 'class="map wide"' in page
    assert f">…{ID[-8:]}<" not in page
    assert "The latest orders" not in page


@pytest.mark.parametrize("app", ["http://127.0.0.1:9"], indirect=True)
async def test_it_says_that_prometheus_does_not_answer(app: FastAPI, ada) -> None:
    page = await ada.get("/admin/live")
    assert page.status_code == 200
    assert "Prometheus does not answer" in page.text
    assert '<svg class="map' not in page.text


async def test_the_page_works_while_the_order_service_does_not(ada, others) -> None:
    others.broken = True
    page = await ada.get(f"/admin/live?order={ID}")
    assert page.status_code == 200
    assert 'class="map wide"' in page.text


class TestWithoutPrometheus:
    @pytest.fixture
    async def app(self, settings):
        async with started(create(settings)) as app:
            yield app

    async def test_the_page_says_how_to_get_one(self, ada) -> None:
        page = await ada.get("/admin/live")
        assert page.status_code == 200
        assert "make up OBSERVE=1" in page.text
        assert "PROMETHEUS_URL" in page.text
