"""The HTTP API of catalog."""

import asyncio
import base64
import json

import pytest

from catalog import usecases
from catalog.repository import products
from catalog.tables import metadata
from chassis.ids import uuid7
from chassis.testing.fixtures import execute
from chassis.testing.tokens import token

PRODUCTS = "/api/catalog/products"
MUG = {
    "sku": "MUG-1",
    "name": "Café Mug",
    "description": "Holds 300 ml.",
    "category": "coffee-and-tea",
    "price": {"amount": 1250, "currency": "EUR"},
}


def slug(response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["type"].rpartition("/")[2]


async def skus(http, **parameters) -> list[str]:
    response = await http.get(PRODUCTS, params=parameters)
    assert response.status_code == 200, response.text
    return [item["sku"] for item in response.json()["items"]]


async def test_a_product_is_created_with_its_category(http) -> None:
    created = await http.post(PRODUCTS, json=MUG)

    assert created.status_code == 201
    assert created.headers["location"] == f"{PRODUCTS}/MUG-1"
    product = (await http.get(created.headers["location"])).json()
    assert product == created.json()
    assert product.pop("updated_at").endswith("Z")
    assert product == MUG | {"available": 0, "image_url": None}
    categories = (await http.get("/api/catalog/categories")).json()
    assert categories == {"items": [{"slug": "coffee-and-tea", "name": "Coffee & Tea", "products": 1}]}
    assert slug(await http.post(PRODUCTS, json=MUG)) == "sku-taken"


async def test_the_products_of_a_category_are_counted_up_to_a_limit(http, add) -> None:
    for number in range(products.COUNTED + 1):
        await add(f"TEA-{number}")
    await add("MUG", category="kitchen")

    found = (await http.get("/api/catalog/categories")).json()["items"]

    assert [(each["slug"], each["products"]) for each in found] == [("kitchen", 1), ("tea", products.COUNTED)]


async def test_writes_need_the_scope_and_reads_need_nothing(http) -> None:
    await http.post(PRODUCTS, json=MUG)
    for authorization, status in ((None, 401), (f"Bearer {token(scope='orders:manage')}", 403), ("Bearer x.y.z", 401)):
        http.headers.pop("authorization", None)
        if authorization:
            http.headers["authorization"] = authorization
        assert (await http.post(PRODUCTS, json=MUG)).status_code == status
        assert (await http.patch(f"{PRODUCTS}/MUG-1", json={"name": "x"})).status_code == status
        assert (await http.delete(f"{PRODUCTS}/MUG-1")).status_code == status
        assert (await http.post(f"{PRODUCTS}/MUG-1/restore")).status_code == status
        assert (await http.put(f"{PRODUCTS}/MUG-1/restocks/1", json={"quantity": 1})).status_code == status
        assert (await http.get(f"{PRODUCTS}/MUG-1")).status_code == 200


async def test_a_change_needs_the_etag_which_a_sale_does_not_spoil(http, db, events) -> None:
    await http.post(PRODUCTS, json=MUG)
    url = f"{PRODUCTS}/MUG-1"
    etag = (await http.get(url)).headers["etag"]
    await http.put(f"{url}/restocks/1", json={"quantity": 5})

    missing = await http.patch(url, json={"name": "Mug"})
    changed = await http.patch(url, json={"name": "Mug", "category": "kitchen"}, headers={"If-Match": etag})
    stale = await http.patch(url, json={"name": "Cup"}, headers={"If-Match": etag})
    foreign = await http.patch(url, json={"name": "Cup"}, headers={"If-Match": '"other", W/"x"'})

    assert (missing.status_code, slug(missing)) == (428, "precondition-required")
    assert changed.status_code == 200
    assert changed.json()["name"] == "Mug"
    assert changed.json()["description"] == MUG["description"]
    assert changed.json()["available"] == 5
    assert (stale.status_code, slug(stale)) == (412, "product-changed")
    assert foreign.status_code == 412
    assert await skus(http, q="cafe") == []
    assert await skus(http, category="kitchen") == ["MUG-1"]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["*"], 200),
        (['"1-0"'], 200),
        (['"9-9", "1-0"'], 200),
        (['"9-9"', '"1-0"'], 200),
        (['"1-7"'], 200),  # the version alone counts
        (['""'], 412),
        (['W/"1-0"'], 412),
        (['"x"1-0"'], 400),
        (['"x", 1-0"'], 400),
        (["1-0"], 400),
        ([""], 400),
    ],
)
async def test_if_match_follows_the_rfc(http, lines, status) -> None:
    await http.post(PRODUCTS, json=MUG)

    headers = [("If-Match", line) for line in lines]
    changed = await http.patch(f"{PRODUCTS}/MUG-1", json={"name": "Cup"}, headers=headers)

    assert changed.status_code == status
    if status != 200:
        assert slug(changed) == {412: "product-changed", 400: "malformed-if-match"}[status]
        assert (await http.delete(f"{PRODUCTS}/MUG-1", headers=headers)).status_code == status
        assert (await http.get(f"{PRODUCTS}/MUG-1")).json()["name"] == MUG["name"]


async def test_if_none_match_may_be_several_lines(http) -> None:
    etag = (await http.post(PRODUCTS, json=MUG)).headers["etag"]

    several = [("If-None-Match", '"other"'), ("If-None-Match", f"W/{etag}")]

    assert (await http.get(f"{PRODUCTS}/MUG-1", headers=several)).status_code == 304


async def test_a_deleted_product_is_hidden_everywhere(http) -> None:
    await http.post(PRODUCTS, json=MUG)

    assert (await http.delete(f"{PRODUCTS}/MUG-1")).status_code == 428
    assert (await http.delete(f"{PRODUCTS}/MUG-1", headers={"If-Match": "*"})).status_code == 204

    assert slug(await http.get(f"{PRODUCTS}/MUG-1")) == "unknown-sku"
    assert await skus(http) == await skus(http, sku="MUG-1") == await skus(http, q="mug") == []
    assert (await http.get("/api/catalog/categories")).json() == {"items": []}
    assert (await http.delete(f"{PRODUCTS}/MUG-1", headers={"If-Match": "*"})).status_code == 404
    taken = await http.post(PRODUCTS, json=MUG)
    assert slug(taken) == "sku-taken"
    assert f"POST {PRODUCTS}/MUG-1/restore" in taken.json()["detail"]


async def test_a_deleted_product_can_be_restored(http) -> None:
    created = await http.post(PRODUCTS, json=MUG)
    await http.put(f"{PRODUCTS}/MUG-1/restocks/1", json={"quantity": 5})
    await http.delete(f"{PRODUCTS}/MUG-1", headers={"If-Match": "*"})

    restored = await http.post(f"{PRODUCTS}/MUG-1/restore")
    again = await http.post(f"{PRODUCTS}/MUG-1/restore")

    assert (restored.status_code, again.status_code) == (200, 200)
    assert restored.json() == again.json() == created.json() | {"available": 5}
    assert restored.headers["etag"] == again.headers["etag"] != created.headers["etag"]
    assert await skus(http) == await skus(http, sku="MUG-1") == await skus(http, q="mug") == ["MUG-1"]
    stale = {"If-Match": created.headers["etag"]}
    assert (await http.delete(f"{PRODUCTS}/MUG-1", headers=stale)).status_code == 412
    shown = await http.post(PRODUCTS, json=MUG)
    assert "restore" not in shown.json()["detail"]
    assert slug(await http.post(f"{PRODUCTS}/NEVER/restore")) == "unknown-sku"


async def test_a_restock_counts_once(http) -> None:
    await http.post(PRODUCTS, json=MUG)
    url = f"{PRODUCTS}/MUG-1/restocks/first"

    answers = [await http.put(url, json={"quantity": 5}) for _ in range(2)]
    other = await http.put(url, json={"quantity": 6})

    assert [answer.status_code for answer in answers] == [201, 200]
    assert answers[0].json() == answers[1].json() == {"id": "first", "sku": "MUG-1", "quantity": 5}
    assert (other.status_code, slug(other)) == (409, "restock-differs")
    assert (await http.get(f"{PRODUCTS}/MUG-1")).json()["available"] == 5


@pytest.mark.parametrize("path", [PRODUCTS, f"{PRODUCTS}/MUG-1", "/api/catalog/categories"])
async def test_a_read_is_cacheable_and_revalidates(http, path) -> None:
    await http.post(PRODUCTS, json=MUG)

    first = await http.get(path)
    again = await http.get(path, headers={"If-None-Match": f'W/"x", {first.headers["etag"]}'})

    assert first.headers["cache-control"].startswith("public, max-age=1, stale-while-revalidate=")
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


async def test_a_cache_sees_that_stock_has_changed(http, db) -> None:
    await http.post(PRODUCTS, json=MUG)
    etags = [(await http.get(path)).headers["etag"] for path in (PRODUCTS, f"{PRODUCTS}/MUG-1")]
    await usecases.restock(db, "1", "MUG-1", 1)

    for path, etag in zip((PRODUCTS, f"{PRODUCTS}/MUG-1"), etags, strict=True):
        assert (await http.get(path, headers={"If-None-Match": etag})).status_code == 200


async def test_a_row_written_before_a_field_was_added_shows_its_value(http, url) -> None:
    """Its version and stock do not change, yet a cache that holds the earlier form gets the new one."""
    await http.post(PRODUCTS, json=MUG)
    paths = [f"{PRODUCTS}/MUG-1", PRODUCTS, f"{PRODUCTS}?sku=MUG-1", f"{PRODUCTS}?q=mug"]
    etags = [(await http.get(path)).headers["etag"] for path in paths]

    execute(url, "UPDATE products SET image_url = '/images/default.webp'")

    for path, etag in zip(paths, etags, strict=True):
        answer = await http.get(path, headers={"If-None-Match": etag})
        assert answer.status_code == 200
        (product,) = answer.json().get("items", [answer.json()])
        assert product["image_url"] == "/images/default.webp"
        assert answer.headers["etag"] != etag


@pytest.fixture
async def shelf(add):
    await add("CAN", name="Long-Reach Watering Can 9 l", category="garden", amount=5800)
    await add("FORK", name="Hand Fork", category="garden", amount=2150, description="Not a watering can.")
    await add("CREME", name="Crème Brûlée Dish", category="kitchen", amount=900)
    await add("TEA", name="Smoked Tea", category="coffee-and-tea", amount=900)


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("watering can", ["CAN", "FORK"]),
        ("WATER", ["CAN", "FORK"]),
        ("creme brulee", ["CREME"]),
        ("brûlée", ["CREME"]),
        ("waterng can", ["CAN", "FORK"]),
        ("waetring", ["CAN", "FORK"]),
        ("water", ["CAN", "FORK"]),
        ("wateri", ["CAN", "FORK"]),
        ("wtaering cna 9 l", ["CAN"]),
        ("watering xylophone", ["CAN", "FORK"]),
        ("smokd tea", ["TEA"]),
        ("kitchen", ["CREME"]),
        ("xylophone", []),
        ("'; DROP TABLE products; --", []),
        ("!!! & | <-> :*", []),
    ],
)
async def test_search_ranks_names_first_and_tolerates_typos_and_accents(http, shelf, q, found) -> None:
    assert await skus(http, q=q) == found


@pytest.fixture
async def abroad(add):
    await add("CUP", name="绿茶杯 蓝色", amount=300)
    await add("POT", name="紫砂茶壶", description="配两个茶杯，适合绿茶。", amount=900)
    await add("CASE", name="iPhone手机壳", amount=500)
    await add("OCHA", name="お茶セット（ほうじ茶）")
    await add("COFFEE", name="コーヒーカップ")
    await add("NOKCHA", name="유기농 녹차를 담은 찻잔")
    await add("THAI", name="ถ้วยชาเซรามิก")
    await add("MUG", name="Blue Mug", description="Not for tea.")


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("茶杯", ["CUP", "POT"]),
        ("绿茶杯", ["CUP"]),
        ("绿茶", ["CUP", "POT"]),
        ("杯", ["CUP", "POT"]),
        ("蓝色 茶杯", ["CUP"]),
        ("茶杯蓝", []),
        ("杯茶", []),
        ("茶杯 -蓝色", ["POT"]),
        ('"茶杯"', ["CUP", "POT"]),
        ("手机", ["CASE"]),
        ("iphone手机壳", ["CASE"]),
        ("セット", ["OCHA"]),
        ("ｾｯﾄ", ["OCHA"]),
        ("ほうじ", ["OCHA"]),
        ("カップ", ["COFFEE"]),
        ("녹차", ["NOKCHA"]),
        ("찻", ["NOKCHA"]),
        ("ชา", ["THAI"]),
        ("เซรามิก", ["THAI"]),
        ("blue", ["MUG"]),
    ],
)
async def test_search_finds_parts_of_words_where_scripts_have_no_spaces(http, abroad, q, found) -> None:
    assert await skus(http, q=q) == found


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("绿茶 -绿茶杯", ["LEAF", "POT", "TEA"]),
        ("绿茶 -杯", ["TEA"]),
        ('绿茶 -"绿茶杯"', ["LEAF", "POT", "TEA"]),
        ("绿茶 - 绿茶杯", ["LEAF", "POT", "TEA"]),
        ("iphone手机壳 -红色", ["CASE"]),
        ("手机壳 -iphone手机壳", ["CASE2"]),
        ('"绿茶 叶"', ["TEA"]),
        ('"绿茶 叶" -红色', ["TEA"]),
        ('"大绿茶', ["BIG"]),
    ],
)
async def test_exclusions_and_phrases_hold_in_scripts_without_spaces(http, add, q: str, found: list[str]) -> None:
    await add("BIG", name="大绿茶杯子", description="绿 茶")
    await add("POT", name="紫砂茶壶", description="配两个茶杯，适合绿茶。")
    await add("TEA", name="绿茶 叶")
    await add("LEAF", name="红 包 绿茶 杯", description="配 叶")
    await add("CASE", name="iPhone手机壳")
    await add("CASE2", name="手机壳")

    assert sorted(await skus(http, q=q)) == found


@pytest.mark.parametrize("q", ["绿茶 -绿茶杯", "mug -blue"])
async def test_what_a_query_excludes_is_not_found_by_similarity_either(http, add, q: str) -> None:
    await add("BIG", name="大绿茶杯子")
    await add("MUG", name="Blue Mug")

    assert await skus(http, q=q) == []


async def test_a_product_that_is_renamed_is_found_by_parts_of_its_new_name(http, abroad) -> None:
    body = {"name": "红茶杯"}
    await http.patch(f"{PRODUCTS}/CUP", json=body, headers={"If-Match": "*"})

    assert await skus(http, q="红茶") == ["CUP"]
    assert await skus(http, q="绿茶") == ["POT"]


async def test_filters_and_orders(http, shelf) -> None:
    assert await skus(http) == ["CREME", "FORK", "CAN", "TEA"]
    assert await skus(http, sort="price") == ["CREME", "TEA", "FORK", "CAN"]
    assert await skus(http, sort="-price") == ["CAN", "FORK", "TEA", "CREME"]
    assert await skus(http, sort="newest") == ["TEA", "CREME", "FORK", "CAN"]
    assert await skus(http, category="garden", sort="price") == ["FORK", "CAN"]
    assert await skus(http, min_price=900, max_price=2150) == ["CREME", "FORK", "TEA"]
    assert await skus(http, q="water", sort="price") == ["FORK", "CAN"]
    assert await skus(http, sku=["TEA", "NONE", "CAN"]) == ["CAN", "TEA"]


@pytest.mark.parametrize("sort", ["relevance", "name", "price", "-price", "newest"])
@pytest.mark.parametrize("q", ["", "brass lamp", "bras lmap", "铜灯"])
async def test_pages_hold_everything_exactly_once(http, add, sort, q) -> None:
    for number in range(23):
        await add(f"L{number:02}", name=f"Brass Lamp {number % 4} 黄铜灯", amount=number % 3)

    seen, cursor = [], {}
    for _ in range(23):
        page = (await http.get(PRODUCTS, params={"sort": sort, "limit": 4, **({"q": q} if q else {}), **cursor})).json()
        seen += [item["sku"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert sorted(seen) == [f"L{number:02}" for number in range(23)]


def cursor(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


@pytest.mark.parametrize(
    "bad",
    [
        "x",
        "é",
        "%00",
        cursor("name", False, 3, "A"),
        cursor("name", False, "a\0", "A"),
        cursor("name", False, "a", "A\0"),
        cursor("name", True, "a", "A"),
        cursor("price", False, 1, "A"),
        cursor("name", False, ["a"], "A"),
        cursor("name", False, "\ud800", "A"),
    ],
)
async def test_a_forged_cursor_is_refused(http, bad) -> None:
    response = await http.get(PRODUCTS, params={"cursor": bad})

    assert (response.status_code, slug(response)) == (422, "invalid-cursor")


@pytest.mark.parametrize("amount", [10**30, -1, 1.5, "1", None, True])
async def test_a_price_cursor_holds_a_price(http, amount) -> None:
    response = await http.get(PRODUCTS, params={"sort": "price", "cursor": cursor("price", False, amount, "A")})

    assert slug(response) == "invalid-cursor"


@pytest.mark.parametrize(
    "query",
    [
        "q=%00",
        "q=" + "x" * 201,
        "limit=0",
        "limit=101",
        "limit=9999999999999999999999",
        "min_price=-1",
        "max_price=1e9",
        "min_price=%205",
        "max_price=5.0",
        "limit=1_0",
        "limit=1&limit=2",
        "q=tea&q=cup",
        "sort=name&sort=price",
        "sort=random",
        "category=A%20B",
        "color=red",
        "sku=%00",
        "sku=A&q=tea",
        "&".join(f"sku=S{n}" for n in range(101)),
    ],
)
async def test_hostile_parameters_are_refused(http, query) -> None:
    assert (await http.get(f"{PRODUCTS}?{query}")).status_code == 422


@pytest.mark.parametrize(
    "change",
    [
        {"sku": "a b"},
        {"sku": "A\n"},
        {"sku": "é"},
        {"name": ""},
        {"name": "  "},
        {"name": "nul \0"},
        {"name": "lone \ud800"},
        {"name": "x" * 201},
        {"name": 5},
        {"description": "x" * 4001},
        {"category": "Not a slug"},
        {"price": {"amount": 10**9 + 1, "currency": "EUR"}},
        {"price": {"amount": 0, "currency": "EUR"}},
        {"price": {"amount": -1, "currency": "EUR"}},
        {"price": {"amount": 1.5, "currency": "EUR"}},
        {"price": {"amount": True, "currency": "EUR"}},
        {"price": {"amount": 10**400, "currency": "EUR"}},
        {"price": {"amount": 100, "currency": "USD"}},
        {"image_url": "javascript:alert(1)"},
        {"available": 5},
    ],
)
async def test_hostile_products_are_refused(http, change) -> None:
    body = json.dumps(MUG | change).encode()

    response = await http.post(PRODUCTS, content=body, headers={"content-type": "application/json"})

    assert response.status_code == 422, response.text


@pytest.mark.parametrize("body", [b"[" * 60_000, b"{", b"\xff", b"1" * 5000, b"null", b'{"sku": NaN}'])
async def test_hostile_json_is_refused(http, body) -> None:
    response = await http.post(PRODUCTS, content=body, headers={"content-type": "application/json"})

    assert response.status_code in (400, 422)


HAN = "".join(map(chr, range(0x4E00, 0x4E00 + 4000)))


@pytest.mark.parametrize(
    ("name", "description"), [("\ufdfa" * 200, "ж" * 4000), (HAN[:200], HAN), ("㌔" * 200, "가" * 4000)]
)
async def test_the_longest_name_can_be_stored_and_listed(http, name, description) -> None:
    longest = MUG | {"name": name, "description": description, "image_url": "/images/mug.webp"}

    assert (await http.post(PRODUCTS, json=longest)).status_code == 201
    assert await skus(http) == await skus(http, q=name[:200]) == ["MUG-1"]


@pytest.mark.parametrize("path", ["%00", "a%20b", "x" * 65, "%ED%A0%80"])
async def test_an_impossible_sku_is_a_client_error(http, path) -> None:
    assert (await http.get(f"{PRODUCTS}/{path}")).status_code in (404, 422)
    assert (await http.put(f"{PRODUCTS}/MUG-1/restocks/{path}", json={"quantity": 1})).status_code in (404, 422)


@pytest.mark.parametrize("quantity", [0, -1, 1.5, "1", True, 10**7, None])
async def test_a_restock_has_a_sane_quantity(http, quantity) -> None:
    await http.post(PRODUCTS, json=MUG)

    assert (await http.put(f"{PRODUCTS}/MUG-1/restocks/1", json={"quantity": quantity})).status_code == 422


@pytest.mark.parametrize("body", [{}, {"name": None}, {"price": None}, {"sku": "B"}, {"category": ""}])
async def test_a_change_says_what_changes(http, body) -> None:
    await http.post(PRODUCTS, json=MUG)

    response = await http.patch(f"{PRODUCTS}/MUG-1", json=body, headers={"If-Match": "*"})

    assert response.status_code == 422


ROUTES = {
    "patch": lambda http, n: http.patch(f"{PRODUCTS}/MUG-1", json={"name": f"Mug {n}"}, headers={"If-Match": "*"}),
    "post": lambda http, n: http.post(PRODUCTS, json=MUG | {"sku": f"NEW-{n}"}),
    "delete": lambda http, n: http.delete(f"{PRODUCTS}/OLD-{n}", headers={"If-Match": "*"}),
    "restock": lambda http, n: http.put(f"{PRODUCTS}/MUG-1/restocks/{n}", json={"quantity": 1}),
    "read": lambda http, n: http.get(f"{PRODUCTS}/MUG-1"),
    "list": lambda http, n: http.get(PRODUCTS),
    "named": lambda http, n: http.get(PRODUCTS, params={"sku": "MUG-1"}),
    "search": lambda http, n: http.get(PRODUCTS, params={"q": "mug"}),
    "misspelled": lambda http, n: http.get(PRODUCTS, params={"q": "muug"}),
    "categories": lambda http, n: http.get("/api/catalog/categories"),
}
MIGRATIONS = [
    [f"ALTER TABLE {table} ADD COLUMN later text DEFAULT ''" for table in metadata.tables],
    ["ALTER TABLE products ALTER version TYPE bigint", "ALTER TABLE stock ALTER available TYPE numeric"],
    ["ALTER TABLE products ALTER sku TYPE varchar", "ALTER TABLE stock ALTER sku TYPE varchar"],
]


@pytest.mark.parametrize("route", ROUTES)
async def test_a_migration_under_a_running_service_fails_no_request(http, url, route) -> None:
    for sku in ("MUG-1", *(f"OLD-{n}" for n in range(4))):
        await http.post(PRODUCTS, json=MUG | {"sku": sku})

    assert (await ROUTES[route](http, 0)).is_success
    for n, migration in enumerate(MIGRATIONS, 1):
        await asyncio.to_thread(execute, url, *migration)
        answer = await ROUTES[route](http, n)
        assert answer.is_success, (migration, answer.text)


async def test_openapi_shows_what_reads_return(http) -> None:
    document = (await http.get("/api/catalog/openapi.json")).json()

    answer = document["paths"][PRODUCTS]["get"]["responses"]["200"]["content"]["application/json"]
    assert answer["schema"]["$ref"].endswith("/ProductList")


ADMIN = "/api/admin/products"


async def managed(http, **parameters) -> list[str]:
    response = await http.get(ADMIN, params=parameters)
    assert response.status_code == 200, response.text
    return [item["sku"] for item in response.json()["items"]]


async def test_only_products_in_stock_are_listed_if_wanted(http, add) -> None:
    await add("TEA-1", stock=1)
    await add("TEA-2")
    assert await skus(http, in_stock="true") == ["TEA-1"]
    assert await skus(http, in_stock="false") == ["TEA-1", "TEA-2"]
    assert await skus(http, in_stock="true", q="tea", category="tea", sort="price") == ["TEA-1"]
    assert (await http.get(PRODUCTS, params={"in_stock": "1"})).status_code == 422


async def test_a_manager_finds_hidden_products_and_those_with_little_stock(http, add) -> None:
    await add("TEA-1", stock=1, name="Grüner Tee 100%")
    await add("TEA-2", stock=20)
    await add("MUG-1")
    product = await http.get(f"{PRODUCTS}/TEA-2")
    await http.delete(f"{PRODUCTS}/TEA-2", headers={"If-Match": product.headers["ETag"]})

    assert await managed(http) == ["MUG-1", "TEA-1", "TEA-2"]
    assert await managed(http, hidden="true") == ["TEA-2"]
    assert await managed(http, hidden="false", below="2") == ["MUG-1", "TEA-1"]
    assert await managed(http, q="tea-") == ["TEA-1", "TEA-2"]
    assert await managed(http, q="GRUNER") == ["TEA-1"]
    assert await managed(http, q="%") == ["TEA-1"]
    assert await managed(http, q="_EA") == []
    first = (await http.get(ADMIN, params={"limit": 2})).json()
    assert await managed(http, limit="2", cursor=first["next_cursor"]) == ["TEA-2"]
    hidden = (await http.get(f"{ADMIN}/TEA-2")).json()
    assert (hidden["hidden"], hidden["available"], hidden["held"], hidden["sold"]) == (True, 20, 0, 0)


async def test_a_manager_sees_the_least_available_first_if_wanted(http, add) -> None:
    for sku, stock in {"MUG-1": 2, "MUG-2": 10, "TEA-1": 2, "TEA-2": 0}.items():
        await add(sku, stock=stock)
    assert await managed(http, sort="available") == ["TEA-2", "MUG-1", "TEA-1", "MUG-2"]

    first = (await http.get(ADMIN, params={"sort": "available", "limit": 2})).json()
    cursor = first["next_cursor"]
    assert await managed(http, sort="available", cursor=cursor) == ["TEA-1", "MUG-2"]
    await http.put(f"{PRODUCTS}/MUG-1/restocks/1", json={"quantity": 5})  # it moves, the others stay where they are
    assert await managed(http, sort="available", cursor=cursor) == ["TEA-1", "MUG-1", "MUG-2"]
    last = (await http.get(ADMIN, params={"sort": "available", "limit": 2, "cursor": cursor})).json()
    assert last["next_cursor"] == "7:MUG-1"
    assert (await http.get(ADMIN, params={"sort": "available", "limit": 3, "cursor": cursor})).json()[
        "next_cursor"
    ] is None


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "name"},
        {"sort": "sku", "cursor": "2:MUG-1"},
        {"sort": "available", "cursor": "MUG-1"},
        {"sort": "available", "cursor": ":MUG-1"},
        {"sort": "available", "cursor": f"{10**19}:MUG-1"},
        {"sort": "available", "cursor": "²:MUG-1"},
    ],
)
async def test_a_wrong_order_of_the_managed_list_is_refused(http, query) -> None:
    assert (await http.get(ADMIN, params=query)).status_code == 422


async def test_the_etag_of_a_manager_is_good_for_an_edit(http, add) -> None:
    await add("TEA-1")
    read = await http.get(f"{ADMIN}/TEA-1")
    changed = await http.patch(f"{PRODUCTS}/TEA-1", json={"name": "X"}, headers={"If-Match": read.headers["ETag"]})
    assert changed.status_code == 200


async def test_the_history_of_a_stock_has_restocks_and_reservations(http, db, add, events) -> None:
    order = uuid7()
    await add("TEA-1", stock=5)
    await add("TEA-2", stock=5)
    await usecases.reserve(db, [events.reserve(order, {"TEA-1": 2})])
    history = (await http.get(f"{ADMIN}/TEA-1/stock-history")).json()["items"]

    assert [(each["kind"], each["id"], each["quantity"], each["state"]) for each in history] == [
        ("reservation", str(order), 2, "HELD"),
        ("restock", "first-TEA-1", 5, None),
    ]
    assert slug(await http.get(f"{ADMIN}/NONE/stock-history")) == "unknown-sku"


@pytest.mark.parametrize("path", ["", "/TEA-1", "/TEA-1/stock-history"])
async def test_the_back_office_needs_the_scope(http, add, path: str) -> None:
    await add("TEA-1")
    http.headers["authorization"] = f"Bearer {token(scope='orders:manage')}"
    assert (await http.get(f"{ADMIN}{path}")).status_code == 403
