"""Requests of attackers and broken clients, to every route through the edge: refused with a reason, never stored."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import pytest
from joserfc import jwk, jws, jwt

from shopctl import services
from shopctl.shop import Shop

SERVICES = [each for each in services.load(Path(__file__).parents[2]) if each.routes]
ADDRESS = {"name": "Ann Lee", "line1": "Quay 1", "city": "Bergen", "postal_code": "5003", "country": "NO"}
PRODUCT = {"sku": "HOSTILE-1", "name": "Mug", "description": "Blue.", "category": "tests"}
PRICE = {"amount": 500, "currency": "EUR"}
BODIES: dict[str, dict[str, Any]] = {
    "PUT /api/cart/items/{sku}": {"quantity": 1},
    "POST /api/cart/merge": {"guest_token": "a.b.c"},
    "POST /api/orders": {
        "cart_version": str(uuid4()),
        "payment_method": "tok_visa",
        "shipping_address": ADDRESS,
        "expected_total": PRICE,
    },
    "POST /api/identity/accounts": {"email": "a@b.example", "password": "long enough", "name": "Ann"},
    "POST /api/identity/password": {"current_password": "not this one", "new_password": "long enough"},
    "POST /api/catalog/products": {**PRODUCT, "price": PRICE},
    "PATCH /api/catalog/products/{sku}": {"name": "Mug", "description": "Blue.", "category": "tests", "price": PRICE},
    "PUT /api/catalog/products/{sku}/restocks/{id}": {"quantity": 1},
    "PUT /api/admin/orders/audit": {"findings": {"A1": 0}},
}
FORMS = ("POST /api/identity/token", "POST /api/identity/revoke", "POST /api/payments/webhooks/{provider}")  # no JSON
OPEN = {
    "GET /api/catalog/products",
    "GET /api/catalog/products/{sku}",
    "GET /api/catalog/categories",
    "POST /api/identity/guests",
    "POST /api/identity/accounts",
    "POST /api/identity/token",
    "POST /api/identity/revoke",
    "POST /api/payments/webhooks/{provider}",
    "GET /.well-known/jwks.json",
    "GET /.well-known/openid-configuration",
}
MISSING: list[Any] = [None, {}, [], [1]]
NO_NUMBER: list[Any] = [True, 1.5, "1", -1, 2**31, 2**63, 10**40, float("inf"), float("nan")]
NO_TEXT: list[Any] = [True, 7, "a\0b", "\ud800", "\x1b[2J", "x" * 20_000]
NOT_JSON = [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"a":' * 5000 + b"1" + b"}" * 5000, b"[" * 30_000]
CLAIMS = {
    "iss": "quayside",
    "aud": "quayside",
    "sub": str(uuid4()),
    "iat": int(time.time()),
    "exp": int(time.time()) + 3600,
    "scope": "catalog:write orders:manage",
    "kind": "account",
}
PLACES = {"{sku}": "HOSTILE-1", "{id}": "r1", "{order_id}": str(uuid4()), "{provider}": "psp"}


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    """Checks that an answer is a refusal in the standard form, and returns its status and slug."""
    sent = f"{answer.request.method} {str(answer.request.url)[:200]}: {answer.status_code} {answer.text[:300]}"
    assert 400 <= answer.status_code < 500, sent
    assert answer.headers["content-type"] == "application/problem+json", sent
    document = answer.json()
    assert document["status"] == answer.status_code, sent
    assert document["detail"].strip(), sent
    slug = document["type"].rpartition("/")[2]
    assert slug, sent
    return answer.status_code, slug


@cache
def routes(address: str) -> list[str]:
    """Returns every route in the services' OpenAPI documents, as `METHOD /path`."""
    found = []
    for service in SERVICES:
        document = httpx2.get(f"{address}{service.specification}").raise_for_status().json()
        found += [f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods]
    return found


def send(http: httpx2.Client, route: str, **arguments: Any) -> httpx2.Response:
    method, path = route.split(" ")
    for place, value in PLACES.items():
        path = path.replace(place, value)
    headers = {"Idempotency-Key": str(uuid4()), "If-Match": "*", **arguments.pop("headers", {})}
    return http.request(method, path, headers=headers, **arguments)


def send_json(http: httpx2.Client, route: str, content: bytes) -> httpx2.Response:
    return send(http, route, content=content, headers={"Content-Type": "application/json"})


def spoiled(body: dict[str, Any]) -> Iterator[Any]:
    """Yields invalid variants of the body: an unknown member, or one member replaced by an invalid value."""
    yield {**body, "unknown": 1}
    for name, value in body.items():
        if isinstance(value, dict):
            yield from ({**body, name: inner} for inner in spoiled(value))
        worse = NO_NUMBER if isinstance(value, int) else NO_TEXT if isinstance(value, str) else [7, "text"]
        yield from ({**body, name: bad} for bad in MISSING + worse)


@pytest.fixture
def kept(shopper, admin) -> Iterator[None]:
    """Fails if the test changes a cart, an order or a product."""

    def state() -> list[Any]:
        searched = admin.http.get("/api/catalog/products", params={"category": "tests", "limit": 100})
        shelves = [(item["sku"], item["name"], item["price"]) for item in searched.json()["items"]]
        own = [
            client.get(path).json() for client in (shopper.http, admin.http) for path in ("/api/cart", "/api/orders")
        ]
        return [shelves, own, admin.http.get("/api/catalog/products/HOSTILE-1").json()]

    before = state()
    yield
    assert state() == before


# --- bodies --------------------------------------------------------------------------------------


def test_every_route_with_a_body_is_tested(shop) -> None:
    bodies = set()
    for service in SERVICES:
        document = httpx2.get(f"{shop.place.address}{service.specification}").json()
        for path, methods in document["paths"].items():
            bodies |= {f"{method.upper()} {path}" for method, o in methods.items() if "requestBody" in o}
    assert bodies == {*BODIES, *FORMS}


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.usefixtures("kept")
def test_a_spoiled_body_is_refused(admin, route: str) -> None:
    for body in spoiled(BODIES[route]):
        refusal(send_json(admin.http, route, json.dumps(body).encode()))


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.usefixtures("kept")
def test_a_body_that_is_not_json_is_refused(admin, route: str) -> None:
    for content in NOT_JSON:
        refusal(send_json(admin.http, route, content))
    good = json.dumps(BODIES[route]).encode()
    refusal(send(admin.http, route, content=good, headers={"Content-Type": "text/plain"}))


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.usefixtures("kept")
def test_a_duplicate_member_is_refused(admin, route: str) -> None:
    for name, value in BODIES[route].items():
        member = json.dumps({name: value})[1:-1]
        twice = f"{json.dumps(BODIES[route])[:-1]}, {member}}}".encode()
        assert refusal(send_json(admin.http, route, twice)) == (400, "duplicate-member")


@pytest.mark.parametrize("route", [*BODIES, *FORMS])
def test_a_body_over_64_kib_is_refused(admin, route: str) -> None:
    assert refusal(send_json(admin.http, route, b" " * 65_537)) == (413, "body-too-large")

    def chunks() -> Iterator[bytes]:
        yield from [b" " * 8192] * 9

    answer = send(admin.http, route, content=chunks(), headers={"Content-Type": "application/json"})
    assert refusal(answer) == (413, "body-too-large")


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"grant_type=password",
        b"grant_type=client_credentials",
        b"grant_type=password&username=a%00b&password=x",
        b"grant_type=password&username=%ED%A0%80&password=%ED%A0%80",
        b"grant_type=password&username=a@b.example&password=" + b"x" * 60_000,
        b"grant_type=refresh_token&refresh_token=%00",
        b"grant_type=refresh_token&refresh_token=" + b"x" * 60_000,
        b"&".join(b"grant_type=password" for _ in range(2000)),
    ],
)
def test_a_bad_form_gets_no_token(shop, form: bytes) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    refusal(httpx2.post(f"{shop.place.address}/api/identity/token", content=form, headers=headers))


# --- paths, parameters, headers ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/orders", "/api/admin/orders", "/api/catalog/products"])
@pytest.mark.parametrize(
    "query",
    [
        *(f"limit={limit}" for limit in ("0", "-1", "101", "9" * 40, "x", "1e3", "%00", "")),
        *(f"cursor={c}" for c in ("x", "%00", "%ED%A0%80", "A" * 3000, "eyJ9", "W10", "bnVsbA", "0" * 37)),
        "limit=1&cursor=eyJzb3J0IjoibmFtZSJ9",
    ],
)
def test_invalid_paging_is_refused(admin, path: str, query: str) -> None:
    refusal(admin.http.get(f"{path}?{query}"))


@pytest.mark.parametrize(
    "query",
    [
        *("min_price=-1", f"max_price={10**40}", "sort=x", "sku=%00", "q=%00", "category=A%27--", "x=1", "sku=A&q=b"),
        "q=" + "x" * 201,
        "&".join(f"sku=A{n}" for n in range(101)),
    ],
)
def test_an_invalid_search_is_refused(admin, query: str) -> None:
    refusal(admin.http.get(f"/api/catalog/products?{query}"))


@pytest.mark.parametrize("place", ["%00", "a%00b", "%ED%A0%80", "%F0%9F%92%A9", "a%20b", "x" * 65, "%27--"])
@pytest.mark.usefixtures("kept")
def test_an_invalid_path_is_refused(shop, admin, place: str) -> None:
    for route in routes(shop.place.address):
        method, path = route.split(" ")
        for part in PLACES:
            path = path.replace(part, place)
        if "{" in route:
            body = BODIES.get(route)
            refusal(admin.http.request(method, path, json=body, headers={"If-Match": "*"}))


def test_invalid_headers_are_refused(shopper, admin) -> None:
    line, path = {"json": {"quantity": 1}}, f"/api/cart/items/{admin.product(stock=1)}"
    for if_match, status in (('"other"', 412), ('""', 412), ("x" * 101, 400), ("", 400)):
        assert refusal(shopper.http.put(path, headers={"If-Match": if_match}, **line))[0] == status
    for id in ("x", "-1", "9" * 30, "\u0661".encode()):
        refusal(shopper.http.get(f"/api/orders/{uuid4()}/events", headers={"Last-Event-ID": id}))
    assert shopper.http.get("/api/cart").json()["items"] == []


# --- tokens --------------------------------------------------------------------------------------


def part(value: object) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def bad_tokens(http: httpx2.Client) -> dict[str, str]:
    """Returns forged tokens with all scopes, by what is wrong with each."""
    key = http.get("/.well-known/jwks.json").json()["keys"][0]
    public = jwk.ECKey.import_key(key)
    forger = jwk.ECKey.generate_key("P-256", {"kid": key["kid"]})
    own = {"kid": "x", "jwk": forger.as_dict(private=False)}
    header = {"alg": "ES256", "kid": key["kid"]}
    good = http.headers["Authorization"].removeprefix("Bearer ").split(".")

    def with_hmac(secret: bytes) -> str:
        signed = f"{part({**header, 'alg': 'HS256'})}.{part(CLAIMS)}"
        return f"{signed}.{part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"

    return {
        "unsigned": f"{part({**header, 'alg': 'none'})}.{part(CLAIMS)}.",
        "unsigned, in mixed case": f"{part({**header, 'alg': 'nOnE'})}.{part(CLAIMS)}.",
        "HMAC with the public key's PEM": with_hmac(public.as_pem(private=False)),
        "HMAC with the public key's JSON": with_hmac(json.dumps(key).encode()),
        "signed by another key": jwt.encode(header, CLAIMS, forger),
        "signed by a key of its own": jwt.encode({**header, **own}, CLAIMS, forger),
        "of an unknown key": jwt.encode({**header, "kid": str(uuid4())}, CLAIMS, forger),
        "of an odd key": f"{part({**header, 'kid': {'a': 1}})}.{part(CLAIMS)}.{good[2]}",
        "with other claims": f"{good[0]}.{part(CLAIMS)}.{good[2]}",
        "without a signature": f"{good[0]}.{good[1]}.",
        "with a zero signature": f"{good[0]}.{good[1]}.{part(bytes(64))}",
        "cut off": ".".join(good)[:-5],
        "nonsense": "nonsense",
        "deep": f"{part(b'[' * 3000)}.{part(CLAIMS)}.{good[2]}",
    }


def signed_tokens(shop: Shop) -> dict[str, str]:
    """Returns tokens that are signed with the shop's own key and must still be refused, by what is wrong with each."""

    async def signing_key() -> Any:
        connection = await asyncpg.connect(shop.place.database_url("identity"))
        try:
            return jwk.ECKey.import_key(json.loads(await connection.fetchval("SELECT jwk::text FROM signing_keys")))
        finally:
            await connection.close()

    key = asyncio.run(signing_key())
    changes: dict[str, dict[str, Any]] = {
        "expired": {"exp": int(time.time()) - 10},  # 5 s of leeway
        "without expiry": {"exp": None},
        "with a word as expiry": {"exp": "tomorrow"},
        "with infinity as expiry": {"exp": float("inf")},
        "from another issuer": {"iss": "elsewhere"},
        "for another audience": {"aud": "elsewhere"},
        "without a principal": {"sub": None},
        "with a list as principal": {"sub": ["a"]},
        "with an empty principal": {"sub": ""},
    }

    def signed(claims: dict[str, Any]) -> str:
        content = {name: value for name, value in claims.items() if value is not None}
        return jws.serialize_compact({"alg": "ES256", "kid": key.kid}, json.dumps(content), key)

    return {wrong: signed({**CLAIMS, **change}) for wrong, change in changes.items()}


def test_an_invalid_token_is_refused_everywhere(shop, admin) -> None:
    guarded = [route for route in routes(shop.place.address) if route not in OPEN]
    assert len(guarded) > 15
    tokens = {**bad_tokens(admin.http), **signed_tokens(shop)}
    with httpx2.Client(base_url=shop.place.address, timeout=15, trust_env=False) as http:
        for wrong, token in tokens.items():
            for route in guarded:
                answer = send(http, route, json=BODIES.get(route), headers={"Authorization": f"Bearer {token}"})
                assert answer.status_code == 401, f"{route} with a token that is {wrong}: {answer.text}"
                assert refusal(answer) == (401, "invalid-token")
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer"}, {"Authorization": "Basic YTpi"}])
def test_a_missing_token_is_refused_everywhere(shop, headers: dict[str, str]) -> None:
    with httpx2.Client(base_url=shop.place.address, timeout=15, trust_env=False) as http:
        for route in routes(shop.place.address):
            if route not in OPEN:
                assert refusal(send(http, route, json=BODIES.get(route), headers=headers)) == (401, "token-required")


# --- data of other principals --------------------------------------------------------------------


def test_the_order_of_another_principal_is_not_found(new_shopper: Callable[[], Any], admin) -> None:
    owner, other = new_shopper(), new_shopper()
    id = owner.buy(admin.product(stock=1))
    owner.waits_for(id, "CONFIRMED")

    for method, path in [("GET", ""), ("GET", "/events"), ("POST", "/cancel")]:
        answer = other.http.request(method, f"/api/orders/{id}{path}")
        assert refusal(answer) == (404, "order-not-found")

    assert other.http.get("/api/orders").json()["items"] == []
    assert other.http.get("/api/orders", params={"cursor": id}).json()["items"] == []
    assert owner.status(id) == "CONFIRMED"


@pytest.mark.usefixtures("kept")
def test_a_guest_may_not_use_the_routes_of_the_back_office(shop, shopper) -> None:
    managers = [route for route in routes(shop.place.address) if "/admin/" in route]
    managers += [route for route in BODIES if "/catalog/" in route]
    managers += ["DELETE /api/catalog/products/{sku}", "POST /api/catalog/products/{sku}/restore"]
    for route in managers:
        assert refusal(send(shopper.http, route, json=BODIES.get(route))) == (403, "scope-required")


def test_only_the_cart_of_a_guest_can_be_merged(new_shopper: Callable[[], Any], admin) -> None:
    owner, thief = admin, new_shopper()
    token = owner.http.headers["Authorization"].removeprefix("Bearer ")
    for stolen in (token, token[:-5], "x", thief.http.headers["Authorization"].removeprefix("Bearer ")):
        assert refusal(thief.http.post("/api/cart/merge", json={"guest_token": stolen}))[0] == 422
