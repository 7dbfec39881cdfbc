"""The stock of a product."""

import re

import pytest


def form(page) -> dict[str, str]:
    (id,) = re.findall(r'name="id" value="([^"]+)"', page.text)
    return {"id": id, "quantity": "5"}


STOCK = "/admin/products/MUG-1/stock"


async def test_a_restock_is_added_once_however_often_it_is_sent(ada, others) -> None:
    once = form(await ada.get(STOCK))
    answers = [await ada.post(STOCK, data=once) for _ in range(2)]
    assert [answer.headers["Location"] for answer in answers] == [f"{STOCK}?done=restocked"] * 2
    assert others.products["MUG-1"]["available"] == 15


async def test_each_form_is_a_restock_of_its_own(ada, others) -> None:
    for _ in range(2):
        await ada.post(STOCK, data=form(await ada.get(STOCK)))
    assert others.products["MUG-1"]["available"] == 20


async def test_a_form_that_is_sent_again_with_another_number_adds_nothing(ada, others) -> None:
    sent = form(await ada.get(STOCK))
    await ada.post(STOCK, data=sent)
    page = await ada.post(STOCK, data=sent | {"quantity": "6"})
    assert page.status_code == 409
    assert "This form was sent before" in page.text
    assert form(page)["id"] != sent["id"]
    assert others.products["MUG-1"]["available"] == 15


@pytest.mark.parametrize("quantity", ["", "0", "-1", "1.5", "1000001", "x", "<b>", "9" * 100])
async def test_a_wrong_number_is_kept_with_an_error(ada, others, quantity: str) -> None:
    sent = form(await ada.get(STOCK)) | {"quantity": quantity}
    page = await ada.post(STOCK, data=sent)
    assert page.status_code == 422
    assert "Enter a whole number" in page.text
    assert form(page)["id"] == sent["id"]
    assert f'value="{quantity.replace("<", "&lt;").replace(">", "&gt;")}"' in page.text
    assert others.managed.restocks == {}


async def test_without_catalog_the_form_is_kept_and_adds_once(ada, others) -> None:
    sent = form(await ada.get(STOCK))
    others.down.add("catalog")
    page = await ada.post(STOCK, data=sent)
    assert page.status_code == 503
    assert form(page)["id"] == sent["id"]
    assert 'value="5"' in page.text
    others.down.clear()
    for _ in range(2):
        assert (await ada.post(STOCK, data=form(page))).status_code == 303
    assert others.products["MUG-1"]["available"] == 15


@pytest.mark.parametrize("id", ["", "../x", "a b", "x" * 65, "\r\n"])
async def test_a_forged_id_adds_nothing(ada, others, id: str) -> None:
    assert (await ada.post(STOCK, data={"id": id, "quantity": "5"})).status_code == 422
    assert others.managed.restocks == {}


async def test_the_page_shows_levels_and_history(ada, others) -> None:
    others.sell("MUG-1", name="A mug", available=1234, held=2, sold=30)
    others.managed.order("0198a4e0-0000-7000-8000-00000000000a")
    await ada.post(STOCK, data=form(await ada.get(STOCK)))
    page = await ada.get(STOCK)
    assert "<dd>1,239</dd>" in page.text
    assert "+5" in page.text
    assert "/admin/orders/0198a4e0-0000-7000-8000-00000000000a" in page.text
