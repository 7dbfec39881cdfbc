"""Sign-ins are counted by outcome, and the gauge shows the age of the signing key."""

import httpx2
from prometheus_client import REGISTRY

from chassis.db import Database
from chassis.testing.fixtures import execute
from identity.jobs import measure

ADA = {"email": "ada@example.org", "password": "correct horse", "name": "Ada"}


def counts() -> dict[str, float]:
    outcomes = ("accepted", "refused", "limited")
    return {
        outcome: REGISTRY.get_sample_value("quayside_sign_ins_total", {"outcome": outcome}) or 0 for outcome in outcomes
    }


async def test_sign_ins_are_counted_by_outcome(client: httpx2.AsyncClient, db: Database) -> None:
    async def sign_in(password: str) -> None:
        form = {"grant_type": "password", "username": ADA["email"], "password": password}
        await client.post("/api/identity/token", data=form)

    await client.post("/api/identity/accounts", json=ADA)
    before = counts()

    await sign_in(ADA["password"])
    for _ in range(2):
        await sign_in("wrong horse")
    execute(db.url, "UPDATE sign_ins SET retry_at = now() + interval '1 h'")
    await sign_in(ADA["password"])

    added = {outcome: count - before[outcome] for outcome, count in counts().items()}
    assert added == {"accepted": 1, "refused": 2, "limited": 1}


async def test_the_age_of_the_signing_key_is_that_of_the_newest_one_that_signs(
    client: httpx2.AsyncClient, db: Database
) -> None:
    execute(
        db.url,
        "UPDATE signing_keys SET signs_at = now() - interval '2 h'",
        "INSERT INTO signing_keys (kid, jwk, signs_at) SELECT 'next', jwk, now() + interval '1 h' FROM signing_keys",
    )

    await measure(db)

    age = REGISTRY.get_sample_value("quayside_signing_key_age_seconds")
    assert age is not None
    assert 7200 <= age < 7300
