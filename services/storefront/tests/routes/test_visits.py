"""Forms whose session has ended: nothing that was typed is lost, and no password is shown."""

import re
from html import unescape

import pytest

from storefront.routes.forms import SECRET

from .test_checkout import TYPED, begin, kept

FORM = "application/x-www-form-urlencoded"
EMAIL = "ann@example.com"
LOGIN = {"email": EMAIL, "password": "correct horse"}
HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')
ACTION = re.compile(r'<form class="actions" action="([^"]*)" method="post">')
PRODUCT = {
    "sku": "LAMP-1",
    "name": 'A "lamp" <b>',
    "description": "Bright.\r\n\r\n  Very & bright.",
    "category": "home",
    "price": "12.50",
    "image_url": "",
}


@pytest.fixture(autouse=True)
def accounts(others) -> None:
    others.accounts[EMAIL] = "Ann"


def form_of(page) -> tuple[str, dict[str, str]]:
    """Returns the path and the fields of the form that a page offers to send again."""
    main = page.text.partition("<main")[2].partition("</main>")[0]
    assert page.status_code == 401
    assert page.headers["Cache-Control"] == "private, no-cache"
    assert "Your session has ended" in main
    (action,) = ACTION.findall(main)
    return unescape(action), {unescape(name): unescape(value) for name, value in HIDDEN.findall(main)}


async def test_a_managers_form_is_sent_again_after_a_login(browser, others) -> None:
    others.scopes[EMAIL] = "catalog:write"
    async with browser(Cookie="session=forged") as ann:
        path, fields = form_of(await ann.post("/admin/products", data=PRODUCT))
        assert (path, fields) == ("/admin/products", {**PRODUCT, "description": fields["description"]})
        assert fields["description"].split() == PRODUCT["description"].split()
        del ann.headers["Cookie"]
        await ann.post("/login", data=LOGIN)
        answer = await ann.post(path, data=fields)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/products/LAMP-1?done=created")
    assert others.products["LAMP-1"]["name"] == PRODUCT["name"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/admin/products/MUG-1", {"name": "A cup", "version": '"1-1"'}),
        ("/admin/products/MUG-1/stock", {"quantity": "5", "id": "restock-1"}),
        ("/admin/products/MUG-1/hide", {"version": '"1-1"'}),
        ("/admin/orders/00000000-0000-4000-8000-000000000001/refund", {}),
        ("/orders/00000000-0000-4000-8000-000000000001/again", {"to": "/checkout"}),
    ],
)
async def test_an_account_whose_tokens_cannot_be_renewed_keeps_its_form(browser, others, path, fields) -> None:
    others.expires_in = 1  # so each request renews the token
    others.scopes[EMAIL] = "catalog:write orders:manage"
    async with browser() as ann:
        await ann.post("/login", data=LOGIN)
        others.revoked.append(f"refresh-{EMAIL}-1")
        assert form_of(await ann.post(path, data=fields)) == (path, fields)


async def test_an_order_is_placed_once_after_a_new_login(browser, others) -> None:
    others.carts[f"account-{EMAIL}-2"] = {"MUG-1": 2}
    async with browser() as ann:
        await ann.post("/login", data=LOGIN)
        terms = await begin(ann)
        ann.cookies.clear()
        path, fields = form_of(await ann.post("/checkout", data=TYPED | terms))
        assert others.orders == {}
        await ann.post("/login", data=LOGIN)
        answers = [await ann.post(path, data=fields) for _ in range(2)]
    (order,) = others.orders.values()
    assert [answer.headers["Location"] for answer in answers] == [f"/orders/{order['id']}"] * 2


async def test_a_guest_keeps_the_address_and_fills_a_new_cart(browser, others) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        ann.cookies.clear()
        page = await ann.post("/checkout", data=TYPED | terms)
        path, fields = form_of(page)
        assert "your cart has ended with the session" in page.text
        assert form_of(await ann.post(path, data=fields)) == (path, fields)  # as often as one likes
        await ann.post("/cart/items", data={"sku": "MUG-1", "quantity": "1"})
        others.refusals = [(409, "cart-changed", {})]
        again = await ann.post(path, data=fields)
    assert (again.status_code, kept(again)) == (409, {n: v for n, v in TYPED.items() if n not in ("card", "country")})


async def test_a_token_that_order_refuses_does_not_blame_the_address(browser, others) -> None:
    async with browser() as ann:
        terms = await begin(ann)
        others.refusals = [(401, "invalid-token", {})]
        path, fields = form_of(await ann.post("/checkout", data=TYPED | terms))
    assert (path, fields) == ("/checkout", TYPED | terms)


async def test_a_guests_token_that_cart_refuses_is_replaced(browser, others, problem) -> None:
    async with browser() as ann:
        await ann.post("/cart/items", data={"sku": "MUG-1", "quantity": "1"})
        others.refused |= {path: problem(401, "invalid-token") for path in ("/api/cart/items/MUG-1", "/api/cart")}
        path, fields = form_of(await ann.post("/cart/items", data={"sku": "MUG-1", "quantity": "3", "to": "/p/MUG-1"}))
        answer = await ann.post(path, data=fields)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/p/MUG-1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", '"><script>alert(1)</script>'),
        ('"><script>alert(1)</script>', "x"),
        ("name", "👩‍👩‍👧‍👦 \u202eمرحبا"),
        ("name", "x" * 60_000),
        ("action", "https://evil.example"),
        ("", ""),
    ],
)
async def test_hostile_fields_are_kept_as_text(browser, name: str, value: str) -> None:
    async with browser() as stranger:
        page = await stranger.post("/admin/products", data={name: value})
    assert form_of(page) == ("/admin/products", {name: value})
    assert "<script>alert" not in page.text


async def test_characters_that_html_forbids_are_left_out(browser) -> None:
    async with browser() as stranger:
        page = await stranger.post("/admin/products", data={"na\0me": "a\0b\x1fc\ufffe"})
    assert form_of(page)[1] == {"name": "abc"}


@pytest.mark.parametrize("path", ["/admin/products/%22%3E%3Cscript%3E", "//evil.example/admin/products"])
async def test_the_form_is_never_sent_elsewhere(browser, path: str) -> None:
    async with browser() as stranger:
        page = await stranger.post(f"http://test{path}", data={"name": "x"})
    assert "evil" not in "".join(ACTION.findall(page.text))
    assert "<script>" not in page.text


async def test_passwords_are_not_kept(browser, others) -> None:
    others.expires_in = 1
    async with browser() as ann:
        await ann.post("/login", data=LOGIN)
        others.revoked.append(f"refresh-{EMAIL}-1")
        answer = await ann.post("/account", data={"current": "correct horse", "new": "new-secret-1"})
        again = await ann.post("/admin/products", data={"name": "x", "password": "new-secret-1"})
    assert [each.status_code for each in (answer, again)] == [303, 303]
    assert "secret" not in f"{answer.text} {answer.headers} {again.text} {again.headers}"


async def test_every_field_for_a_password_is_known_as_one(browser) -> None:
    async with browser() as ann:
        pages = [await ann.get("/login"), await ann.get("/register")]
        await ann.post("/login", data=LOGIN)
        pages.append(await ann.get("/account"))
    inputs = [each for page in pages for each in re.findall(r"<input[^>]*>", page.text) if 'type="password"' in each]
    assert len(inputs) == 4
    assert {found[1] for each in inputs if (found := re.search(r' name="(\w+)"', each))} <= SECRET


@pytest.mark.parametrize(
    ("content", "type"), [(b"{}", "application/json"), (b"%ff=%fe", FORM), (b"&a=1" * 600, FORM)], ids=str
)
async def test_what_is_no_form_gets_the_login(browser, content: bytes, type: str) -> None:
    async with browser() as stranger:
        answer = await stranger.post("/admin/products", content=content, headers={"Content-Type": type})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?to=%2F&ended=1")
