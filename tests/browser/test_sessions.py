"""A session that ends while somebody fills in a form."""

from playwright.sync_api import Page, expect


def log_in_elsewhere(page: Page, email: str, password: str) -> None:
    """Follows the page's link to the login, which opens a new tab."""
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Log in in a new tab").click()
    opened.value.get_by_label("Email address").fill(email)
    opened.value.get_by_label("Password", exact=True).fill(password)
    opened.value.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(opened.value.get_by_role("heading", level=1)).to_have_text("Your account")
    opened.value.close()


def test_an_edit_is_saved_after_a_new_login(visit, visitors, shop, admin) -> None:
    sku = admin.product(stock=1)
    page = visit(f"/admin/products/{sku}", storage_state=visitors("administrator").state)
    page.get_by_label("Name", exact=True).fill('The "new" <b>name</b>')
    page.get_by_label("Description").fill("One line,\n\nand another.")
    page.context.clear_cookies(name="session")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Your session has ended")
    log_in_elsewhere(page, *shop.place.admin)
    page.get_by_role("button", name="Send the form again").click()
    expect(page.get_by_role("status")).to_contain_text("saved")
    expect(page.get_by_label("Name", exact=True)).to_have_value('The "new" <b>name</b>')
    expect(page.get_by_label("Description")).to_have_value("One line,\n\nand another.")


def test_a_guest_keeps_the_address(visit, admin) -> None:
    sku = admin.product(stock=5)
    page = visit(f"/p/{sku}")
    page.get_by_role("button", name="Add to cart").click()
    expect(page.locator("#count")).to_have_text("1")
    page.goto("/checkout")
    page.get_by_label("Full name").fill("Ada Lovelace")
    page.get_by_label("Street and number").fill("St James's Square 12")
    page.get_by_label("Postal code").fill("SW1Y 4LE")
    page.get_by_label("City").fill("London")
    page.get_by_label("Country").select_option("GB")
    page.context.clear_cookies(name="session")
    page.get_by_role("button", name="Order now").click()
    expect(page.get_by_role("main")).to_contain_text("your cart has ended with the session")

    other = page.context.new_page()
    other.goto(f"/p/{sku}")
    other.get_by_role("button", name="Add to cart").click()
    expect(other.locator("#count")).to_have_text("1")
    page.get_by_role("button", name="Send the form again").click()
    expect(page.get_by_role("alert")).to_contain_text("Your cart has changed")
    expect(page.get_by_label("Full name")).to_have_value("Ada Lovelace")
    page.get_by_role("button", name="Order again with these details").click()
    page.wait_for_url("**/orders/*")
