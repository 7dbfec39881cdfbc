"""What scripts add to pages that also work without them: suggestions, a cart that fills in place, longer lists."""

import re

import pytest
from playwright.sync_api import expect
from visitors import IN_STOCK, buy


def test_a_suggestion_is_chosen_by_keyboard(visit) -> None:
    page = visit("/")
    search = page.get_by_role("combobox", name="Search products")
    search.press_sequentially("soap")
    options = page.get_by_role("listbox", name="Suggestions").get_by_role("option")
    expect(options.first).to_contain_text(re.compile("soap", re.IGNORECASE))  # those for "soa" have gone
    search.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    name = options.first.inner_text().split("\n")[0].strip()
    search.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_suggestions_go_away(visit) -> None:
    page = visit("/")
    search = page.get_by_role("combobox", name="Search products")
    search.press_sequentially("soap")
    options = page.get_by_role("option")
    expect(options.first).to_be_visible()
    search.press("Escape")
    expect(options).to_have_count(0)
    search.press("Enter")
    expect(page).to_have_url("/search?q=soap")


@pytest.mark.parametrize("key", ["ArrowDown", "Escape"])
def test_an_answer_that_comes_late_changes_nothing_in_the_suggestions(visit, key: str) -> None:
    page, held = visit("/"), []
    page.route("**/api/catalog/products?q=soap&*", lambda route: held.append(route))
    search = page.get_by_role("combobox", name="Search products")
    search.press_sequentially("soa")
    expect(page.get_by_role("option").first).to_be_visible()
    with page.expect_request("**/api/catalog/products?q=soap&*"):
        search.press("p")
    search.press(key)
    shown = page.locator("#suggestions").inner_html()
    with page.expect_response("**/api/catalog/products?q=soap&*") as late:
        held.pop().continue_()
    late.value.finished()
    page.evaluate("fetch('/').then(answer => answer.text())")  # later than what was asked
    assert page.locator("#suggestions").inner_html() == shown
    assert ('aria-selected="true"' in shown) == (key == "ArrowDown")


def test_a_product_is_added_without_a_new_page(visit) -> None:
    page = visit(f"/p/{IN_STOCK}")
    page.get_by_label("Quantity").fill("2")
    page.get_by_role("button", name="Add to cart").click()
    expect(page.get_by_role("status")).to_have_text("It is in your cart.")
    expect(page.locator("#count")).to_have_text("2")
    expect(page).to_have_url(f"/p/{IN_STOCK}")


def test_more_products_follow_those_that_are_there(visit) -> None:
    page = visit("/search")
    links = page.locator("#products h3 a")
    first = links.all_inner_texts()
    page.get_by_role("link", name="Show more products").click()
    expect(links).to_have_count(2 * len(first))
    expect(links.nth(len(first))).to_be_focused()
    assert links.all_inner_texts()[: len(first)] == first
    expect(page.get_by_role("link", name="Show more products")).to_have_count(1)


def test_suggestions_are_asked_without_cookies_so_that_the_edge_answers_from_its_cache(visit) -> None:
    page = visit(f"/p/{IN_STOCK}")
    page.get_by_role("button", name="Add to cart").click()
    expect(page.locator("#count")).to_have_text("1")  # from now on there is a session
    with page.expect_request("**/api/catalog/products?*") as asked:
        page.get_by_role("combobox", name="Search products").press_sequentially("soap")
    assert "cookie" not in asked.value.all_headers()


def test_enter_belongs_to_the_input_method_while_it_composes(visit) -> None:
    page = visit("/")
    search = page.get_by_role("combobox", name="Search products")
    search.press_sequentially("soap")
    expect(page.get_by_role("option").first).to_be_visible()
    search.press("ArrowDown")
    enter = "new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, cancelable: true})"
    assert search.evaluate(f"input => input.dispatchEvent({enter})")  # the page did not take it
    expect(page).to_have_url("/")


def test_a_page_of_an_order_asks_no_more_after_its_session_ended(visit, without) -> None:
    page = visit("/")
    asked = []
    with without("payment"):
        buy(page, IN_STOCK)
        page.wait_for_url("**/orders/*")
        page.route("**/orders/*/events", lambda route: route.fulfill(status=204))  # so the page asks now and then
        page.clock.install()
        page.reload()
        page.context.clear_cookies(name="session")
        page.on("response", lambda answer: asked.append(answer.status) if answer.url == page.url else None)
        with page.expect_response(page.url):
            page.clock.run_for(3_500)
        for _ in range(3):
            page.clock.run_for(3_500)
            page.evaluate("fetch('/').then(answer => answer.text())")  # later than what was asked
    assert asked == [404]


def test_what_was_opened_on_the_page_of_an_order_stays_open(visit, without) -> None:
    page = visit("/")
    with without("payment"):
        buy(page, IN_STOCK)
        page.wait_for_url("**/orders/*")
        page.get_by_text("Cancel this order").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Paid and confirmed")
    expect(page.get_by_role("button", name="Yes, cancel the order")).to_be_visible()
