"""What pages still do while a part of the shop is down: they show what they can, and lose nothing."""

from playwright.sync_api import expect
from shopper import until
from visitors import ADDRESS, CATEGORY, IN_STOCK, check_out, order, put_into_cart

NOTHING_IS_LOST = "Your cart is safe"


def test_without_valkey_products_are_shown_and_the_cart_is_safe(visit, without) -> None:
    page = visit("/")
    put_into_cart(page, IN_STOCK)
    with without("valkey"):
        assert page.goto(f"/p/{IN_STOCK}").status == 200
        assert page.goto("/cart").status == 503
        expect(page.get_by_role("main")).to_contain_text(NOTHING_IS_LOST)

    page.goto("/cart")
    expect(page.get_by_role("link", name="Go to checkout")).to_be_visible()


def test_without_cart_products_are_shown_without_its_count(visit, without) -> None:
    page = visit("/")
    put_into_cart(page, IN_STOCK)
    expect(page.locator("#count")).to_have_text("1")
    with without("cart"):
        assert page.goto(f"/p/{IN_STOCK}").status == 200
        expect(page.locator("#count")).to_have_text("")
        assert page.goto("/cart").status == 503
        expect(page.get_by_role("main")).to_contain_text(NOTHING_IS_LOST)


def test_without_catalog_the_edge_shows_what_it_has_kept(visit, without) -> None:
    page, path = visit("/"), f"/c/{CATEGORY}"
    page.goto(path)
    notice = page.get_by_text("this page may be a few minutes old")
    expect(notice).to_be_hidden()
    with without("catalog"):
        for _ in until(40, pause=0.5):  # the edge does not ask for a page that it got a second ago
            assert page.goto(path).status == 200
            if notice.is_visible():
                break
        expect(notice).to_be_visible()
        assert page.goto("/search?q=never-asked-before").status == 503
        expect(page.get_by_role("main").get_by_role("link").first).to_be_visible()


def test_without_order_the_checkout_keeps_what_was_typed(visit, without) -> None:
    page = visit("/")
    put_into_cart(page, IN_STOCK)
    check_out(page)
    with without("order"):
        page.get_by_role("button", name="Order now").click()
        expect(page.get_by_role("alert")).to_contain_text(NOTHING_IS_LOST)
        expect(page.get_by_label("City")).to_have_value(ADDRESS["City"])
        assert page.context.new_page().goto("/orders").status == 503

    order(page, "Order again with these details")
    expect(page.get_by_role("heading", level=1)).to_have_text("Paid and confirmed")
