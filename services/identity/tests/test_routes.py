"""The routes, over HTTP."""

import base64
import json
import time
from typing import Any
from unicodedata import normalize

import httpx2
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from chassis.errors import TooManyRequests
from identity.settings import Settings
from identity.usecases.accounts import Window

ADA = {"email": "Ada@example.org", "password": "correct horse", "name": "Ada"}


async def register(client: httpx2.AsyncClient, **change: str) -> dict[str, Any]:
    answer = await client.post("/api/identity/accounts", json=ADA | change)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def sign_in(client: httpx2.AsyncClient, password: str = ADA["password"]) -> httpx2.Response:
    form = {"grant_type": "password", "username": "ada@EXAMPLE.org", "password": password}
    return await client.post("/api/identity/token", data=form)


async def me(client: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await client.get("/api/identity/me", headers={"Authorization": f"Bearer {token}"})


async def test_a_guest_gets_a_token_that_the_published_keys_verify(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/identity/guests")
    assert answer.status_code == 201
    assert answer.json()["expires_in"] == 30 * 86_400

    jwks = (await client.get("/.well-known/jwks.json")).json()
    token = jwt.decode(answer.json()["access_token"], KeySet.import_key_set(jwks), algorithms=["ES256"])
    assert token.header["kid"] == jwks["keys"][0]["kid"]
    assert (token.claims["iss"], token.claims["aud"], token.claims["kind"]) == ("quayside", "quayside", "guest")
    assert "d" not in jwks["keys"][0]
    assert (await me(client, answer.json()["access_token"])).status_code == 404


async def test_an_account_is_registered_and_signs_in_in_any_case(client: httpx2.AsyncClient) -> None:
    account = await register(client)
    assert set(account) == {"id", "email", "name"}
    tokens = (await sign_in(client)).json()
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 900
    assert (await me(client, tokens["access_token"])).json() == account


async def test_an_address_is_registered_once(client: httpx2.AsyncClient) -> None:
    await register(client)
    answer = await client.post("/api/identity/accounts", json=ADA | {"email": "ADA@EXAMPLE.ORG"})
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("/email-taken")


@pytest.mark.parametrize(
    "change",
    [
        {"email": "nobody"},
        {"email": "a@-.-"},
        {"email": 7},
        {"password": "short"},
        {"password": "x" * 129},
        {"password": "control\x07 horse"},
        {"password": "delete\x7f horse"},
        {"password": "e\u0301" * 7},
        {"password": "\u0301\u0327" * 10_000},
        {"name": "nul\0"},
        {"name": "  "},
        {"scopes": ["orders:manage"]},
    ],
)
async def test_a_bad_registration_is_refused_without_an_echo(
    client: httpx2.AsyncClient, change: dict[str, Any]
) -> None:
    answer = await client.post("/api/identity/accounts", json=ADA | change)
    assert answer.status_code == 422
    assert "correct horse" not in answer.text


async def test_a_password_is_the_same_in_each_unicode_form(client: httpx2.AsyncClient) -> None:
    await register(client, password="cafe\u0301\u00a0horse")
    assert (await sign_in(client, "caf\u00e9 horse")).status_code == 200
    assert (await sign_in(client, "cafe\u0301\u3000horse")).status_code == 200
    assert (await sign_in(client, "cafe horse")).status_code == 400


@pytest.mark.parametrize("kept", ["cafe\u0301 horse", "tab\there it is"])
async def test_a_hash_of_a_password_that_was_not_normalized_still_works(
    client: httpx2.AsyncClient, app: FastAPI, kept: str
) -> None:
    await register(client)
    async with app.state.parts.db.connection() as connection:
        hash = await app.state.parts.passwords.hash(kept)
        await connection.execute("UPDATE accounts SET password_hash = $1", hash)
    assert (await sign_in(client, kept)).status_code == 200
    assert (await sign_in(client, normalize("NFC", kept))).status_code == 200


@pytest.mark.parametrize("field", ["email", "password", "name"])
async def test_a_lone_surrogate_is_refused(client: httpx2.AsyncClient, field: str) -> None:
    body = json.dumps(ADA | {field: "surrogate\ud800"})
    answer = await client.post("/api/identity/accounts", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


async def test_registrations_are_rate_limited(client: httpx2.AsyncClient) -> None:
    answers = [await client.post("/api/identity/accounts", json=ADA | {"email": f"a{i}@example.org"}) for i in range(4)]
    assert [a.status_code for a in answers] == [201, 201, 201, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 61


async def test_behind_the_edge_each_client_address_has_its_own_limit(app: FastAPI) -> None:
    """With the middleware of uvicorn, which trusts the edge's header. An IPv6 client has a whole /64."""

    async def status(number: int, seen: str) -> int:
        answer = await edge.post(
            "/api/identity/accounts",
            json=ADA | {"email": f"a{number}@example.org"},
            headers={"X-Forwarded-For": seen},
        )
        return answer.status_code

    transport = httpx2.ASGITransport(app=ProxyHeadersMiddleware(app), client=("127.0.0.1", 5))
    async with httpx2.AsyncClient(transport=transport, base_url="http://identity") as edge:
        assert [await status(number, "192.0.2.1") for number in range(4)] == [201, 201, 201, 429]
        assert await status(4, "192.0.2.2") == 201
        assert [await status(5 + number, f"2001:db8::{number}") for number in range(4)] == [201, 201, 201, 429]
        assert await status(9, "2001:db8:0:1::") == 201
        assert [await status(10 + number, f"::ffff:192.0.2.{number + 3}") for number in range(4)] == [201] * 4


def test_a_window_remembers_a_limited_number_of_keys() -> None:
    window = Window(1)
    for number in range(3 * Window.MAX_KEYS):
        window.enter(str(number))
    assert len(window._calls) == Window.MAX_KEYS
    with pytest.raises(TooManyRequests):
        window.enter(str(3 * Window.MAX_KEYS - 1))


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "implicit"}, "unsupported_grant_type"),
        ({"grant_type": "password", "username": "a@example.org"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "made\0up"}, "invalid_grant"),
        ({"grant_type": "password", "username": "a\0@example.org", "password": "x"}, "invalid_grant"),
        ({"grant_type": "password", "username": "a@example.org", "password": "\0"}, "invalid_grant"),
        ({"grant_type": "password", "username": "a" * 60_000, "password": "x"}, "invalid_grant"),
        ({"grant_type": "password", "username": "a@example.org", "password": "x" * 60_000}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x" * 60_000}, "invalid_grant"),
    ],
)
async def test_oauth_errors_are_problems_with_an_error_member(
    client: httpx2.AsyncClient, form: dict[str, str], error: str
) -> None:
    answer = await client.post("/api/identity/token", data=form)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert answer.json()["status"] == 400


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"grant_type=password&grant_type=password&username=ada@example.org&password=correct+horse"),
        (FORM, b"grant_type=password&username=ada@example.org&username=eve@example.org&password=correct+horse"),
        (FORM, b"grant_type=password&username=ada@example.org&password=correct+horse&scope=a&scope=b"),
        (FORM, b"grant_type=password&username=%ED%A0%80&password=%ED%A0%80"),
        (FORM, b"grant_type=password&username=ada@example.org&password=\xff"),
        (FORM, b"&".join(b"p%d=1" % number for number in range(2000))),
        ("", b"grant_type=password&username=ada@example.org&password=correct+horse"),
        ("text/plain", b"grant_type=password&username=ada@example.org&password=correct+horse"),
        ("application/json", b'{"grant_type": "password", "username": "ada@example.org", "password": "correct horse"}'),
        (
            "multipart/form-data; boundary=x; charset=unicode_escape",
            b'--x\r\nContent-Disposition: form-data; name="grant_type"\r\n\r\nrefresh_token\r\n'
            b'--x\r\nContent-Disposition: form-data; name="refresh_token"\r\n\r\n\\ud800\r\n--x--\r\n',
        ),
    ],
)
async def test_a_malformed_form_is_refused(client: httpx2.AsyncClient, content_type: str, body: bytes) -> None:
    await register(client)
    answer = await client.post("/api/identity/token", content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["error"] == "invalid_request"


async def test_an_unknown_or_empty_parameter_is_ignored(client: httpx2.AsyncClient) -> None:
    await register(client)
    body = "scope=&client_id=shop&refresh_token=&grant_type=password&username=ada@example.org&password=correct+horse"
    headers = {"Content-Type": f"{FORM}; charset=UTF-8"}
    assert (await client.post("/api/identity/token", content=body, headers=headers)).status_code == 200


async def test_an_account_whose_address_is_no_longer_accepted_signs_in(
    client: httpx2.AsyncClient, app: FastAPI
) -> None:
    await register(client)
    async with app.state.parts.db.connection() as connection:
        await connection.execute("UPDATE accounts SET email = 'ada..l@-.-'")
    form = {"grant_type": "password", "username": "ada..L@-.-", "password": ADA["password"]}
    assert (await client.post("/api/identity/token", data=form)).status_code == 200


async def test_failures_delay_even_the_right_password(client: httpx2.AsyncClient) -> None:
    await register(client)
    wrong = [await sign_in(client, "wrong") for _ in range(6)]
    assert [a.status_code for a in wrong] == [400] * 6
    answer = await sign_in(client)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 2


async def test_an_unknown_address_is_delayed_in_the_same_way(client: httpx2.AsyncClient) -> None:
    codes = [(await sign_in(client, "wrong")).status_code for _ in range(7)]
    assert codes == [400] * 6 + [429]


async def test_a_successful_sign_in_resets_the_failures(client: httpx2.AsyncClient) -> None:
    await register(client)
    for _ in range(2):
        for _ in range(5):
            await sign_in(client, "wrong")
        assert (await sign_in(client)).status_code == 200


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_forged_and_expired_tokens_are_refused(client: httpx2.AsyncClient, app: FastAPI) -> None:
    account = await register(client)
    public = (await client.get("/.well-known/jwks.json")).json()["keys"][0]
    claims = {"iss": "quayside", "aud": "quayside", "sub": account["id"], "kind": "account"}
    good = claims | {"exp": int(time.time()) + 60}
    keyring = app.state.parts.issuer.keyring
    assert (await me(client, await keyring.sign(good))).status_code == 200

    header = {"alg": "HS256", "kid": public["kid"]}
    secret = OctKey.import_key(json.dumps(public).encode())
    forged = {
        "none": f"{part({'alg': 'none', 'kid': public['kid']})}.{part(good)}.",
        "HS256": jwt.encode(header, good, secret, algorithms=["HS256"]),
        "expired": await keyring.sign(claims | {"exp": int(time.time()) - 60}),
        "no exp": await keyring.sign(claims),
        "iss": await keyring.sign(good | {"iss": "elsewhere"}),
        "aud": await keyring.sign(good | {"aud": "elsewhere"}),
        "cut": (await keyring.sign(good))[:-4],
        "nonsense": "nonsense",
    }
    answers = {name: (await me(client, token)).status_code for name, token in forged.items()}
    assert answers == dict.fromkeys(forged, 401)


async def test_the_openid_configuration_names_the_keys(client: httpx2.AsyncClient, settings: Settings) -> None:
    document = (await client.get("/.well-known/openid-configuration")).json()
    assert document["issuer"] == settings.issuer
    assert document["jwks_uri"].endswith("/.well-known/jwks.json")
    assert (await client.get("/api/identity/openapi.json")).status_code == 200
