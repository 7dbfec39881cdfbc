"""The HTTP API of cart."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import OctKey
from msgspec import to_builtins
from pydantic import SecretStr
from redis.asyncio import Redis

from cart.clients import CatalogClient
from cart.main import create
from cart.models import EMPTY
from cart.repository import Carts
from cart.settings import Settings
from chassis.local.processes import free_ports
from chassis.testing.apps import client_of, started
from chassis.testing.tokens import token

from .conftest import FakeCatalog

MUG = "/api/cart/items/MUG-1"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def put(client: httpx2.AsyncClient, sku: str, quantity: int, **headers: str) -> httpx2.Response:
    return await client.put(f"/api/cart/items/{sku}", json={"quantity": quantity}, headers=headers)


async def test_a_new_cart_is_empty(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/cart")
    assert answer.json() == {"version": None, "items": []}
    assert "ETag" not in answer.headers


async def test_quantities_are_absolute_and_lines_keep_their_order(client: httpx2.AsyncClient) -> None:
    await put(client, "MUG-1", 2)
    await put(client, "CUP-1", 1)
    answer = await put(client, "MUG-1", 3)
    assert answer.json()["items"] == [{"sku": "MUG-1", "quantity": 3}, {"sku": "CUP-1", "quantity": 1}]
    assert answer.headers["ETag"] == f'"{answer.json()["version"]}"'
    assert (await client.get("/api/cart")).json() == answer.json()


async def test_each_change_gives_a_new_version_and_a_repetition_does_not(client: httpx2.AsyncClient) -> None:
    versions = [(await put(client, "MUG-1", n)).json()["version"] for n in (1, 2, 2)]
    versions.append((await client.delete("/api/cart/items/NOT-IN-IT")).json()["version"])
    assert versions[0] != versions[1] == versions[2] == versions[3]


async def test_removing_the_last_line_leaves_no_cart(client: httpx2.AsyncClient) -> None:
    await put(client, "MUG-1", 1)
    assert (await client.delete(MUG)).json() == {"version": None, "items": []}
    await put(client, "MUG-1", 1)
    assert (await client.delete("/api/cart")).json() == {"version": None, "items": []}
    assert (await client.get("/api/cart")).json()["items"] == []


@pytest.mark.parametrize("quoted", ["{}", '"{}"'])
async def test_a_change_to_another_version_is_refused(client: httpx2.AsyncClient, quoted: str) -> None:
    old = (await put(client, "MUG-1", 1)).json()["version"]
    new = (await put(client, "MUG-1", 2, **{"If-Match": quoted.format(old)})).json()["version"]
    stale = {"If-Match": quoted.format(old)}
    refused = [
        await put(client, "MUG-1", 9, **stale),
        await client.delete(MUG, headers=stale),
        await client.delete("/api/cart", headers=stale),
    ]
    assert [r.status_code for r in refused] == [412] * 3
    assert refused[0].json()["type"].endswith("/cart-changed")
    assert (await client.get("/api/cart")).json()["version"] == new
    assert (await client.delete("/api/cart", headers={"If-Match": quoted.format(new)})).status_code == 200


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["*"], 200),
        (['"{}"'], 200),
        (['"other", "{}"'], 200),
        (['"other"', '"{}"'], 200),
        (['"{}","{}"'], 200),
        (['""'], 412),
        (['"other"'], 412),
        (['W/"{}"'], 412),
        (['"x,{},y"'], 412),
        (['"any"'], 412),
        (['"*"'], 412),
        ([""], 400),
        (['"{}'], 400),
        (["other"], 400),
        (["{}, {}"], 400),
        (['*, "{}"'], 400),
    ],
)
async def test_if_match_follows_the_rfc(client: httpx2.AsyncClient, lines: list[str], status: int) -> None:
    version = (await put(client, "MUG-1", 1)).json()["version"]

    async def send(method: str, path: str, **more: Any) -> httpx2.Response:
        headers = [("If-Match", line.replace("{}", version)) for line in lines]
        return await client.request(method, path, headers=headers, **more)

    answers = [  # all but the last keep the version
        await send("PUT", MUG, json={"quantity": 1}),
        await send("DELETE", "/api/cart/items/NOT-IN-IT"),
        await send("DELETE", "/api/cart"),
    ]
    assert [answer.status_code for answer in answers] == [status] * 3
    if status != 200:
        slugs = {answer.json()["type"].rpartition("/")[2] for answer in answers}
        assert slugs == {"cart-changed" if status == 412 else "malformed-if-match"}
        assert (await client.get("/api/cart")).json()["version"] == version


@pytest.mark.parametrize("if_match", ["*", '""', '"{}"'.format("0" * 36), '"other"', 'W/""'])
async def test_an_empty_cart_has_no_version_to_match(client: httpx2.AsyncClient, if_match: str) -> None:
    headers = {"If-Match": if_match}
    assert (await put(client, "MUG-1", 1, **headers)).status_code == 412
    assert (await client.delete(MUG, headers=headers)).status_code == 412
    assert (await client.delete("/api/cart", headers=headers)).status_code == 412
    assert (await client.get("/api/cart")).json()["items"] == []


async def test_a_cart_that_the_client_has_is_not_sent_again(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/api/cart", headers={"If-None-Match": "*"})).status_code == 200
    etag = (await put(client, "MUG-1", 1)).headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await client.get("/api/cart", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    for other in ('"other"', '""', "other"):
        assert (await client.get("/api/cart", headers={"If-None-Match": other})).status_code == 200


async def test_of_two_changes_to_one_version_one_wins(client: httpx2.AsyncClient) -> None:
    version = (await put(client, "MUG-1", 1)).json()["version"]
    answers = await asyncio.gather(*(put(client, "MUG-1", n, **{"If-Match": version}) for n in range(2, 10)))
    assert sorted(a.status_code for a in answers) == [200] + [412] * 7


async def test_a_cart_holds_a_hundred_lines(client: httpx2.AsyncClient, carts: Carts) -> None:
    await carts.change("shopper", {f"SKU-{n}": 1 for n in range(100)})
    answer = await put(client, "ONE-MORE", 1)
    assert answer.status_code == 422
    assert answer.json()["type"].endswith("/cart-full")
    assert (await put(client, "SKU-7", 5)).status_code == 200
    assert len((await client.get("/api/cart")).json()["items"]) == 100


async def test_a_change_renews_the_time_to_live(client: httpx2.AsyncClient, carts: Carts) -> None:
    await put(client, "MUG-1", 1)
    await carts._valkey.redis.expire("cart:shopper", 5)
    await put(client, "MUG-1", 1)
    assert 30 * 86_400 - 5 <= await carts._valkey.redis.ttl("cart:shopper") <= 30 * 86_400


@pytest.mark.parametrize(
    "body",
    [
        {"quantity": 0},
        {"quantity": 100},
        {"quantity": -1},
        {"quantity": "1"},
        {"quantity": 1.5},
        {"quantity": True},
        {"quantity": 1, "price": 0},
        {},
        [],
    ],
)
async def test_a_bad_body_is_refused(client: httpx2.AsyncClient, body: Any) -> None:
    assert (await client.put(MUG, json=body)).status_code == 422


@pytest.mark.parametrize("sku", ["mug", "A", "-A", "A" * 33, "A%00B", "A%0A", "%C3%84B", "version"])
async def test_a_bad_sku_is_refused(client: httpx2.AsyncClient, sku: str) -> None:
    assert (await put(client, sku, 1)).status_code == 422


async def test_an_unknown_product_is_refused(client: httpx2.AsyncClient, app: FastAPI) -> None:
    async with FakeCatalog() as catalog, catalog.client() as http:
        app.state.parts = replace(app.state.parts, products=CatalogClient(http))
        refused = await put(client, "NO-SUCH-THING", 1)
        taken = await put(client, "MUG-1", 1)
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (404, "unknown-sku")
    assert (taken.status_code, taken.json()["items"]) == (200, [{"sku": "MUG-1", "quantity": 1}])


async def test_forged_and_expired_tokens_are_refused(client: httpx2.AsyncClient) -> None:
    head, claims, signature = token().split(".")
    secret = OctKey.import_key("x" * 32)
    forged = {
        "none": f"eyJhbGciOiJub25lIn0.{claims}.",
        "HS256": jwt.encode({"alg": "HS256"}, {"sub": "shopper"}, secret, algorithms=["HS256"]),
        "expired": token(exp=int(time.time()) - 60),
        "audience": token(aud="elsewhere"),
        "other claims": f"{head}.{token('mallory').split('.')[1]}.{signature}",
    }
    answers = {
        name: (await client.get("/api/cart", headers=bearer(forgery))).status_code for name, forgery in forged.items()
    }
    assert answers == dict.fromkeys(forged, 401)


async def test_carts_belong_to_their_token(client: httpx2.AsyncClient) -> None:
    await put(client, "MUG-1", 1)
    assert (await client.get("/api/cart", headers=bearer(token()))).json()["items"] == []


async def test_a_guests_cart_is_merged_once(client: httpx2.AsyncClient) -> None:
    guest = token("guest-1", kind="guest")
    for sku, quantity in (("MUG-1", 5), ("CUP-1", 1), ("POT-1", 2)):
        await put(client, sku, quantity, **bearer(guest))
    await put(client, "MUG-1", 2)
    await put(client, "CUP-1", 3)

    merged = await client.post("/api/cart/merge", json={"guest_token": guest})
    again = await client.post("/api/cart/merge", json={"guest_token": guest})
    assert {i["sku"]: i["quantity"] for i in merged.json()["items"]} == {"MUG-1": 5, "CUP-1": 3, "POT-1": 2}
    assert again.json() == merged.json()
    assert (await client.get("/api/cart", headers=bearer(guest))).json()["items"] == []


@pytest.mark.parametrize(
    ("claims", "slug"),
    [
        ({"kind": "account"}, "not-a-guest"),
        ({"sub": "shopper"}, "not-a-guest"),
        ({"exp": 1}, "guest-token-invalid"),
    ],
)
async def test_only_another_guests_cart_is_merged(
    client: httpx2.AsyncClient, claims: dict[str, Any], slug: str
) -> None:
    answer = await client.post("/api/cart/merge", json={"guest_token": token(**{"kind": "guest", **claims})})
    assert answer.status_code == 422
    assert answer.json()["type"].endswith(f"/{slug}")


async def test_a_restarted_valkey_gets_the_script_again(client: httpx2.AsyncClient, carts: Carts) -> None:
    await carts._valkey.redis.script_flush()
    assert (await put(client, "MUG-1", 1)).status_code == 200


async def test_without_valkey_every_call_is_a_503(settings: Settings) -> None:
    nowhere = SecretStr(f"redis://127.0.0.1:{free_ports(1)[0]}/0")
    app = create(settings.model_copy(update={"valkey_url": nowhere}))
    async with started(app), client_of(app, headers=bearer(token())) as client:
        answers = [await client.get("/api/cart"), await put(client, "MUG-1", 2), await client.delete("/api/cart")]
    assert [a.status_code for a in answers] == [503] * 3
    assert answers[0].json()["type"].endswith("/cart-unavailable")
    assert answers[0].headers["Retry-After"] == "1"


async def test_a_valkey_that_hangs_is_a_503_within_the_timeout(client: httpx2.AsyncClient, valkey: str) -> None:
    async with Redis.from_url(valkey) as other:
        await other.client_pause(60_000, all=False)  # writes; it could not end a pause of all commands
        try:
            started = time.monotonic()
            assert (await put(client, "MUG-1", 1)).status_code == 503
            assert time.monotonic() - started < 6, "one timeout, and not those of redis-py's retries too"
        finally:
            await other.client_unpause()
    assert (await put(client, "MUG-1", 1)).status_code == 200


async def test_connections_that_valkey_has_closed_are_replaced(
    client: httpx2.AsyncClient, carts: Carts, valkey: str
) -> None:
    await asyncio.gather(*(client.get("/api/cart") for _ in range(4)))
    async with Redis.from_url(valkey) as other:
        assert await other.execute_command("CLIENT", "KILL", "TYPE", "normal") >= 1  # as a restart does
    connections = carts._valkey.redis.connection_pool._available_connections
    async with asyncio.timeout(10):
        while not all(each._reader.at_eof() or each._writer.is_closing() for each in connections):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    answers = await asyncio.gather(*(client.get("/api/cart") for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4


async def test_the_openapi_document_has_the_cart(client: httpx2.AsyncClient) -> None:
    document = (await client.get("/api/cart/openapi.json")).json()
    assert "CartBody" in document["components"]["schemas"]


def tokens_of(*subs: str) -> list[str]:
    return [token(sub, kind="account") for sub in subs]


async def test_the_carts_of_several_tokens_are_read_in_one_call(client: httpx2.AsyncClient, carts: Carts) -> None:
    ann, bob = await carts.change("ann", {"MUG-1": 1, "CUP-1": 2}), await carts.change("bob", {"MUG-1": 3})

    tokens = tokens_of("bob", "nobody", "ann", "bob")
    answer = await client.post("/internal/carts", json={"tokens": tokens})

    assert answer.json() == {"carts": [to_builtins(each) for each in (bob, EMPTY, ann, bob)]}
    alone = [(await client.get("/api/cart", headers=bearer(each))).json() for each in tokens]
    assert answer.json() == {"carts": alone}


async def test_a_token_opens_only_its_owners_cart_and_a_wrong_one_none(
    client: httpx2.AsyncClient, carts: Carts
) -> None:
    await carts.change("ann", {"MUG-1": 1})
    good = token("ann", kind="account")
    wrong = ["ann", good[:-10], good + ".", token("ann", exp=1), token("ann", aud="elsewhere")]

    answer = await client.post("/internal/carts", json={"tokens": [*wrong, good]})

    assert [cart and cart["items"] for cart in answer.json()["carts"]] == [None] * 5 + [
        [{"sku": "MUG-1", "quantity": 1}]
    ]
    assert (await client.post("/internal/carts", json={"tokens": wrong})).json() == {"carts": [None] * 5}


@pytest.mark.parametrize(
    ("tokens", "status"), [([], 200), (["x"] * 64, 200), (["x"] * 65, 422), (["x" * 4097], 422), ("x", 422)]
)
async def test_a_call_reads_a_bounded_number_of_carts(
    client: httpx2.AsyncClient, tokens: list[str] | str, status: int
) -> None:
    assert (await client.post("/internal/carts", json={"tokens": tokens})).status_code == status
