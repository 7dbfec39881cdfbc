"""Forged, expired and foreign tokens are refused, and keys are rarely fetched."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from fastapi import APIRouter, Depends
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from chassis import auth
from chassis.app import create_app
from chassis.auth import Authenticated, TokenVerifier, requires
from chassis.errors import Unauthenticated, Unavailable
from chassis.settings import ServiceSettings
from chassis.testing.apps import client_of, started
from chassis.waiting import deadline


def new_key(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid, "alg": "ES256", "use": "sig"})


KEY = new_key("one")


class Issuer:
    """Publishes keys and counts how often they are fetched."""

    def __init__(self) -> None:
        self.url = ""
        self.keys = [KEY]
        self.status = 200
        self.seconds = 0.0
        self.answer: bytes | None = None
        self.fetched = 0

    async def publish(self, _: web.Request) -> web.Response:
        self.fetched += 1
        await asyncio.sleep(self.seconds)
        if self.answer is not None:
            return web.Response(body=self.answer)
        return web.json_response(KeySet(self.keys).as_dict(private=False), status=self.status)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/.well-known/jwks.json", issuer.publish)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    issuer.url = f"http://{host}:{port}/.well-known/jwks.json"
    yield issuer
    await runner.cleanup()


def verifying(url: str) -> TokenVerifier:
    return TokenVerifier(url, issuer="lamps", audience="lamps")


@pytest.fixture
async def verifier(issuer: Issuer) -> AsyncIterator[TokenVerifier]:
    async with verifying(issuer.url) as verifier:
        yield verifier


def token(key: ECKey = KEY, *, kid: str = "one", **changes: Any) -> str:
    """Returns a valid token with the changes applied; None leaves a claim out."""
    claims = {"iss": "lamps", "aud": "lamps", "sub": "ada", "scope": "light dim", "exp": int(time.time()) + 60}
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode({"alg": "ES256", "kid": kid}, claims, key)


def part(value: dict[str, Any] | bytes) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(header: dict[str, Any] | bytes, claims: dict[str, Any] | bytes) -> str:
    """Returns a token with a good signature, whatever its header and claims."""
    text = f"{part(header)}.{part(claims)}"
    r, s = decode_dss_signature(KEY.get_op_key("sign").sign(text.encode(), ECDSA(SHA256())))
    return f"{text}.{part(r.to_bytes(32) + s.to_bytes(32))}"


async def test_a_good_token_gives_the_principal_and_its_scopes(verifier: TokenVerifier):
    principal = await verifier.verify(token())

    assert (principal.sub, principal.scopes) == ("ada", {"light", "dim"})


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 1000},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iss": "chairs"},
        {"iss": None},
        {"aud": "chairs"},
        {"aud": None},
        {"sub": None},
        {"sub": 7},
        {"nbf": int(time.time()) + 1000},
    ],
    ids=str,
)
async def test_a_signed_token_with_the_wrong_claims_is_refused(verifier: TokenVerifier, changes: dict[str, Any]):
    with pytest.raises(Unauthenticated):
        await verifier.verify(token(**changes))


@pytest.mark.parametrize(
    ("claim", "seconds", "good"),
    [
        ("iat", 2, True),
        ("iat", 600, True),
        ("nbf", 2, True),
        ("nbf", 55, True),
        ("nbf", 120, False),
        ("exp", -2, True),
        ("exp", -30, False),
    ],
)
async def test_clocks_may_differ_a_little(verifier: TokenVerifier, claim: str, seconds: int, good: bool):
    sent = token(**{claim: int(time.time()) + seconds})

    if good:
        assert (await verifier.verify(sent)).sub == "ada"
    else:
        with pytest.raises(Unauthenticated):
            await verifier.verify(sent)


async def test_a_cached_token_is_valid_no_longer_than_any_other(
    verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
):
    now = time.time()
    sent = token(exp=int(now) + 10)
    await verifier.verify(sent)

    monkeypatch.setattr(time, "time", lambda: now + 12)
    await verifier.verify(sent)
    monkeypatch.setattr(time, "time", lambda: now + 20)
    with pytest.raises(Unauthenticated):
        await verifier.verify(sent)


async def test_a_token_signed_with_another_key_is_refused(verifier: TokenVerifier):
    with pytest.raises(Unauthenticated):
        await verifier.verify(token(new_key("one")))


async def test_a_token_with_changed_claims_is_refused(verifier: TokenVerifier):
    header, claims, signature = token().split(".")
    changed = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"scope": "admin"}

    with pytest.raises(Unauthenticated):
        await verifier.verify(f"{header}.{part(changed)}.{signature}")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE"])
async def test_a_token_without_a_signature_is_refused(verifier: TokenVerifier, algorithm: str):
    claims = token().split(".")[1]

    with pytest.raises(Unauthenticated):
        await verifier.verify(f"{part({'alg': algorithm, 'kid': 'one'})}.{claims}.")


async def test_a_token_signed_with_the_public_key_as_a_password_is_refused(verifier: TokenVerifier):
    signed = f"{part({'alg': 'HS256', 'kid': 'one'})}.{token().split('.')[1]}"
    signature = hmac.digest(KEY.as_pem(private=False), signed.encode(), "sha256")

    with pytest.raises(Unauthenticated):
        await verifier.verify(f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}")


HEADER = {"alg": "ES256", "kid": "one", "typ": "JWT"}
CLAIMS = {"iss": "lamps", "aud": "lamps", "sub": "ada", "exp": int(time.time()) + 600}


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "one"},
        {"alg": "ES256"},
        {"alg": ["ES256"], "kid": "one"},
        HEADER | {"alg": "ES384"},
        HEADER | {"kid": None},
        HEADER | {"kid": ["one"]},
        HEADER | {"crit": ["exp"], "exp": 1},
        HEADER | {"b64": False},
        HEADER | {"jwk": KEY.as_dict(private=False)},
        HEADER | {"jku": "https://keys.example/jwks.json"},
        b'{"alg": "ES256", "kid": "one", "alg": "none"}',
        b'{"alg": "ES256", "kid": ' + b"[" * 20_000,
        b"[]",
        b"",
    ],
    ids=lambda header: str(header)[:60],
)
async def test_a_header_that_says_anything_else_is_refused(verifier: TokenVerifier, header: dict[str, Any] | bytes):
    assert (await verifier.verify(signed(HEADER, CLAIMS))).sub == "ada"

    with pytest.raises(Unauthenticated):
        await verifier.verify(signed(header, CLAIMS))


@pytest.mark.parametrize("claims", [b"", b"[]", b"null", b'"ada"', b"{", b'{"sub": "\xff"}', b'{"exp": NaN}'])
async def test_signed_text_that_holds_no_claims_is_refused(verifier: TokenVerifier, claims: bytes):
    with pytest.raises(Unauthenticated):
        await verifier.verify(signed(HEADER, claims))


async def test_of_two_claims_with_one_name_the_last_counts_everywhere(verifier: TokenVerifier):
    twice = json.dumps(CLAIMS)[:-1].encode() + b', "sub": "bob"}'

    assert (await verifier.verify(signed(HEADER, twice))).sub == "bob"


def in_asn1(signature: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))


@pytest.mark.parametrize(
    "changed",
    [
        lambda raw: b"",
        lambda raw: raw[:63],
        lambda raw: raw + b"\0",
        lambda raw: raw[:32] + b"\0" + raw[32:],
        lambda raw: raw[32:] + raw[:32],
        lambda raw: bytes(64),
        lambda raw: b"\xff" * 64,
        lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
        in_asn1,
    ],
    ids=["none", "short", "long", "padded", "swapped", "zero", "too large", "one bit", "ASN.1"],
)
async def test_any_other_signature_is_refused(verifier: TokenVerifier, changed: Callable[[bytes], bytes]):
    text, _, signature = token().rpartition(".")

    with pytest.raises(Unauthenticated):
        await verifier.verify(f"{text}.{part(changed(base64.urlsafe_b64decode(signature + '==')))}")


LAST_BITS = str.maketrans("AQgw", "BRhx")
"""The last character of 64 bytes has four bits too many, which a lenient decoder ignores."""


@pytest.mark.parametrize(
    "changed",
    [
        lambda token: token + "==",
        lambda token: token[:-1] + token[-1].translate(LAST_BITS),
        lambda token: token + ".",
        lambda token: "." + token,
        lambda token: token + "." + token.rpartition(".")[2],
        lambda token: token.replace(".", "..", 1),
        lambda token: token.replace(".", "=.", 1),
        lambda token: token[:5] + "\n" + token[5:],
        lambda token: token + "!",
        lambda token: token + " ",
        lambda token: token + "A" * 60_000,
    ],
    ids=range(11),
)
async def test_a_token_has_only_one_form(verifier: TokenVerifier, changed: Callable[[str], str]):
    with pytest.raises(Unauthenticated):
        await verifier.verify(changed(token()))


@pytest.mark.parametrize(
    ("kind", "guest"), [("guest", True), ("account", False), ("Guest", False), ("guest ", False), (None, False)]
)
async def test_only_a_token_that_says_so_is_a_guests(verifier: TokenVerifier, kind: str | None, guest: bool):
    assert (await verifier.verify(token(kind=kind))).guest is guest


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "..", "é.é.é", "\ud800", "a" * 9000, part({}) + ".e30.e30"])
async def test_text_that_is_no_token_is_refused(verifier: TokenVerifier, text: str):
    with pytest.raises(Unauthenticated):
        await verifier.verify(text)


async def test_a_token_that_was_good_is_refused_once_it_expires(
    verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
):
    good = token()
    await verifier.verify(good)
    later = time.time() + 1000
    monkeypatch.setattr(time, "time", lambda: later)

    with pytest.raises(Unauthenticated):
        await verifier.verify(good)


async def test_unknown_keys_cause_one_fetch_in_ten_seconds(issuer: Issuer, verifier: TokenVerifier):
    await verifier.verify(token())

    for kid in range(20):
        with pytest.raises(Unauthenticated):
            await verifier.verify(token(kid=str(kid)))

    assert issuer.fetched == 1


async def test_a_new_key_is_found_after_ten_seconds(
    issuer: Issuer, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
):
    await verifier.verify(token())
    issuer.keys = [KEY, new_key("two")]
    monkeypatch.setattr(auth, "REFETCH_SECONDS", 0)

    assert (await verifier.verify(token(issuer.keys[1], kid="two"))).sub == "ada"
    assert issuer.fetched == 2


async def test_a_token_of_a_removed_key_is_refused_after_the_next_fetch(
    issuer: Issuer, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
):
    await verifier.verify(token(sub="bob"))
    issuer.keys = [new_key("two")]
    monkeypatch.setattr(auth, "REFETCH_SECONDS", 0)
    await verifier.verify(token(issuer.keys[0], kid="two"))

    with pytest.raises(Unauthenticated):
        await verifier.verify(token())


async def test_keys_for_anything_but_our_tokens_are_not_used(issuer: Issuer):
    other = {
        "curve": ECKey.generate_key("P-384", {"kid": "curve"}),
        "use": ECKey.generate_key("P-256", {"kid": "use", "use": "enc"}),
        "algorithm": ECKey.generate_key("P-256", {"kid": "algorithm", "alg": "ECDH-ES"}),
    }
    password = {"kid": "password", "kty": "oct", "k": part(KEY.as_pem(private=False))}
    keys = [*(key.as_dict(private=False) for key in other.values()), password, KEY.as_dict(private=False), {}, 5]
    issuer.answer = json.dumps({"keys": keys}).encode()

    async with verifying(issuer.url) as verifier:
        assert (await verifier.verify(token())).sub == "ada"
        for kid in ("use", "algorithm"):
            for_tokens = ECKey.import_key(other[kid].as_dict(private=True) | {"use": "sig", "alg": "ES256"})
            with pytest.raises(Unauthenticated):
                await verifier.verify(token(for_tokens, kid=kid))
        for kid in ("curve", "password"):
            with pytest.raises(Unauthenticated):
                await verifier.verify(token(kid=kid))


async def test_the_last_good_keys_are_kept_while_the_issuer_is_down(
    issuer: Issuer, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
):
    await verifier.verify(token())
    issuer.status = 503
    monkeypatch.setattr(auth, "REFETCH_SECONDS", 0)

    with pytest.raises(Unauthenticated):
        await verifier.verify(token(kid="two"))
    assert (await verifier.verify(token(sub="bob"))).sub == "bob"


async def hurried(verifier: TokenVerifier, token: str, seconds: float = 0.02) -> object:
    """Verifies a token as a client with that deadline, in its own context; returns the result."""
    deadline.set(time.monotonic() + seconds)
    try:
        return (await verifier.verify(token)).sub
    except (Unauthenticated, Unavailable) as error:
        return error.slug


async def test_short_deadlines_neither_end_a_fetch_nor_delay_others(
    issuer: Issuer, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
):
    await verifier.verify(token())
    issuer.keys, issuer.seconds = [KEY, new_key("two")], 0.2
    monkeypatch.setattr(verifier, "_fetched", float("-inf"))

    in_a_hurry = [asyncio.create_task(hurried(verifier, token(kid=f"unknown-{n}"))) for n in range(20)]
    await asyncio.sleep(0.01)
    known = asyncio.create_task(hurried(verifier, token(sub="bob")))
    new = asyncio.create_task(verifier.verify(token(issuer.keys[1], kid="two")))

    assert set(await asyncio.gather(*in_a_hurry)) == {"deadline-passed"}
    assert await known == "bob"
    assert (await new).sub == "ada"
    assert issuer.fetched == 2


async def test_a_fetch_that_failed_is_made_again_soon(issuer: Issuer, monkeypatch: pytest.MonkeyPatch, eventually):
    monkeypatch.setattr(auth, "REFETCH_SECONDS", 0.05)
    monkeypatch.setattr(auth, "REFRESH_SECONDS", 0.1)
    async with verifying(issuer.url) as verifier:
        await verifier.verify(token())
        issuer.status = 503
        await asyncio.sleep(0.2)  # a background refresh gets this answer
        monkeypatch.setattr(auth, "REFRESH_SECONDS", 300)
        issuer.status, issuer.keys = 200, [KEY, new_key("two")]

        await eventually(lambda: len(verifier._keys) == 2)


@pytest.mark.parametrize(
    "answer", [b"5", b"[]", b"null", b'{"keys": 5}', b'{"keys": []}', b'{"keys": [5]}', b"[" * 5000, b"\xff"]
)
async def test_an_answer_that_is_not_a_key_set_is_survived(issuer: Issuer, eventually, answer: bytes):
    issuer.answer = answer
    async with verifying(issuer.url) as verifier:
        with pytest.raises(Unavailable):
            await verifier.verify(token())
        issuer.answer = None

        await eventually(lambda: verifier._keys)


async def test_without_keys_a_service_starts_and_answers_unavailable():
    async with verifying("http://127.0.0.1:1/.well-known/jwks.json") as verifier:
        with pytest.raises(Unavailable, match="keys-unavailable"):
            await verifier.verify(token())


async def test_an_issuer_that_stays_down_is_logged_once_with_its_address(caplog, monkeypatch):
    url = "http://127.0.0.1:1/.well-known/jwks.json"
    async with verifying(url) as verifier:
        for _ in range(3):
            monkeypatch.setattr(verifier, "_fetched", float("-inf"))
            with pytest.raises(Unavailable):
                await verifier.verify(token())
    (line,) = [record.message for record in caplog.records if record.name == "chassis.auth"]
    assert line.startswith(f"signing keys from {url}: Cannot connect to host 127.0.0.1:1 ")
    assert "; is JWKS_URL right?" in line


async def test_an_address_without_keys_is_logged(issuer: Issuer, caplog):
    issuer.status = 404
    async with verifying(issuer.url) as verifier:
        with pytest.raises(Unavailable):
            await verifier.verify(token())
    (line,) = [record.message for record in caplog.records if record.name == "chassis.auth"]
    assert line.startswith(f"signing keys from {issuer.url}: it answered 404; is JWKS_URL right?")


async def test_keys_that_are_published_late_are_used(issuer: Issuer, eventually):
    issuer.status = 503
    async with verifying(issuer.url) as verifier:
        with pytest.raises(Unavailable):
            await verifier.verify(token())
        issuer.status = 200

        async def verified() -> bool:
            try:
                return bool(await verifier.verify(token()))
            except Unavailable:
                return False

        await eventually(verified)


@asynccontextmanager
async def serving(verifier: TokenVerifier) -> AsyncIterator[httpx2.AsyncClient]:
    router = APIRouter()

    @router.get("/me")
    async def me(principal: Authenticated) -> str:
        return principal.sub

    @router.get("/admin", dependencies=[Depends(requires("admin"))])
    async def admin() -> bool:
        return True

    app = create_app(
        ServiceSettings(), "lamps", title="Lamps", routers=[router], resources=[verifier], verifier=verifier
    )
    async with started(app), client_of(app) as client:
        yield client


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 401), ("Basic YTpi", 401), ("Bearer", 401), ("Bearer x.y.z", 401), ("bearer TOKEN", 200)],
)
async def test_a_route_knows_its_principal_by_the_bearer_token(issuer: Issuer, header: str | None, status: int):
    async with serving(verifying(issuer.url)) as client:
        sent = {} if header is None else {"authorization": header.replace("TOKEN", token())}
        response = await client.get("/me", headers=sent)

    assert response.status_code == status


async def test_a_route_may_require_a_scope(issuer: Issuer):
    async with serving(verifying(issuer.url)) as client:
        plain = await client.get("/admin", headers={"authorization": f"Bearer {token()}"})
        admin = await client.get("/admin", headers={"authorization": f"Bearer {token(scope='admin')}"})

    assert (plain.status_code, admin.status_code) == (403, 200)
    assert plain.json()["type"].endswith("/scope-required")
