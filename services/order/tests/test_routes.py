"""The routes over HTTP, with a real database and a fake token verifier."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI

from chassis import tracing
from chassis.auth import Principal
from chassis.errors import Unauthenticated
from chassis.ids import uuid7
from chassis.messages import Event
from chassis.testing.apps import client_of, served, started
from chassis.testing.fixtures import execute
from order.main import create
from order.messages import PaymentCancelled
from order.settings import Settings
from order.tables import metadata
from order.usecases import saga
from order.usecases.placing import Cart

VERSION = "0198a4e0-0000-7000-8000-000000000001"
LATER = "0198a4e0-0000-7000-8000-000000000002"
BODY = {
    "cart_version": VERSION,
    "payment_method": "tok_visa",
    "shipping_address": {
        "name": "Ann Lee",
        "line1": "Quay 1",
        "city": "Bergen",
        "postal_code": "5003",
        "country": "NO",
    },
    "expected_total": {"amount": 1250, "currency": "EUR"},
}


class Names:
    """Accepts a principal's name as a token."""

    async def verify(self, token: str) -> Principal:
        if token == "forged":
            raise Unauthenticated("invalid-token", "The bearer token is not valid", "Get a new one.")
        scopes = frozenset({"orders:manage"}) if token == "admin" else frozenset[str]()
        return Principal(token, scopes, token)


@pytest.fixture
async def app(database: Callable[[str], str], shop: Any) -> AsyncIterator[FastAPI]:
    settings = Settings(
        environment="development",
        role="api",
        database_url=shop.db.url,
        broker_url="amqp://nobody:x@127.0.0.1:9/quayside",
        jwks_url="http://127.0.0.1:9/.well-known/jwks.json",
        cart_url="http://127.0.0.1:9",
        catalog_url="http://127.0.0.1:9",
    )
    app = create(settings)
    app.state.verifier = Names()
    app.state.parts = replace(app.state.parts, placement=shop.placement)
    for name in ("ann", "bob"):
        shop.carts.carts[name] = Cart(VERSION, [("MUG-1", 2), ("TEA-1", 1)])
    async with started(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(app) as client:
        yield client


def as_(name: str, key: str | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"} | ({"Idempotency-Key": key} if key else {})


async def order(client: httpx2.AsyncClient, name: str = "ann", key: str = "k1", version: str = VERSION) -> Any:
    return await client.post("/api/orders", json={**BODY, "cart_version": version}, headers=as_(name, key))


async def test_an_order_is_accepted_and_shown_to_its_principal(client) -> None:
    accepted = await order(client)

    assert accepted.status_code == 202
    shown = (await client.get(accepted.headers["Location"], headers=as_("ann"))).json()
    assert shown["status"] == "PENDING"
    assert shown["total"] == {"amount": 1250, "currency": "EUR"}
    assert shown["lines"][0] == {
        "sku": "MUG-1",
        "name": "Mug",
        "quantity": 2,
        "unit_price": {"amount": 500, "currency": "EUR"},
    }
    assert [step["status"] for step in shown["history"]] == ["PENDING"]


async def test_a_replay_returns_the_same_bytes_and_a_header(client) -> None:
    first, second = await order(client), await order(client)

    assert (second.status_code, second.content) == (202, first.content)
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers


async def test_the_order_of_fields_does_not_matter_to_a_replay(client) -> None:
    await order(client)
    reordered = await client.post("/api/orders", json=dict(reversed(BODY.items())), headers=as_("ann", "k1"))
    assert reordered.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("key", [None, "x" * 256, "two words", "caf\xe9"])
async def test_a_key_is_required(client, key: str | None) -> None:
    headers: Any = [(b"authorization", b"Bearer ann")] + ([(b"idempotency-key", key.encode("latin-1"))] if key else [])
    answer = await client.post("/api/orders", json=BODY, headers=headers)
    assert (answer.status_code, answer.json()["type"].rsplit("/")[-1]) == (400, "idempotency-key-required")


async def test_others_orders_are_not_found(client) -> None:
    location = (await order(client)).headers["Location"]
    for path in (location, f"{location}/events"):
        assert (await client.get(path, headers=as_("bob"))).status_code == 404
    assert (await client.post(f"{location}/cancel", headers=as_("bob"))).status_code == 404


async def test_the_back_office_needs_its_scope(client) -> None:
    id = (await order(client)).json()["id"]
    assert (await client.get("/api/admin/orders", headers=as_("ann"))).status_code == 403
    page = await client.get("/api/admin/orders?status=PENDING", headers=as_("admin"))
    assert [item["id"] for item in page.json()["items"]] == [id]
    refused = await client.post(f"/api/admin/orders/{id}/refund", headers=as_("admin"))
    assert (refused.status_code, refused.json()["type"].rsplit("/")[-1]) == (409, "not-refundable")


async def test_a_manager_sees_the_trace_of_an_order_and_its_principal_does_not(client) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = as_("ann", "k1") | {"traceparent": f"00-{trace}-b7ad6b7169203331-00"}
    id = (await client.post("/api/orders", json=BODY, headers=headers)).json()["id"]
    untraced = (await order(client, "bob")).json()["id"]

    async def shown(path: str, name: str) -> Any:
        return (await client.get(path, headers=as_(name))).json()

    assert (await shown(f"/api/admin/orders/{id}", "admin"))["trace_id"] == trace
    assert (await shown(f"/api/admin/orders/{untraced}", "admin"))["trace_id"] is None
    assert "trace_id" not in await shown(f"/api/orders/{id}", "ann")


async def test_the_span_of_a_request_has_the_id_of_its_order(client, spans) -> None:
    sampled = {"traceparent": f"00-{7:032x}-{7:016x}-01"}
    id = (await client.post("/api/orders", json=BODY, headers=as_("ann", "k1") | sampled)).json()["id"]
    await client.get(f"/api/orders/{id}", headers=as_("ann") | sampled)

    found = {span.name: span.attributes.get("quayside.order.id") for span in spans if span.kind == tracing.SERVER}
    assert found == {"POST /api/orders": id, "GET /api/orders/{order_id}": id}


@pytest.mark.parametrize(
    ("name", "findings", "status"),
    [
        ("admin", {"A1": 0, "A10": 2}, 204),
        ("ann", {"A1": 0}, 403),
        ("admin", {}, 422),
        ("admin", {"A1": -1}, 422),
        ("admin", {"an invariant of one's own": 1}, 422),
    ],
)
async def test_only_a_manager_reports_what_an_audit_found(client, name: str, findings: Any, status: int) -> None:
    answer = await client.put("/api/admin/orders/audit", json={"findings": findings}, headers=as_(name))
    assert answer.status_code == status


async def test_a_manager_sees_whose_orders_they_are_and_filters_them(client) -> None:
    own = (await order(client)).json()["id"]

    async def found(query: str) -> list[tuple[str, str]]:
        page = await client.get(f"/api/admin/orders?{query}", headers=as_("admin"))
        assert page.status_code == 200, page.text
        return [(item["id"], item["principal"]) for item in page.json()["items"]]

    assert await found("principal=ann") == [(own, "ann")]
    assert await found("principal=bob") == []
    assert await found("waiting_seconds=0&status=PENDING") == [(own, "ann")]
    assert await found("waiting_seconds=60") == []
    await client.post(f"/api/orders/{own}/cancel", headers=as_("ann"))
    assert await found("waiting_seconds=0") == [(own, "ann")]  # it is being undone
    assert (await client.get(f"/api/admin/orders/{own}", headers=as_("admin"))).json()["principal"] == "ann"
    assert "principal" not in (await client.get(f"/api/orders/{own}", headers=as_("ann"))).json()


async def test_an_order_waits_since_its_last_step(client, shop) -> None:
    own = (await order(client)).json()["id"]

    async def waiting() -> list[str]:
        page = await client.get("/api/admin/orders?waiting_seconds=60", headers=as_("admin"))
        return [item["id"] for item in page.json()["items"]]

    an_hour_passes = "UPDATE order_history SET at = at - interval '1 hour'"
    order_too = "UPDATE orders SET created_at = created_at - interval '1 hour'"
    await asyncio.to_thread(execute, shop.db.url, an_hour_passes, order_too)
    assert await waiting() == [own]
    await client.post(f"/api/orders/{own}/cancel", headers=as_("ann"))
    assert await waiting() == []
    await asyncio.to_thread(execute, shop.db.url, an_hour_passes)
    assert await waiting() == [own]


async def test_pages_hold_each_order_once_newest_first(client, shop) -> None:
    ids = []
    for n in range(5):
        shop.carts.carts["ann"] = Cart(VERSION[:-1] + str(n), [("MUG-1", 2), ("TEA-1", 1)])
        body = {**BODY, "cart_version": VERSION[:-1] + str(n)}
        ids.append((await client.post("/api/orders", json=body, headers=as_("ann", f"k{n}"))).json()["id"])
    seen, cursor = [], ""
    while cursor is not None:
        page = (await client.get(f"/api/orders?limit=2{cursor}", headers=as_("ann"))).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]


ROUTES: dict[str, Callable[[httpx2.AsyncClient, str, str], Any]] = {
    "place": lambda client, own, name: order(client, name, "another", LATER),
    "cancel": lambda client, own, name: client.post(f"{own}/cancel", headers=as_(name)),
    "read": lambda client, own, name: client.get(own, headers=as_(name)),
    "list": lambda client, own, name: client.get("/api/orders", headers=as_(name)),
    "list of all": lambda client, own, name: client.get("/api/admin/orders", headers=as_("admin")),
    "read any": lambda client, own, name: client.get(own.replace("api", "api/admin"), headers=as_("admin")),
}
MIGRATIONS = [
    [f"ALTER TABLE {table} ADD COLUMN later text DEFAULT ''" for table in metadata.tables],
    ["ALTER TABLE orders ALTER total TYPE numeric", "ALTER TABLE orders ALTER cart_version TYPE varchar"],
]


@pytest.mark.parametrize("route", ROUTES)
async def test_a_migration_under_a_running_service_fails_no_request(client, shop, route: str) -> None:
    own = {}
    for name in ("ann", "bob", "cyd"):
        shop.carts.carts[name] = Cart(VERSION, [("MUG-1", 2), ("TEA-1", 1)])
        own[name] = (await order(client, name)).headers["Location"]
        shop.carts.carts[name] = Cart(LATER, [("MUG-1", 2), ("TEA-1", 1)])

    for name, migration in zip(own, [[], *MIGRATIONS], strict=True):
        await asyncio.to_thread(execute, shop.db.url, *migration)
        answer = await ROUTES[route](client, own[name], name)
        assert answer.is_success, (migration, answer.text)


BAD_BODIES: list[Any] = [
    {**BODY, "expected_total": {"amount": 1.5, "currency": "EUR"}},
    {**BODY, "expected_total": {"amount": -1, "currency": "EUR"}},
    {**BODY, "expected_total": {"amount": 10**30, "currency": "EUR"}},
    {**BODY, "expected_total": {"amount": "1250", "currency": "EUR"}},
    {**BODY, "price": 1},
    {**BODY, "cart_version": "\0" * 36},
    {**BODY, "payment_method": "tok visa"},
    {**BODY, "shipping_address": {**BODY["shipping_address"], "name": "A\0nn"}},  # type: ignore[dict-item]
    {**BODY, "shipping_address": {**BODY["shipping_address"], "country": "Norway"}},  # type: ignore[dict-item]
    {},
    [],
    None,
]


@pytest.mark.parametrize("body", BAD_BODIES)
async def test_a_bad_body_is_refused_and_stores_nothing(client, shop, body: Any) -> None:
    answer = await client.post("/api/orders", json=body, headers=as_("ann", "k1"))

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert (await client.get("/api/orders", headers=as_("ann"))).json()["items"] == []


@pytest.mark.parametrize(
    "raw",
    [b'{"cart_version": "\\ud800"}', b"{" * 5000, b"[" * 20000, b"\xff\xfe", b"", b"NaN", b'{"a": 1e999}'],
)
async def test_a_hostile_body_gets_a_problem_with_a_4xx_status(client, raw: bytes) -> None:
    headers = as_("ann", "k1") | {"Content-Type": "application/json"}
    answer = await client.post("/api/orders", content=raw, headers=headers)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path",
    ["/api/orders/%00", "/api/orders/nothing", "/api/orders?limit=0", "/api/orders?limit=1000", "/api/orders?cursor=x"],
)
async def test_a_malformed_path_or_query_gets_422(client, path: str) -> None:
    answer = await client.get(path, headers=as_("ann"))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/api/orders", "/api/admin/orders"])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        *((f"cursor={bad}", "cursor") for bad in ("", "x", f"%7B{VERSION}%7D", f"urn:uuid:{VERSION}", "0" * 32)),
        *((f"limit={bad}", "limit") for bad in ("1e1", "%205", "5.0", "", "1_0")),
        ("limit=1&limit=2", "limit"),
        (f"cursor={VERSION}&cursor={VERSION}", "cursor"),
        ("offset=5", "offset"),
        ("status=", "status"),
        ("status=paid", "status"),
    ],
)
async def test_a_bad_parameter_of_a_list_is_named(client, path: str, query: str, field: str) -> None:
    answer = await client.get(f"{path}?{query}", headers=as_("admin"))
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [f"query.{field}"])


async def test_an_order_id_has_one_form(client) -> None:
    id = (await order(client)).json()["id"]
    for other in (f"%7B{id}%7D", f"urn:uuid:{id}", id.replace("-", "")):
        for path in (f"/api/orders/{other}", f"/api/orders/{other}/events", f"/api/admin/orders/{other}"):
            assert (await client.get(path, headers=as_("admin"))).status_code == 422
        assert (await client.post(f"/api/orders/{other}/cancel", headers=as_("ann"))).status_code == 422


async def test_no_token_and_a_forged_one_are_401(client) -> None:
    for headers in ({}, as_("forged"), {"Authorization": "Basic YTpi"}):
        answer = await client.get("/api/orders", headers=headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_the_openapi_document_describes_how_a_stream_ends(client) -> None:
    document = (await client.get("/api/orders/openapi.json")).json()

    answers = document["paths"]["/api/orders/{order_id}/events"]["get"]["responses"]
    assert set(answers) == {"200", "204", "default"}
    assert set(answers["200"]["content"]) == {"text/event-stream"}


# --- streams, on a real server -------------------------------------------------------------------


@pytest.fixture
async def live(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    limits = httpx2.Limits(max_connections=None)
    async with (
        served(app, lifespan="off") as url,
        httpx2.AsyncClient(base_url=url, timeout=30, limits=limits) as client,
    ):
        yield client


async def placed(live: httpx2.AsyncClient) -> tuple[UUID, str]:
    """Places an order; returns its ID and the address of its stream."""
    location = (await order(live)).headers["Location"]
    return UUID(location.rpartition("/")[2]), f"{location}/events"


def ids(text: str) -> list[str]:
    return [line.partition(": ")[2] for line in text.splitlines() if line.startswith("id:")]


async def watched(app: FastAPI) -> None:
    """Returns once a stream waits for steps."""
    async with asyncio.timeout(20):
        while not app.state.parts.feed._watchers:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def resumed(live: httpx2.AsyncClient, address: str, last: str | None) -> httpx2.Response:
    headers = as_("ann") | ({} if last is None else {"Last-Event-ID": last})
    return await live.get(address, headers=headers)


async def test_a_stream_shows_each_step_and_ends_with_the_order(live, shop) -> None:
    id, address = await placed(live)
    watching = asyncio.create_task(resumed(live, address, None))
    await shop.confirm(id)

    answer = await watching

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert ids(answer.text) == ["1", "2", "3"]


@pytest.mark.parametrize(("last", "rest"), [("0", ["1", "2", "3"]), ("2", ["3"])])
async def test_a_stream_resumes_after_the_last_event(live, shop, last: str, rest: list[str]) -> None:
    id, address = await placed(live)
    await shop.confirm(id)

    assert ids((await resumed(live, address, last)).text) == rest


@pytest.mark.parametrize("last", ["3", "4", "99999"])
async def test_a_stream_without_further_steps_is_204(live, shop, last: str) -> None:
    id, address = await placed(live)
    await shop.confirm(id)

    answer = await resumed(live, address, last)

    assert (answer.status_code, answer.content) == (204, b"")


async def test_an_id_beyond_the_last_step_still_gets_later_steps(live, app, shop) -> None:
    id, address = await placed(live)
    watching = asyncio.create_task(resumed(live, address, "99999"))
    await watched(app)
    await shop.confirm(id)

    assert ids((await watching).text) == ["2", "3"]


async def test_a_stream_follows_a_refund_to_its_end(live, app, shop) -> None:
    id, address = await placed(live)
    await shop.confirm(id)
    await saga.refund(shop.db, id)
    watching = asyncio.create_task(resumed(live, address, "0"))
    await watched(app)
    await saga.payment_cancelled(shop.db, [Event(uuid7(), str(id), PaymentCancelled(id, True))])

    assert ids((await watching).text) == ["1", "2", "3", "4", "5"]


async def test_a_client_that_disconnects_leaves_no_task_and_no_watcher(live, app) -> None:
    _, address = await placed(live)
    tasks = len(asyncio.all_tasks())
    async with live.stream("GET", address, headers=as_("ann")) as stream:
        lines = stream.aiter_lines()
        await anext(lines)
        assert app.state.parts.feed._watchers

    async with asyncio.timeout(12):  # its next comment would show that the client has left, but after fifteen seconds
        while app.state.parts.feed._watchers or len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_comments_are_sent_during_silence_and_no_step_is_lost(live, shop, monkeypatch) -> None:
    monkeypatch.setattr("order.routes.HEARTBEAT_SECONDS", 0.05)
    id, address = await placed(live)
    async with live.stream("GET", address, headers=as_("ann") | {"Last-Event-ID": "1"}) as stream:
        lines = stream.aiter_lines()
        assert [await anext(lines) for _ in range(4)] == [": still here", ""] * 2
        await shop.confirm(id)

        assert ids("\n".join([line async for line in lines])) == ["2", "3"]


async def test_a_client_that_does_not_read_delays_no_other(live, shop) -> None:
    id, address = await placed(live)
    async with live.stream("GET", address, headers=as_("ann")):
        watching = [asyncio.create_task(resumed(live, address, None)) for _ in range(50)]
        await asyncio.sleep(0.3)
        await shop.confirm(id)

        assert [ids(answer.text) for answer in await asyncio.gather(*watching)] == [["1", "2", "3"]] * 50


async def test_more_watchers_than_one_query_serves_are_refused(live, monkeypatch) -> None:
    monkeypatch.setattr("order.usecases.feed.MAX_WATCHERS", 1)
    _, address = await placed(live)
    async with live.stream("GET", address, headers=as_("ann")) as stream:
        lines = stream.aiter_lines()
        await anext(lines)
        refused = await resumed(live, address, None)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")


async def test_a_process_that_stops_ends_its_streams(live, app) -> None:
    _, address = await placed(live)
    async with live.stream("GET", address, headers=as_("ann")) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "id: 1"
        app.state.health.draining.set()

        assert ids("\n".join([line async for line in lines])) == []
