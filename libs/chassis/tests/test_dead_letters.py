"""The number of dead letters, for managers only, over a real broker."""

import httpx2
import pytest

from chassis import dead_letters
from chassis.app import create_app
from chassis.auth import TokenVerifier
from chassis.errors import Unavailable
from chassis.settings import ServiceSettings
from chassis.testing.apps import client_of, started
from chassis.testing.tokens import token


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker may be slow on a busy machine."""
    monkeypatch.setattr(dead_letters, "TIMEOUT", 30)


async def asked(jwks_url: str, broker_url: str, **headers: str) -> httpx2.Response:
    """Asks an application whose queue of dead letters is `lamps.dead`."""
    verifier = TokenVerifier(jwks_url, issuer="quayside", audience="quayside")
    app = create_app(
        ServiceSettings(environment="development"),
        "lamps",
        title="Lamps",
        routers=[dead_letters.router("/api/admin/lamps", "lamps", broker_url)],
        resources=[verifier],
        verifier=verifier,
    )
    async with started(app), client_of(app) as client:
        return await client.get("/api/admin/lamps/dead-letters", headers=headers)


async def test_a_manager_sees_how_many_there_are(topology, jwks_url: str) -> None:
    manager = {"Authorization": f"Bearer {token(scope='orders:manage')}"}
    none = await asked(jwks_url, topology.url, **manager)
    for _ in range(3):
        await topology.send_to("dead", b"?")
    answer = await asked(jwks_url, topology.url, **manager)
    assert none.json() == {"queue": "lamps.dead", "messages": 0}
    assert answer.json() == {"queue": "lamps.dead", "messages": 3}


@pytest.mark.parametrize(("scope", "status"), [("catalog:write", 403), (None, 401)])
async def test_nobody_else_does(jwks_url: str, scope: str | None, status: int) -> None:
    headers = {} if scope is None else {"Authorization": f"Bearer {token(scope=scope)}"}
    assert (await asked(jwks_url, "amqp://127.0.0.1:9/", **headers)).status_code == status


async def test_a_service_may_count_what_it_must_not_read(rabbitmq) -> None:
    assert await dead_letters.count(rabbitmq.url("cart"), "cart.dead") == 0


async def test_without_the_broker_it_is_unavailable(rabbitmq) -> None:
    with pytest.raises(Unavailable):
        await dead_letters.count("amqp://127.0.0.1:9/", "cart.dead")


async def test_a_queue_that_is_missing_is_unavailable(rabbitmq) -> None:
    with pytest.raises(Unavailable):
        await dead_letters.count(rabbitmq.url("cart"), "nothing.dead")
