"""What shoppers do, from the first page to the confirmed order, and what they see when something changes meanwhile."""

import re
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect
from visitors import ADDRESS, CATEGORIES, IN_STOCK, buy, check_out, log_in, order, put_into_cart

CONFIRMED, REFUSED = "Paid and confirmed", "Payment refused"


def sees(page: Page, state: str) -> None:
    """Waits until an order's page tells this state, without a click."""
    expect(page.get_by_role("heading", level=1)).to_have_text(state)


def orders(page: Page) -> int:
    page.goto("/orders")
    return page.locator("main a[href^='/orders/']").count()


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_a_guest_orders(visit, script: bool) -> None:
    page = visit("/", java_script_enabled=script)

    page.get_by_role("main").get_by_role("link", name=CATEGORIES[0].name).first.click()
    product = page.get_by_role("main").get_by_role("link", name=CATEGORIES[0].products[0].name)
    product.click()
    page.get_by_role("button", name="Add to cart").click()
    expect(page.locator("#count")).to_have_text("1")
    page.get_by_role("link", name=re.compile("^Cart")).click()
    page.get_by_role("link", name="Go to checkout").click()
    check_out(page)
    order(page)

    sees(page, CONFIRMED)
    assert orders(page) == 1


def quantity(page: Page, sku: str) -> int:
    """Returns how many articles of a product are in the cart."""
    page.goto("/cart")
    return int(page.locator(f"#line-{sku} input.quantity").input_value())


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_adding_one_to_two_makes_three(visit, admin, script: bool) -> None:
    page, sku = visit("/", java_script_enabled=script), admin.product(stock=5)
    for number in ("2", "1"):
        page.goto(f"/p/{sku}")
        page.get_by_label("Quantity").fill(number)
        page.get_by_role("button", name="Add to cart").click()
        expect(page.locator("#count")).to_have_text("2" if number == "2" else "3")

    assert quantity(page, sku) == 3


def test_each_click_on_the_same_page_adds_and_says_what_is_too_much(visit, admin) -> None:
    page, sku = visit("/"), admin.product(stock=2)
    page.goto(f"/p/{sku}")
    for count in (1, 2, 3):
        page.get_by_role("button", name="Add to cart").click()
        expect(page.locator("#count")).to_have_text(str(count))
        expect(page.get_by_role("status")).to_contain_text("It is in your cart.")
    expect(page.get_by_role("status")).to_contain_text("Only 2 left.")

    assert quantity(page, sku) == 3


def test_a_double_click_and_the_back_button_add_once_without_javascript(visit, admin) -> None:
    page, sku = visit("/", java_script_enabled=False), admin.product(stock=5)
    put_into_cart(page, IN_STOCK)  # so that all clicks belong to one session
    page.goto(f"/p/{sku}")
    page.get_by_role("button", name="Add to cart").dblclick()
    expect(page).to_have_url(re.compile("/cart"))  # of two navigations, the second ends the first: wait for none
    page.go_back()
    page.get_by_role("button", name="Add to cart").click()

    expect(page.get_by_role("alert")).to_contain_text("has been added already")
    assert quantity(page, sku) == 1


def test_the_steps_of_an_order_arrive_by_themselves(visit, without) -> None:
    page = visit("/")
    with without("payment"):
        buy(page, IN_STOCK)
        sees(page, "Stock reserved")
        page.evaluate("window.stays = true")

    sees(page, CONFIRMED)
    assert page.evaluate("window.stays")  # the page was not loaded again
    page.get_by_text("Behind the scenes").click()
    expect(page.get_by_role("table")).to_contain_text("payment.captured.v1")


def test_a_guest_s_cart_is_merged_at_login(visit, admin) -> None:
    known, guests = admin.product(stock=5), admin.product(stock=5)
    email, password = f"{uuid4().hex}@example.com", "a long password of mine"
    page = visit("/register")
    page.get_by_label("Your name").fill("Ann Lee")
    page.get_by_label("Email address").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Create the account").click()
    page.wait_for_url("/")
    put_into_cart(page, known)

    other = visit("/")
    put_into_cart(other, guests)
    log_in(other, email, password)
    other.goto("/cart")

    expect(other.get_by_role("main")).to_contain_text(f"Test product {known}")
    expect(other.get_by_role("main")).to_contain_text(f"Test product {guests}")


def test_the_price_changes_at_checkout(visit, admin) -> None:
    page, sku = visit("/"), admin.product(stock=5, amount=500)
    put_into_cart(page, sku)
    check_out(page)
    admin.set_price(sku, 700)
    page.get_by_role("button", name="Order now").click()

    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("€5.00")
    expect(alert).to_contain_text("€7.00")
    expect(page.get_by_label("City")).to_have_value(ADDRESS["City"])
    order(page, "Accept €7.00 and order")
    sees(page, CONFIRMED)


@pytest.mark.parametrize("amount", [700, 300])
def test_the_price_of_a_line_changes(visit, admin, amount: int) -> None:
    page, sku = visit("/"), admin.product(stock=5, amount=500)
    put_into_cart(page, sku)
    admin.set_price(sku, amount)
    page.goto("/cart")
    line, note = page.locator(f"#line-{sku}"), "The price was €5.00 when you put it in."
    expect(line).to_contain_text(note)
    expect(line).to_contain_text(f"€{amount / 100:.2f}")

    line.get_by_role("spinbutton").fill("2")
    line.get_by_role("button", name="Update").click()
    expect(line).to_contain_text(f"€{2 * amount / 100:.2f}")
    expect(line).not_to_contain_text("The price was")


def test_the_last_one_is_sold_meanwhile(visit, admin, shopper) -> None:
    page, sku = visit("/"), admin.product(stock=1)
    put_into_cart(page, sku)
    check_out(page)
    shopper.waits_for(shopper.buy(sku), "CONFIRMED")
    page.get_by_role("button", name="Order now").click()

    expect(page.get_by_role("alert")).to_contain_text("Sorry, others were faster")
    expect(page.get_by_role("main")).to_contain_text("Sold out")


def test_a_double_click_and_the_back_button_make_one_order(visit, without) -> None:
    page = visit("/")
    put_into_cart(page, IN_STOCK)
    check_out(page)
    with without("payment"):  # so that the cart stays as it is
        page.get_by_role("button", name="Order now").dblclick()
        expect(page).to_have_url(re.compile("/orders/"))
        first = page.url.partition("?")[0]  # the second click may lead there with a notice
        page.go_back()
        check_out(page)
        order(page)

    assert page.url == f"{first}?notice=placed-before"
    sees(page, CONFIRMED)
    assert orders(page) == 1


def test_the_cart_changes_in_another_tab(visit, admin) -> None:
    page, one, two = visit("/"), admin.product(stock=5), admin.product(stock=5)
    put_into_cart(page, one)
    check_out(page)
    other = page.context.new_page()
    put_into_cart(other, two)
    page.get_by_role("button", name="Order now").click()

    expect(page.get_by_role("alert")).to_contain_text("Your cart has changed")
    expect(page.get_by_role("main")).to_contain_text(f"Test product {two}")
    order(page, "Order again with these details")
    sees(page, CONFIRMED)


def test_a_declined_card_is_replaced_by_a_good_one(visit) -> None:
    page = visit("/")
    buy(page, IN_STOCK, card="A declined card")
    sees(page, REFUSED)
    expect(page.locator("#count")).to_have_text("1")

    page.get_by_role("button", name="Order again with another card").click()
    page.wait_for_url("**/checkout?order=*")
    expect(page.get_by_role("radio", name="A good card")).to_be_checked()
    order(page)  # the address is filled in
    sees(page, CONFIRMED)
    assert orders(page) == 2


def test_back_from_an_order_shows_the_form_that_was_corrected(visit) -> None:
    page = visit("/")
    put_into_cart(page, IN_STOCK)
    check_out(page)
    page.get_by_label("City").fill(" ")
    page.get_by_role("button", name="Order now").click()
    expect(page.locator("[aria-invalid]")).to_have_count(1)
    expect(page.locator("#count")).to_have_text("1")
    page.get_by_label("City").fill(ADDRESS["City"])
    order(page)
    sees(page, CONFIRMED)

    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Checkout")


def test_a_confirmed_order_is_cancelled(visit) -> None:
    page = visit("/")
    buy(page, IN_STOCK)
    sees(page, CONFIRMED)

    page.get_by_text("Cancel this order").click()
    page.get_by_role("button", name="Yes, cancel the order").click()
    sees(page, "Refunded")


def test_another_shopper_s_order_does_not_exist(visit) -> None:
    page = visit("/")
    id = buy(page, IN_STOCK)
    other = visit("/")
    assert other.goto(f"/orders/{id}").status == 404


def test_everything_can_be_done_by_keyboard(visit) -> None:
    page = visit("/")
    press(page, page.get_by_role("main").get_by_role("link", name=CATEGORIES[0].name).first)
    press(page, page.get_by_role("main").get_by_role("link", name=CATEGORIES[0].products[0].name))
    press(page, page.get_by_role("button", name="Add to cart"))
    expect(page.locator("#count")).to_have_text("1")
    press(page, page.get_by_role("link", name=re.compile("^Cart")))
    press(page, page.get_by_role("link", name="Go to checkout"))
    for label, text in ADDRESS.items():
        move(page, page.get_by_label(label, exact=True))
        page.keyboard.type(text)
    move(page, page.get_by_label("Country"))
    page.keyboard.type("Norway")
    move(page, page.get_by_role("radio", name="A good card"))
    page.keyboard.press("Space")
    press(page, page.get_by_role("button", name="Order now"))

    sees(page, CONFIRMED)
    press(page, page.get_by_text("Behind the scenes"))
    expect(page.get_by_role("table")).to_be_visible()


def move(page: Page, target) -> None:
    """Presses Tab until the element has the focus, at most once for each element of the page."""
    target.wait_for()
    for _ in range(200):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {target}")


def press(page: Page, target) -> None:
    move(page, target)
    page.keyboard.press("Enter")


def test_the_language_is_chosen_and_remembered(visit) -> None:
    page = visit("/")
    page.get_by_role("button", name="简体中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")

    page.goto(f"/p/{IN_STOCK}")
    page.get_by_role("button", name="加入购物车").click()
    page.goto("/cart")
    expect(page.get_by_role("heading", level=1)).to_have_text("购物车")
