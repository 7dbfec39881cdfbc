"""Requests to the provider are measured, and the gauges say what is undecided or stuck."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from chassis.db import Connection, Database
from chassis.ids import uuid7
from chassis.testing.fixtures import execute
from payment import repository, usecases
from payment.jobs import measure
from payment.usecases import Result

from .conftest import Ledger, charge_event

REQUESTS = "quayside_payment_provider_duration_seconds_count"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def undecided(name: str = "quayside_payments_undecided") -> dict[str, float]:
    return {state: value(name, state=state) for state in ("REQUESTED", "UNKNOWN", "REFUNDING")}


async def drive(db: Database, ledger: Ledger) -> None:
    for payment in await usecases.lease(db, 100):
        assert payment.operation is not None
        answer = await usecases.ask({"psp": ledger}, payment)
        await usecases.settle(db, [Result(payment, answer)])


async def test_requests_to_the_provider_are_measured_by_operation_and_outcome(db: Database, ledger: Ledger) -> None:
    counts = [{"provider": "psp", "operation": "charge", "outcome": each} for each in ("succeeded", "unknown")]
    before = [value(REQUESTS, **labels) for labels in counts]
    ledger.lost = 1
    await usecases.charge(db, [charge_event(uuid7()), charge_event(uuid7()), charge_event(uuid7())], "psp")

    await drive(db, ledger)

    assert [value(REQUESTS, **labels) - old for labels, old in zip(counts, before, strict=True)] == [2, 1]


async def test_the_gauges_count_what_is_undecided_or_stuck_and_fall_back_to_0(db: Database) -> None:
    ids = [uuid7() for _ in range(3)]
    await usecases.charge(db, [charge_event(id) for id in ids], "psp")
    execute(
        db.url,
        f"UPDATE payments SET state = 'UNKNOWN', stuck = true, created_at = now() - interval '1 h'"
        f" WHERE order_id = '{ids[0]}'",
        f"UPDATE payments SET state = 'REFUNDING', first_attempt_at = now() - interval '1 min',"
        f" created_at = now() - interval '1 day' WHERE order_id = '{ids[1]}'",
    )

    await measure(db)

    ages = undecided("quayside_payments_oldest_undecided_seconds")
    assert undecided() == {"REQUESTED": 1, "UNKNOWN": 1, "REFUNDING": 1}
    assert value("quayside_payments_stuck") == 1
    assert 3600 <= ages["UNKNOWN"] < 3700
    assert 60 <= ages["REFUNDING"] < 160, "the age of the refund"

    execute(db.url, "UPDATE payments SET state = 'CAPTURED', stuck = false, next_attempt_at = NULL")
    await measure(db)

    assert set(undecided().values()) == {0} == {value("quayside_payments_stuck")}


@pytest.mark.parametrize(
    ("index", "query"), [("payments_due", repository.undecided), ("payments_stuck", repository.stuck)]
)
async def test_the_gauges_use_the_partial_indexes(
    db: Database, index: str, query: Callable[[Connection], Awaitable[Any]]
) -> None:
    async with db.transaction() as tx:
        await tx.execute("SET LOCAL enable_seqscan = off")  # the table is empty
        await query(tx)
        assert await tx.fetchval("SELECT pg_stat_get_xact_numscans($1::text::regclass)", index) == 1
