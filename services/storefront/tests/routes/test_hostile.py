"""Hostile input: every page answers with a page, never with a 500, a script of the sender, or a way to another site.

The pages are those of the routers, so a new one is here by itself. A new form needs a line in FORMS.
"""

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from fastapi.routing import APIRoute

import storefront
from storefront.routes import routers

SOURCE = Path(storefront.__file__).parent

SCRIPT = "<script>alert(1)</script>"
UUID = "00000000-0000-4000-8000-000000000001"
TEXTS = {
    "nothing": "",
    "script": f"{SCRIPT}\"'><img src=x onerror=alert(1)>&lt;",
    "NUL": "a\0b\x01\x7f\ufffe",
    "emoji": "👩‍👩‍👧‍👦🏴‍☠️",
    "right to left": "\u202eمرحبا\u2066 \u200bשלום",
    "line breaks": "a\r\nSet-Cookie: x=y\r\n\r\nb",
    "too much": "x" * 2_500,
    "much too long a number": "9" * 400,
    "template": "{{ 7*7 }}{% raw %}%(x)s %s ${x}",
    "another site": "//evil.example/\\evil.example",
}
PRODUCT = {"name": "Mug", "description": "A mug", "category": "home", "price": "12.50", "image_url": ""}
FORMS: dict[str, tuple[dict[str, str], str]] = {  # by path: a good form, and its fields that people type in
    "/language": ({"language": "en", "to": "/"}, ""),
    "/login": ({"email": "boss@b.example", "password": "correct horse", "to": "/"}, "email"),
    "/register": ({"name": "Bob", "email": "b@b.example", "password": "12345678", "to": "/"}, "name email"),
    "/logout": ({}, ""),
    "/account": ({"current": "correct horse", "new": "12345678"}, ""),
    "/cart/items": ({"sku": "MUG-1", "quantity": "1", "to": "/"}, ""),
    "/cart/items/add": ({"sku": "MUG-1", "quantity": "1", "key": "k"}, ""),
    "/cart/items/remove": ({"sku": "MUG-1", "to": "/"}, ""),
    "/checkout": (
        {"key": UUID, "cart_version": UUID, "amount": "1250", "currency": "EUR", "card": "tok_visa", "country": "DE"}
        | {"name": "Ann", "line1": "Quay 1", "line2": "", "postal_code": "20457", "city": "Hamburg"},
        "name line1 line2 postal_code city",
    ),
    "/orders/{id}/cancel": ({}, ""),
    "/orders/{id}/again": ({}, ""),
    "/admin/products": ({"sku": "NEW-1", **PRODUCT}, "sku name description category price image_url"),
    "/admin/products/{sku}": ({"version": '"1-1"', **PRODUCT}, "name description category price image_url"),
    "/admin/products/{sku}/hide": ({"version": '"1-1"'}, ""),
    "/admin/products/{sku}/restore": ({}, ""),
    "/admin/products/{sku}/stock": ({"id": UUID, "quantity": "5"}, ""),
    "/admin/orders/{order_id}/refund": ({"reason": "x", "confirmed": "yes"}, ""),
}
LINE = {"sku": "MUG-1", "name": f"Mug {SCRIPT}", "quantity": 1, "unit_price": {"amount": 1250, "currency": "EUR"}}
GOOD = {"sku": "MUG-1", "category": "home", "id": UUID, "order_id": UUID, "version": "x", "name": "shop.css"}
ROUTES = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
PAGES = [route.path for route in ROUTES if "GET" in route.methods]


@pytest.fixture
async def boss(browser, others) -> AsyncIterator[httpx2.AsyncClient]:
    """The most powerful visitor: one who may see every page, and has a cart and an order."""
    others.sell("<HOSTILE>", name=f"Mug {SCRIPT}", description=f"</script>{SCRIPT}", category=f'"{SCRIPT}')
    others.accounts["boss@b.example"] = f"Boss {SCRIPT}"
    others.scopes["boss@b.example"] = "catalog:write orders:manage"
    others.carts["account-boss@b.example-1"] = {"MUG-1": 1, "<HOSTILE>": 2}
    others.managed.order(UUID, lines=[LINE])
    others.managed.pay(UUID, reason=SCRIPT)
    others.orders["an earlier key"] = {**others.managed.orders[UUID], "owner": "account-boss@b.example"}
    async with browser(Referer="http://test//evil.example") as boss:
        await boss.post("/login", data={"email": "boss@b.example", "password": "correct horse"})
        yield boss


def query_names() -> set[str]:
    """Returns all names in queries: of fields and links in templates, and those that routes read."""
    found = {parameter.alias for route in ROUTES for parameter in route.dependant.query_params}
    for template in SOURCE.glob("templates/*.html"):
        found |= set(re.findall(r"(?<=[?&;])[a-z_]+(?==)|(?<=name=\")[a-z_]+", template.read_text()))
    for module in SOURCE.glob("routes/**/*.py"):
        reads = re.findall(r".*\b(?:get|text|number)\(.*", module.read_text())
        found |= set(re.findall(r'"([a-z_]+)"', "\n".join(reads)))
    return found


def judge(answer: httpx2.Response) -> None:
    """Fails for what no answer may be."""
    assert answer.status_code != 500
    location = answer.headers.get("Location", "/")
    assert location.startswith("/")
    assert location[1:2] not in ("/", "\\")
    assert {name.lower() for name in answer.headers}.isdisjoint({"x", "set-cookie2"})
    if answer.headers.get("Content-Type", "").startswith("text/html") and answer.text:
        assert SCRIPT not in answer.text
        assert "<img src=x" not in answer.text
        assert "49" not in answer.text.partition("<main")[2].partition("{{ 7*7 }}")[2][:3]
        assert re.findall(".{30}[\0-\x08\x0b\x0e-\x1f\x7f-\x9f\ufffe]", answer.text) == []


def test_every_form_is_here() -> None:
    assert {route.path for route in ROUTES if "POST" in route.methods} == FORMS.keys()


@pytest.mark.parametrize("path", FORMS)
async def test_each_form_is_good_before_it_is_spoiled(boss: httpx2.AsyncClient, path: str) -> None:
    """Otherwise its fields would be refused before they are used."""
    answer = await boss.post(path.format(**GOOD), data=FORMS[path][0])
    assert answer.status_code == 303


@pytest.mark.parametrize("text", TEXTS)
async def test_no_field_of_any_form_breaks_it(boss: httpx2.AsyncClient, text: str) -> None:
    for path, (good, _) in FORMS.items():
        for name in good:
            judge(await boss.post(path.format(**GOOD), data=good | {name: TEXTS[text]}))
        if path in ("/logout", "/account"):
            await boss.post("/login", data={"email": "boss@b.example", "password": "correct horse"})


@pytest.mark.parametrize("text", [name for name in TEXTS if name not in ("nothing", "NUL", "line breaks", "too much")])
async def test_a_refused_form_still_has_what_was_typed(boss: httpx2.AsyncClient, text: str) -> None:
    for path, (good, typed) in FORMS.items():
        names = typed.split()
        answer = await boss.post(path.format(**GOOD), data=good | dict.fromkeys(names, TEXTS[text]))
        judge(answer)
        if names and answer.status_code != 303:
            assert answer.text.count(
                html.escape(TEXTS[text]).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
            ) >= len(names), path


def test_the_names_in_queries_are_found() -> None:
    office = {"find", "status", "principal", "waiting_seconds", "hidden", "below", "done"}
    assert query_names() >= office | {"q", "min", "max", "in_stock", "sort", "cursor", "to", "notice", "ended"}


@pytest.mark.parametrize("text", TEXTS)
async def test_no_address_breaks_a_page(boss: httpx2.AsyncClient, text: str) -> None:
    hostile = quote(TEXTS[text], safe="")
    fields = [f"{name}={hostile}" for name in sorted(query_names())]
    queries = ["&".join(fields[at : at + 20]) for at in range(0, len(fields), 20)]  # an address has a limit
    for path in PAGES:
        if path.endswith("/events"):
            continue
        judge(await boss.get(path.format(**GOOD)))
        for query in queries:
            judge(await boss.get(f"{path.format(**GOOD)}?{query}"))
        judge(await boss.get(path.format(**dict.fromkeys(GOOD, hostile))))
        judge(await boss.head(path.format(**dict.fromkeys(GOOD, hostile))))


@pytest.mark.parametrize(
    "cookie",
    [
        "session=",
        "session=forged",
        "session=" + "x" * 7_000,
        "language=<script>",
        'session="a\\"; language=zz; =; ;;',
        "session=\xff\xfe",
        "language=en; language=zh-Hans; session=a; session=b",
        "a=b; " * 500,
    ],
)
async def test_no_cookie_breaks_a_page(browser, cookie: str) -> None:
    async with browser() as visitor:
        for path in ("/", "/cart", "/checkout", "/orders", "/account", "/login", "/admin", "/nowhere"):
            judge(await visitor.get(path, headers={"Cookie": cookie.encode("latin-1")}))
        added = await visitor.post(
            "/cart/items", data={"sku": "MUG-1", "quantity": "1"}, headers={"Cookie": cookie.encode("latin-1")}
        )
    assert added.status_code == 303
    assert len(added.cookies["session"]) == 43  # a session of its own


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"x" * 10_000_000, 413),
        ({}, b"a=%ff", 422),
        ({}, b"a=\xff", 422),
        ({}, b"&".join(b"a=%d" % n for n in range(1_000)), 422),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x", 422),
        ({"Content-Type": "application/json"}, b'{"a": 1, "a": 2}', 400),
        ({"Content-Type": "text/plain"}, b"a=b", 422),
    ],
)
async def test_no_body_breaks_a_form(browser, headers: dict[str, str], body: bytes, status: int) -> None:
    async with browser() as visitor:
        for path in FORMS:
            if path.startswith("/admin") or path in ("/logout", "/orders/{id}/cancel", "/orders/{id}/again"):
                continue
            answer = await visitor.post(
                path, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"} | headers
            )
            judge(answer)
            if path != "/account":  # it asks a stranger for a login first
                assert answer.status_code == status, path


async def test_texts_of_owners_and_shoppers_are_shown_and_not_run(boss: httpx2.AsyncClient, others) -> None:
    for path in ("/", "/search?q=mug", "/cart", "/account", "/admin/products", "/orders"):
        page = await boss.get(path)
        judge(page)
        assert page.status_code == 200
        assert "&lt;script&gt;" in page.text
