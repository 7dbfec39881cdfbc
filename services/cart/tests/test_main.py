"""The cart is not ready without its Valkey, and says so in one line."""

from urllib.parse import SplitResult, urlsplit

import pytest

from cart.main import create
from cart.settings import Settings
from chassis.testing.apps import client_of, started


@pytest.fixture
def authenticated(valkey: str) -> SplitResult:
    """A Valkey that asks for a password."""
    url = urlsplit(valkey)
    if url.password is None:
        pytest.skip("this Valkey asks for no password")
    return url


async def waiting_for(valkey_url: str) -> str:
    """Returns what readiness says that the cart waits for."""
    settings = Settings(
        valkey_url=valkey_url,
        broker_url="amqp://cart:9d2f@127.0.0.1:1/quayside",
        jwks_url="http://127.0.0.1:1/.well-known/jwks.json",
        catalog_url="http://127.0.0.1:1",
    )
    async with started(create(settings)) as app, client_of(app) as client:
        answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert "9d2f" not in answer.text
    return answer.text


@pytest.mark.parametrize(
    ("address", "reason"),
    [("127.0.0.1:1", "connection refused"), ("nowhere.invalid:6379", "the name does not resolve")],
)
async def test_readiness_names_a_valkey_that_cannot_be_reached(address: str, reason: str) -> None:
    assert await waiting_for(f"redis://:9d2f@{address}/0") == (
        f"waiting: cart: Valkey at {address} cannot be used: {reason}; is VALKEY_URL right?"
    )


async def test_readiness_names_a_wrong_password(authenticated: SplitResult) -> None:
    address = f"{authenticated.hostname}:{authenticated.port}"
    assert await waiting_for(f"redis://:9d2f@{address}/0") == (
        f"waiting: cart: Valkey at {address} cannot be used: invalid username-password pair or user is disabled;"
        " is VALKEY_URL right?"
    )
