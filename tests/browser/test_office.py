"""What the owner of the shop does in the back office."""

import re
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect


@pytest.fixture
def office(visit, visitors):
    """`page = office("/admin")` opens a page as the administrator."""
    return lambda path: visit(path, storage_state=visitors("administrator").state)


def test_a_product_is_created_and_stocked(office) -> None:
    page, sku = office("/admin"), f"NEW-{uuid4().hex[:8].upper()}"
    page.get_by_role("link", name="Products", exact=True).click()
    page.get_by_role("link", name="New product").click()
    fields = {
        "SKU": sku,
        "Name": "A new <b>lamp</b>",
        "Description": "Bright.",
        "Category": "tests",
        "Price in EUR": "12.50",
    }
    for label, text in fields.items():
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_role("button", name="Add the product").click()
    expect(page.get_by_role("status")).to_contain_text("in the shop")

    page.get_by_role("link", name="Restock and history").click()
    page.get_by_label("Add to the stock").fill("5")
    page.get_by_role("button", name="Add", exact=True).dblclick()  # the same form twice is one restock
    expect(page.get_by_role("status")).to_contain_text("The stock is added")
    expect(page.get_by_role("table")).to_contain_text("+5")
    page.goto(f"/p/{sku}")
    expect(page.get_by_role("heading", level=1)).to_have_text("A new <b>lamp</b>")
    expect(page.get_by_role("main")).to_contain_text("Only 5 left")


def test_two_edits_at_the_same_time(office, admin) -> None:
    path = f"/admin/products/{admin.product(stock=1)}"
    page = office(path)
    other = page.context.new_page()
    other.goto(path)
    rename(page, "Their name")
    expect(page.get_by_role("status")).to_contain_text("saved")
    rename(other, "My name")

    expect(other.get_by_role("row", name="Name")).to_contain_text("Their name")
    expect(other.get_by_role("row", name="Name")).to_contain_text("My name")
    other.get_by_role("button", name="Save mine over it").click()
    expect(other.get_by_role("heading", level=1)).to_have_text("My name")


def rename(page: Page, name: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Save").click()


def test_a_product_is_hidden_and_put_back(office, admin) -> None:
    sku = admin.product(stock=1)
    page = office(f"/admin/products/{sku}")
    page.get_by_role("button", name="Hide from the shop").click()
    expect(page.get_by_role("status")).to_contain_text("hidden")
    assert page.request.get(f"/p/{sku}").status == 404

    page.get_by_role("button", name="Put back into the shop").click()
    expect(page.get_by_role("status")).to_contain_text("in the shop again")
    assert page.request.get(f"/p/{sku}").status == 200


def test_an_order_is_refunded(office, admin, shopper) -> None:
    id = shopper.buy(admin.product(stock=1, amount=1250))
    shopper.waits_for(id, "CONFIRMED")
    page = office("/admin/orders")
    page.get_by_label("Order ID or email address").fill(id)
    page.get_by_role("main").get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Refund…").click()
    page.get_by_role("button", name="Refund €12.50").click()

    expect(page.get_by_role("main")).to_contain_text(re.compile("The refund has started|Refunded"))
    shopper.waits_for(id, "REFUNDED")


def test_a_shopper_has_no_back_office(visit, visitors) -> None:
    page = visit("/", storage_state=visitors("shopper").state)
    for path in ("/admin", "/admin/products", "/admin/orders"):
        assert page.goto(path).status == 403
