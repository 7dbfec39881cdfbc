"""Who may see the back office, and who may change something there."""

import pytest

ID = "0198a4e0-0000-7000-8000-000000000001"

CATALOG_PAGES = ["/admin/products", "/admin/products/new", "/admin/products/MUG-1", "/admin/products/MUG-1/stock"]
ORDER_PAGES = ["/admin/orders", f"/admin/orders/{ID}", f"/admin/orders/{ID}/refund"]
CATALOG_POSTS = [
    "/admin/products",
    "/admin/products/MUG-1",
    "/admin/products/MUG-1/hide",
    "/admin/products/MUG-1/restore",
    "/admin/products/MUG-1/stock",
]
ORDER_POSTS = [f"/admin/orders/{ID}/refund"]


def changes(others) -> list[str]:
    return [asked for asked in others.asked if not asked.startswith("GET")]


@pytest.mark.parametrize("path", ["/admin?below=3", *CATALOG_PAGES, *ORDER_PAGES])
async def test_a_stranger_is_asked_to_log_in(browser, others, path: str) -> None:
    async with browser() as stranger:
        answer = await stranger.get(path)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/login?to=" + path.replace("/", "%2F").replace("?", "%3F").replace("=", "%3D")
    assert others.asked == []


@pytest.mark.parametrize("path", [*CATALOG_POSTS, *ORDER_POSTS])
async def test_a_stranger_changes_nothing(browser, others, path: str) -> None:
    async with browser() as stranger:
        answer = await stranger.post(path, data={"quantity": "5", "id": "1"})
    assert (answer.status_code, "Your session has ended" in answer.text) == (401, True)
    assert others.asked == []


async def test_a_guest_is_a_stranger_here(manager) -> None:
    async with manager(name=None) as guest:
        assert (await guest.get("/admin")).headers["Location"] == "/login?to=%2Fadmin"


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        *[("catalog:write", path) for path in ORDER_PAGES],
        *[("orders:manage", path) for path in CATALOG_PAGES],
        ("another", "/admin"),
    ],
)
async def test_a_page_needs_its_scope(manager, scope: str, path: str) -> None:
    async with manager(scope) as bob:
        page = await bob.get(path)
    assert page.status_code == 403
    assert page.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("scope", "path"),
    [*[("catalog:write", path) for path in ORDER_POSTS], *[("orders:manage", path) for path in CATALOG_POSTS]],
)
async def test_a_change_needs_its_scope(manager, others, scope: str, path: str) -> None:
    others.managed.order(ID)
    async with manager(scope) as bob:
        assert (await bob.post(path, data={"quantity": "5", "id": "1"})).status_code == 403
    assert changes(others) == []


@pytest.mark.parametrize("path", [*CATALOG_POSTS, *ORDER_POSTS])
async def test_another_site_changes_nothing(manager, others, path: str) -> None:
    others.managed.order(ID)
    async with manager(**{"Sec-Fetch-Site": "cross-site"}) as ada:
        assert (await ada.post(path, data={"quantity": "5", "id": "1"})).status_code == 403
    assert changes(others) == []


@pytest.mark.parametrize("path", [*CATALOG_POSTS, *ORDER_POSTS])
async def test_a_link_changes_nothing(ada, others, path: str) -> None:
    others.managed.order(ID)
    await ada.get(path)
    assert changes(others) == []


@pytest.mark.parametrize("path", ["/admin", *CATALOG_PAGES, *ORDER_PAGES])
async def test_no_cache_keeps_a_page(ada, others, path: str) -> None:
    others.managed.order(ID)
    page = await ada.get(path)
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "private, no-store")


@pytest.mark.parametrize(
    "path",
    [
        "/admin/products/%2e%2e",
        "/admin/products/nothing",
        "/admin/products/%00",
        "/admin/products/MUG-9",
        "/admin/products/MUG-9/stock",
        "/admin/orders/%2e%2e",
        "/admin/orders/1",
        "/admin/orders/0198a4e0-0000-7000-8000-000000000009",
        "/admin/orders/0198a4e0-0000-7000-8000-000000000009/refund",
    ],
)
async def test_what_does_not_exist_is_not_found(ada, path: str) -> None:
    assert (await ada.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/admin", *CATALOG_PAGES, *ORDER_PAGES])
async def test_the_pages_are_there_in_chinese(manager, others, path: str) -> None:
    others.managed.order(ID)
    async with manager(**{"Accept-Language": "zh"}) as ada:
        page = await ada.get(path)
    assert 'aria-label="管理后台"' in page.text
