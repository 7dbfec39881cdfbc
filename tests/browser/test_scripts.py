"""What scripts add to pages that also work without them: suggestions, a cart that fills in place, longer lists."""

from playwright.sync_api import expect
from visitors import IN_STOCK


def test_a_suggestion_is_chosen_by_keyboard(visit) -> None:
    page = visit("/")
    search = page.get_by_role("combobox", name="Search products")
    search.press_sequentially("soap")
    options = page.get_by_role("listbox", name="Suggestions").get_by_role("option")
    expect(options.first).to_be_visible()
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
