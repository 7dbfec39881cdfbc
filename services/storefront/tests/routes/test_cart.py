"""The cart's page and its changes."""

import asyncio

import pytest
import redis

NONSENSE = ["", "x", "-1", "1.5", "100", "9" * 400, "١", "\0", "<script>alert(1)</script>", "1\r\nX: y"]


async def put(browser, sku: str = "MUG-1", quantity: int | str = 2, **more: str):
    return await browser.post("/cart/items", data={"sku": sku, "quantity": str(quantity)} | more)


async def add(browser, quantity: int | str = 1, key: str = "a", sku: str = "MUG-1"):
    return await browser.post("/cart/items/add", data={"sku": sku, "quantity": str(quantity), "key": key})


async def test_a_stranger_sees_an_empty_cart_and_gets_no_session(browser, others) -> None:
    async with browser() as ann:
        page = await ann.get("/cart")
    assert (page.status_code, "Your cart is empty." in page.text) == (200, True)
    assert "Set-Cookie" not in page.headers
    assert others.asked == []


async def test_an_added_product_is_shown_with_its_price_and_the_total(browser, others) -> None:
    others.sell("LAMP-1", name="A lamp", price={"amount": 1999, "currency": "EUR"})
    async with browser() as ann:
        added = await put(ann, to="/p/MUG-1")
        await put(ann, "LAMP-1", 1)
        page = await ann.get("/cart")
    assert (added.status_code, added.headers["Location"]) == (303, "/p/MUG-1")
    assert all(text in page.text for text in ("A mug", "€12.50", "€25.00", "A lamp", "€44.99", 'href="/checkout"'))
    assert page.headers["Cache-Control"] == "private, no-store"


NOTE = "The price was €12.50 when you put it in."


def reprice(others, amount: int) -> None:
    others.products["MUG-1"]["price"]["amount"] = amount


@pytest.mark.parametrize(("amount", "total"), [(2000, "€40.00"), (1000, "€20.00")])
async def test_a_price_is_that_of_the_catalog_and_a_note_has_the_former_one(browser, others, amount, total) -> None:
    async with browser() as ann:
        await put(ann)
        before = await ann.get("/cart")
        reprice(others, amount)
        pages = [await ann.get("/cart") for _ in range(2)]
        chinese = await ann.get("/cart", headers={"Accept-Language": "zh"})
    assert NOTE not in before.text
    assert all(total in page.text and NOTE in page.text for page in pages)
    assert "您放入购物车时的价格为 €12.50。" in chinese.text


async def test_a_price_that_is_the_first_one_again_has_no_note(browser, others) -> None:
    async with browser() as ann:
        await put(ann)
        for amount in (1250, 2000, 1250):
            reprice(others, amount)
            page = await ann.get("/cart")
    assert "The price was" not in page.text


@pytest.mark.parametrize("accept", [put, add], ids=["set", "added"])
async def test_changing_the_quantity_accepts_the_new_price(browser, others, accept) -> None:
    async with browser() as ann:
        await put(ann)
        await ann.get("/cart")
        reprice(others, 2000)
        noted = await ann.get("/cart")
        await accept(ann)
        page = await ann.get("/cart")
        reprice(others, 1250)
        again = await ann.get("/cart")
    assert NOTE in noted.text
    assert "The price was" not in page.text
    assert "The price was €20.00 when you put it in." in again.text


async def test_a_product_that_was_away_comes_with_its_price_of_now(browser, others) -> None:
    async with browser() as ann:
        await put(ann)
        await ann.get("/cart")
        others.carts.clear()  # it was ordered
        await ann.get("/cart")
        reprice(others, 2000)
        others.carts["guest-1"] = {"MUG-1": 2}
        page = await ann.get("/cart")
    assert "The price was" not in page.text


async def test_the_former_price_outlasts_a_login_and_a_catalog_that_is_down(browser, others) -> None:
    others.accounts["ann@b.example"] = "Ann"
    async with browser() as ann:
        await put(ann)
        await ann.get("/cart")
        others.down.add("catalog")
        await ann.get("/cart")
        others.down.clear()
        await ann.post("/login", data={"email": "ann@b.example", "password": "correct horse"})
        reprice(others, 2000)
        page = await ann.get("/cart")
    assert NOTE in page.text


async def test_a_cart_is_shown_without_former_prices_if_valkey_fails_them(browser, others, valkey) -> None:
    async with browser() as ann:
        await put(ann)
        with redis.Redis.from_url(valkey) as client:
            (session,) = client.keys("storefront:session:*")
            client.set(session + b":prices", "of another kind")
        pages = [await ann.get("/cart"), await put(ann), await ann.get("/cart")]
    assert [page.status_code for page in pages] == [200, 303, 200]


async def test_a_repeated_change_sets_the_same_quantity(browser, others) -> None:
    async with browser() as ann:
        await put(ann)
        await put(ann)
    assert others.carts["guest-1"] == {"MUG-1": 2}


async def test_adding_counts_on(browser, others) -> None:
    async with browser() as ann:
        await add(ann, 2, "a")
        added = await add(ann, 1, "b")
    assert (added.status_code, added.headers["Location"]) == (303, "/cart")
    assert others.carts["guest-1"] == {"MUG-1": 3}


async def test_a_form_that_is_sent_twice_adds_once_and_says_so(browser, others) -> None:
    async with browser() as ann:
        await put(ann, quantity=2)
        await asyncio.gather(*(add(ann) for _ in range(5)))
        repeated = await add(ann)
        page = await ann.get(repeated.headers["Location"])
    assert others.carts["guest-1"] == {"MUG-1": 3}
    assert "This product has been added already" in page.text


@pytest.mark.parametrize(("quantity", "sku"), [(2, "MUG-1"), (1, "LAMP-1")])
async def test_a_key_counts_for_one_product_and_quantity(browser, others, quantity: int, sku: str) -> None:
    others.sell("LAMP-1")
    async with browser() as ann:
        await add(ann)
        await add(ann, quantity, sku=sku)
    assert sum(others.carts["guest-1"].values()) == 1 + quantity


async def test_a_key_counts_for_one_session(browser, others) -> None:
    for number in (1, 2):  # the page is in the edge's cache, so both have the same one
        async with browser() as visitor:
            await add(visitor)
        assert others.carts[f"guest-{number}"] == {"MUG-1": 1}


async def test_an_addition_that_failed_can_be_repeated(browser, others) -> None:
    async with browser() as ann:
        await put(ann, quantity=2)
        others.down.add("/api/cart/items/MUG-1")
        failed = await add(ann)
        others.down.clear()
        await add(ann)
    assert (failed.status_code, "Your cart is safe." in failed.text) == (503, True)
    assert others.carts["guest-1"] == {"MUG-1": 3}


async def test_an_addition_whose_answer_was_lost_counts_once(browser, others) -> None:
    async with browser() as ann:
        await put(ann, quantity=2)
        others.lost.add("/api/cart/items/MUG-1")
        await add(ann)
        await add(ann)
    assert others.carts["guest-1"] == {"MUG-1": 3}


@pytest.mark.parametrize(("meanwhile", "then"), [(5, 5), (0, 3)])
async def test_a_repetition_takes_nothing_out_of_the_cart(browser, others, meanwhile: int, then: int) -> None:
    """Back on the product's page, a shopper without JavaScript sends the form again, after changing the cart."""
    async with browser() as ann:
        await add(ann, 3)
        await put(ann, quantity=meanwhile)
        await add(ann, 3)
    assert others.carts["guest-1"] == {"MUG-1": then}


async def test_a_cart_holds_99_of_a_product_and_says_so(browser, others) -> None:
    async with browser() as ann:
        await put(ann, quantity=90)
        answers = [await add(ann, 10) for _ in range(2)]
        page = await ann.get(answers[0].headers["Location"])
        more = await add(ann, 1, "b")
    assert others.carts["guest-1"] == {"MUG-1": 99}
    assert "A cart holds at most 99 of each product" in page.text
    assert {answer.headers["Location"] for answer in (*answers, more)} == {"/cart?notice=limited"}


@pytest.mark.parametrize("typed", ["0", *NONSENSE])
async def test_only_a_quantity_can_be_added(browser, others, typed: str) -> None:
    async with browser() as ann:
        page = await add(ann, typed)
    assert (page.status_code, "Choose a quantity from 1 to 99." in page.text) == (422, True)
    assert "guest-1" not in others.carts


async def test_only_what_is_sold_can_be_added(browser) -> None:
    async with browser() as ann:
        pages = [await add(ann, sku="NONE-1"), await add(ann, sku="../..")]
    assert [page.status_code for page in pages] == [404, 422]
    assert all("no longer sold" in page.text for page in pages)


@pytest.mark.parametrize(("path", "quantity"), [("/cart/items", "0"), ("/cart/items/remove", "5")])
async def test_a_product_can_be_removed(browser, others, path: str, quantity: str) -> None:
    async with browser() as ann:
        await put(ann)
        removed = await ann.post(path, data={"sku": "MUG-1", "quantity": quantity})
    assert (removed.status_code, removed.headers["Location"]) == (303, "/cart")
    assert others.carts["guest-1"] == {}


@pytest.mark.parametrize("typed", NONSENSE)
async def test_a_quantity_that_is_none_changes_nothing_and_stays_in_its_field(browser, others, typed: str) -> None:
    async with browser() as ann:
        await put(ann)
        page = await put(ann, quantity=typed)
    assert (page.status_code, "Choose a quantity from 0 to 99." in page.text) == (422, True)
    assert 'aria-invalid="true"' in page.text
    assert "<script>alert" not in page.text
    assert others.carts["guest-1"] == {"MUG-1": 2}


@pytest.mark.parametrize("sku", ["", "..", "../..", "mug-1", "MUG-1/../..", "A" * 33, "MUG\0", "MUG-1\n", "%2e%2e"])
async def test_what_is_no_sku_reaches_no_service(browser, others, sku: str) -> None:
    async with browser() as ann:
        await put(ann)
        pages = [await put(ann, sku, 1), await ann.post("/cart/items/remove", data={"sku": sku})]
    expected = 303 if sku.strip() == "MUG-1" else 422
    assert {page.status_code for page in pages} == {expected}
    assert "DELETE /api/cart" not in others.asked


async def test_a_product_that_does_not_exist_is_refused_in_words(browser) -> None:
    async with browser() as ann:
        page = await put(ann, "NONE-1")
    assert (page.status_code, "no longer sold" in page.text) == (404, True)


@pytest.mark.parametrize("to", ["//elsewhere", "https://elsewhere", "/\\elsewhere", ""])
async def test_a_change_never_leads_to_another_site(browser, to: str) -> None:
    async with browser() as ann:
        added = await put(ann, to=to)
    assert added.headers["Location"] == "/cart"


@pytest.mark.parametrize(
    ("available", "words"), [(0, "Sold out. Remove it"), (1, "Only 1 left. Choose a smaller quantity.")]
)
async def test_a_line_without_enough_stock_says_so_and_cannot_be_ordered(browser, others, available, words) -> None:
    async with browser() as ann:
        await put(ann)
        others.products["MUG-1"]["available"] = available
        page = await ann.get("/cart")
        checkout = await ann.get("/checkout")
    assert words in page.text
    assert 'href="/checkout"' not in page.text
    assert (checkout.status_code, checkout.headers["Location"]) == (303, "/cart")


async def test_a_product_that_is_gone_stays_as_a_marked_line(browser, others) -> None:
    others.sell("LAMP-1")
    async with browser() as ann:
        await put(ann, "LAMP-1", 1)
        await put(ann)
        del others.products["LAMP-1"]
        page = await ann.get("/cart")
    assert "LAMP-1" in page.text
    assert "This product is no longer sold." in page.text
    assert "€25.00" in page.text


async def test_without_catalog_the_lines_are_shown_with_a_notice(browser, others) -> None:
    async with browser() as ann:
        await put(ann)
        others.down.add("catalog")
        page = await ann.get("/cart")
    assert page.status_code == 200
    assert "MUG-1" in page.text
    assert "Names and prices cannot be shown right now" in page.text
    assert 'href="/checkout"' not in page.text


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/cart"), ("POST", "/cart/items"), ("POST", "/cart/items/add"), ("GET", "/checkout")]
)
async def test_without_cart_a_page_says_that_the_cart_is_safe(browser, others, method: str, path: str) -> None:
    async with browser() as ann:
        await put(ann)
        others.down.add("cart")
        page = await ann.request(method, path, data={"sku": "MUG-1", "quantity": "1"})
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert "Your cart is safe." in page.text


async def test_a_cart_of_100_lines_is_shown_with_one_request_to_catalog(browser, others) -> None:
    for number in range(100):
        others.sell(f"P-{number}", name=f"Thing {number}.")
        others.carts["guest-1"][f"P-{number}"] = 1
    async with browser() as ann:
        await put(ann, "P-0", 1)
        others.asked.clear()
        page = await ann.get("/cart")
    assert all(f"Thing {number}." in page.text for number in range(100))
    assert others.asked.count("GET /api/catalog/products") == 1
    assert "€1,250.00" in page.text


async def test_a_product_name_is_shown_as_text(browser, others) -> None:
    others.sell("MUG-1", name='"><script>alert(1)</script>')
    async with browser() as ann:
        await put(ann)
        page = await ann.get("/cart")
    assert "<script>alert" not in page.text
