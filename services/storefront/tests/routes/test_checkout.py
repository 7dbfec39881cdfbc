"""The checkout: one order for each form, and every refusal with what was typed."""

import re
from html import unescape
from typing import Any

import pytest
from pydantic import SecretStr

from chassis.testing.apps import client_of, started
from chassis.testing.cable import Cable
from storefront.main import create
from storefront.models.cards import CARDS

ADDRESS = {
    "name": "Ada Lovelace",
    "line1": "St James's Square 12",
    "line2": "",
    "city": "London",
    "postal_code": "SW1Y 4LE",
    "country": "GB",
}
TYPED = ADDRESS | {"card": "tok_visa"}
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
VALUE = re.compile(r'<input id="(\w+)" name="\1"[^>]* value="([^"]*)"')


async def begin(ann, quantity: int = 2) -> dict[str, str]:
    """Puts mugs into the cart and opens the checkout. Returns the form's hidden fields."""
    await ann.post("/cart/items", data={"sku": "MUG-1", "quantity": str(quantity)})
    return hidden(await ann.get("/checkout"))


def hidden(page) -> dict[str, str]:
    fields = dict(HIDDEN.findall(page.text))
    return {name: fields[name] for name in ("key", "cart_version", "amount", "currency", "prices") if name in fields}


def kept(page) -> dict[str, str]:
    return {name: unescape(value) for name, value in VALUE.findall(page.text) if name != "q"}


async def test_the_form_has_the_total_and_can_be_filled_in_by_the_browser(browser) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        page = await ann.get("/checkout")
    assert (terms["amount"], terms["currency"]) == ("2500", "EUR")
    assert 'autocomplete="shipping address-line1"' in page.text
    assert '<option value="GB">United Kingdom</option>' in page.text
    assert page.headers["Cache-Control"] == "private, no-store"
    assert page.text.count('type="radio"') == 5


@pytest.mark.parametrize("language", ["en", "zh-Hans"])
@pytest.mark.parametrize("provider", CARDS)
async def test_the_cards_are_those_of_the_provider(settings, others, provider: str, language: str) -> None:
    headers = {"Accept": "text/html", "Accept-Language": language}
    app = create(settings.model_copy(update={"payment_provider": provider}))
    async with started(app), client_of(app, headers=headers) as ann:
        terms = await begin(ann)
        page = await ann.get("/checkout")
        (refused,) = [
            await ann.post("/checkout", data=TYPED | terms | {"card": CARDS[other][0]})
            for other in CARDS
            if other != provider
        ]
        placed = await ann.post("/checkout", data=TYPED | terms | {"card": CARDS[provider][1]})
    shown = re.findall(
        r'value="(\w+)" required( checked)?>\s*<span><strong>(.+)</strong>\s*<span class="muted">(.+)</span>', page.text
    )
    assert [(card, bool(checked)) for card, checked, _, _ in shown] == [
        (card, i == 0) for i, card in enumerate(CARDS[provider])
    ]
    assert (refused.status_code, placed.status_code) == (422, 303)


async def test_the_address_of_a_refused_order_is_filled_in_for_its_owner_only(browser, others) -> None:
    async with browser() as ann, browser() as eve:
        terms = await begin(ann)
        await begin(eve)
        await ann.post("/checkout", data=TYPED | terms)
        (order,) = others.orders.values()
        others.step(order, "PAYMENT_FAILED", "card_declined")
        page = await ann.get(f"/orders/{order['id']}")
        (path,) = re.findall(r'name="to" value="(/checkout[^"]*)"', page.text)
        own, foreign, strange = await ann.get(path), await eve.get(path), await ann.get("/checkout?order=%00")
        others.down.add("order")
        without = await ann.get(path)
    assert kept(own).items() <= ADDRESS.items()
    assert '<option value="GB" selected>' in own.text
    assert [set(kept(page).values()) for page in (foreign, strange, without)] == [{""}] * 3
    assert 'value="tok_visa" required checked' in own.text


async def test_an_empty_cart_cannot_be_ordered(browser) -> None:
    async with browser() as ann:
        answers = [await ann.get("/checkout"), await ann.post("/checkout", data=TYPED)]
    assert [(answer.status_code, answer.headers["Location"]) for answer in answers] == [(303, "/cart")] * 2


async def test_an_order_is_placed_and_shown(browser, others) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        placed = await ann.post("/checkout", data=TYPED | terms)
    (order,) = others.orders.values()
    assert (placed.status_code, placed.headers["Location"]) == (303, f"/orders/{order['id']}")
    assert order["total"] == {"amount": 2500, "currency": "EUR"}
    assert order["shipping_address"] == {name: text for name, text in ADDRESS.items() if text}


async def test_a_form_that_is_sent_twice_is_one_order(browser, others) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        answers = [await ann.post("/checkout", data=TYPED | terms) for _ in range(2)]
    assert len(others.orders) == 1
    assert answers[0].headers["Location"] == answers[1].headers["Location"]


async def test_each_form_has_a_key_of_its_own(browser) -> None:
    async with browser() as ann:
        keys = {(await begin(ann))["key"] for _ in range(2)}
    assert len(keys) == 2


async def test_a_changed_price_is_shown_and_accepted_with_one_click(browser, others) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        others.sell("MUG-1", price={"amount": 1500, "currency": "EUR"})
        others.refusals = [(409, "price-changed", {"quote": {"amount": 3000, "currency": "EUR"}})]
        page = await ann.post("/checkout", data=TYPED | terms)
        accepted = await ann.post("/checkout", data=kept(page) | {"country": "GB", "card": "tok_visa"} | hidden(page))
    assert page.status_code == 409
    assert "<s>€25.00</s>" in page.text
    assert "It was €12.50 before." in page.text
    assert "Accept €30.00 and order" in page.text
    assert hidden(page)["key"] != terms["key"]
    assert kept(page).items() <= ADDRESS.items()
    assert '<option value="GB" selected>' in page.text
    assert accepted.status_code == 303
    assert [order["total"]["amount"] for order in others.orders.values()] == [3000]


async def test_a_cart_that_another_tab_changed_is_shown_again_with_what_was_typed(browser, others) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        await ann.post("/cart/items", data={"sku": "MUG-1", "quantity": "3"})
        others.refusals = [(409, "cart-changed", {})]
        page = await ann.post("/checkout", data=TYPED | terms)
    assert (page.status_code, "Your cart has changed" in page.text) == (409, True)
    assert hidden(page)["amount"] == "3750"
    assert hidden(page)["cart_version"] != terms["cart_version"]
    assert kept(page)["name"] == "Ada Lovelace"


@pytest.mark.parametrize("slug", ["cart-already-ordered", "key-reused"])
async def test_a_second_order_of_the_same_cart_leads_to_the_first(browser, others, slug: str) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        first = await ann.post("/checkout", data=TYPED | terms)
        others.refusals = [(409, slug, {})]
        second = await ann.post("/checkout", data=TYPED | terms | {"city": "Leeds"})
        page = await ann.get(second.headers["Location"])
    assert (second.status_code, second.headers["Location"]) == (
        303,
        first.headers["Location"] + "?notice=placed-before",
    )
    assert "No new order was placed." in page.text
    assert len(others.orders) == 1


async def test_a_form_whose_payment_failed_leads_to_that_order_and_not_to_an_older_one(browser, others) -> None:
    async with browser() as ann:
        await ann.post("/checkout", data=TYPED | await begin(ann))
        terms = await begin(ann)
        failed = await ann.post("/checkout", data=TYPED | terms)
        others.step(others.orders[terms["key"]], "PAYMENT_FAILED", "declined")
        others.refusals = [(422, "key-reused", {})]
        again = await ann.post("/checkout", data=TYPED | terms | {"card": "tok_slow"})
    assert again.headers["Location"].partition("?")[0] == failed.headers["Location"]


async def test_a_cart_that_was_ordered_leads_to_an_order_that_has_not_failed(browser, others) -> None:
    async with browser() as ann:
        placed = await ann.post("/checkout", data=TYPED | await begin(ann))
        terms = await begin(ann)
        await ann.post("/checkout", data=TYPED | terms)
        others.step(others.orders[terms["key"]], "REJECTED")
        others.refusals = [(409, "cart-already-ordered", {})]
        again = await ann.post("/checkout", data=TYPED | await begin(ann))
    assert again.headers["Location"].partition("?")[0] == placed.headers["Location"]


@pytest.mark.parametrize(("left", "line"), [(0, "Sold out."), (1, "Only 1 left.")])
async def test_what_is_sold_out_is_marked_and_cannot_be_ordered(browser, others, left: int, line: str) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        others.sell("MUG-1", available=left)
        others.refusals = [(409, "sold-out", {"skus": ["MUG-1"]})]
        page = await ann.post("/checkout", data=TYPED | terms)
    assert (page.status_code, "Sorry, others were faster" in page.text, line in page.text) == (409, True, True)
    assert 'class="marked"' in page.text
    assert "Order again" not in page.text
    assert kept(page)["name"] == "Ada Lovelace"


async def test_products_that_are_gone_are_marked(browser, others) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        del others.products["MUG-1"]
        others.refusals = [(422, "unknown-sku", {"skus": ["MUG-1"]})]
        page = await ann.post("/checkout", data=TYPED | terms)
    assert (page.status_code, "Some products are no longer sold." in page.text) == (422, True)
    assert 'class="marked"' in page.text
    assert "<button" not in page.text.partition('aria-labelledby="summary"')[2].partition("</aside>")[0]


async def test_a_cart_that_was_emptied_meanwhile_is_shown_empty(browser, others) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        others.refusals = [(422, "cart-empty", {})]
        answer = await ann.post("/checkout", data=TYPED | terms)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/cart")


async def test_an_order_in_flight_is_asked_for_once_more(browser, others, monkeypatch) -> None:
    monkeypatch.setattr("storefront.usecases.checkout.IN_FLIGHT_PAUSE", 0)
    async with browser() as ann:
        terms = await begin(ann)
        others.refusals = [(409, "in-flight", {})]
        placed = await ann.post("/checkout", data=TYPED | terms)
        others.refusals = [(409, "in-flight", {})] * 2
        page = await ann.post("/checkout", data=TYPED | terms)
    assert placed.status_code == 303
    assert (page.status_code, "It remains one order." in page.text) == (409, True)
    assert hidden(page) == terms


@pytest.mark.parametrize("down", [{"order"}, {"order", "cart"}, {"order", "cart", "catalog"}])
async def test_without_order_the_same_form_is_shown_again_to_be_sent_later(browser, others, down: set[str]) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        others.down |= down
        page = await ann.post("/checkout", data=TYPED | terms)
        others.down.clear()
        placed = await ann.post("/checkout", data=kept(page) | {"country": "GB", "card": "tok_visa"} | hidden(page))
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert "Your cart is safe, and what you typed is still here." in page.text
    assert hidden(page) == terms
    assert placed.status_code == 303


async def test_without_sessions_the_form_keeps_what_was_typed(valkey, settings, others) -> None:
    async with Cable(valkey) as cable:
        torn = settings.model_copy(update={"valkey_url": SecretStr(cable.url)})
        async with started(create(torn)) as app, client_of(app, headers={"Accept": "text/html"}) as ann:
            terms = await begin(ann)
            await cable.cut()
            page = await ann.post("/checkout", data=TYPED | terms)
            cart = await ann.get("/cart")
    assert (page.status_code, cart.status_code) == (503, 503)
    assert (kept(page)["name"], hidden(page)) == ("Ada Lovelace", terms)
    assert "Your cart is safe." in cart.text
    assert others.orders == {}


async def test_a_new_total_that_cannot_be_shown_is_not_ordered(browser, others) -> None:
    """The cart cannot be read after a price change: the old terms stay, so nothing can be ordered for another price."""
    async with browser() as ann:
        terms = await begin(ann)
        others.down.add("catalog")
        others.refusals = [(409, "price-changed", {"quote": {"amount": 1, "currency": "EUR"}})]
        page = await ann.post("/checkout", data=TYPED | terms)
    assert (page.status_code, hidden(page)) == (503, terms)


HOSTILE = [
    ("name", "", "Fill in this field."),
    ("name", "x" * 101, "This is too long."),
    ("line1", "\u202eturned around", "Remove line breaks and characters that cannot be seen."),
    ("line1", "two\nlines", "Remove line breaks and characters that cannot be seen."),
    ("line2", "\u200b", "Remove line breaks and characters that cannot be seen."),
    ("city", "a\0b", "Remove line breaks and characters that cannot be seen."),
    ("postal_code", "1" * 21, "This is too long."),
    ("country", "XX", "Choose a country from the list."),
    ("country", "", "Choose a country from the list."),
    ("card", "tok_gold", "Choose one of these cards."),
    ("card", "", "Choose one of these cards."),
]


@pytest.mark.parametrize(("name", "text", "words"), HOSTILE)
async def test_a_wrong_field_says_what_to_do_and_the_others_stay(browser, others, name: str, text: str, words) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        page = await ann.post("/checkout", data=TYPED | terms | {name: text})
    assert page.status_code == 422
    assert f'id="{name}-error"' in page.text
    assert words in page.text
    assert f'aria-describedby="{name}-error"' in page.text
    assert hidden(page) == terms
    assert all(kept(page)[other] == ADDRESS[other] for other in kept(page) if other != name)
    assert others.orders == {}


@pytest.mark.parametrize(
    "text",
    ["Søren 🧑‍🚀 Ørsted", "שלום", "李雷", 'O\'Brien "Bob" <b>&amp;', "‏ישראל‏", "x" * 100, "'; DROP TABLE orders --"],
)
async def test_any_name_that_people_have_is_taken_as_it_is(browser, others, text: str) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        await ann.post("/checkout", data=TYPED | terms | {"name": text})
        (order,) = others.orders.values()
        page = await ann.get(f"/orders/{order['id']}")
    assert order["shipping_address"]["name"] == text
    assert text in unescape(page.text)
    assert "<b>" not in page.text


async def test_typed_markup_is_shown_as_text(browser) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        page = await ann.post("/checkout", data=TYPED | terms | {"name": '"><script>x</script>', "country": ""})
    assert "<script>x" not in page.text
    assert kept(page)["name"] == '"><script>x</script>'


@pytest.mark.parametrize(
    "damage",
    [
        {"key": ""},
        {"key": "x\r\nX-Y: z"},
        {"key": "k" * 300},
        {"cart_version": "../.."},
        {"amount": "-1"},
        {"amount": "9" * 30},
        {"amount": "2.5"},
        {"currency": "€"},
        {"currency": "EURO"},
        {"currency": ""},
    ],
)
async def test_damaged_hidden_fields_are_replaced_and_nothing_is_ordered(browser, others, damage: Any) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        page = await ann.post("/checkout", data=TYPED | terms | damage)
    assert page.status_code == 422
    assert "Nothing has been ordered yet." in page.text
    assert hidden(page)["amount"] == "2500"
    assert kept(page)["name"] == "Ada Lovelace"
    assert others.orders == {}


async def test_an_address_that_only_order_refuses_stays_on_the_page(browser, others) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        others.refusals = [(422, "invalid-request", {"errors": []})]
        page = await ann.post("/checkout", data=TYPED | terms)
    assert (page.status_code, "The order was not accepted." in page.text) == (422, True)
    assert kept(page)["name"] == "Ada Lovelace"
