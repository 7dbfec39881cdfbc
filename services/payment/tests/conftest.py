"""Providers: one in memory behind the `Provider` protocol, and the real sandbox; and a database of this service."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from chassis.db import Database
from chassis.ids import uuid7
from chassis.messages import Event
from chassis.testing.apps import served
from payment.messages import Cancel, Charge
from payment.models import Answer, Operation, Outcome, Payment
from payment.usecases import Hint
from psp.main import create as create_psp
from psp.settings import Settings as PspSettings

SECRET = "a-secret-of-the-tests"


@dataclass
class Ledger:
    """A provider in memory: a key counts once for ever. A `lost` request is carried out, but its answer is lost."""

    declines: bool = False
    refuses_refunds: bool = False
    lost: int = 0
    forgotten: bool = False
    calls: list[str] = field(default_factory=list)
    results: dict[str, Answer] = field(default_factory=dict)
    taken: dict[UUID, int] = field(default_factory=dict)

    def carry_out(self, payment: Payment) -> Answer:
        assert payment.amount is not None
        if self.forgotten:
            raise AssertionError("a request under a key that the provider may have forgotten")
        self.calls.append(payment.key)
        if payment.key not in self.results:
            charge = payment.operation is Operation.CHARGE
            if self.declines if charge else self.refuses_refunds:
                answer = Answer(Outcome.REFUSED, "declined", stuck=True)
                if not charge:
                    return answer
            else:
                answer = Answer(Outcome.SUCCEEDED, reference=f"ch_{payment.order_id}" if charge else None)
                before = self.taken.get(payment.order_id, 0)
                self.taken[payment.order_id] = before + (payment.amount if charge else -payment.amount)
            self.results[payment.key] = answer
        if self.lost:
            self.lost -= 1
            return Answer(Outcome.UNKNOWN, "no-answer")
        return self.results[payment.key]

    async def charge(self, payment: Payment) -> Answer:
        return self.carry_out(payment)

    async def refund(self, payment: Payment) -> Answer:
        return self.carry_out(payment)

    async def find(self, payment: Payment) -> Answer:
        return self.results.get(payment.key, Answer(Outcome.UNKNOWN, "not-on-record", stuck=True))

    def hinted(self, headers: Mapping[str, str], body: bytes) -> Hint:
        raise AssertionError("no webhook is expected")


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def db(database: Callable[[str], str]) -> AsyncIterator[Database]:
    async with Database(database("payment"), name="test") as db:
        yield db


@pytest.fixture
async def psp_url(tmp_path: Path) -> AsyncIterator[str]:
    settings = PspSettings(
        psp_database=tmp_path / "psp.sqlite",
        webhook_url="http://127.0.0.1:9/unused",
        psp_webhook_secret=SECRET,
        slow_seconds=2,
    )
    async with served(create_psp(settings)) as url:
        yield url


def charge_event(order_id: UUID, **data: Any) -> Event[Charge]:
    given = {"amount": 4200, "currency": "EUR", "payment_method": "tok_visa", **data}
    return Event(uuid7(), str(order_id), Charge(order_id=order_id, **given))


def cancel_event(order_id: UUID) -> Event[Cancel]:
    return Event(uuid7(), str(order_id), Cancel(order_id=order_id))
